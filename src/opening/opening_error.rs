//! Why an opening does not convince.

use super::{EvidenceRefusal, OpeningError, WarrantError};
use crate::error::describe_errors;
use crate::ledger::EvidenceError;

/// Why an opening does not convince.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpeningRefusal {
    /// An entry is not shown to stand in the openings ledger.
    Log(EvidenceError),
    /// The entry announces another warrant.
    OtherEntry,
    /// The warrant does not hold, or did not when it was seen in the ledger.
    Warrant(WarrantError),
    /// No chain of committees leads from the trustees' key ceremony to the last.
    Committee,
    /// The review's evidence does not hold.
    Review(EvidenceRefusal),
    /// The warrant does not name this review.
    OtherReview,
    /// The shares do not combine; names every culprit.
    Shares(OpeningError),
    /// The entry of the binding is of another account or wallet key.
    Binding,
}

describe_errors!(OpeningRefusal {
    Self::Log(error) => "opening.log", Host, false, "{error}";
    Self::OtherEntry => "opening.other_entry", Host, false,
        "the ledger's entry is not this warrant's under this blind: take the entry that announced it";
    Self::Warrant(error) => "opening.warrant", Host, false, "{error}";
    Self::Committee => "opening.committee", Operator, false,
        "the committees do not lead from the key ceremony of these trustees to the shares' epoch: take all \
         that the openings ledger holds, in order";
    Self::Review(error) => "opening.review", Host, false, "{error}";
    Self::OtherReview => "opening.other_review", Host, false, "the warrant does not name this review";
    Self::Shares(error) => "opening.shares", Operator, false, "{error}";
    Self::Binding => "opening.binding", Operator, false,
        "the account is not the one that the wallet key was enrolled for: take the directory's blind and entry";
});

impl From<WarrantError> for OpeningRefusal {
    fn from(error: WarrantError) -> Self {
        Self::Warrant(error)
    }
}

impl From<EvidenceRefusal> for OpeningRefusal {
    fn from(error: EvidenceRefusal) -> Self {
        Self::Review(error)
    }
}

impl From<OpeningError> for OpeningRefusal {
    fn from(error: OpeningError) -> Self {
        Self::Shares(error)
    }
}
