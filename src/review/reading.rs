//! What everybody may read, and what trustees get.

use super::histogram::{Histogram, HistogramRow};
use super::rows::{self, ListedRow};
use super::spent::SentRow;
use super::{Core, DeskError};
use crate::rating::StarSums;
use unjoin_core::entry::PublishedEntry;
use unjoin_core::serialize_as_object;
use unjoin_core::token::{Accepted, Digest, Presentation, Review, ReviewId, Scope};
use unjoin_core::wire::{Hex, Message};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Found, Record, Store, StoreError, read};

/// A review in the listing.
///
/// ```
/// # use unjoin::{Name, Timestamp, token::{ReviewId, Scope}};
/// use unjoin::{review::PublishedReview, token::Review};
/// # let (review_id, scope) = (ReviewId([1; 32]), Scope::new([2; 32], Name::new("lamps")?, 77));
/// # let published_at = Timestamp::from_unix_seconds(1_700_438_400);
/// let review = Review::new(1, "The lamp came broken.", vec![])?;
/// let shown = PublishedReview { review_id, scope, review, published_at, edited: false };
/// // As the host's pages get it: a date and no time, and no name.
/// let json = serde_json::to_value(&shown)?;
/// assert_eq!((json["stars"].as_u64(), json["published_at"].as_u64()), (Some(1), Some(1_700_438_400)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedReview {
    /// Its id.
    pub review_id: ReviewId,
    /// The cohort that it was published with.
    pub scope: Scope,
    /// Its content, as last edited.
    pub review: Review,
    /// The boundary at which it was published, the same for all of its batch.
    pub published_at: Timestamp,
    /// Whether the author has edited it since.
    pub edited: bool,
}

// In place of the review stand its digest and its parts. Digests, and the cohort beside its scope (big-endian), are
// hexadecimal.
serialize_as_object!(
    PublishedReview | shown | review_id = shown.review_id,
    scope = shown.scope,
    cohort = Hex(&shown.scope.cohort().to_be_bytes()),
    digest = Hex(&shown.review.digest()),
    stars = shown.review.stars(),
    text = shown.review.text(),
    attachments = shown.review.attachments().iter().map(|digest| Hex(digest)).collect::<Vec<_>>(),
    published_at = shown.published_at,
    edited = shown.edited,
);

/// What the desk keeps of a published review for due process, until the opening window ends.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin::{secret::SystemRng, token::Accepted};
/// use unjoin::review::AcceptedReview;
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let held = shop.accepted();
/// # let (review_digest, published_at) = (held.review.digest(), held.sent.publication);
/// # let presentation = held.sent.presentation.clone();
/// # let accepted = Accepted::prove(&shop.issuer_key, &presentation, &review_digest, rng);
/// let kept = AcceptedReview { presentation, accepted, review_digest, published_at };
/// // What a trustee is shown of it: the proof holds, and the ledger has its entry.
/// assert!(kept.accepted.verify_alone(shop.issuer_key.public(), &kept.presentation, &review_digest, rng).is_ok());
/// assert_eq!(kept.entry(), held.published());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedReview {
    /// The presentation; the published entry holds its hash.
    pub presentation: Presentation,
    /// The desk's proof that the presentation's tag was valid; see [`Accepted::verify`]. Made afresh each
    /// time that it is asked for.
    pub accepted: Accepted,
    /// The digest of the review as it was first submitted, which both are bound to.
    pub review_digest: Digest,
    /// The boundary at which it was published.
    pub published_at: Timestamp,
}

impl AcceptedReview {
    /// The entry that its publication left in the reviews ledger.
    pub fn entry(&self) -> PublishedEntry {
        PublishedEntry {
            scope: self.presentation.scope().clone(),
            boundary: self.published_at,
            review_id: self.presentation.review_id(),
            review_digest: self.review_digest,
            presentation_hash: self.presentation.hash(),
            author_key: *self.presentation.author_key(),
        }
    }
}

fn sums_of(found: &Found<HistogramRow>) -> Result<(Scope, StarSums), DeskError> {
    Ok((rows::histogram_of(&found.key)?, found.row()?.0.sums()))
}

impl<S: Store> Core<S> {
    pub(super) fn published(
        &self,
        merchant: &Name,
        after: Option<&ReviewId>,
        limit: usize,
    ) -> Result<Vec<PublishedReview>, DeskError> {
        let after = after.map(|id| rows::listed(merchant, id).at().clone());
        let page = rows::listing_of(&*self.store, merchant, limit).after(after).next()?.unwrap_or_default();
        let published = |found: &Found<ListedRow>| Ok(found.row()?.into_published(rows::id_of(&found.key)?));
        page.iter().take(limit).map(published).collect()
    }

    pub(super) fn histogram(&self, merchant: &Name) -> Result<Histogram, DeskError> {
        Ok(read(&*self.store, &rows::histogram(merchant))?.unwrap_or_default().0)
    }

    pub(super) fn star_sums(&self) -> impl Iterator<Item = Result<(Scope, StarSums), DeskError>> + '_ {
        let mut pages = rows::cohort_histograms(&*self.store);
        let pages = std::iter::from_fn(move || pages.next().transpose());
        pages.flat_map(|page| match page {
            Ok(page) => page.iter().map(sums_of).collect(),
            Err(error) => vec![Err(error.into())],
        })
    }

    /// The proof is made here and never stored: so a copy of the store does not tell which reviews were
    /// asked for. It tells `x * A'` of whatever `A'` it is made for, which would be a forged token. Hence the
    /// presentation is verified first: a row that something else wrote gets no proof.
    pub(super) fn evidence(
        &self,
        scope: &Scope,
        review_id: &ReviewId,
    ) -> Result<Option<AcceptedReview>, DeskError> {
        let keys = (rows::spent(scope, review_id), rows::sent(scope, review_id));
        let (Some(spent), Some(sent)) = read(&*self.store, &keys)? else { return Ok(None) };
        let Some(evidence) = sent.evidence() else { return Ok(None) };
        let ring = self.ring();
        let pair = ring.find(scope.key_id()).ok_or(DeskError::UnknownKey)?;
        let corrupt = || StoreError::Corrupt(SentRow::NAME);
        let presentation = Presentation::from_bytes(&evidence).map_err(|_| corrupt())?;
        let (key, review_digest, rng) = (&pair.issuer_key, spent.submitted, &mut *self.rng());
        presentation.verify(key, &pair.escrow_key, &review_digest, rng).map_err(|_| corrupt())?;
        let accepted = Accepted::prove(key, &presentation, &review_digest, rng);
        Ok(Some(AcceptedReview { presentation, accepted, review_digest, published_at: spent.published_at }))
    }
}
