//! The manifest of a closed cohort: what the issuer tells the desk, the wallets and the
//! reviews ledger. It names no account and no order.

use super::{PlatformKey, PlatformPublicKey, Scope, VerifyError};
use crate::serde_as_bytes;
use crate::time::Timestamp;
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

/// Kind 10, 112 bytes and the merchant's name: a closed cohort.
///
/// Its boundaries are in order: `closed_at < first_publication < window_end`, and
/// `numbers_dead_at < first_publication`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortManifest {
    /// The cohort's scope; its key id names X.
    pub scope: Scope,
    /// The escrow id that belongs to X.
    pub escrow_id: [u8; 32],
    /// At least so many distinct customers of standing hold a token of the scope.
    pub at_least: u32,
    /// The boundary at which the cohort closed.
    pub closed_at: Timestamp,
    /// When the last virtual number of any of its orders ended, for ever.
    pub numbers_dead_at: Timestamp,
    /// The first of the two boundaries at which its reviews are published.
    pub first_publication: Timestamp,
    /// The second and last; from then on nothing is accepted for the cohort.
    pub window_end: Timestamp,
}

impl CohortManifest {
    /// The boundary at which a review that is accepted at `now` is published; `None` once
    /// the window is over.
    pub fn publication_after(&self, now: Timestamp) -> Option<Timestamp> {
        [self.first_publication, self.window_end].into_iter().find(|boundary| now < *boundary)
    }

    /// Signs it with the platform's key.
    pub fn sign(self, key: &PlatformKey) -> SignedManifest {
        let signature = key.sign("manifest", &self.to_bytes());
        SignedManifest { manifest: self, signature }
    }

    fn is_ordered(&self) -> bool {
        self.closed_at < self.first_publication
            && self.numbers_dead_at < self.first_publication
            && self.first_publication < self.window_end
            && self.at_least > 0
    }
}

impl Message for CohortManifest {
    const KIND: u8 = 10;
    const NAME: &'static str = "cohort manifest";

    fn encode_body(&self, out: &mut Writer) {
        self.scope.encode(out);
        out.raw(&self.escrow_id);
        out.le32(self.at_least);
        for time in [self.closed_at, self.numbers_dead_at, self.first_publication, self.window_end] {
            out.timestamp(time);
        }
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let manifest = Self {
            scope: Scope::decode(from)?,
            escrow_id: from.array("escrow id")?,
            at_least: from.le32("at least")?,
            closed_at: from.timestamp("closed at")?,
            numbers_dead_at: from.timestamp("numbers dead at")?,
            first_publication: from.timestamp("first publication")?,
            window_end: from.timestamp("window end")?,
        };
        if manifest.is_ordered() { Ok(manifest) } else { Err(from.refuse(Rule::Value)) }
    }
}

serde_as_bytes!(CohortManifest);

/// Kind 11, 176 bytes and the merchant's name: a manifest with the platform's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: CohortManifest,
    signature: [u8; 64],
}

impl SignedManifest {
    /// The manifest, once its signature holds.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not.
    pub fn verify(&self, key: &PlatformPublicKey) -> Result<&CohortManifest, VerifyError> {
        key.verify("manifest", &self.manifest.to_bytes(), &self.signature)?;
        Ok(&self.manifest)
    }

    /// The scope that it claims to close, unverified: to choose which manifest to look at.
    pub fn claimed_scope(&self) -> &Scope {
        &self.manifest.scope
    }
}

impl Message for SignedManifest {
    const KIND: u8 = 11;
    const NAME: &'static str = "signed manifest";

    fn encode_body(&self, out: &mut Writer) {
        self.manifest.encode_body(out);
        out.raw(&self.signature);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { manifest: CohortManifest::decode_body(from)?, signature: from.array("signature")? })
    }
}

serde_as_bytes!(SignedManifest);
