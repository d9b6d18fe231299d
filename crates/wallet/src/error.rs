//! Why the wallet refuses.

use super::SealedBackup;
use unjoin_core::wire::DecodeError;
use unjoin_core::{PassphraseCost, describe_errors};

describe_errors! {
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
    pub enum WalletError (Device, false) {
        /// An element came out as the identity: of negligible probability.
        Degenerate => "wallet.degenerate" (Device, true),
            "a value came out degenerate: try again, and make another wallet if it stays so";
        /// An issuer key is already pinned with another escrow key.
        ConflictingPin => "wallet.conflicting_pin",
            "this issuer key is pinned with another escrow key: one escrow key belongs to it for its whole life";
        /// The offer is for another merchant or order than was asked about.
        OtherOffer => "wallet.other_offer",
            "the offer is for another merchant or order than was asked about: do not use it; ask again";
        /// The offer's or token's issuer key is not pinned.
        IssuerKeyNotPinned => "wallet.issuer_key_not_pinned",
            "this issuer key is not pinned: do not use it, it may exist to mark you; update the application";
        /// An escrow key without a certificate of all pinned trustees.
        EscrowKeyCertificate => "wallet.escrow_key_certificate",
            "this escrow key is not signed by all pinned trustees: do not use it; fetch their certificate again";
        /// Fewer trustees open a review under this escrow key than the pinned least number.
        EscrowKeyThreshold => "wallet.escrow_key_threshold",
            "too few trustees together open a review under this escrow key: do not use it; ask the platform why";
        /// The escrow key is not the one pinned with the issuer key.
        EscrowKeyNotPinned => "wallet.escrow_key_not_pinned",
            "this escrow key is not the one pinned with the issuer key: do not use it; update the application";
        /// The offer's scope is another issuer key's.
        ForeignScope => "wallet.foreign_scope",
            "the offer's scope belongs to another issuer key: ask for the offer again";
        /// The grant does not verify for the request.
        Grant => "wallet.grant", "the grant does not verify for this request: make the request again";
        /// The token, or the request under way, belongs to another wallet.
        AnotherWallet => "wallet.another_wallet",
            "this token belongs to another wallet: use the wallet that asked for it";
        /// The manifest does not bear the platform's signature.
        ManifestSignature => "wallet.manifest_signature",
            "the manifest does not bear the pinned platform's signature: fetch it again";
        /// The manifest is not shown to be in the ledger.
        ManifestNotLogged => "wallet.manifest_not_logged",
            "the manifest is not shown to stand in the ledger that is pinned: fetch it with its proof";
        /// No ledger is pinned to check the evidence with.
        LedgerNotPinned => "wallet.ledger_not_pinned",
            "no ledger is pinned to check the proof with: pin it, or take the signed manifest";
        /// The manifest is another cohort's.
        ManifestScope => "wallet.manifest_scope",
            "the manifest is another cohort's: fetch the one of the token's scope";
        /// The manifest names another escrow key than the pinned one.
        ManifestEscrow => "wallet.manifest_escrow",
            "the manifest names another escrow key than the pinned one: do not present";
        /// The manifest's dates are not boundaries of the pinned grid.
        ManifestOffGrid => "wallet.manifest_off_grid",
            "the manifest's dates are not boundaries of the pinned grid: do not present, they may exist to mark \
             you";
        /// The cohort is smaller than this wallet accepts.
        CohortTooSmall => "wallet.cohort_too_small", "the cohort is smaller than this wallet accepts: do not present";
        /// The cohort's redemption window is over.
        WindowOver => "wallet.window_over", "the cohort's redemption window is over: the token can no longer be spent";
        /// A receipt does not fit what was sent.
        Receipt => "wallet.receipt",
            "the receipt does not fit what was sent: keep both, they are evidence against the platform";
        /// The state is that of another review.
        AnotherReview => "wallet.another_review", "the state is that of another review: ask for this one's";
        /// The review was withdrawn.
        Withdrawn => "wallet.withdrawn", "the review was withdrawn: nothing follows a withdrawal";
        /// The review has no further sequence number.
        SequenceExhausted => "wallet.sequence_exhausted", "the review has no further sequence number";
        /// The cost of a backup is out of its bounds.
        BackupCost => "wallet.backup_cost",
            "a backup costs {} to {} KiB, 1 to {} passes and 1 to {} lanes",
            PassphraseCost::MIN_MEMORY_KIB, PassphraseCost::MAX_MEMORY_KIB, PassphraseCost::MAX_PASSES,
            PassphraseCost::MAX_LANES;
        /// The passphrase is empty.
        BackupPassphrase => "wallet.backup_passphrase", "a backup needs a passphrase: choose one";
        /// Too many tokens for one backup.
        BackupSize => "wallet.backup_size",
            "a backup holds at most {} tokens: leave out those whose reviews are settled", SealedBackup::MAX_TOKENS;
        /// There is too little memory for the backup's cost.
        BackupMemory => "wallet.backup_memory" (Device, true),
            "too little memory for this backup's cost: free some, or choose a lower cost when sealing";
        /// The backup does not open: a wrong passphrase, or bytes that were changed.
        BackupOpen => "wallet.backup_open", "the backup does not open: check the passphrase, or use another copy";
        /// The device's sealed state does not open: another key, or bytes that were changed.
        DeviceOpen => "wallet.device_open",
            "the device's state does not open: check the key, or restore the device from its seed";
        /// The device's sealed state is of a version that this application does not know.
        DeviceVersion => "wallet.device_version", "the device's state is of a newer version: update the application";
        /// The device holds as many orders as it can.
        TooManyOrders => "wallet.too_many_orders",
            "a device holds at most {} orders: forget those whose reviews are settled", SealedBackup::MAX_TOKENS;
        /// The device does not know the order.
        UnknownOrder => "wallet.unknown_order",
            "the device does not know this order: tell it once the order is eligible";
        /// The order has no review that could be withdrawn or edited.
        NoReview => "wallet.no_review", "there is no review of this order: write one first";
        /// The review was sent already: it is changed by an edit.
        Sent => "wallet.sent", "the review was sent already: edit it";
        /// Reviews with attachments cannot be sent without their author being seen.
        Attachments => "wallet.attachments", "a review with attachments cannot be sent yet: leave them out";
        /// The answer is to nothing that is under way.
        NotAsked => "wallet.not_asked", "this answers nothing that is under way, or came twice: nothing changed";
        /// What a bundle holds is not shown to be in the ledger as it was after the boundary.
        NotLogged => "wallet.not_logged" (Device, true),
            "the bundle is not under a checkpoint of the pinned ledger from after its boundary: fetch it again, \
             later";
        /// The recovery code is none, or was copied with a mistake.
        RecoveryCode => "wallet.recovery_code",
            "this is not a recovery code: it has 14 groups of 4 letters and digits; look for a mistake in copying";
        /// The answer is not what was asked for.
        Answer(error: DecodeError) => "wallet.answer" (Device, true), "the answer is not what was asked for: {error}";
    }
}
