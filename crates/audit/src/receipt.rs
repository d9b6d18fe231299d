//! Receipts that the review service has signed, held against what was logged.

use super::{History, StaffKeys, kind};
use crate::recoveries::end_of;
use crate::reviews::author_keys;
use unjoin_core::entry::{ActionEntry, HeldWithdrawalEntry, PublishedEntry, RemovedEntry};
use unjoin_core::token::{ActionReceipt, AuthorAction, PlatformPublicKey, Receipt, Scope};
use unjoin_core::wire::Message;
use unjoin_core::{Timestamp, describe_errors};

/// Whether the review service kept what its receipt says.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::Shop};
/// # use unjoin_core::{DAY, wire::Message};
/// use unjoin_audit::{ReceiptVerdict, receipt_verdict};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (receipt, scope, platform) = (&accepted.receipt, accepted.token.scope(), shop.platform_key.public());
/// # let at = |time| SmallLedger::of_reviews(&[shop.manifest().to_bytes()], time).history();
/// # let (due, late) = (receipt.terms().publish_by, receipt.terms().publish_by.saturating_add(2 * DAY));
/// // The review is in neither of the two ledgers.
/// let verdict = |history| receipt_verdict(&history, receipt, scope, &platform, DAY);
/// assert_eq!(verdict(at(due)), Ok(ReceiptVerdict::NotYetDue));
/// assert_eq!(verdict(at(late)), Ok(ReceiptVerdict::Unkept));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptVerdict {
    /// The ledger has what was promised; or what ended it in a way that everybody can check: the
    /// author's own signed withdrawal, a signed removal.
    Kept,
    /// The ledger's checkpoint is not past the boundary and the grace.
    NotYetDue,
    /// It is, and the entry is missing, later, or in other words: receipt, checkpoint and entries
    /// prove it.
    Unkept,
    /// The era in which it was given has ended, and the ledger does not have what was promised. An
    /// older copy of the reviews' store was put back. Send the same again, unchanged.
    Lost {
        /// The index of the recovery's entry: see [`recoveries`](super::recoveries).
        recovery: u64,
    },
}

impl ReceiptVerdict {
    /// What it is for a receipt of this era, if nothing in the ledger settles it.
    fn unsettled(
        history: &History,
        platform: &PlatformPublicKey,
        era: u32,
        boundary: Timestamp,
        grace: u64,
    ) -> Self {
        match end_of(history, platform, era, boundary, grace) {
            Some(recovery) => Self::Lost { recovery },
            None if history.newer().1.median_time < boundary.saturating_add(grace) => Self::NotYetDue,
            None => Self::Unkept,
        }
    }
}

/// Whether a receipt is kept, as of the history's newer checkpoint. `grace` is how many seconds
/// after the boundary the entry must be logged: a few ticks.
///
/// The entry must say all that the receipt says: id, digest, presentation and author key. It must
/// also say `scope`, that of the author's token: the review id is a hash of it and the serial. A
/// withdrawal while held must be signed with that key and name that presentation. So an insider who
/// logs another author key, to act with it later, or publishes under another merchant, is caught by
/// the author's device.
///
/// # Errors
/// [`ReceiptError`] when the receipt is not the platform's.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::DAY;
/// use unjoin_audit::{ReceiptVerdict, receipt_verdict};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (history, platform) = (shop.ledger(&accepted).history(), shop.platform_key.public());
/// # let (receipt, scope) = (&accepted.receipt, accepted.token.scope());
/// // The author's device, with the receipt that it kept.
/// assert_eq!(receipt_verdict(&history, receipt, scope, &platform, DAY), Ok(ReceiptVerdict::Kept));
/// ```
pub fn receipt_verdict(
    history: &History,
    receipt: &Receipt,
    scope: &Scope,
    platform: &PlatformPublicKey,
    grace: u64,
) -> Result<ReceiptVerdict, ReceiptError> {
    receipt.verify(platform).map_err(|_| ReceiptError)?;
    let terms = receipt.terms();
    let settles = |entry: &Vec<u8>| match kind(entry) {
        Some(PublishedEntry::KIND) => PublishedEntry::from_bytes(entry)
            .is_ok_and(|published| is_as_promised(&published, receipt, scope)),
        Some(HeldWithdrawalEntry::KIND) => HeldWithdrawalEntry::from_bytes(entry).is_ok_and(|withdrawn| {
            withdrawn.presentation_hash == terms.presentation_hash
                && withdrawn.author_key == terms.author_key
                && withdrawn.action.statement().continues(0, &terms.review_digest)
                && withdrawn.boundary <= terms.publish_by
                && withdrawn.action.verify(&terms.author_key, &terms.review_id).is_ok()
        }),
        _ => false,
    };
    if history.in_time(terms.publish_by, grace).iter().any(settles) {
        return Ok(ReceiptVerdict::Kept);
    }
    Ok(ReceiptVerdict::unsettled(history, platform, terms.era, terms.publish_by, grace))
}

/// Whether this is the publication that the receipt promises, for the author's token of this scope. Whether the
/// entry is in the ledger is another question.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_audit::is_as_promised;
/// use unjoin_core::{entry::PublishedEntry, token::AuthorKey};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (published, receipt, scope) = (accepted.published(), &accepted.receipt, accepted.token.scope());
/// assert!(is_as_promised(&published, receipt, scope));
/// // An insider who logs a key of their own, to act with it later.
/// let changed = PublishedEntry { author_key: AuthorKey([7; 32]), ..published };
/// assert!(!is_as_promised(&changed, receipt, scope));
/// ```
pub fn is_as_promised(published: &PublishedEntry, receipt: &Receipt, scope: &Scope) -> bool {
    let terms = receipt.terms();
    published.review_id == terms.review_id
        && published.review_digest == terms.review_digest
        && published.presentation_hash == terms.presentation_hash
        && published.author_key == terms.author_key
        && &published.scope == scope
        && published.boundary <= terms.publish_by
}

/// Whether the receipt of an action is kept. Either the ledger has that very action. Or it has a later
/// removal of the review, which ended what waited.
///
/// An action that the author's next one overtook is logged with that one, at its boundary, and is not
/// due before. Until then the desk clears itself with the next action, which the author signed.
///
/// # Errors
/// [`ReceiptError`] when the receipt is not the platform's, or is of another action.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::{DAY, entry::ActionEntry, token::ActionReceipt, wire::Message};
/// use unjoin_audit::{ReceiptVerdict, action_verdict};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (ledger, action) = (shop.ledger(&accepted), shop.withdrawal(&accepted));
/// # let (boundary, platform) = (accepted.state.published_at, shop.platform_key.public());
/// let receipt = ActionReceipt::sign(&shop.platform_key, &action, boundary, 1)?;
/// let verdict = |history| action_verdict(&history, &receipt, &action, &platform, DAY);
/// assert_eq!(verdict(ledger.history()), Ok(ReceiptVerdict::NotYetDue));
/// ledger.publish(&[ActionEntry { action: action.clone(), boundary }.to_bytes()]);
/// assert_eq!(verdict(ledger.history()), Ok(ReceiptVerdict::Kept));
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
pub fn action_verdict(
    history: &History,
    receipt: &ActionReceipt,
    action: &AuthorAction,
    platform: &PlatformPublicKey,
    grace: u64,
) -> Result<ReceiptVerdict, ReceiptError> {
    receipt.verify(platform).map_err(|_| ReceiptError)?;
    if receipt.action_hash() != &action.hash() {
        return Err(ReceiptError);
    }
    let boundary =
        overtaken_at(history, action).map_or(receipt.boundary(), |later| later.max(receipt.boundary()));
    let (staff, origin) = (StaffKeys::of(history, platform), &history.newer().0.checkpoint().origin);
    let settles = |entry: &Vec<u8>| match kind(entry) {
        Some(ActionEntry::KIND) => ActionEntry::from_bytes(entry)
            .is_ok_and(|logged| &logged.action == action && logged.boundary <= boundary),
        Some(HeldWithdrawalEntry::KIND) => HeldWithdrawalEntry::from_bytes(entry)
            .is_ok_and(|logged| &logged.action == action && logged.boundary <= boundary),
        Some(RemovedEntry::KIND) => RemovedEntry::from_bytes(entry).is_ok_and(|removed| {
            removed.review_id() == receipt.review_id() && staff.signed(&removed, origin).is_some()
        }),
        _ => false,
    };
    if history.in_time(boundary, grace).iter().any(settles) {
        return Ok(ReceiptVerdict::Kept);
    }
    Ok(ReceiptVerdict::unsettled(history, platform, receipt.era(), boundary, grace))
}

/// The boundary of the author's next action, if this one was logged with it.
fn overtaken_at(history: &History, action: &AuthorAction) -> Option<Timestamp> {
    let said = action.statement();
    let key = author_keys(history.entries()).remove(&said.review_id)?;
    let actions = history.entries().iter().filter(|entry| kind(entry) == Some(ActionEntry::KIND));
    let logged: Vec<ActionEntry> = actions
        .filter_map(|entry| ActionEntry::from_bytes(entry).ok())
        .filter(|entry| entry.action.statement().review_id == said.review_id)
        .filter(|entry| entry.action.verify(&key, &said.review_id).is_ok())
        .collect();
    let own = logged.iter().find(|entry| &entry.action == action)?.boundary;
    let next = |entry: &&ActionEntry| entry.action.statement().sequence == said.sequence.saturating_add(1);
    logged.iter().find(next).map(|entry| entry.boundary).filter(|boundary| *boundary == own)
}

/// A receipt that proves nothing: it does not bear the platform's signature, or is of another
/// action.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::DAY;
/// use unjoin_audit::{ReceiptError, receipt_verdict};
/// # let (shop, other) = (Shop::open(), Shop::open());
/// # let accepted = shop.accepted();
/// # let (history, receipt, scope) = (shop.ledger(&accepted).history(), accepted.receipt, accepted.token.scope().clone());
/// let another_platform = other.platform_key.public();
/// assert_eq!(receipt_verdict(&history, &receipt, &scope, &another_platform, DAY), Err(ReceiptError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptError;

describe_errors!(ReceiptError (Device, false) {
    _ => "audit.receipt_signature", "the receipt does not bear the platform's signature, or is of another action";
});
