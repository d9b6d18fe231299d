use crate::recovery::RecoveryError;
use unjoin_core::token::SignError;
use unjoin_core::wire::DecodeError;
use unjoin_core::{ClockError, describe_errors};
use unjoin_store::StoreError;
use unjoin_store::queue::QueueError;

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
pub enum DeskError {
    /// The scope names an issuing key that the desk's key ring does not hold.
    UnknownKey,
    /// The escrow id is not the one that belongs to the issuing key.
    WrongEscrow,
    /// The cohort's window has ended.
    WindowOver,
    /// The cohort has no manifest yet, and may never have one.
    NoManifest,
    /// A proof or a signature does not hold, or there is no such review; which, is not said.
    Refused,
    /// The token was spent with another review.
    Spent,
    /// The author's action does not continue the last accepted one.
    OutOfSequence,
    /// The review has as many actions as it may have.
    TooManyActions,
    /// The desk holds no such review.
    UnknownReview,
    /// The review is not published yet.
    Held,
    /// The review was withdrawn; its token stays spent.
    Withdrawn,
    /// An edit came without its new review or with one of another digest. A withdrawal came with a
    /// review. Or a removal names other words than those in the listing.
    DigestMismatch,
    /// There is no such bundle, or it is not the desk's to show: bundles are made of the ledger.
    NoBundle,
    /// What came to the door is no question.
    Malformed(DecodeError),
    /// The manifest's signature does not hold, or its boundaries are out of order.
    ManifestRefused,
    /// The scope has another manifest already.
    ManifestConflict,
    /// The manifest's dates are not boundaries of the desk's grid.
    OffGrid,
    /// The review is not in the listing: still held, or removed.
    NotPublished,
    /// A removal is not signed by a key of the staff's that was admitted.
    UnknownStaff,
    /// The clock stands too far from that of the last tick: nothing was published, erased or pruned.
    Clock(ClockError),
    /// The store has to be recovered first.
    Recovery(RecoveryError),
    /// The operating system refused a thread.
    Threads(std::io::Error),
    /// The host's key management did not sign: nothing was accepted.
    Sign(SignError),
    /// The queue did not answer.
    Queue(QueueError),
    /// The store did not answer.
    Store(StoreError),
}

describe_errors!(DeskError {
    Self::UnknownKey => "desk.unknown_key", Operator, false,
        "the scope names an issuing key that this desk does not hold: give the desk every key that has issued";
    Self::WrongEscrow => "desk.wrong_escrow", Device, false,
        "the escrow is not for the key that belongs to this issuing key: update the pinned keys";
    Self::WindowOver => "desk.window_over", Device, false,
        "the time to review in this cohort is over";
    Self::NoManifest => "desk.no_manifest", Device, true,
        "the cohort has no manifest yet: ask again once it is there";
    Self::Refused => "desk.refused", Device, false, "the message does not verify in this context";
    Self::Spent => "desk.spent", Device, false, "this token has signed another review";
    Self::OutOfSequence => "desk.out_of_sequence", Device, false,
        "the action does not continue the last accepted one: ask where the review stands";
    Self::TooManyActions => "desk.too_many_actions", Device, false,
        "the review was changed as often as it may be: it can still be withdrawn";
    Self::UnknownReview => "desk.unknown_review", Device, false, "there is no such review";
    Self::Held => "desk.held", Device, false,
        "the review is not published yet: until then it can only be withdrawn";
    Self::Withdrawn => "desk.withdrawn", Device, false, "the review was withdrawn and its token is spent";
    Self::DigestMismatch => "desk.digest_mismatch", Device, false,
        "an edit comes with the review that it names, a withdrawal with none, a removal names what is listed";
    Self::NoBundle => "desk.no_bundle", Device, true,
        "there is no such bundle, or not yet: ask again later";
    Self::Malformed(error) => "desk.malformed", Device, false, "{error}";
    Self::ManifestRefused => "desk.manifest_refused", Host, false,
        "the manifest is not one that the platform's key has signed";
    Self::ManifestConflict => "desk.manifest_conflict", Operator, false,
        "this cohort was admitted with another manifest: find out who signed two";
    Self::OffGrid => "desk.off_grid", Operator, false,
        "the manifest's dates are not boundaries of this desk: set up issuer and desk with one grid";
    Self::NotPublished => "desk.not_published", Host, false, "the review is not in the listing";
    Self::UnknownStaff => "desk.unknown_staff", Host, false,
        "the removal is not signed for this ledger by a key of the staff's: have the platform's key admit it";
    Self::Clock(source @ ClockError::Behind { .. }) => "desk.clock_behind", Operator, true, "{source}";
    Self::Clock(source) => "desk.clock_ahead", Operator, false, "{source}";
    Self::Recovery(source) => "desk.recovery", Operator, false, "{source}";
    Self::Threads(source) => "desk.threads", Operator, true, "the desk's threads did not start ({source})";
    Self::Sign(source) => "desk.signing", Operator, true, "{source}";
    Self::Queue(source @ QueueError::Stopped) => "desk.stopped", Host, true, "{source}";
    Self::Queue(source) => "desk.queue", Operator, true, "{source}";
    Self::Store(source @ (StoreError::Engine(_) | StoreError::Contended | StoreError::InUse)) =>
        "desk.store", Operator, true, "{source}";
    Self::Store(source) => "desk.store_unusable", Operator, false, "{source}";
});

impl DeskError {
    /// [`StoreError::ends_the_tick`]; no other error does.
    pub(crate) fn ends_the_tick(&self) -> bool {
        matches!(self, Self::Store(error) if error.ends_the_tick())
    }
}

impl From<ClockError> for DeskError {
    fn from(error: ClockError) -> Self {
        Self::Clock(error)
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SignError> for DeskError {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
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

impl From<QueueError> for DeskError {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}
