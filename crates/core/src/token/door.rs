//! What passes the anonymous door: questions of one length, answers of one length.
//!
//! A length would tell which question was asked, and the length of a review which review it was.

use super::{ActionKind, AuthorAction, Presentation, Review, Scope, StateQuestion};
use crate::Timestamp;
use crate::serde_as_bytes;
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

/// What a device asks for without its account.
///
/// Reviews are their bytes, undecoded: what is wrong with the text of an edit is said only
/// after the author's signature held.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{Grid, Timestamp, token::{DoorMessage, DoorQuestion}, wire::Message};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// let review = DoorQuestion::submission(accepted.sent.presentation.clone(), &accepted.review);
/// let boundary = Grid::Daily.next_after(Timestamp::from_unix_seconds(1_700_000_000));
/// let bundle = DoorQuestion::Bundle { boundary, shard: 0, piece: 0 };
/// // Nobody on the way sees which of the two it is.
/// let lengths = [review, bundle].map(|question| DoorMessage::new(question).unwrap().to_bytes().len());
/// assert_eq!(lengths, [DoorMessage::LENGTH; 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one is held at a time, never many")]
pub enum DoorQuestion {
    /// 1: a review with the token that it spends.
    Submission {
        /// Bound to the review's digest.
        presentation: Presentation,
        /// The bytes of a [`Review`].
        review: Vec<u8>,
    },
    /// 2: an edit or a withdrawal.
    Action {
        /// The review's scope.
        scope: Scope,
        /// What its author signed.
        action: AuthorAction,
        /// An edit's new [`Review`], its bytes; empty for a withdrawal.
        review: Vec<u8>,
    },
    /// 3: where a review stands.
    State {
        /// The review's scope.
        scope: Scope,
        /// What its author signed.
        question: StateQuestion,
    },
    /// 4: a piece of what the reviews ledger holds of a boundary about many merchants: manifests that are
    /// first published then, and what was published.
    ///
    /// Who asks for one merchant's tells where they bought; a bundle tells one of a thousand.
    Bundle {
        /// The boundary.
        boundary: Timestamp,
        /// Which shard of the bundles.
        shard: u16,
        /// Which piece of it, from 0.
        piece: u16,
    },
}

/// Kind 23, always 6,144 bytes: a [`DoorQuestion`] and zeros.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{token::{DoorMessage, DoorQuestion}, wire::Message};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (scope, action) = (accepted.token.scope().clone(), shop.withdrawal(&accepted));
/// let withdrawal = DoorQuestion::Action { scope, action, review: vec![] };
/// let message = DoorMessage::new(withdrawal.clone()).ok_or("too long, or a review too many")?;
/// assert_eq!(DoorMessage::from_bytes(&message.to_bytes())?.into_question(), withdrawal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorMessage {
    question: DoorQuestion,
}

impl DoorMessage {
    /// The length of every message, in bytes.
    pub const LENGTH: usize = 6_144;
    const BODY: usize = Self::LENGTH - 2;

    /// The message of a question, which one with a [`Review`] always fits. `None` if it does not
    /// fit, or if it lacks a review or has one too many.
    pub fn new(question: DoorQuestion) -> Option<Self> {
        let fits = question.is_well_formed() && question.encode().len() <= Self::BODY;
        fits.then_some(Self { question })
    }

    /// The question.
    pub fn question(&self) -> &DoorQuestion {
        &self.question
    }

    /// The question, taken out.
    pub fn into_question(self) -> DoorQuestion {
        self.question
    }
}

impl DoorQuestion {
    /// A review with the token that it spends.
    pub fn submission(presentation: Presentation, review: &Review) -> Self {
        Self::Submission { presentation, review: review.to_bytes() }
    }

    /// A review comes with a submission and with an edit, and with nothing else.
    fn is_well_formed(&self) -> bool {
        match self {
            Self::Submission { review, .. } => !review.is_empty(),
            Self::Action { action, review, .. } => {
                (action.statement().kind == ActionKind::Withdraw) == review.is_empty()
            }
            Self::State { .. } | Self::Bundle { .. } => true,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Self::Submission { presentation, review } => {
                out.u8(1);
                out.bytes(&presentation.to_bytes());
                out.bytes(review);
            }
            Self::Action { scope, action, review } => {
                out.u8(2);
                out.bytes(&scope.to_bytes());
                out.bytes(&action.to_bytes());
                out.bytes(review);
            }
            Self::State { scope, question } => {
                out.u8(3);
                out.bytes(&scope.to_bytes());
                out.bytes(&question.to_bytes());
            }
            Self::Bundle { boundary, shard, piece } => {
                let mut part = Writer::new();
                part.timestamp(*boundary);
                part.le16(*shard);
                part.le16(*piece);
                out.u8(4);
                out.bytes(&part.finish());
            }
        }
        out.finish()
    }
}

impl Message for DoorMessage {
    const KIND: u8 = 23;
    const NAME: &'static str = "door message";

    fn encode_body(&self, out: &mut Writer) {
        padded(out, self.question.encode(), Self::BODY);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if !from.has_left(Self::BODY) {
            return Err(from.refuse(Rule::Truncated));
        }
        let question = match from.u8("what")? {
            1 => DoorQuestion::Submission {
                presentation: Presentation::from_bytes(part(from)?)?,
                review: part(from)?.to_vec(),
            },
            2 => DoorQuestion::Action {
                scope: Scope::from_bytes(part(from)?)?,
                action: AuthorAction::from_bytes(part(from)?)?,
                review: from.bytes("review", 0, DoorMessage::LENGTH)?.to_vec(),
            },
            3 => DoorQuestion::State {
                scope: Scope::from_bytes(part(from)?)?,
                question: StateQuestion::from_bytes(part(from)?)?,
            },
            4 => {
                let mut part = Reader::new(part(from)?, Self::NAME);
                let (boundary, shard) = (part.timestamp("boundary")?, part.le16("shard")?);
                let piece = part.le16("piece")?;
                part.end()?;
                DoorQuestion::Bundle { boundary, shard, piece }
            }
            _ => return Err(from.refuse(Rule::Value)),
        };
        if !question.is_well_formed() {
            return Err(from.refuse(Rule::Value));
        }
        let used = question.encode().len();
        zeros(from, Self::BODY.checked_sub(used).ok_or(from.refuse(Rule::Length))?)?;
        Ok(Self { question })
    }
}

/// Kind 31, always 8,192 bytes: what the door answers, errors included.
///
/// ```
/// use unjoin_core::{token::DoorAnswer, wire::Message};
/// let answer = DoorAnswer::refused(409, "desk.spent");
/// // An error is as long as a receipt.
/// assert_eq!(answer.to_bytes().len(), DoorAnswer::LENGTH);
/// assert_eq!((answer.status(), answer.body()), (409, &b"desk.spent"[..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorAnswer {
    status: u16,
    body: Vec<u8>,
}

impl DoorAnswer {
    /// The length of every answer, in bytes.
    pub const LENGTH: usize = 8_192;
    /// The longest body, in bytes.
    pub const MAX_BODY: usize = Self::LENGTH - 6;

    /// The answer with this message, of at most [`MAX_BODY`](Self::MAX_BODY) bytes, which every
    /// message that is one of the door's has.
    pub fn accepted(message: Vec<u8>) -> Self {
        debug_assert!(message.len() <= Self::MAX_BODY);
        Self { status: 200, body: message }
    }

    /// The answer with an error's status and its code.
    pub fn refused(status: u16, code: &'static str) -> Self {
        Self { status, body: code.into() }
    }

    crate::getters! {
        /// 200, or the status of an error.
        pub status -> u16;
        /// A message: [`Receipt`](super::Receipt), [`ActionReceipt`](super::ActionReceipt) or
        /// [`ReviewState`](super::ReviewState); with another status than 200 the error's code.
        pub body -> &[u8];
    }
}

impl Message for DoorAnswer {
    const KIND: u8 = 31;
    const NAME: &'static str = "door answer";

    fn encode_body(&self, out: &mut Writer) {
        let mut used = Writer::new();
        used.le16(self.status);
        used.bytes(&self.body);
        padded(out, used.finish(), Self::LENGTH - 2);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let status = from.le16("status")?;
        let body = from.bytes("body", 0, Self::MAX_BODY)?.to_vec();
        zeros(from, Self::MAX_BODY - body.len())?;
        Ok(Self { status, body })
    }
}

serde_as_bytes!(DoorMessage, DoorAnswer);

/// A part that is never empty.
fn part<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    from.bytes("part", 1, DoorMessage::LENGTH)
}

fn padded(out: &mut Writer, mut used: Vec<u8>, length: usize) {
    used.resize(length, 0);
    out.raw(&used);
}

/// Takes the padding: so many bytes, all zero.
fn zeros(from: &mut Reader<'_>, length: usize) -> Result<(), DecodeError> {
    let padding = from.take("padding", length)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(from.refuse(Rule::Value));
    }
    Ok(())
}
