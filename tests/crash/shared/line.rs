//! What a life says: intents before it acts, acknowledgements after an answer has come.

use unjoin::token::{Receipt, ReviewId};
use unjoin::wire::Message;
use unjoin_test_util::hex;

/// One line of text; orders are named by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A token will be asked for.
    Asking(u64),
    /// It was granted: `(A, e)`.
    Granted(u64, Vec<u8>),
    /// A review will be sent, in this wording.
    Sending(u64, u8),
    /// It was accepted.
    Accepted(u64, u8, Receipt),
    /// It was refused with this code.
    Refused(u64, u8, String),
    /// The clock will stand at this day, and the platform tick.
    Day(u64),
    /// The tick has told of these reviews' publication.
    Ticked(Vec<ReviewId>),
}

impl Line {
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Asking(order) => format!("asking {order}"),
            Self::Granted(order, pair) => format!("granted {order} {}", hex(pair)),
            Self::Sending(order, wording) => format!("sending {order} {wording}"),
            Self::Accepted(order, wording, receipt) => {
                format!("accepted {order} {wording} {}", hex(&receipt.to_bytes()))
            }
            Self::Refused(order, wording, code) => format!("refused {order} {wording} {code}"),
            Self::Day(day) => format!("day {day}"),
            Self::Ticked(ids) => {
                let ids: Vec<String> = ids.iter().map(|id| hex(id.as_bytes())).collect();
                format!("ticked {}", ids.join(" "))
            }
        }
    }

    /// `None` for what is no line of a life.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let kind = words.next()?;
        let mut word = || words.next();
        Some(match kind {
            "asking" => Self::Asking(word()?.parse().ok()?),
            "granted" => Self::Granted(word()?.parse().ok()?, bytes(word()?)?),
            "sending" => Self::Sending(word()?.parse().ok()?, word()?.parse().ok()?),
            "accepted" => {
                let (order, wording) = (word()?.parse().ok()?, word()?.parse().ok()?);
                Self::Accepted(order, wording, Receipt::from_bytes(&bytes(word()?)?).ok()?)
            }
            "refused" => Self::Refused(word()?.parse().ok()?, word()?.parse().ok()?, word()?.into()),
            "day" => Self::Day(word()?.parse().ok()?),
            "ticked" => {
                let id = |text| Some(ReviewId(bytes(text)?.try_into().ok()?));
                Self::Ticked(std::iter::from_fn(word).map(id).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
