use unjoin_core::describe_errors;
use unjoin_core::entry::RemovedEntry;
use unjoin_store::StoreError;
use unjoin_store::queue::QueueError;

/// Why the desk did not do what it was asked. Nothing has changed then, except where the
/// error says that it is not known.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeskError {
    /// The scope names an issuing key that the desk's key ring does not hold.
    UnknownKey,
    /// The escrow id is not the one that belongs to the issuing key.
    WrongEscrow,
    /// The cohort's window has ended.
    WindowOver,
    /// The cohort has no manifest, and its key is retired: none will come.
    RetiredKey,
    /// A proof does not hold; which one is not said.
    Refused,
    /// The token was spent with another review.
    Spent,
    /// The desk holds no such review.
    UnknownReview,
    /// The review is not published yet.
    Held,
    /// The review was withdrawn; its token stays spent.
    Withdrawn,
    /// The review's escrow was erased, and with it the means to recognise its author.
    EscrowErased,
    /// An edit came without its new review, with one of another digest, or something else
    /// came with a review.
    DigestMismatch,
    /// A claim was given as an action.
    ClaimIsNoAction,
    /// The manifest's signature does not hold, or its boundaries are out of order.
    ManifestRefused,
    /// The scope has another manifest already.
    ManifestConflict,
    /// The manifest's dates are not boundaries of the desk's grid.
    OffGrid,
    /// The review is not in the listing: still held, or removed.
    NotPublished,
    /// Who removes a review, or on what grounds, is empty or over-long.
    RemovalText,
    /// The operating system refused a thread.
    Threads(std::io::Error),
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
    Self::RetiredKey => "desk.retired_key", Device, false,
        "the issuing key is retired and the cohort has not closed: nothing would be published";
    Self::Refused => "desk.refused", Device, false, "the message does not verify in this context";
    Self::Spent => "desk.spent", Device, false, "this token has signed another review";
    Self::UnknownReview => "desk.unknown_review", Device, false, "there is no such review";
    Self::Held => "desk.held", Device, false,
        "the review is not published yet: until then it can only be withdrawn";
    Self::Withdrawn => "desk.withdrawn", Device, false, "the review was withdrawn and its token is spent";
    Self::EscrowErased => "desk.escrow_erased", Device, false,
        "the review can no longer be changed: what recognises its author has been erased";
    Self::DigestMismatch => "desk.digest_mismatch", Device, false,
        "an edit, and nothing else, comes with the new review that its proof names";
    Self::ClaimIsNoAction => "desk.claim_is_no_action", Host, false,
        "a claim changes nothing: verify it with its audience and challenge instead";
    Self::ManifestRefused => "desk.manifest_refused", Host, false,
        "the manifest is not one that the platform's key has signed";
    Self::ManifestConflict => "desk.manifest_conflict", Operator, false,
        "this cohort was admitted with another manifest: find out who signed two";
    Self::OffGrid => "desk.off_grid", Operator, false,
        "the manifest's dates are not boundaries of this desk: set up issuer and desk with one grid";
    Self::NotPublished => "desk.not_published", Host, false, "the review is not in the listing";
    Self::RemovalText => "desk.removal_text", Host, false,
        "say who removes in 1 to {} bytes and why in 1 to {}", RemovedEntry::MAX_WHO, RemovedEntry::MAX_GROUNDS;
    Self::Threads(source) => "desk.threads", Operator, true, "the desk's threads did not start ({source})";
    Self::Queue(source @ QueueError::Stopped) => "desk.stopped", Host, false, "{source}";
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

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<QueueError> for DeskError {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}
