//! What a gateway asks for each call or message, and what it is told.

use super::{CallId, PhoneNumber, VirtualNumber};
use unjoin_core::Timestamp;

/// Somebody dials a virtual number.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, order, parties, switchboard};
/// use unjoin_phone::{Attestation, Binding, Channel, PhoneNumber, Route, RouteRequest};
/// # let directory = unjoin_test_util::Directory::new();
/// # let board = switchboard(directory.file("slot-keys"));
/// # let binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), START.saturating_add(LIFE));
/// # let bound = board.bind(binding).wait()?;
/// let stranger = RouteRequest {
///     caller: Some(PhoneNumber::new("+8613912345678")?),
///     dialled: bound.number,
///     channel: Channel::Voice,
///     attestation: Attestation::Full,
///     trusted_trunk: false,
/// };
/// assert_eq!(board.route(&stranger)?, Route::Refuse);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// Whether the host trusts the line to present true numbers by itself: a direct interconnection
    /// with a carrier that checks them, say. On a trusted line a caller whom nobody attests is
    /// taken at their number. So a caller who can spoof there can pose as a party.
    pub trusted_trunk: bool,
}

/// A call or a message.
///
/// ```
/// # use unjoin_phone::test_util::{START, order, parties};
/// use unjoin_phone::{Binding, Channel};
/// let mut binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), START);
/// binding.only = Some(Channel::Sms); // a call over it reaches nobody
/// assert_ne!(binding.only, Some(Channel::Voice));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A call.
    Voice,
    /// A text message.
    Sms,
}

/// How far the network vouches for the caller's number (the levels of SHAKEN, RFC 8588), from
/// nothing upwards.
///
/// ```
/// use unjoin_phone::{Attestation, SwitchboardConfig};
/// // From nothing upwards; a host says how much it takes.
/// let config = SwitchboardConfig::new(90 * 60);
/// assert!(Attestation::Full >= config.least_attestation && Attestation::Gateway < config.least_attestation);
/// ```
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
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, order, parties, phone, request, switchboard};
/// use unjoin_phone::{Binding, Route};
/// # let directory = unjoin_test_util::Directory::new();
/// # let board = switchboard(directory.file("slot-keys"));
/// # let binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), START.saturating_add(LIFE));
/// # let (bound, customer, merchant) = (board.bind(binding).wait()?, 2, 1);
/// match board.route(&request(customer, bound.number))? {
///     Route::Connect { callee, show, .. } => assert!(callee == phone(merchant) && show == bound.number),
///     Route::Refuse => panic!("the customer may call"),
/// }
/// // The merchant may not call the customer.
/// assert_eq!(board.route(&request(merchant, bound.number))?, Route::Refuse);
/// # Ok::<(), unjoin_phone::SwitchboardError>(())
/// ```
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
