//! Why the wallet refuses.

use super::SealedBackup;
use unjoin_core::wire::DecodeError;
use unjoin_core::{PassphraseCost, describe_errors};

/// Why the wallet refuses. Nothing was sent, spent or changed.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{error::Audience, secret::SystemRng};
/// use unjoin_wallet::WalletError;
/// # let (shop, other) = (Shop::open(), Shop::open());
/// # let (offer, rng) = (other.offer(), &mut SystemRng::new());
/// # let (issuer, merchant) = (&shop.name, offer.scope.merchant());
/// // A key that the app does not pin: perhaps one that was made for this device alone.
/// let refused = shop.wallet.request(issuer, merchant, offer.handle, &offer, &shop.trust, rng);
/// let error = refused.map(|_| ()).unwrap_err();
/// assert_eq!((error, error.audience()), (WalletError::IssuerKeyNotPinned, Audience::Device));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalletError {
    /// An element came out as the identity: of negligible probability.
    Degenerate,
    /// An issuer key is already pinned with another escrow key.
    ConflictingPin,
    /// The offer is for another merchant or order than was asked about.
    OtherOffer,
    /// The offer's or token's issuer key is not pinned.
    IssuerKeyNotPinned,
    /// An escrow key without a certificate of all pinned trustees.
    EscrowKeyCertificate,
    /// Fewer trustees open a review under this escrow key than the pinned least number.
    EscrowKeyThreshold,
    /// The escrow key is not the one pinned with the issuer key.
    EscrowKeyNotPinned,
    /// The offer's scope is another issuer key's.
    ForeignScope,
    /// The grant does not verify for the request.
    Grant,
    /// The token, or the request under way, belongs to another wallet.
    AnotherWallet,
    /// The manifest does not bear the platform's signature.
    ManifestSignature,
    /// The manifest is not shown to be in the ledger.
    ManifestNotLogged,
    /// No ledger is pinned to check the evidence with.
    LedgerNotPinned,
    /// The manifest is another cohort's.
    ManifestScope,
    /// The manifest names another escrow key than the pinned one.
    ManifestEscrow,
    /// The manifest's dates are not boundaries of the pinned grid.
    ManifestOffGrid,
    /// The cohort is smaller than this wallet accepts.
    CohortTooSmall,
    /// The cohort's redemption window is over.
    WindowOver,
    /// A receipt does not fit what was sent.
    Receipt,
    /// The state is that of another review.
    AnotherReview,
    /// The review was withdrawn.
    Withdrawn,
    /// The review has no further sequence number.
    SequenceExhausted,
    /// The cost of a backup is out of its bounds.
    BackupCost,
    /// The passphrase is empty.
    BackupPassphrase,
    /// Too many tokens for one backup.
    BackupSize,
    /// There is too little memory for the backup's cost.
    BackupMemory,
    /// The backup does not open: a wrong passphrase, or bytes that were changed.
    BackupOpen,
    /// The device's sealed state does not open: another key, or bytes that were changed.
    DeviceOpen,
    /// The device's sealed state is of a version that this application does not know.
    DeviceVersion,
    /// The device holds as many orders as it can.
    TooManyOrders,
    /// The device does not know the order.
    UnknownOrder,
    /// The order has no review that could be withdrawn or edited.
    NoReview,
    /// The review was sent already: it is changed by an edit.
    Sent,
    /// Reviews with attachments cannot be sent without their author being seen.
    Attachments,
    /// The answer is to nothing that is under way.
    NotAsked,
    /// What a bundle holds is not shown to be in the ledger as it was after the boundary.
    NotLogged,
    /// The recovery code is none, or was copied with a mistake.
    RecoveryCode,
    /// The answer is not what was asked for.
    Answer(DecodeError),
}

describe_errors!(WalletError {
    Self::Degenerate => "wallet.degenerate", Device, true,
        "a value came out degenerate: try again, and make another wallet if it stays so";
    Self::ConflictingPin => "wallet.conflicting_pin", Device, false,
        "this issuer key is pinned with another escrow key: one escrow key belongs to it for its whole life";
    Self::OtherOffer => "wallet.other_offer", Device, false,
        "the offer is for another merchant or order than was asked about: do not use it; ask again";
    Self::IssuerKeyNotPinned => "wallet.issuer_key_not_pinned", Device, false,
        "this issuer key is not pinned: do not use it, it may exist to mark you; update the application";
    Self::EscrowKeyCertificate => "wallet.escrow_key_certificate", Device, false,
        "this escrow key is not signed by all pinned trustees: do not use it; fetch their certificate again";
    Self::EscrowKeyThreshold => "wallet.escrow_key_threshold", Device, false,
        "too few trustees together open a review under this escrow key: do not use it; ask the platform why";
    Self::EscrowKeyNotPinned => "wallet.escrow_key_not_pinned", Device, false,
        "this escrow key is not the one pinned with the issuer key: do not use it; update the application";
    Self::ForeignScope => "wallet.foreign_scope", Device, false,
        "the offer's scope belongs to another issuer key: ask for the offer again";
    Self::Grant => "wallet.grant", Device, false,
        "the grant does not verify for this request: make the request again";
    Self::AnotherWallet => "wallet.another_wallet", Device, false,
        "this token belongs to another wallet: use the wallet that asked for it";
    Self::ManifestSignature => "wallet.manifest_signature", Device, false,
        "the manifest does not bear the pinned platform's signature: fetch it again";
    Self::ManifestNotLogged => "wallet.manifest_not_logged", Device, false,
        "the manifest is not shown to stand in the ledger that is pinned: fetch it with its proof";
    Self::LedgerNotPinned => "wallet.ledger_not_pinned", Device, false,
        "no ledger is pinned to check the proof with: pin it, or take the signed manifest";
    Self::ManifestScope => "wallet.manifest_scope", Device, false,
        "the manifest is another cohort's: fetch the one of the token's scope";
    Self::ManifestEscrow => "wallet.manifest_escrow", Device, false,
        "the manifest names another escrow key than the pinned one: do not present";
    Self::ManifestOffGrid => "wallet.manifest_off_grid", Device, false,
        "the manifest's dates are not boundaries of the pinned grid: do not present, they may exist to mark you";
    Self::CohortTooSmall => "wallet.cohort_too_small", Device, false,
        "the cohort is smaller than this wallet accepts: do not present";
    Self::WindowOver => "wallet.window_over", Device, false,
        "the cohort's redemption window is over: the token can no longer be spent";
    Self::Receipt => "wallet.receipt", Device, false,
        "the receipt does not fit what was sent: keep both, they are evidence against the platform";
    Self::AnotherReview => "wallet.another_review", Device, false,
        "the state is that of another review: ask for this one's";
    Self::Withdrawn => "wallet.withdrawn", Device, false,
        "the review was withdrawn: nothing follows a withdrawal";
    Self::SequenceExhausted => "wallet.sequence_exhausted", Device, false,
        "the review has no further sequence number";
    Self::BackupCost => "wallet.backup_cost", Device, false,
        "a backup costs {} to {} KiB, 1 to {} passes and 1 to {} lanes",
        PassphraseCost::MIN_MEMORY_KIB, PassphraseCost::MAX_MEMORY_KIB, PassphraseCost::MAX_PASSES,
        PassphraseCost::MAX_LANES;
    Self::BackupPassphrase => "wallet.backup_passphrase", Device, false,
        "a backup needs a passphrase: choose one";
    Self::BackupSize => "wallet.backup_size", Device, false,
        "a backup holds at most {} tokens: leave out those whose reviews are settled", SealedBackup::MAX_TOKENS;
    Self::BackupMemory => "wallet.backup_memory", Device, true,
        "too little memory for this backup's cost: free some, or choose a lower cost when sealing";
    Self::BackupOpen => "wallet.backup_open", Device, false,
        "the backup does not open: check the passphrase, or use another copy";
    Self::DeviceOpen => "wallet.device_open", Device, false,
        "the device's state does not open: check the key, or restore the device from its seed";
    Self::DeviceVersion => "wallet.device_version", Device, false,
        "the device's state is of a newer version: update the application";
    Self::TooManyOrders => "wallet.too_many_orders", Device, false,
        "a device holds at most {} orders: forget those whose reviews are settled", SealedBackup::MAX_TOKENS;
    Self::UnknownOrder => "wallet.unknown_order", Device, false,
        "the device does not know this order: tell it once the order is eligible";
    Self::NoReview => "wallet.no_review", Device, false, "there is no review of this order: write one first";
    Self::Sent => "wallet.sent", Device, false, "the review was sent already: edit it";
    Self::Attachments => "wallet.attachments", Device, false,
        "a review with attachments cannot be sent yet: leave them out";
    Self::NotAsked => "wallet.not_asked", Device, false,
        "this answers nothing that is under way, or came twice: nothing changed";
    Self::NotLogged => "wallet.not_logged", Device, true,
        "the bundle is not under a checkpoint of the pinned ledger from after its boundary: fetch it again, later";
    Self::RecoveryCode => "wallet.recovery_code", Device, false,
        "this is not a recovery code: it has 14 groups of 4 letters and digits; look for a mistake in copying";
    Self::Answer(error) => "wallet.answer", Device, true, "the answer is not what was asked for: {error}";
});
