//! The checksum of UDP: 16 bits of one's complement sum over addresses, ports, length and payload.
//!
//! It is here to be shown blind: to an exchange of two 16-bit words always, to other damage once in 65,536 times.
//! RFC 768; RFC 1071; for IPv6 RFC 8200, section 8.1.

use std::net::{IpAddr, SocketAddr};

/// Number of UDP in an IP header.
pub(crate) const PROTOCOL_UDP: u8 = 17;
/// Bytes of a UDP header.
pub(crate) const UDP_HEADER_BYTES: usize = 8;

/// The checksum as it stands in the header of a datagram with this payload (at most 65,527 bytes); never 0, which means
/// "none". RFC 768.
///
/// # Panics
/// If the payload is longer than a datagram can hold.
#[must_use]
pub fn udp_checksum(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> u16 {
    let length = u16::try_from(payload.len() + UDP_HEADER_BYTES).expect("a datagram holds at most 65,527 bytes");
    let mut sum = u64::from(PROTOCOL_UDP) + u64::from(length);
    for address in [source, destination] {
        sum += match address.ip() {
            IpAddr::V4(ip) => words(&ip.octets()),
            IpAddr::V6(ip) => words(&ip.octets()),
        };
        sum += u64::from(address.port());
    }
    // The length stands in the pseudo header and in the header itself.
    sum += u64::from(length) + words(payload);
    match !folded(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

/// What a payload and its length add to the checksum: where it is the same as before, so is that.
pub(crate) fn sum(payload: &[u8]) -> u16 {
    folded(words(payload) + payload.len() as u64)
}

/// One's complement: carries are added again. RFC 1071.
fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Sum of the big-endian words; an odd last byte counts as one followed by zero.
fn words(bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let pairs: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
    pairs + rest.first().map_or(0, |&last| u64::from(last) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_known_datagram() {
        // 10.0.0.1:1 to 10.0.0.2:2 with "abc", summed by hand: 0a00+0001+0a00+0002+0011+000b+0001+0002+000b+6162+6300.
        let checksum = udp_checksum("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), b"abc");
        assert_eq!(checksum, !0xd88f_u16);
    }

    #[test]
    fn it_sees_one_flipped_bit_and_not_two_exchanged_words() {
        let addresses = ["[::1]:7".parse().unwrap(), "[::2]:9".parse().unwrap()];
        let sum = |bytes: &[u8]| udp_checksum(addresses[0], addresses[1], bytes);
        let right = [1, 2, 3, 4, 5];
        for bit in 0..40 {
            let mut wrong = right;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum(&wrong), sum(&right));
        }
        assert_eq!(sum(&[3, 4, 1, 2, 5]), sum(&right));
    }

    #[test]
    fn the_sum_of_a_payload_sees_a_flip_and_a_cut_and_not_an_exchange_of_words() {
        let bytes = *b"some words here";
        let mut flipped = bytes;
        flipped[4] ^= 1;
        let mut exchanged = bytes;
        exchanged[2..4].copy_from_slice(&bytes[4..6]);
        exchanged[4..6].copy_from_slice(&bytes[2..4]);
        assert_ne!(sum(&bytes), sum(&flipped));
        assert_ne!(bytes, exchanged);
        assert_eq!(sum(&bytes), sum(&exchanged));
        assert_ne!(sum(&bytes), sum(&bytes[..14]));
    }
}
