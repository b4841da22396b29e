//! The receiver's side of a ticket: its token admits one sender, and from then on only that one. A standing receiver
//! has no token: each connection is admitted by the key that was looked up for it.
//!
//! The sender that is pinned may come back as often as its connection breaks. **Nothing here knows of connections or of
//! the clock.**

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::ticket::token_proof;
use crate::protocol::failure::Failure;
use crate::wire::identity::PublicKey;

/// Decides who may use one ticket, or one line of a list of keys.
pub struct Admission {
    /// None: the key alone decides.
    token: Option<[u8; 16]>,
    expires_seconds: Option<u64>,
    pinned: Mutex<Option<PublicKey>>,
}

impl Admission {
    /// For the ticket with this token; from `expires_seconds` (since 1970) on it admits nobody new.
    #[must_use]
    pub fn new(token: [u8; 16], expires_seconds: Option<u64>) -> Self {
        Self { token: Some(token), expires_seconds, pinned: Mutex::new(None) }
    }

    /// For the owner of this key, without a token: it was found in a list of keys, and the handshake proved it.
    #[must_use]
    pub fn by_key(sender: PublicKey) -> Self {
        Self { token: None, expires_seconds: None, pinned: Mutex::new(Some(sender)) }
    }

    /// Admits the sender that proved to hold this key, if it also knows the token: `proof` is what it showed on the
    /// connection with this exporter. The first one admitted is pinned. Fails with [`Failure::NotAdmitted`], whatever
    /// the reason: a stranger need not know how close it came.
    pub fn admit(
        &self,
        sender: PublicKey,
        exporter: &[u8; 32],
        proof: &[u8; 32],
        now_seconds: u64,
    ) -> Result<(), Failure> {
        // `blake3::Hash` compares in constant time; arrays do not.
        let expected = self.token.map(|token| blake3::Hash::from_bytes(token_proof(&token, exporter)));
        if expected.is_some_and(|expected| expected != blake3::Hash::from_bytes(*proof)) {
            return Err(Failure::NotAdmitted);
        }
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        match *pinned {
            Some(only) if only == sender => Ok(()),
            Some(_) => Err(Failure::NotAdmitted),
            None if self.expires_seconds.is_some_and(|expires| now_seconds >= expires) => Err(Failure::NotAdmitted),
            None => {
                *pinned = Some(sender);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("expires_seconds", &self.expires_seconds)
            .field("pinned", &self.pinned)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: [u8; 16] = [1; 16];
    const SENDER: PublicKey = PublicKey([2; 32]);
    const OTHER: PublicKey = PublicKey([3; 32]);

    fn proof(exporter: [u8; 32]) -> [u8; 32] {
        token_proof(&TOKEN, &exporter)
    }

    #[test]
    fn who_knows_the_token_is_admitted() {
        let admission = Admission::new(TOKEN, None);
        assert_eq!(admission.admit(SENDER, &[5; 32], &proof([5; 32]), u64::MAX), Ok(()));
    }

    #[test]
    fn a_wrong_proof_is_refused_and_pins_nobody() {
        let admission = Admission::new(TOKEN, None);
        let good = proof([5; 32]);
        for bit in 0..256 {
            let mut wrong = good;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(admission.admit(OTHER, &[5; 32], &wrong, 0), Err(Failure::NotAdmitted));
        }
        assert_eq!(admission.admit(SENDER, &[5; 32], &good, 0), Ok(()));
    }

    #[test]
    fn a_proof_of_another_connection_is_refused() {
        let admission = Admission::new(TOKEN, None);
        assert_eq!(admission.admit(SENDER, &[6; 32], &proof([5; 32]), 0), Err(Failure::NotAdmitted));
    }

    #[test]
    fn an_expired_ticket_admits_nobody_new() {
        let admission = Admission::new(TOKEN, Some(100));
        assert_eq!(admission.admit(SENDER, &[5; 32], &proof([5; 32]), 100), Err(Failure::NotAdmitted));
        assert_eq!(admission.admit(SENDER, &[5; 32], &proof([5; 32]), 99), Ok(()));
    }

    #[test]
    fn a_second_sender_is_refused_even_with_the_right_proof() {
        let admission = Admission::new(TOKEN, None);
        assert_eq!(admission.admit(SENDER, &[5; 32], &proof([5; 32]), 0), Ok(()));
        assert_eq!(admission.admit(OTHER, &[6; 32], &proof([6; 32]), 0), Err(Failure::NotAdmitted));
        assert_eq!(admission.admit(SENDER, &[7; 32], &proof([7; 32]), 0), Ok(()));
    }

    #[test]
    fn the_first_sender_comes_back_after_expiry_but_never_without_the_proof() {
        let admission = Admission::new(TOKEN, Some(100));
        assert_eq!(admission.admit(SENDER, &[5; 32], &proof([5; 32]), 0), Ok(()));
        for exporter in [[6; 32], [7; 32]] {
            assert_eq!(admission.admit(SENDER, &exporter, &proof(exporter), 1000), Ok(()));
        }
        assert_eq!(admission.admit(SENDER, &[8; 32], &proof([7; 32]), 0), Err(Failure::NotAdmitted));
    }

    #[test]
    fn without_a_token_its_key_and_no_other_is_admitted() {
        let admission = Admission::by_key(SENDER);
        assert_eq!(admission.admit(SENDER, &[5; 32], &[0; 32], u64::MAX), Ok(()));
        assert_eq!(admission.admit(OTHER, &[5; 32], &[0; 32], 0), Err(Failure::NotAdmitted));
    }

    #[test]
    fn debug_output_does_not_tell_the_token() {
        let shown = format!("{:?}", Admission::new(TOKEN, None));
        assert!(!shown.contains("token") && !shown.contains("1, 1"), "{shown}");
    }
}
