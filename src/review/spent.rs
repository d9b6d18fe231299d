//! The row of a spent token, and in it the state of the review that it signed.

use super::rows::{decode_review, decode_slice};
use unjoin_core::Timestamp;
use unjoin_core::token::{Digest, Review};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use unjoin_store::{Record, StoreError};

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

/// A review that was published.
pub(super) struct Settled {
    pub(super) state: ListingState,
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

/// What is in force after a withdrawal.
pub(super) const NO_DIGEST: Digest = [0; 32];

/// What became of a review after its publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListingState {
    Published = 1,
    Withdrawn = 2,
    Removed = 3,
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
    pub(super) change: WaitingChange,
}

pub(super) enum WaitingChange {
    Edit(Review),
    Withdraw,
    /// The review was removed from the listing; the rating still counts its stars.
    Uncount(u8),
}

/// What trustees open: the bytes of the presentation and of its accepted proof.
pub(super) struct Evidence {
    pub(super) presentation: Vec<u8>,
    pub(super) accepted: Vec<u8>,
}

impl ReviewRow {
    pub(super) fn settled(settled: Settled) -> Self {
        Self::Settled(Box::new(settled))
    }
}

impl Settled {
    /// A review in the listing, of which nothing else has happened yet.
    pub(super) fn published(digest: Digest, published_at: Timestamp, evidence: Option<Evidence>) -> Self {
        Self {
            state: ListingState::Published,
            submitted: digest,
            listed: digest,
            in_force: digest,
            published_at,
            last: None,
            waiting: None,
            evidence,
        }
    }

    /// The last accepted sequence number, 0 before the first.
    pub(super) fn sequence(&self) -> u64 {
        self.last.map_or(0, |last| last.sequence)
    }
}

impl Record for ReviewRow {
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
                presentation: decode_slice(from)?.to_vec(),
            }),
            2 => Self::TakenBack(TakenBack {
                publish_by: decode_boundary(from)?,
                proof_hash: from.array("proof hash")?,
            }),
            3 => Self::settled(Settled::decode(from)?),
            _ => return Err(from.refuse(Rule::Value)),
        })
    }
}

impl Settled {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.state as u8);
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
            waiting.change.encode(out);
        }
        out.u8(self.evidence.is_some().into());
        if let Some(evidence) = &self.evidence {
            out.bytes(&evidence.presentation);
            out.bytes(&evidence.accepted);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let state = match from.u8("listing state")? {
            1 => ListingState::Published,
            2 => ListingState::Withdrawn,
            3 => ListingState::Removed,
            _ => return Err(from.refuse(Rule::Value)),
        };
        let (submitted, listed) = (from.array("submitted digest")?, from.array("listed digest")?);
        let in_force = from.array("digest in force")?;
        let published_at = from.timestamp("published at")?;
        let last = decode_if(from, "last action", |from| {
            Ok(LastAction {
                sequence: from.le64("sequence")?,
                proof_hash: from.array("proof hash")?,
                said: from.array("statement digest")?,
                boundary: from.timestamp("boundary")?,
            })
        })?;
        let waiting = decode_if(from, "waiting", |from| {
            Ok(Waiting { boundary: from.timestamp("boundary")?, change: WaitingChange::decode(from)? })
        })?;
        let evidence = decode_if(from, "evidence", |from| {
            let presentation = decode_slice(from)?.to_vec();
            Ok(Evidence { presentation, accepted: decode_slice(from)?.to_vec() })
        })?;
        Ok(Self { state, submitted, listed, in_force, published_at, last, waiting, evidence })
    }
}

impl WaitingChange {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Edit(review) => {
                out.u8(1);
                out.bytes(&review.to_bytes());
            }
            Self::Withdraw => out.u8(2),
            Self::Uncount(stars) => {
                out.u8(3);
                out.u8(*stars);
            }
        }
    }

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

/// Time 0 stands for `None`, so that a row's length does not depend on it.
fn encode_boundary(boundary: Option<Timestamp>, out: &mut Writer) {
    out.timestamp(boundary.unwrap_or(Timestamp::ZERO));
}

fn decode_boundary(from: &mut Reader<'_>) -> Result<Option<Timestamp>, DecodeError> {
    Ok(Some(from.timestamp("publish by")?).filter(|time| *time != Timestamp::ZERO))
}

/// A flag, and what follows it if it is set.
fn decode_if<'a, T>(
    from: &mut Reader<'a>,
    field: &'static str,
    decode: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    from.bool(field)?.then(|| decode(from)).transpose()
}

/// Reads a message that a row holds.
pub(super) fn read_message<M: Message>(bytes: &[u8]) -> Result<M, StoreError> {
    M::from_bytes(bytes).map_err(|_| StoreError::Corrupt(M::NAME))
}
