//! Signatures on entries: over the ledger's origin and the entry's fields, under the entry's label. So an
//! entry of one ledger counts in no other, no matter who copies it there.

use crate::describe_errors;
use crate::signature::{HostKey, SignError, Signer, Verifier};
use crate::wire::{Message, Writer};

/// An entry whose last field is a signature over all the others.
pub(super) trait SignedEntry: Message {
    const LABEL: &'static str;

    fn signature(&self) -> &[u8; 64];
    fn set_signature(&mut self, signature: [u8; 64]);

    /// Whether its fields are such as an entry may have: others are neither signed nor read.
    fn fits(&self) -> bool;

    /// The origin behind its le16 length, then the fields.
    fn signed_part(&self, origin: &str) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(origin.as_bytes());
        let entry = self.before_signature();
        // Without version and kind: the label says what it is.
        out.raw(entry.get(2..).unwrap_or_default());
        out.finish()
    }

    /// Signing is deterministic: the same fields are the same entry. `None` for fields that do not fit.
    fn signed_by(mut self, signer: &Signer, origin: &str) -> Option<Self> {
        self.set_signature(signer.sign(Self::LABEL, &self.signed_part(origin)));
        self.fits().then_some(self)
    }

    /// As [`signed_by`](Self::signed_by), by a key that may be in the host's key management.
    fn signed_with(mut self, key: &HostKey, origin: &str) -> Result<Self, SignError> {
        if !self.fits() {
            return Err(SignError::Limits);
        }
        self.set_signature(key.sign(Self::LABEL, &self.signed_part(origin))?);
        Ok(self)
    }

    fn check(&self, verifier: &Verifier, origin: &str) -> Result<(), EntrySignatureError> {
        let holds = verifier.verify(Self::LABEL, &self.signed_part(origin), self.signature());
        if holds { Ok(()) } else { Err(EntrySignatureError) }
    }
}

/// A signed entry: `signed_message!(Entry = 99, "entry", "label": a as "a", b as "b"; if |entry| entry.a > 0)`. What it
/// holds is said as to [`message!`](crate::message); its field `signature` comes behind.
macro_rules! signed_message {
    ($entry:ident = $kind:literal, $name:literal, $label:literal:
        $($field:ident as $text:literal $($how:ident $(($limits:expr))?)?),+ $(,)? $(; if $fits:expr)?
    ) => {
        crate::message!($entry = $kind, $name:
            $($field as $text $($how $(($limits))?)?,)+ signature as "signature"; if crate::entry::signed::SignedEntry::fits);

        impl crate::entry::signed::SignedEntry for $entry {
            const LABEL: &'static str = $label;

            fn signature(&self) -> &[u8; 64] {
                &self.signature
            }

            fn set_signature(&mut self, signature: [u8; 64]) {
                self.signature = signature;
            }

            fn fits(&self) -> bool {
                $($($(if !($limits).contains(&self.$field.len()) {
                    return false;
                })?)?)+
                $(let fits: fn(&Self) -> bool = $fits;
                if !fits(self) {
                    return false;
                })?
                true
            }
        }
    };
}
pub(super) use signed_message;

/// What an entry has whose key is told from elsewhere: it is checked with that.
macro_rules! checked_with_its_key {
    ($($entry:ident),+) => {$(
        impl $entry {
            /// Checks the signature, for the ledger with this origin.
            ///
            /// # Errors
            /// [`EntrySignatureError`](crate::entry::EntrySignatureError).
            #[doc(hidden)]
            pub fn verify(
                &self,
                verifier: &crate::signature::Verifier,
                origin: &str,
            ) -> Result<(), crate::entry::EntrySignatureError> {
                crate::entry::signed::SignedEntry::check(self, verifier, origin)
            }
        }
    )+};
}
pub(super) use checked_with_its_key;

/// What an entry has that the platform's key signs.
macro_rules! checked_with_the_platforms_key {
    ($($entry:ident),+) => {$(
        impl $entry {
            /// Checks the signature, for the ledger with this origin.
            ///
            /// # Errors
            /// [`VerifyError`](crate::token::VerifyError) when it does not hold.
            pub fn verify(
                &self,
                platform: &crate::token::PlatformPublicKey,
                origin: &str,
            ) -> Result<(), crate::token::VerifyError> {
                crate::entry::signed::SignedEntry::check(self, platform.verifier(), origin)
                    .map_err(|_| crate::token::VerifyError)
            }
        }
    )+};
}
pub(super) use checked_with_the_platforms_key;

/// What an entry on grounds has, which a member of the platform's staff signs: it has fields `grounds` and `staff_key`.
macro_rules! checked_with_a_key_of_the_staffs {
    ($($entry:ident),+) => {$(
        impl $entry {
            /// The most bytes that the grounds may have.
            pub const MAX_GROUNDS: usize = 480;

            /// On what grounds.
            pub fn grounds(&self) -> &str {
                &self.grounds
            }

            /// The key that it claims to be signed with, 32 bytes.
            pub fn claimed_key(&self) -> &[u8; 32] {
                &self.staff_key
            }

            /// Checks the signature, for the ledger with this origin.
            ///
            /// # Errors
            /// [`VerifyError`](crate::token::VerifyError) when it does not hold.
            pub fn verify(&self, origin: &str) -> Result<(), crate::token::VerifyError> {
                let key = crate::token::StaffPublicKey::from_bytes(&self.staff_key);
                let key = key.ok_or(crate::token::VerifyError)?;
                crate::entry::signed::SignedEntry::check(self, key.verifier(), origin)
                    .map_err(|_| crate::token::VerifyError)
            }
        }
    )+};
}
pub(super) use checked_with_a_key_of_the_staffs;

/// The signature on an entry does not hold.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySignatureError;

describe_errors!(EntrySignatureError (Operator, false) {
    _ => "ledger.entry_signature",
        "the signature on the entry does not hold under this key in this ledger: it counts for nothing, tell the \
         trustees";
});

#[cfg(test)]
mod tests {
    use crate::Timestamp;
    use crate::entry::{
        BlindEntry, ComparedEntry, DoorKeyEntry, Members, RecoveredEntry, RecoveredStore, RemovedEntry,
        RoundEntry, ShareReleasedEntry, StaffKeyEntry, WarrantAction, WarrantEntry,
    };
    use crate::name::Name;
    use crate::secret::SecretBytes;
    use crate::signature::HostKey;
    use crate::token::{PlatformKey, ReviewId, StaffKey, TrusteeKey};
    use crate::wire::Message;

    #[test]
    fn signed_are_the_ledgers_origin_and_all_fields_of_an_entry() {
        let seed = || SecretBytes::new([7; 32]);
        let (signer, trustee) = (HostKey::from_seed(&seed()), TrusteeKey::from_secret_bytes(seed()));
        let platform = PlatformKey::from_secret_bytes(&seed());
        let staff = StaffKey::from_secret_bytes(&seed());
        fn check<M: Message>(signer: &HostKey, label: &str, entry: &M) {
            let bytes = entry.to_bytes();
            let (fields, signature) = bytes[2..].split_at(bytes.len() - 66);
            let part = [&[6, 0][..], b"ledger", fields].concat();
            assert_eq!(signer.sign(label, &part).unwrap()[..], *signature, "{label}");
        }
        let (commitment, id) = ([1; 32], ReviewId([2; 32]));
        let members = Members::new([1, 3]).unwrap();
        let (requester, tags, open) = (b"court".to_vec(), vec![[3; 32]], WarrantAction::Open);
        let warrant = WarrantEntry::sign(&signer, "ledger", commitment, requester, open, tags).unwrap();
        let share = ShareReleasedEntry::sign(&trustee, "ledger", 1, 1, commitment, [3; 32]).unwrap();
        let round = RoundEntry::sign(&signer, "ledger", commitment, 1, members).unwrap();
        let blind = BlindEntry::sign(&trustee, "ledger", commitment, 1, 1, [3; 32]).unwrap();
        let compared = ComparedEntry::sign(&trustee, "ledger", commitment, 1, 1, [3; 32]).unwrap();
        let removed = RemovedEntry::sign(&staff, "ledger", id, [3; 32], "grounds").unwrap();
        let admitted =
            StaffKeyEntry::sign(&platform, "ledger", &staff.public(), Name::new("staff").unwrap()).unwrap();
        check(&signer, "warrant-entry", &warrant);
        check(&signer, "share-released", &share);
        check(&signer, "round-entry", &round);
        check(&signer, "blind-entry", &blind);
        check(&signer, "compared-entry", &compared);
        check(&signer, "removal", &removed);
        let recovered =
            RecoveredEntry::sign(&staff, "ledger", RecoveredStore::Reviews, 2, 7, "grounds").unwrap();
        check(&signer, "recovered", &recovered);
        check(&signer, "staff-key", &admitted);
        let valid = Timestamp::ZERO..Timestamp::from_unix_seconds(1);
        let door = DoorKeyEntry::sign(&platform, "ledger", 1, [3; 32], 4, valid).unwrap();
        check(&signer, "door-key", &door);
    }
}
