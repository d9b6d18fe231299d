//! A receipt that the desk has signed, held against what was logged.

use super::{History, kind};
use unjoin_core::entry::{PublishedEntry, WithdrawnEntry};
use unjoin_core::token::{CohortManifest, PlatformPublicKey, Presentation, Receipt};
use unjoin_core::wire::Message;
use unjoin_core::{Timestamp, describe_errors};

/// Whether the desk kept what its receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptVerdict {
    /// The review was published in the receipt's words, or its author withdrew it before.
    Kept,
    /// The ledger's checkpoint is not past the boundary and the grace.
    NotYetDue,
    /// It is, and the review is not in the ledger, or in other words: receipt, checkpoint and
    /// entries prove that the desk dropped or altered it.
    Unkept,
}

/// Whether a receipt is kept, as of the history's newer checkpoint. `grace` is how many seconds
/// after the boundary the entry must be logged: a few ticks.
///
/// An early receipt names no boundary: `early` is then the manifest of its cohort, out of the
/// same history, and the presentation that the receipt is for.
///
/// # Errors
/// [`ReceiptError`] when the receipt is not the platform's, or an early one comes without what
/// binds it.
pub fn receipt_verdict(
    history: &History,
    receipt: &Receipt,
    platform: &PlatformPublicKey,
    early: Option<(&CohortManifest, &Presentation)>,
    grace: u64,
) -> Result<ReceiptVerdict, ReceiptError> {
    receipt.verify(platform).map_err(|_| ReceiptError::Signature)?;
    let boundary = match receipt.publish_by() {
        Some(boundary) => boundary,
        None => early_boundary(history, receipt, early)?,
    };
    let review_id = receipt.review_id();
    let settles = |entry: &&Vec<u8>| match kind(entry) {
        Some(PublishedEntry::KIND) => PublishedEntry::from_bytes(entry).is_ok_and(|published| {
            let same = published.review_id == review_id;
            same && published.review_digest == *receipt.review_digest() && published.boundary <= boundary
        }),
        Some(WithdrawnEntry::KIND) => {
            WithdrawnEntry::from_bytes(entry).is_ok_and(|withdrawn| withdrawn.review_id == review_id)
        }
        _ => false,
    };
    let kept = history.entries().iter().any(|entry| settles(&entry));
    let seen_at = history.newer().1.median_time;
    Ok(match kept {
        true => ReceiptVerdict::Kept,
        false if seen_at < boundary.saturating_add(grace) => ReceiptVerdict::NotYetDue,
        false => ReceiptVerdict::Unkept,
    })
}

/// The first publication of the cohort: what arrives before the manifest is published then.
fn early_boundary(
    history: &History,
    receipt: &Receipt,
    early: Option<(&CohortManifest, &Presentation)>,
) -> Result<Timestamp, ReceiptError> {
    let (manifest, presentation) = early.ok_or(ReceiptError::Unbound)?;
    let of_receipt = presentation.review_id() == receipt.review_id();
    let of_cohort = presentation.scope() == &manifest.scope;
    let bytes = manifest.to_bytes();
    let logged = history.entries().contains(&bytes);
    if of_receipt && of_cohort && logged {
        Ok(manifest.first_publication)
    } else {
        Err(ReceiptError::Unbound)
    }
}

/// Why a receipt proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// It does not bear the platform's signature.
    Signature,
    /// An early one, without the presentation it is for or the logged manifest of its cohort.
    Unbound,
}

describe_errors!(ReceiptError {
    Self::Signature => "audit.receipt_signature", Device, false,
        "the receipt does not bear the platform's signature";
    Self::Unbound => "audit.receipt_unbound", Device, false,
        "an early receipt counts together with its presentation and the logged manifest of its cohort";
});
