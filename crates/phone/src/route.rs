//! What a gateway asks for each call or message, and what it is told.

use super::{CallId, PhoneNumber, VirtualNumber};
use unjoin_core::Timestamp;

/// Somebody dials a virtual number.
#[derive(Clone, Debug)]
pub struct RouteRequest {
    /// The calling party's number as the network presents it; `None` if it was withheld, or cannot
    /// be read.
    pub caller: Option<PhoneNumber>,
    /// Which number.
    pub dialled: VirtualNumber,
    /// By which means.
    pub channel: Channel,
    /// Who vouches for the caller's number.
    pub attestation: Attestation,
    /// Whether the host trusts the line to present true numbers by itself: a direct
    /// interconnection with a carrier that checks them, say. On a trusted line a caller whom nobody
    /// attests is taken at their number, so a caller who can spoof there can pose as a party.
    pub trusted_trunk: bool,
}

/// A call or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A call.
    Voice,
    /// A text message.
    Sms,
}

/// How far the network vouches for the caller's number (the levels of SHAKEN, RFC 8588), from
/// nothing upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attestation {
    /// Nobody vouches.
    None,
    /// Level C: the network knows where the call entered it, and nothing of the caller.
    Gateway,
    /// Level B: it knows the caller, and not whether the number is theirs.
    Partial,
    /// Level A: it knows that the caller may use the number.
    Full,
}

impl Attestation {
    /// By SHAKEN's letter; nothing for every other.
    pub(crate) fn of_level(letter: &str) -> Self {
        match letter {
            "A" => Self::Full,
            "B" => Self::Partial,
            "C" => Self::Gateway,
            _ => Self::None,
        }
    }
}

/// What to do with a call or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Put it through.
    Connect {
        /// To this party.
        callee: PhoneNumber,
        /// Showing this number as the caller's: the one that was dialled.
        show: VirtualNumber,
        /// For at most this many seconds; 1 or more.
        max_duration: u64,
        /// When it must end at the latest: now and that many seconds.
        ends_at: Timestamp,
        /// By which name it is told to end before: see
        /// [`Switchboard::calls_to_end`](crate::Switchboard::calls_to_end).
        call: CallId,
    },
    /// Do not, and do nothing else in its place: no announcement that tells a reason, no other
    /// callee. There is one refusal for all reasons.
    Refuse,
}
