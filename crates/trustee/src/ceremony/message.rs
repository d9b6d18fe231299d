//! What trustees say to each other: one kind of message, signed, in five rounds.

use crate::sealing::SEALED_SHARE;
use crate::share::trustee_index;
use core::fmt;
use unjoin_core::algebra::Element;
use unjoin_core::algebra::proof::Proof;
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{TrusteeKey, Trustees};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};

/// The rounds, in order.
///
/// ```
/// # use unjoin_trustee::test_util::world::seen_ceremony;
/// use unjoin_trustee::ceremony::Round;
/// # let (_, messages, _) = seen_ceremony(2, 3);
/// // Every member speaks once in each.
/// let spoken = |round| messages.iter().filter(|message| message.round() == round).count();
/// let rounds = [Round::Join, Round::Commitment, Round::Shares, Round::Verdict, Round::Signature];
/// assert_eq!(rounds.map(spoken), [3; 5]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Round {
    /// Everybody joins with a fresh nonce and a fresh key to seal shares to.
    Join = 0,
    /// Everybody commits to a polynomial and proves that its coefficient is their own.
    Commitment = 1,
    /// Everybody says which commitments came, and seals a share to each other member.
    Shares = 2,
    /// Everybody says which shares came, and that they are good, or complains.
    Verdict = 3,
    /// Everybody signs the result.
    Signature = 4,
}

/// Kind 33: one trustee's message of one round of a ceremony, signed with their long-term key.
///
/// ```
/// # use unjoin_trustee::test_util::world::seen_ceremony;
/// use unjoin_core::wire::Message;
/// use unjoin_trustee::ceremony::{CeremonyMessage, Round};
/// # let (_, messages, _) = seen_ceremony(2, 3);
/// # let bytes = messages[0].to_bytes();
/// // From a directory, a mailbox or a stick.
/// let message = CeremonyMessage::from_bytes(&bytes)?;
/// assert_eq!((message.index(), message.round()), (1, Round::Join));
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CeremonyMessage {
    /// The plan's digest for a join, and the session's id afterwards.
    pub(super) context: [u8; 32],
    pub(super) index: u16,
    pub(super) content: Content,
    signature: [u8; 64],
}

/// What a message says, by round. No variant is much larger than another. The room that a small
/// one leaves in a list of messages is filled with whatever the stack held, secrets included.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    Join {
        nonce: [u8; 32],
        /// X25519.
        recipient: [u8; 32],
    },
    Commitment {
        /// Constant coefficient first; a refresh leaves it out.
        coefficients: Vec<Element>,
        possession: Box<Proof<1, 1>>,
    },
    Shares {
        /// Of every member's commitment, the sender's own included.
        heard: Vec<[u8; 32]>,
        /// To every other member, in rising order.
        sealed: Vec<[u8; SEALED_SHARE]>,
    },
    Verdict {
        /// Of every member's shares.
        heard: Vec<[u8; 32]>,
        /// A complaint: the secret of the key that the sender's shares were sealed to.
        complaint: Option<[u8; 32]>,
    },
    Signature {
        /// H32("ceremony-statement", what is signed): two that differ saw different rounds.
        statement: [u8; 32],
        signature: Box<[u8; 64]>,
    },
}

impl CeremonyMessage {
    const LABEL: &'static str = "ceremony";

    pub(super) fn sign(key: &TrusteeKey, context: [u8; 32], index: u16, content: Content) -> Self {
        let mut message = Self { context, index, content, signature: [0; 64] };
        message.signature = key.sign(Self::LABEL, &message.signed_part());
        message
    }

    /// The sender's index. Whether they sent it is known after verifying only.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The round it belongs to.
    pub fn round(&self) -> Round {
        match self.content {
            Content::Join { .. } => Round::Join,
            Content::Commitment { .. } => Round::Commitment,
            Content::Shares { .. } => Round::Shares,
            Content::Verdict { .. } => Round::Verdict,
            Content::Signature { .. } => Round::Signature,
        }
    }

    /// H32("ceremony-message", the body without its signature): two messages of one sender
    /// and one round that differ in it convict the sender.
    pub fn digest(&self) -> [u8; 32] {
        hash32("ceremony-message", &[&self.signed_part()])
    }

    pub(super) fn is_authentic(&self, trustees: &Trustees) -> bool {
        trustees
            .key(self.index)
            .is_some_and(|key| key.verify(Self::LABEL, &self.signed_part(), &self.signature))
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode_signed(&mut out);
        out.finish()
    }

    fn encode_signed(&self, out: &mut Writer) {
        out.raw(&self.context);
        out.le16(self.index);
        out.u8(self.round() as u8);
        match &self.content {
            Content::Join { nonce, recipient } => {
                out.raw(nonce);
                out.raw(recipient);
            }
            Content::Commitment { coefficients, possession } => {
                out.le16(coefficients.len() as u16);
                out.elements(coefficients);
                out.elements(&possession.commitments);
                out.scalars(&possession.responses);
            }
            Content::Shares { heard, sealed } => {
                encode_heard(heard, out);
                out.le16(sealed.len() as u16);
                sealed.iter().for_each(|share| out.raw(share));
            }
            Content::Verdict { heard, complaint } => {
                encode_heard(heard, out);
                out.u8(complaint.is_some().into());
                complaint.iter().for_each(|secret| out.raw(secret));
            }
            Content::Signature { statement, signature } => {
                out.raw(statement);
                out.raw(signature.as_slice());
            }
        }
    }
}

impl fmt::Debug for CeremonyMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CeremonyMessage({:?} of trustee {})", self.round(), self.index)
    }
}

fn encode_heard(heard: &[[u8; 32]], out: &mut Writer) {
    out.le16(heard.len() as u16);
    heard.iter().for_each(|digest| out.raw(digest));
}

/// A le16 number of things: at least `least`, at most one a trustee.
fn count(from: &mut Reader<'_>, field: &'static str, least: u16) -> Result<u16, DecodeError> {
    match from.le16(field)? {
        count if count >= least && usize::from(count) <= Trustees::MAX => Ok(count),
        _ => Err(from.refuse(Rule::Length)),
    }
}

fn decode_heard(from: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, DecodeError> {
    (0..count(from, "heard", 1)?).map(|_| from.array("heard")).collect()
}

impl Message for CeremonyMessage {
    const KIND: u8 = 33;
    const NAME: &'static str = "ceremony message";

    fn encode_body(&self, out: &mut Writer) {
        self.encode_signed(out);
        out.raw(&self.signature);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let context = from.array("context")?;
        let index = trustee_index(from)?;
        let content = match from.u8("round")? {
            0 => Content::Join { nonce: from.array("nonce")?, recipient: from.array("recipient key")? },
            1 => {
                let count = count(from, "coefficients", 1)?;
                Content::Commitment {
                    coefficients: from.element_list("C", count)?,
                    possession: Box::new(Proof {
                        commitments: from.elements("T")?,
                        responses: from.scalars("z")?,
                    }),
                }
            }
            2 => {
                let heard = decode_heard(from)?;
                let count = count(from, "sealed shares", 0)?;
                if usize::from(count) == Trustees::MAX {
                    return Err(from.refuse(Rule::Length));
                }
                let sealed = (0..count).map(|_| from.array("sealed share")).collect::<Result<_, _>>()?;
                Content::Shares { heard, sealed }
            }
            3 => {
                let heard = decode_heard(from)?;
                let complains = from.bool("complaint")?;
                let complaint = complains.then(|| from.array("recipient secret")).transpose()?;
                Content::Verdict { heard, complaint }
            }
            4 => Content::Signature {
                statement: from.array("statement")?,
                signature: Box::new(from.array("signature")?),
            },
            _ => return Err(from.refuse(Rule::Value)),
        };
        Ok(Self { context, index, content, signature: from.array("signature")? })
    }
}

serde_as_bytes!(CeremonyMessage);
