//! Who may ask the trustees for what, and how many of a requester's officers must sign.

use super::{Warrant, WarrantTerms};
use crate::error::describe_errors;
use crate::ledger::{NotePublicKey, WarrantAction};
use crate::name::Name;
use crate::time::Timestamp;

/// One requester: a court, an authority, the platform's own ombudsman.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The name in its warrants and in the openings ledger.
    pub name: Name,
    /// The keys of its officers, 1 to [`Requester::MAX_KEYS`].
    pub keys: Vec<NotePublicKey>,
    /// How many of them must sign.
    pub needed: usize,
    /// What it may ask for.
    pub actions: Vec<WarrantAction>,
    /// On which grounds.
    pub grounds: Vec<u16>,
}

impl Requester {
    /// The most keys of one requester.
    pub const MAX_KEYS: usize = 16;
}

/// The requesters that trustees answer.
#[derive(Clone, Debug)]
pub struct WarrantPolicy {
    requesters: Vec<Requester>,
}

impl WarrantPolicy {
    /// Takes the requesters.
    ///
    /// # Errors
    /// [`WarrantPolicyError`].
    pub fn new(requesters: Vec<Requester>) -> Result<Self, WarrantPolicyError> {
        for (at, requester) in requesters.iter().enumerate() {
            let Requester { name, keys, needed, actions, grounds } = requester;
            if !(1..=Requester::MAX_KEYS).contains(&keys.len()) || !(1..=keys.len()).contains(needed) {
                return Err(WarrantPolicyError::Quorum);
            }
            if actions.is_empty() || grounds.is_empty() {
                return Err(WarrantPolicyError::Scope);
            }
            if requesters.iter().skip(at + 1).any(|other| other.name == *name) {
                return Err(WarrantPolicyError::Names);
            }
        }
        let keys: Vec<&NotePublicKey> = requesters.iter().flat_map(|requester| &requester.keys).collect();
        let alike = |(at, key): (usize, &&NotePublicKey)| {
            let mut others = keys.iter().skip(at + 1);
            others.any(|other| other.as_bytes() == key.as_bytes() || other.name() == key.name())
        };
        if keys.iter().enumerate().any(alike) {
            return Err(WarrantPolicyError::Keys);
        }
        Ok(Self { requesters })
    }

    /// The requesters.
    pub fn requesters(&self) -> &[Requester] {
        &self.requesters
    }

    /// Whether trustees may answer this warrant at this time.
    ///
    /// # Errors
    /// [`WarrantError`] names the first rule that it breaks.
    pub fn check(&self, warrant: &Warrant, now: Timestamp) -> Result<(), WarrantError> {
        let terms = warrant.terms();
        let known = self.requesters.iter().find(|requester| requester.name == *terms.requester());
        let requester = known.ok_or(WarrantError::Requester)?;
        let mut signed = 0;
        for key in &requester.keys {
            let signs = warrant.note().is_signed_by(key).map_err(|_| WarrantError::Signature)?;
            signed += usize::from(signs);
        }
        if signed < requester.needed {
            return Err(WarrantError::TooFewSignatures { signed, needed: requester.needed });
        }
        requester.allows(terms)?;
        if now < terms.not_before() {
            return Err(WarrantError::NotYetValid { not_before: terms.not_before() });
        }
        if now > terms.not_after() {
            return Err(WarrantError::NoLongerValid { not_after: terms.not_after() });
        }
        Ok(())
    }
}

impl Requester {
    fn allows(&self, terms: &WarrantTerms) -> Result<(), WarrantError> {
        if !self.actions.contains(&terms.action()) {
            return Err(WarrantError::Action);
        }
        if !self.grounds.contains(&terms.grounds()) {
            return Err(WarrantError::Grounds);
        }
        Ok(())
    }
}

/// Why some requesters are no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarrantPolicyError {
    /// A requester without keys, with too many, or of whom none or more than all must sign.
    Quorum,
    /// A requester without an action or without grounds.
    Scope,
    /// Two requesters with one name.
    Names,
    /// Two keys with the same bytes or the same name.
    Keys,
}

describe_errors!(WarrantPolicyError {
    Self::Quorum => "warrant_policy.quorum", Operator, false,
        "a requester has 1 to {} keys, of which at least one and at most all must sign", Requester::MAX_KEYS;
    Self::Scope => "warrant_policy.scope", Operator, false,
        "a requester needs at least one action and one grounds code";
    Self::Names => "warrant_policy.names", Operator, false, "every requester needs a name of its own";
    Self::Keys => "warrant_policy.keys", Operator, false,
        "every officer needs a key and a key's name of his own, or one could sign for two";
});

/// Why trustees do not answer a warrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarrantError {
    /// The requester is none that is configured.
    Requester,
    /// A line claims to be of one of the requester's keys and does not verify.
    Signature,
    /// Too few of the requester's keys have signed.
    TooFewSignatures {
        /// How many have.
        signed: usize,
        /// How many must.
        needed: usize,
    },
    /// The requester may not ask for this.
    Action,
    /// Not on these grounds.
    Grounds,
    /// It begins later.
    NotYetValid {
        /// When it begins.
        not_before: Timestamp,
    },
    /// It has ended.
    NoLongerValid {
        /// When it ended.
        not_after: Timestamp,
    },
}

describe_errors!(WarrantError {
    Self::Requester => "warrant.requester", Host, false,
        "the warrant's requester is not one of those whom the trustees have agreed to answer";
    Self::Signature => "warrant.signature", Host, false,
        "a signature that claims one of the requester's keys does not verify: have the warrant signed anew";
    Self::TooFewSignatures { signed, needed } => "warrant.too_few_signatures", Host, false,
        "{signed} of the requester's keys have signed, and {needed} must: have more officers sign";
    Self::Action => "warrant.action", Host, false,
        "the requester may not ask for this action: ask for one that the trustees allow it";
    Self::Grounds => "warrant.grounds", Host, false,
        "the requester may not ask on these grounds: state a code that the trustees allow it";
    Self::NotYetValid { not_before } => "warrant.not_yet_valid", Host, true,
        "the warrant is valid from {} on, in seconds UTC of the ledger's time: ask again then",
        not_before.as_unix_seconds();
    Self::NoLongerValid { not_after } => "warrant.no_longer_valid", Host, false,
        "the warrant was valid until {}, in seconds UTC of the ledger's time: a new one is needed",
        not_after.as_unix_seconds();
});
