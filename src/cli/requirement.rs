//! `--require`: the least that a receipt must prove.
//!
//! A word that is not named requires nothing. Also the way back from the three words to their values.

use std::str::FromStr;

use crate::protocol::receipt::{Durable, Origin, Proof, Stored};

/// The least of each word; absent: anything will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// How the sender knows the source.
    pub origin: Option<Origin>,
    /// How the stored copy was checked.
    pub stored: Option<Stored>,
    /// Whether it was flushed.
    pub durable: Option<Durable>,
}

/// Why a list is no [`Requirement`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// A part has no `=`.
    #[error("'{0}' is not of the form WORD=VALUE, as in origin=reread,stored=device,durable=yes")]
    NotAPair(String),
    /// Neither of the three.
    #[error("'{0}' is none of origin, stored, durable")]
    UnknownWord(String),
    /// The word cannot have this value.
    #[error("'{value}' is no value of {word}: it can be {choices}")]
    UnknownValue {
        /// One of the three.
        word: &'static str,
        /// What was given.
        value: String,
        /// What it could be.
        choices: String,
    },
    /// The same word twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
}

const ORIGINS: [Origin; 3] = [Origin::FirstRead, Origin::Reread, Origin::Recorded];
const STOREDS: [Stored; 3] = [Stored::None, Stored::Cache, Stored::Device];
const DURABLES: [Durable; 2] = [Durable::No, Durable::Yes];

/// The value whose word this is.
#[must_use]
pub(crate) fn origin_of(word: &str) -> Option<Origin> {
    ORIGINS.into_iter().find(|origin| origin.word() == word)
}

/// The value whose word this is.
#[must_use]
pub(crate) fn stored_of(word: &str) -> Option<Stored> {
    STOREDS.into_iter().find(|stored| stored.word() == word)
}

/// The value whose word this is.
#[must_use]
pub(crate) fn durable_of(word: &str) -> Option<Durable> {
    DURABLES.into_iter().find(|durable| durable.word() == word)
}

impl Requirement {
    /// The words of the proof that are weaker than what is required, as in `stored=cache, durable=no`; nothing where it
    /// meets all.
    #[must_use]
    pub fn unmet_by(&self, proof: Proof) -> Option<String> {
        let least = self.as_proof();
        let words = [
            (proof.origin < least.origin, "origin", proof.origin.word()),
            (proof.stored < least.stored, "stored", proof.stored.word()),
            (proof.durable < least.durable, "durable", proof.durable.word()),
        ];
        let weaker: Vec<_> =
            words.iter().filter(|word| word.0).map(|(_, word, value)| format!("{word}={value}")).collect();
        (!weaker.is_empty()).then(|| weaker.join(", "))
    }

    /// As a proof to compare with: the least of each word where nothing is required.
    fn as_proof(&self) -> Proof {
        Proof {
            origin: self.origin.unwrap_or(Origin::FirstRead),
            stored: self.stored.unwrap_or(Stored::None),
            durable: self.durable.unwrap_or(Durable::No),
        }
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(list: &str) -> Result<Self, RequirementError> {
        let mut requirement = Self::default();
        for part in list.split(',') {
            let (word, value) = part.split_once('=').ok_or_else(|| RequirementError::NotAPair(part.to_owned()))?;
            match word {
                "origin" => set(&mut requirement.origin, "origin", value, &ORIGINS, Origin::word)?,
                "stored" => set(&mut requirement.stored, "stored", value, &STOREDS, Stored::word)?,
                "durable" => set(&mut requirement.durable, "durable", value, &DURABLES, Durable::word)?,
                _ => return Err(RequirementError::UnknownWord(word.to_owned())),
            }
        }
        Ok(requirement)
    }
}

fn set<T: Copy>(
    place: &mut Option<T>,
    word: &'static str,
    value: &str,
    values: &[T],
    word_of: fn(T) -> &'static str,
) -> Result<(), RequirementError> {
    let Some(found) = values.iter().copied().find(|candidate| word_of(*candidate) == value) else {
        let choices = values.iter().map(|candidate| word_of(*candidate)).collect::<Vec<_>>().join(", ");
        return Err(RequirementError::UnknownValue { word, value: value.to_owned(), choices });
    };
    match place.replace(found) {
        None => Ok(()),
        Some(_) => Err(RequirementError::Twice(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_requires_what_it_names_and_nothing_else() {
        let all: Requirement = "origin=reread,stored=device,durable=yes".parse().expect("a list");
        let full = Proof { origin: Origin::Reread, stored: Stored::Device, durable: Durable::Yes };
        assert_eq!(all.as_proof(), full);
        assert_eq!(all.unmet_by(Proof { origin: Origin::Recorded, ..full }), None);
        assert_eq!(all.unmet_by(Proof { stored: Stored::Cache, ..full }).as_deref(), Some("stored=cache"));
        let nothing = Proof { origin: Origin::FirstRead, stored: Stored::None, durable: Durable::No };
        assert_eq!(all.unmet_by(nothing).as_deref(), Some("origin=first-read, stored=none, durable=no"));
        let one: Requirement = "stored=cache".parse().expect("a list");
        assert_eq!(one.unmet_by(Proof { stored: Stored::Cache, ..nothing }), None);
        assert_eq!(Requirement::default().unmet_by(nothing), None);
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        for (list, message) in [
            ("", "'' is not of the form WORD=VALUE, as in origin=reread,stored=device,durable=yes"),
            ("device", "'device' is not of the form WORD=VALUE, as in origin=reread,stored=device,durable=yes"),
            ("origins=reread", "'origins' is none of origin, stored, durable"),
            ("stored=disk", "'disk' is no value of stored: it can be none, cache, device"),
            ("stored=", "'' is no value of stored: it can be none, cache, device"),
            ("durable=yes,durable=yes", "durable is given twice"),
            ("durable=yes,", "'' is not of the form WORD=VALUE, as in origin=reread,stored=device,durable=yes"),
        ] {
            assert_eq!(list.parse::<Requirement>().expect_err(list).to_string(), message);
        }
    }

    #[test]
    fn every_word_leads_back_to_its_value() {
        assert!(ORIGINS.into_iter().all(|origin| origin_of(origin.word()) == Some(origin)));
        assert!(STOREDS.into_iter().all(|stored| stored_of(stored.word()) == Some(stored)));
        assert!(DURABLES.into_iter().all(|durable| durable_of(durable.word()) == Some(durable)));
        assert_eq!(origin_of("Reread"), None);
    }
}
