//! Keys: who a side is, and what it signs. Ed25519, 32 bytes; the text of a public one is in `key_text.rs`.
//!
//! A key is compared whole and shown whole. The secret leaves this file only as the text of its key file.
//! **No certificates, no passwords, no key from an argument or the environment.**

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::seams::disk::Disk;

/// What precedes the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// First word of a key file; the number is the version of its form.
const FILE_WORD: &str = "careful-identity-1";

/// An Ed25519 public key: the name of a side.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether the owner of this key signed exactly this message; a key that is no point of the curve verifies nothing.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    /// SubjectPublicKeyInfo, as TLS carries it (RFC 7250).
    #[must_use]
    pub(super) fn to_spki(self) -> [u8; 44] {
        let mut spki = [0; 44];
        spki[..SPKI_PREFIX.len()].copy_from_slice(&SPKI_PREFIX);
        spki[SPKI_PREFIX.len()..].copy_from_slice(&self.0);
        spki
    }

    /// The key of a SubjectPublicKeyInfo; nothing unless all 44 bytes are those of an Ed25519 key.
    #[must_use]
    pub(super) fn from_spki(spki: &[u8]) -> Option<Self> {
        Some(Self(spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?))
    }
}

/// A secret key with its public one. **Not `Clone`**: share it with `Arc`.
pub struct KeyPair(Ed25519KeyPair);

impl KeyPair {
    /// A new key from the system's random numbers.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::from_seed(&random_bytes()?)
    }

    /// The key of this seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, IdentityError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_rejected| IdentityError::Crypto)
    }

    /// The secret itself, for the key file and TLS.
    pub fn seed(&self) -> Result<[u8; 32], IdentityError> {
        let seed = self.0.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_unspecified| IdentityError::Crypto)?;
        seed.as_ref().try_into().map_err(|_length| IdentityError::Crypto)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Ed25519 signature of the message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file could not be read, or is open to others.
    #[error("cannot read the key file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The key file could not be made.
    #[error("cannot create the key file {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The key file does not hold a key of this form.
    #[error("the key file {} is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The cryptographic library failed: no random numbers, or a key it does not take.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// The key in this file; made first if there is none. Two processes that come at once get the same one. A file that is
/// there and cannot be used is an error, never replaced.
pub fn load_or_create(disk: &dyn Disk, path: &Path) -> Result<KeyPair, IdentityError> {
    if let Some(key) = load(disk, path)? {
        return Ok(key);
    }
    let key = KeyPair::generate()?;
    let line = format!("{FILE_WORD} {}\n", to_base32(&key.seed()?));
    match disk.create_private(path, line.as_bytes()) {
        Ok(()) => Ok(key),
        // Another process was first: its key is the identity.
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            load(disk, path)?.ok_or_else(|| IdentityError::Create { path: path.to_owned(), cause })
        }
        Err(cause) => Err(IdentityError::Create { path: path.to_owned(), cause }),
    }
}

fn load(disk: &dyn Disk, path: &Path) -> Result<Option<KeyPair>, IdentityError> {
    let bytes = match disk.read_private(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(IdentityError::Read { path: path.to_owned(), cause }),
    };
    let seed = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n').unwrap_or(text).strip_prefix(FILE_WORD)?.strip_prefix(' '))
        .and_then(key_bytes)
        .ok_or_else(|| IdentityError::Malformed { path: path.to_owned() })?;
    KeyPair::from_seed(&seed).map(Some)
}

/// Random bytes of the system.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| IdentityError::Crypto)?;
    Ok(bytes)
}

fn key_bytes(text: &str) -> Option<[u8; 32]> {
    from_base32(text)?.try_into().ok()
}

/// Lower-case base32 without padding (RFC 4648): a-z and 2-7.
pub(crate) fn to_base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Bytes of lower-case base32; nothing for any other text, so that bytes have one text only.
pub(crate) fn from_base32(text: &str) -> Option<Vec<u8>> {
    let canonical = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    canonical.then(|| data_encoding::BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::seams::disk::{Directory, DiskFile, Metadata, Spool};

    /// Private files in memory; can be told to lose the first look at one.
    #[derive(Debug, Default)]
    struct MemoryDisk {
        files: Mutex<HashMap<PathBuf, Vec<u8>>>,
        blind_reads: Mutex<u32>,
    }

    impl Disk for MemoryDisk {
        fn open_directory(&self, _path: &Path) -> io::Result<Arc<dyn Directory>> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn inspect(&self, _path: &Path) -> io::Result<Metadata> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn canonical(&self, _path: &Path) -> io::Result<PathBuf> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn open_stream(&self, _path: &Path) -> io::Result<Box<dyn io::Read + Send>> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn make_spool(&self, _directory: &Path, _name: &std::ffi::OsStr) -> io::Result<Box<dyn Spool>> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn open_append(&self, _path: &Path) -> io::Result<Arc<dyn DiskFile>> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn read_private(&self, path: &Path) -> io::Result<Vec<u8>> {
            let mut blind_reads = self.blind_reads.lock().unwrap();
            if *blind_reads > 0 {
                *blind_reads -= 1;
                return Err(io::ErrorKind::NotFound.into());
            }
            self.files.lock().unwrap().get(path).cloned().ok_or(io::ErrorKind::NotFound.into())
        }
        fn create_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            match self.files.lock().unwrap().entry(path.to_owned()) {
                std::collections::hash_map::Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(bytes.to_vec());
                    Ok(())
                }
            }
        }
        fn replace_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.files.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
            Ok(())
        }
        fn read_trusted(&self, path: &Path) -> io::Result<Vec<u8>> {
            self.read_private(path)
        }
    }

    #[test]
    fn the_first_vector_of_rfc_8032_holds() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = KeyPair::from_seed(&seed.clone().try_into().unwrap()).unwrap();
        assert_eq!(key.public().0.to_vec(), hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        assert_eq!(key.seed().unwrap().to_vec(), seed);
        let signature = key.sign(b"");
        assert_eq!(signature[..8], hex("e5564300c360ac72"));
        assert!(key.public().verify(b"", &signature));
        assert!(!key.public().verify(b"x", &signature));
    }

    #[test]
    fn debug_output_does_not_tell_the_secret() {
        let key = KeyPair::from_seed(&[7; 32]).unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&to_base32(&[7; 32])) && !shown.contains("7, 7"), "{shown}");
    }

    #[test]
    fn the_key_file_is_made_once_and_then_read() {
        let disk = MemoryDisk::default();
        let first = load_or_create(&disk, Path::new("/key")).unwrap();
        let second = load_or_create(&disk, Path::new("/key")).unwrap();
        assert_eq!(first.public(), second.public());
        assert_eq!(disk.files.lock().unwrap()[Path::new("/key")].len(), FILE_WORD.len() + 1 + 52 + 1);
    }

    #[test]
    fn the_process_that_comes_second_takes_the_key_of_the_first() {
        let disk = MemoryDisk::default();
        let first = load_or_create(&disk, Path::new("/key")).unwrap();
        *disk.blind_reads.lock().unwrap() = 1;
        assert_eq!(load_or_create(&disk, Path::new("/key")).unwrap().public(), first.public());
    }

    #[test]
    fn a_malformed_key_file_is_an_error_and_stays() {
        for text in ["", "careful-identity-1", "careful-identity-2 aaaa", "careful-identity-1 aaaa\n", "\u{ff}"] {
            let disk = MemoryDisk::default();
            disk.create_private(Path::new("/key"), text.as_bytes()).unwrap();
            assert!(matches!(load_or_create(&disk, Path::new("/key")), Err(IdentityError::Malformed { .. })));
            assert_eq!(disk.files.lock().unwrap()[Path::new("/key")], text.as_bytes());
        }
    }
}
