//! Signatures on entries: over the ledger's origin and the entry's fields, under the entry's label. So an
//! entry of one ledger counts in no other, whoever copies it there.

use crate::describe_errors;
use crate::signature::{Signer, Verifier};
use crate::wire::Writer;

/// An entry that carries a signature over all its other fields, which stand before it.
pub(super) trait SignedEntry: Sized {
    const LABEL: &'static str;

    fn encode_fields(&self, out: &mut Writer);
    fn signature(&self) -> &[u8; 64];
    fn set_signature(&mut self, signature: [u8; 64]);

    /// The origin behind its le16 length, then the fields.
    fn signed_part(&self, origin: &str) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(origin.as_bytes());
        self.encode_fields(&mut out);
        out.finish()
    }

    /// Signing is deterministic: the same fields are the same entry.
    fn signed_by(mut self, signer: &Signer, origin: &str) -> Self {
        self.set_signature(signer.sign(Self::LABEL, &self.signed_part(origin)));
        self
    }

    fn check(&self, verifier: &Verifier, origin: &str) -> Result<(), EntrySignatureError> {
        let holds = verifier.verify(Self::LABEL, &self.signed_part(origin), self.signature());
        if holds { Ok(()) } else { Err(EntrySignatureError) }
    }
}

/// What every signed entry has: its label, and its fields before the signature.
macro_rules! signed_fields {
    ($entry:ident, $label:literal) => {
        impl crate::entry::signed::SignedEntry for $entry {
            const LABEL: &'static str = $label;

            fn encode_fields(&self, out: &mut Writer) {
                self.fields(out);
            }

            fn signature(&self) -> &[u8; 64] {
                &self.signature
            }

            fn set_signature(&mut self, signature: [u8; 64]) {
                self.signature = signature;
            }
        }
    };
}
pub(super) use signed_fields;

/// An entry whose key is told from elsewhere: it is checked with that.
macro_rules! signed_entry {
    ($entry:ident, $label:literal) => {
        crate::entry::signed::signed_fields!($entry, $label);

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
    };
}
pub(super) use signed_entry;

/// The signature on an entry does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySignatureError;

describe_errors!(EntrySignatureError {
    _ => "ledger.entry_signature", Operator, false,
        "the signature on the entry does not hold under this key in this ledger: it counts for nothing, tell the \
         trustees";
});
