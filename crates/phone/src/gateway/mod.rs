//! The gateway: how a telephone switch asks for a route, and reads the answer.
//!
//! A switch that gets a call for a virtual number asks, in its own format, and does what the
//! answer says. This module is between the two formats and does nothing else: no socket, no
//! clock, no store.
//!
//! | switch | asks with | is answered with |
//! |---|---|---|
//! | anything of the host's | [`Question`], JSON | [`Question::answer`], JSON |
//! | Kamailio, any SIP proxy | [`sip::question`], a form with the headers | [`sip::answer`], JSON |
//! | FreeSWITCH, `mod_xml_curl` | [`FreeSwitch::question`], a form | [`FreeSwitch::document`], XML |
//! | Twilio | [`twilio::question`], [`twilio::text`], a form | [`twilio::call`], [`twilio::message`]: TwiML |
//!
//! # What holds
//!
//! * One refusal: it depends on nothing but the switch's own words (the question's id, the
//!   dialplan's context). A caller who cannot be read is withheld, a dialled text that is no
//!   number is refused.
//! * What cannot be understood at all is a [`GatewayError`], which never repeats what came. The
//!   switch ends the call then, with nothing in its place.
//! * Nothing here prints a number: no `Debug`, and texts that hold one erase themselves.
//!
//! **A switch that may ask learns real numbers.** An answer names the callee, and the question's
//! caller is whatever the switch says. Let nobody but the switch reach the endpoint, and check
//! what it signs (Twilio: `X-Twilio-Signature`).
//!
//! JSON is read and written through serde, so the host picks the library. The implementations
//! are by hand. A derived one would repeat the input in its errors, take duplicate or unknown
//! fields, and bring a compiler of macros into every build.
//!
//! ```
//! use unjoin_core::Timestamp;
//! use unjoin_phone::{CallId, NumberingPlan, PhoneNumber, Route, VirtualNumber};
//! use unjoin_phone::gateway::Question;
//!
//! let question: Question = serde_json::from_str(
//!     r#"{"id": "7:42", "caller": "+8613811112222", "dialled": "0170 0000 0001",
//!         "channel": "voice", "attestation": "full", "trunk": "untrusted"}"#,
//! )?;
//! let plan = NumberingPlan::new("86", "00", "0")?;
//! let request = question.request(&plan).expect("a number was dialled");
//! assert_eq!(request.dialled.to_e164(), "+8617000000001");
//!
//! // What the switchboard says of it.
//! let route = Route::Connect {
//!     callee: PhoneNumber::new("+8613933334444")?,
//!     show: VirtualNumber::new("+8617000000001")?,
//!     max_duration: 600,
//!     ends_at: Timestamp::from_unix_seconds(1_800_000_600),
//!     call: CallId::from_hex("00112233445566778899aabbccddeeff").expect("32 digits"),
//! };
//! assert_eq!(
//!     serde_json::to_string(&question.answer(&route))?,
//!     r#"{"id":"7:42","route":"connect","callee":"+8613933334444","show":"+8617000000001","max_duration":600,"call":"00112233445566778899aabbccddeeff"}"#,
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audio;
mod form;
mod freeswitch;
mod json;
mod message;
pub mod sip;
pub mod twilio;
mod xml;

#[cfg(test)]
mod tests;

pub use audio::Audio;
pub use freeswitch::FreeSwitch;
pub use message::{Once, may_pass};

use super::{Attestation, Channel, NumberingPlan, Route, RouteRequest};
use serde::Serialize;
use unjoin_core::describe_errors;
use zeroize::Zeroizing;

/// A switch asks where a call or a message goes.
///
/// As JSON, an object of exactly these fields, in any order, each once:
///
/// | field | value |
/// |---|---|
/// | `id` | 1 to 64 letters, digits, `:`, `-`, `_` or `.`: comes back in the answer |
/// | `caller` | the caller's number as the trunk wrote it, at most 64 bytes; `null` if withheld |
/// | `dialled` | the number that was dialled, at most 64 bytes |
/// | `channel` | `voice` or `sms` |
/// | `attestation` | `full`, `partial`, `gateway` or `none` (SHAKEN's A, B, C and nothing) |
/// | `trunk` | `trusted` or `untrusted`: the host's word about the line, never the caller's |
///
/// Bound the text before it is parsed, by [`Question::MAX_BYTES`].
///
/// ```
/// use unjoin_phone::{Channel, NumberingPlan, Route, gateway::Question};
/// let question: Question = serde_json::from_str(
///     r#"{"id": "7:42", "caller": null, "dialled": "0170 0000 0001",
///         "channel": "sms", "attestation": "none", "trunk": "trusted"}"#,
/// )?;
/// let request = question.request(&NumberingPlan::new("86", "00", "0")?).ok_or("no number was dialled")?;
/// assert!(request.caller.is_none() && question.channel() == Channel::Sms);
/// assert_eq!(serde_json::to_string(&question.answer(&Route::Refuse))?, r#"{"id":"7:42","route":"refuse"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Question {
    id: String,
    /// All that name the caller. None if withheld.
    callers: Vec<Address>,
    dialled: Address,
    channel: Channel,
    attestation: Attestation,
    trusted_trunk: bool,
}

impl Question {
    /// No question in JSON is longer, in bytes; what is, is no question.
    pub const MAX_BYTES: usize = 1024;
    /// The longest id, in bytes.
    pub const MAX_ID: usize = 64;
    /// The longest text that is looked at for a number, in bytes.
    pub const MAX_NUMBER: usize = 64;

    /// The switch's name for the question.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A call or a message.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What to ask the switchboard; `None` if what was dialled is no number: refuse.
    ///
    /// The plan brings `+86`, `0086` and `0` into one form. A caller's number that it cannot
    /// read counts as withheld.
    pub fn request(&self, plan: &NumberingPlan) -> Option<RouteRequest> {
        let dialled = plan.virtual_number(self.dialled.readable(plan)?).ok()?;
        let party = |address: &Address| plan.party(address.readable(plan)?).ok();
        let (first, others) = self.callers.split_first().unzip();
        // One that cannot be read, or is another's, says that they are not one subscriber's.
        let caller = first
            .and_then(party)
            .filter(|caller| others.into_iter().flatten().all(|other| party(other).as_ref() == Some(caller)));
        let Self { channel, attestation, trusted_trunk, .. } = *self;
        Some(RouteRequest { caller, dialled, channel, attestation, trusted_trunk })
    }

    /// What the switch is told, for JSON, when the switchboard said `route`; [`Route::Refuse`]
    /// where it could not say anything.
    ///
    /// | field | value |
    /// |---|---|
    /// | `id` | the question's |
    /// | `route` | `connect` or `refuse`; with `refuse` nothing follows |
    /// | `callee` | whom to connect: `+` and 7 to 15 digits |
    /// | `show` | what to show the callee as the caller: `+` and 7 to 17 digits |
    /// | `max_duration` | seconds from now, the ringing included, after which the call must end |
    /// | `call` | the call's name, by which it is told to end before: 32 hexadecimal digits |
    pub fn answer<'a>(&'a self, route: &'a Route) -> impl Serialize + 'a {
        json::Answer { id: &self.id, route }
    }
}

/// A subscriber as a trunk writes it. Erased when dropped.
#[derive(Default)]
struct Address {
    text: Zeroizing<String>,
    /// Where a number without `+` belongs (RFC 3966, `phone-context`); `None` if it says nothing: here.
    context: Option<Zeroizing<String>>,
}

impl Address {
    fn here(text: Zeroizing<String>) -> Self {
        Self { text, context: None }
    }

    /// Its text, if it has the length of one, and is no number of another place.
    fn readable(&self, plan: &NumberingPlan) -> Option<&str> {
        let context = self.context.as_ref().map(|context| context.as_str());
        let is_here = self.text.starts_with('+') || context.is_none_or(|context| plan.is_context(context));
        (is_here && self.text.len() <= Question::MAX_NUMBER).then_some(self.text.as_str())
    }
}

unjoin_core::opaque!(Question);

describe_errors! {
    /// Why a question cannot be understood. None of them repeats a part of it.
    ///
    /// ```
    /// use unjoin_phone::Channel;
    /// use unjoin_phone::gateway::{GatewayError, twilio};
    /// let error = twilio::question(b"CallSid=CA1", Channel::Voice, false).unwrap_err();
    /// assert_eq!(error, GatewayError::Missing("To"));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum GatewayError (Host, false) {
        /// More bytes than a question has.
        TooLong => "gateway.too_long", "the question has too many bytes: end the call, and see what the switch sends";
        /// Not a form: an escape that is none, or text that is not UTF-8.
        Form => "gateway.form", "the question is not a form in UTF-8 (application/x-www-form-urlencoded)";
        /// A field is not there.
        Missing(field: &'static str) => "gateway.missing", "the question lacks {field}";
        /// A field is there twice.
        Twice(field: &'static str) => "gateway.twice", "the question has {field} twice";
        /// A field has a value that it cannot have.
        Value(field: &'static str) => "gateway.value", "the question's {field} has no value that it can have";
        /// The encoder's own setting is not one.
        Config(rule: &'static str) => "gateway.config", "the gateway's configuration needs {rule}";
    }
}
