//! What the desk's rows hold: one strict encoding each. Their keys are in `rows`.

use crate::store::StoreError;
use crate::time::Timestamp;
use crate::token::{CohortManifest, Digest, Presentation, Review, Scope};
use crate::wire::{DecodeError, MAX_MESSAGE, Message, Reader, Rule, Writer};

/// The first byte of every value.
pub(super) const FORMAT: u8 = 1;

/// A value with an encoding of its own.
pub(super) trait Stored: Sized {
    /// Its name in errors.
    const NAME: &'static str;

    fn encode(&self, out: &mut Writer);
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    fn to_value(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
        self.encode(&mut out);
        out.finish()
    }

    fn from_value(value: &[u8]) -> Result<Self, StoreError> {
        let mut from = Reader::new(value, Self::NAME);
        let decoded = from.u8("format").and_then(|format| match format {
            FORMAT => Self::decode(&mut from),
            _ => Err(from.refuse(Rule::Version)),
        });
        decoded.and_then(|row| from.end().map(|()| row)).map_err(|_| StoreError::Corrupt(Self::NAME))
    }
}

/// Reads a row that may be absent.
pub(super) fn read_row<T: Stored>(value: Option<&[u8]>) -> Result<Option<T>, StoreError> {
    value.map(T::from_value).transpose()
}

/// Reads a message that a row holds.
pub(super) fn read_message<M: Message>(bytes: &[u8]) -> Result<M, StoreError> {
    M::from_bytes(bytes).map_err(|_| StoreError::Corrupt(M::NAME))
}

/// Both boundaries are sealed, and the spent tokens' rows gone.
pub(super) const PRUNED: u8 = 3;

/// A closed cohort. It stays when everything else of the cohort is gone: an admitted cohort
/// must never look like an early one.
pub(super) struct CohortRow {
    pub(super) manifest: CohortManifest,
    /// How many of the two boundaries are sealed: nothing is accepted for them any more.
    /// [`PRUNED`] once the rows of its spent tokens are gone, too.
    pub(super) sealed: u8,
}

impl CohortRow {
    /// The boundary at which a review that is accepted now is published; `None` once the
    /// window is over. A sealed boundary is past, whatever this machine's clock says.
    pub(super) fn publication_after(&self, now: Timestamp) -> Option<Timestamp> {
        match self.sealed {
            0 => self.manifest.publication_after(now),
            1 => Some(self.manifest.window_end).filter(|end| now < *end),
            _ => None,
        }
    }

    /// The boundary at which a held review is published. An early one, which was accepted
    /// before the manifest, belongs to the first.
    pub(super) fn boundary_of(&self, publish_by: Option<Timestamp>) -> Timestamp {
        publish_by.unwrap_or(self.manifest.first_publication)
    }
}

impl Stored for CohortRow {
    const NAME: &'static str = "cohort";

    fn encode(&self, out: &mut Writer) {
        out.u8(self.sealed);
        out.bytes(&self.manifest.to_bytes());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let sealed = from.u8("sealed")?;
        if sealed > PRUNED {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self { sealed, manifest: Message::from_bytes(from.bytes("manifest", 0, MAX_MESSAGE)?)? })
    }
}

/// A spent token, and the state of the review it signed.
pub(super) enum ReviewRow {
    Held(Held),
    /// Withdrawn while it was held. The content and the escrow are gone.
    TakenBack(TakenBack),
    Settled(Box<Settled>),
}

/// Accepted, and waiting for its cohort's boundary.
pub(super) struct Held {
    pub(super) digest: Digest,
    /// `None`: it came before the manifest.
    pub(super) publish_by: Option<Timestamp>,
    pub(super) review: Review,
    /// The bytes of the presentation, verified when it was accepted.
    pub(super) presentation: Vec<u8>,
}

pub(super) struct TakenBack {
    pub(super) publish_by: Option<Timestamp>,
    pub(super) proof_hash: Digest,
}

/// What is in force after a withdrawal.
pub(super) const NO_DIGEST: Digest = [0; 32];

/// What became of a review after its publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Published = 1,
    Withdrawn = 2,
    Removed = 3,
}

/// A review that was published.
pub(super) struct Settled {
    pub(super) standing: Standing,
    /// The digest that was submitted: what the presentation and the receipt are bound to.
    pub(super) submitted: Digest,
    /// The digest that is, or was last, in the listing.
    pub(super) listed: Digest,
    /// The digest that the author's next action must continue: an accepted edit counts while
    /// it waits. [`NO_DIGEST`] after an accepted withdrawal.
    pub(super) in_force: Digest,
    pub(super) published_at: Timestamp,
    /// The last accepted action of the author.
    pub(super) last: Option<LastAction>,
    pub(super) waiting: Option<Waiting>,
    /// `None` once erased.
    pub(super) evidence: Option<Evidence>,
}

/// The last accepted action: enough to recognise its retry.
#[derive(Clone, Copy)]
pub(super) struct LastAction {
    pub(super) sequence: u64,
    /// SHA-256 of the proof.
    pub(super) proof_hash: Digest,
    /// SHA-256 of what it says.
    pub(super) said: Digest,
    pub(super) boundary: Timestamp,
}

/// What happens to a published review at a boundary to come.
pub(super) struct Waiting {
    pub(super) boundary: Timestamp,
    pub(super) change: Change,
}

pub(super) enum Change {
    Edit(Review),
    Withdraw,
    /// The review was removed from the listing; the rating still counts so many stars.
    Uncount(u8),
}

/// What trustees open: the bytes of the presentation and of its accepted proof.
pub(super) struct Evidence {
    pub(super) presentation: Vec<u8>,
    pub(super) accepted: Vec<u8>,
}

impl Settled {
    /// The last accepted sequence number, 0 before the first.
    pub(super) fn sequence(&self) -> u64 {
        self.last.map_or(0, |last| last.sequence)
    }
}

impl Stored for ReviewRow {
    const NAME: &'static str = "review row";

    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Held(held) => {
                out.u8(1);
                out.raw(&held.digest);
                encode_boundary(held.publish_by, out);
                out.bytes(&held.review.to_bytes());
                out.bytes(&held.presentation);
            }
            Self::TakenBack(taken) => {
                out.u8(2);
                encode_boundary(taken.publish_by, out);
                out.raw(&taken.proof_hash);
            }
            Self::Settled(settled) => {
                out.u8(3);
                settled.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8("state")? {
            1 => Self::Held(Held {
                digest: from.array("digest")?,
                publish_by: decode_boundary(from)?,
                review: decode_review(from)?,
                presentation: decode_bytes(from)?,
            }),
            2 => Self::TakenBack(TakenBack {
                publish_by: decode_boundary(from)?,
                proof_hash: from.array("proof hash")?,
            }),
            3 => Self::Settled(Box::new(Settled::decode(from)?)),
            _ => return Err(from.refuse(Rule::Value)),
        })
    }
}

impl Settled {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.standing as u8);
        out.raw(&self.submitted);
        out.raw(&self.listed);
        out.raw(&self.in_force);
        out.timestamp(self.published_at);
        out.u8(self.last.is_some().into());
        if let Some(last) = &self.last {
            out.le64(last.sequence);
            out.raw(&last.proof_hash);
            out.raw(&last.said);
            out.timestamp(last.boundary);
        }
        out.u8(self.waiting.is_some().into());
        if let Some(waiting) = &self.waiting {
            out.timestamp(waiting.boundary);
            match &waiting.change {
                Change::Edit(review) => {
                    out.u8(1);
                    out.bytes(&review.to_bytes());
                }
                Change::Withdraw => out.u8(2),
                Change::Uncount(stars) => {
                    out.u8(3);
                    out.u8(*stars);
                }
            }
        }
        out.u8(self.evidence.is_some().into());
        if let Some(evidence) = &self.evidence {
            out.bytes(&evidence.presentation);
            out.bytes(&evidence.accepted);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let standing = match from.u8("standing")? {
            1 => Standing::Published,
            2 => Standing::Withdrawn,
            3 => Standing::Removed,
            _ => return Err(from.refuse(Rule::Value)),
        };
        let (submitted, listed) = (from.array("submitted digest")?, from.array("listed digest")?);
        let in_force = from.array("digest in force")?;
        let published_at = from.timestamp("published at")?;
        let last = match from.bool("last action")? {
            false => None,
            true => Some(LastAction {
                sequence: from.le64("sequence")?,
                proof_hash: from.array("proof hash")?,
                said: from.array("statement digest")?,
                boundary: from.timestamp("boundary")?,
            }),
        };
        let waiting = match from.bool("waiting")? {
            false => None,
            true => Some(Waiting { boundary: from.timestamp("boundary")?, change: Change::decode(from)? }),
        };
        let evidence = match from.bool("evidence")? {
            false => None,
            true => Some(Evidence { presentation: decode_bytes(from)?, accepted: decode_bytes(from)? }),
        };
        Ok(Self { standing, submitted, listed, in_force, published_at, last, waiting, evidence })
    }
}

impl Change {
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8("change")? {
            1 => Self::Edit(decode_review(from)?),
            2 => Self::Withdraw,
            3 => match from.u8("stars")? {
                stars @ 1..=5 => Self::Uncount(stars),
                _ => return Err(from.refuse(Rule::Value)),
            },
            _ => return Err(from.refuse(Rule::Value)),
        })
    }
}

/// The boundary after which the store was last rewritten.
pub(super) struct RewrittenRow(pub(super) Timestamp);

impl Stored for RewrittenRow {
    const NAME: &'static str = "last rewrite";

    fn encode(&self, out: &mut Writer) {
        out.timestamp(self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.timestamp("boundary")?))
    }
}

/// A published review, as the listing shows it.
pub(super) struct ListedRow {
    pub(super) scope: Scope,
    pub(super) published_at: Timestamp,
    pub(super) edited: bool,
    pub(super) review: Review,
}

impl Stored for ListedRow {
    const NAME: &'static str = "listed review";

    fn encode(&self, out: &mut Writer) {
        self.scope.encode(out);
        out.timestamp(self.published_at);
        out.u8(self.edited.into());
        out.bytes(&self.review.to_bytes());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            scope: Scope::decode(from)?,
            published_at: from.timestamp("published at")?,
            edited: from.bool("edited")?,
            review: decode_review(from)?,
        })
    }
}

/// Time 0 stands for `None`, so that a row's length does not depend on it.
fn encode_boundary(boundary: Option<Timestamp>, out: &mut Writer) {
    out.timestamp(boundary.unwrap_or(Timestamp::ZERO));
}

fn decode_boundary(from: &mut Reader<'_>) -> Result<Option<Timestamp>, DecodeError> {
    Ok(Some(from.timestamp("publish by")?).filter(|time| *time != Timestamp::ZERO))
}

fn decode_review(from: &mut Reader<'_>) -> Result<Review, DecodeError> {
    Review::from_bytes(decode_slice(from)?)
}

fn decode_bytes(from: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(decode_slice(from)?.to_vec())
}

fn decode_slice<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    from.bytes("message", 0, MAX_MESSAGE)
}

/// The presentation in its stored bytes.
pub(super) fn read_presentation(bytes: &[u8]) -> Result<Presentation, StoreError> {
    read_message(bytes)
}
