//! Symbolic links as they cross the wire: a name, and where it points to, carried as it is written and never resolved.

use minicbor::{Decode, Encode};

use super::entry::{Attributes, Name};
use super::labels::Labels;
use super::limits::LINK_TARGET_BYTES_MAX;
use crate::hash::Root;

/// Where a link points to: 1 to 4095 bytes without NUL. No path: it is never opened by anybody here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTarget(Vec<u8>);

/// Why bytes are no [`LinkTarget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a link's target is empty, too long, or holds a zero byte")]
pub struct LinkTargetError;

impl LinkTarget {
    /// Checks the bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, LinkTargetError> {
        let is_good = (1..=LINK_TARGET_BYTES_MAX).contains(&bytes.len()) && !bytes.contains(&0);
        if is_good { Ok(Self(bytes.to_vec())) } else { Err(LinkTargetError) }
    }

    /// As it is written in the link.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Stands for the target in receipts.
    #[must_use]
    pub fn root(&self) -> Root {
        Root::of(&self.0)
    }

    /// Whether a link that lies so many directories below the receiving one may lead out of it. Judged by the text alone,
    /// and on the safe side: behind a name a `..` may be anywhere, since that name may be a link itself.
    #[must_use]
    pub fn leads_outside(&self, depth: usize) -> bool {
        if self.0.starts_with(b"/") {
            return true;
        }
        let (mut up, mut saw_name) = (0, false);
        for component in self.0.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    up += 1;
                    if saw_name || up > depth {
                        return true;
                    }
                }
                _ => saw_name = true,
            }
        }
        false
    }
}

impl<C> Encode<C> for LinkTarget {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for LinkTarget {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _context: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(decoder.bytes()?).map_err(minicbor::decode::Error::custom)
    }
}

/// A link as it is offered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LinkEntry {
    /// Position of its directory in the job's table; the receiving directory itself if none.
    #[n(0)]
    pub directory: Option<u32>,
    /// Its name there.
    #[n(1)]
    pub name: Name,
    /// Where it points to.
    #[n(2)]
    pub target: LinkTarget,
    /// The link's own time; a link has no mode of its own.
    #[n(3)]
    pub attributes: Attributes,
    /// Its own owner, where owners are carried.
    #[n(4)]
    pub labels: Option<Labels>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> LinkTarget {
        LinkTarget::new(text.as_bytes()).expect("a target")
    }

    #[test]
    fn hostile_targets_are_refused() {
        for bytes in [&b""[..], b"a\0b", b"\0", &[b'a'; 4096]] {
            assert_eq!(LinkTarget::new(bytes), Err(LinkTargetError));
        }
        for bytes in [&b"a"[..], b"..", b"/", b"a\nb", b"\xff", &[b'a'; 4095]] {
            assert_eq!(LinkTarget::new(bytes).expect("a target").as_bytes(), bytes);
        }
    }

    #[test]
    fn a_target_that_may_lie_outside_is_told_by_its_text() {
        for (text, depth) in
            [("/etc", 5), ("..", 0), ("../x", 0), ("../../x", 1), ("a/..", 3), ("./a/../../x", 3), ("a//../b", 1)]
        {
            assert!(target(text).leads_outside(depth), "{text} at depth {depth}");
        }
        for (text, depth) in [("a", 0), ("a/b", 0), ("./a", 0), ("..", 1), ("../a", 1), ("./../.././a", 2), ("..a", 0)]
        {
            assert!(!target(text).leads_outside(depth), "{text} at depth {depth}");
        }
    }
}
