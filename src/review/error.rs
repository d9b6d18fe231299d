use crate::recovery::RecoveryError;
use unjoin_core::token::SignError;
use unjoin_core::wire::DecodeError;
use unjoin_core::{ClockError, describe_errors};
use unjoin_store::StoreError;
use unjoin_store::queue::QueueError;

describe_errors! {
    /// Why the desk did not do what it was asked. Nothing has changed then, except where the
    /// error says that it is not known.
    ///
    /// ```
    /// use unjoin::{Audience, review::DeskError};
    /// // What passes the door: a code, and nothing of the review.
    /// let error = DeskError::Spent;
    /// assert_eq!((error.code(), error.audience(), error.is_retryable()), ("desk.spent", Audience::Device, false));
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum DeskError (Device, false) {
        /// The scope names an issuing key that the desk's key ring does not hold.
        UnknownKey => "desk.unknown_key" (Operator, false),
            "the scope names an issuing key that this desk does not hold: give the desk every key that has issued";
        /// The escrow id is not the one that belongs to the issuing key.
        WrongEscrow => "desk.wrong_escrow",
            "the escrow is not for the key that belongs to this issuing key: update the pinned keys";
        /// The cohort's window has ended.
        WindowOver => "desk.window_over", "the time to review in this cohort is over";
        /// The cohort has no manifest yet, and may never have one.
        NoManifest => "desk.no_manifest" (Device, true), "the cohort has no manifest yet: ask again once it is there";
        /// A proof or a signature does not hold, or there is no such review; which, is not said.
        Refused => "desk.refused", "the message does not verify in this context";
        /// The token was spent with another review.
        Spent => "desk.spent", "this token has signed another review";
        /// The author's action does not continue the last accepted one.
        OutOfSequence => "desk.out_of_sequence",
            "the action does not continue the last accepted one: ask where the review stands";
        /// The review has as many actions as it may have.
        TooManyActions => "desk.too_many_actions",
            "the review was changed as often as it may be: it can still be withdrawn";
        /// The desk holds no such review.
        UnknownReview => "desk.unknown_review", "there is no such review";
        /// The review is not published yet.
        Held => "desk.held", "the review is not published yet: until then it can only be withdrawn";
        /// The review was withdrawn; its token stays spent.
        Withdrawn => "desk.withdrawn", "the review was withdrawn and its token is spent";
        /// An edit came without its new review or with one of another digest. A withdrawal came with a
        /// review. Or a removal names other words than those in the listing.
        DigestMismatch => "desk.digest_mismatch",
            "an edit comes with the review that it names, a withdrawal with none, a removal names what is listed";
        /// There is no such bundle, or it is not the desk's to show: bundles are made of the ledger.
        NoBundle => "desk.no_bundle" (Device, true), "there is no such bundle, or not yet: ask again later";
        /// What came to the door is no question.
        Malformed(error: DecodeError) => "desk.malformed", "{error}";
        /// The manifest's signature does not hold, or its boundaries are out of order.
        ManifestRefused => "desk.manifest_refused" (Host, false),
            "the manifest is not one that the platform's key has signed";
        /// The scope has another manifest already.
        ManifestConflict => "desk.manifest_conflict" (Operator, false),
            "this cohort was admitted with another manifest: find out who signed two";
        /// The manifest's dates are not boundaries of the desk's grid.
        OffGrid => "desk.off_grid" (Operator, false),
            "the manifest's dates are not boundaries of this desk: set up issuer and desk with one grid";
        /// The review is not in the listing: still held, or removed.
        NotPublished => "desk.not_published" (Host, false), "the review is not in the listing";
        /// A removal is not signed by a key of the staff's that was admitted.
        UnknownStaff => "desk.unknown_staff" (Host, false),
            "the removal is not signed for this ledger by a key of the staff's: have the platform's key admit it";
        /// The clock stands too far from that of the last tick: nothing was published, erased or pruned.
        Clock(#[from] source: ClockError) => "desk.clock_ahead" (Operator, false), "{source}";
        but Self::Clock(source @ ClockError::Behind { .. }) => "desk.clock_behind" (Operator, true), "{source}";
        /// The store has to be recovered first.
        Recovery(source: RecoveryError) => "desk.recovery" (Operator, false), "{source}";
        /// The operating system refused a thread.
        Threads(source: std::io::Error) => "desk.threads" (Operator, true),
            "the desk's threads did not start ({source})";
        /// The host's key management did not sign: nothing was accepted.
        Sign(#[from] source: SignError) => "desk.signing" (Operator, true), "{source}";
        /// The queue did not answer.
        Queue(#[from] source: QueueError) => "desk.queue" (Operator, true), "{source}";
        but Self::Queue(source @ QueueError::Stopped) => "desk.stopped" (Host, true), "{source}";
        /// The store did not answer.
        Store(#[from] source: StoreError) => "desk.store_unusable" (Operator, false), "{source}";
        but Self::Store(source @ (StoreError::Engine(_) | StoreError::Contended | StoreError::InUse)) => "desk.store" (Operator, true),
            "{source}";
    }
}

impl DeskError {
    /// [`StoreError::ends_the_tick`]; no other error does.
    pub(crate) fn ends_the_tick(&self) -> bool {
        matches!(self, Self::Store(error) if error.ends_the_tick())
    }
}

impl From<RecoveryError> for DeskError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Store(error) => Self::Store(error),
            error => Self::Recovery(error),
        }
    }
}
