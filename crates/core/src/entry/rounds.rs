//! Entries of the openings ledger on rounds of the same-author test: who takes part, what each member is
//! bound to, and for which blinds it lets its share go.

use super::signed::{SignedEntry, checked_with_its_key, signed_message};
use crate::algebra::transcript::hash32;
use crate::signature::{HostKey, SignError};
use crate::trustee_key::{MAX_TRUSTEES, TrusteeKey};
use crate::{serde_as_bytes, wrapped_fields};

/// H32("blind", warrant digest, message): a trustee's commitment to its blind, before any is
/// revealed. `message` is the whole kind-7 message.
pub fn blind_commitment(warrant_digest: &[u8; 32], message: &[u8]) -> [u8; 32] {
    hash32("blind", &[warrant_digest, message])
}

/// A set of trustees, not empty: bit i - 1 is the trustee with index i.
///
/// ```
/// use unjoin_core::entry::Members;
/// let members = Members::new([5, 1, 2]).unwrap();
/// assert_eq!(members.indices().collect::<Vec<_>>(), [1, 2, 5]);
/// assert!(members.contains(5) && !members.contains(3) && members.count() == 3);
/// assert!(Members::new([]).is_none() && Members::new([65]).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members(u64);

impl Members {
    /// The set of these indices; `None` if one is not within 1 to 64, or there is none.
    pub fn new(indices: impl IntoIterator<Item = u16>) -> Option<Self> {
        let bit = |index: u16| (1..=MAX_TRUSTEES).contains(&index).then(|| 1u64 << (index - 1));
        let bits = indices.into_iter().try_fold(0, |bits, index| Some(bits | bit(index)?))?;
        (bits != 0).then_some(Self(bits))
    }

    /// The indices, rising.
    pub fn indices(self) -> impl Iterator<Item = u16> {
        (1..=MAX_TRUSTEES).filter(move |index| self.contains(*index))
    }

    /// Whether the trustee is one of them.
    pub fn contains(self, index: u16) -> bool {
        (1..=MAX_TRUSTEES).contains(&index) && self.0 >> (index - 1) & 1 == 1
    }

    /// How many.
    pub fn count(self) -> u16 {
        self.0.count_ones() as u16
    }
}

/// Kind 27, 108 bytes: who takes part in a round of the same-author test, signed by one of the
/// requester's officers.
///
/// ```
/// # use unjoin_core::entry::{Members, RoundEntry};
/// # use unjoin_core::{secret::SecretBytes, signature::HostKey};
/// use unjoin_core::wire::Message;
/// # // An officer signs it: `RoundRequest::entry` of unjoin-trustee.
/// # let officer = HostKey::from_seed(&SecretBytes::new([7; 32]));
/// # let (origin, warrant, members) = ("openings.example", [1; 32], Members::new([1, 2, 5]).unwrap());
/// # let signed = RoundEntry::sign(&officer, origin, warrant, 1, members)?.to_bytes();
/// let entry = RoundEntry::from_bytes(&signed)?;
/// assert_eq!((entry.commitment(), entry.round(), entry.members()), (&warrant, 1, members));
/// assert_eq!(signed.len(), 108);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundEntry {
    commitment: [u8; 32],
    round: u16,
    members: Members,
    signature: [u8; 64],
}

impl RoundEntry {
    /// Fixes the members of a round, numbered from 1, under the warrant with this commitment.
    ///
    /// # Errors
    /// [`SignError`]: [`SignError::Limits`] when it is round 0.
    #[doc(hidden)]
    pub fn sign(
        officer: &HostKey,
        origin: &str,
        commitment: [u8; 32],
        round: u16,
        members: Members,
    ) -> Result<Self, SignError> {
        Self { commitment, round, members, signature: [0; 64] }.signed_with(officer, origin)
    }

    crate::getters! {
        /// The warrant's commitment.
        pub commitment -> &[u8; 32];
        /// The round's number, from 1.
        pub round -> u16;
        /// The members.
        pub members -> Members;
    }
}

wrapped_fields!(Members);

signed_message!(RoundEntry = 27, "round entry", "round-entry":
    commitment as "commitment", round as "round", members as "members";
    if |entry| entry.round > 0 && entry.members.0 != 0);
checked_with_its_key!(RoundEntry, BlindEntry, ComparedEntry);

/// What a member of a round says in the ledger: a place, 32 bytes, and the trustee's signature.
macro_rules! member_entry {
    ($(#[$doc:meta])* $entry:ident, $kind:literal, $name:literal, $label:literal, $value:ident as $value_name:literal, $value_doc:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $entry {
            commitment: [u8; 32],
            round: u16,
            trustee: u16,
            $value: [u8; 32],
            signature: [u8; 64],
        }

        impl $entry {
            /// Signs it for a round of the warrant with this commitment, as the trustee with this index, in the
            /// ledger with this origin. `None` if the round is 0 or the index is not within 1 to 64. Signing is
            /// deterministic.
            pub fn sign(
                key: &TrusteeKey,
                origin: &str,
                commitment: [u8; 32],
                round: u16,
                trustee: u16,
                $value: [u8; 32],
            ) -> Option<Self> {
                Self { commitment, round, trustee, $value, signature: [0; 64] }.signed_by(key.signer(), origin)
            }

            /// The warrant's commitment.
            pub fn commitment(&self) -> &[u8; 32] {
                &self.commitment
            }

            /// The round's number, from 1.
            pub fn round(&self) -> u16 {
                self.round
            }

            /// The trustee's index, 1 to 64.
            pub fn trustee(&self) -> u16 {
                self.trustee
            }

            #[doc = $value_doc]
            pub fn $value(&self) -> &[u8; 32] {
                &self.$value
            }
        }

        signed_message!($entry = $kind, $name, $label:
            commitment as "commitment", round as "round", trustee as "trustee index", $value as $value_name;
            if |entry| entry.round > 0 && (1..=MAX_TRUSTEES).contains(&entry.trustee));
    };
}

member_entry!(
    /// Kind 28, 134 bytes: a member commits to its blind for a round.
    ///
    /// ```
    /// use unjoin_core::{entry::BlindEntry, secret::SystemRng, token::TrusteeKey};
    /// let key = TrusteeKey::generate(&mut SystemRng::new());
    /// let (warrant, blind) = ([1; 32], [2; 32]);
    /// let entry = BlindEntry::sign(&key, "openings.example", warrant, 1, 5, blind).unwrap();
    /// assert_eq!((entry.round(), entry.trustee(), entry.blind()), (1, 5, &blind));
    /// ```
    BlindEntry,
    28,
    "blind entry",
    "blind-entry",
    blind as "blind",
    "H32(\"blind\", warrant digest, kind-7 message)."
);
member_entry!(
    /// Kind 41, 134 bytes: a member is about to release its share of a round.
    ///
    /// ```
    /// use unjoin_core::{entry::ComparedEntry, secret::SystemRng, token::TrusteeKey};
    /// let key = TrusteeKey::generate(&mut SystemRng::new());
    /// let (warrant, round_id) = ([1; 32], [3; 32]);
    /// let entry = ComparedEntry::sign(&key, "openings.example", warrant, 1, 5, round_id).unwrap();
    /// assert_eq!((entry.commitment(), entry.round_id()), (&warrant, &round_id));
    /// assert!(ComparedEntry::sign(&key, "openings.example", warrant, 0, 5, round_id).is_none());
    /// ```
    ComparedEntry,
    41,
    "compared entry",
    "compared-entry",
    round_id as "round id",
    "H32(\"round\", ..): over the blinds that the share is for."
);

serde_as_bytes!(RoundEntry, BlindEntry, ComparedEntry);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;
    use crate::signature::Verifier;
    use crate::wire::Message;

    fn key(seed: u8) -> TrusteeKey {
        TrusteeKey::from_secret_bytes(SecretBytes::new([seed; 32]))
    }

    fn officer() -> HostKey {
        HostKey::from_seed(key(1).seed())
    }

    /// Reads as it was written, and no flipped bit keeps its signature.
    fn keeps_its_signature<M: Message + PartialEq + core::fmt::Debug>(
        entry: &M,
        holds: impl Fn(&M, &Verifier, &str) -> bool,
    ) {
        let bytes = entry.to_bytes();
        let (own, other) = (key(1).public(), key(2).public());
        let good = |entry: &M| holds(entry, own.verifier(), "openings");
        assert_eq!(&M::from_bytes(&bytes).unwrap(), entry);
        assert!(M::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(M::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(good(entry) && !holds(entry, other.verifier(), "openings"));
        assert!(!holds(entry, own.verifier(), "another ledger"));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!M::from_bytes(&changed).is_ok_and(|entry| good(&entry)), "{bit}");
        }
    }

    #[test]
    fn an_entry_of_a_round_stands_in_one_ledger_and_under_one_key() {
        let members = Members::new([3, 1, 64]).unwrap();
        let round = RoundEntry::sign(&officer(), "openings", [1; 32], 2, members).unwrap();
        keeps_its_signature(&round, |entry, key, origin| entry.verify(key, origin).is_ok());
        let blind = BlindEntry::sign(&key(1), "openings", [1; 32], 1, 3, [4; 32]).unwrap();
        keeps_its_signature(&blind, |entry, key, origin| entry.verify(key, origin).is_ok());
        let compared = ComparedEntry::sign(&key(1), "openings", [1; 32], 1, 3, [4; 32]).unwrap();
        keeps_its_signature(&compared, |entry, key, origin| entry.verify(key, origin).is_ok());
        // The same fields under another label are another signature.
        assert_ne!(blind.to_bytes()[70..], compared.to_bytes()[70..]);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        assert!(Members::new([]).is_none() && Members::new([0]).is_none() && Members::new([65]).is_none());
        let members = Members::new([64, 2, 2]).unwrap();
        assert_eq!((members.indices().collect::<Vec<_>>(), members.count()), (vec![2, 64], 2));
        assert!(!members.contains(0) && !members.contains(65));
        assert!(RoundEntry::sign(&officer(), "o", [1; 32], 0, members).is_err());
        for (round, trustee) in [(0, 1), (1, 0), (1, 65)] {
            assert!(BlindEntry::sign(&key(1), "o", [1; 32], round, trustee, [4; 32]).is_none());
        }
        let entry = RoundEntry::sign(&officer(), "o", [1; 32], 1, Members::new([1]).unwrap()).unwrap();
        let blind = BlindEntry::sign(&key(1), "o", [1; 32], 1, 1, [4; 32]).unwrap();
        for at in [34, 36] {
            let (mut one, mut other) = (entry.to_bytes(), blind.to_bytes());
            (one[at], other[at]) = (0, 0);
            assert!(RoundEntry::from_bytes(&one).is_err() && BlindEntry::from_bytes(&other).is_err());
        }
    }

    #[test]
    fn a_commitment_is_to_one_blind_under_one_warrant() {
        assert_ne!(blind_commitment(&[5; 32], b"blind"), blind_commitment(&[5; 32], b"other"));
        assert_ne!(blind_commitment(&[5; 32], b"blind"), blind_commitment(&[6; 32], b"blind"));
    }
}
