//! Twilio: a webhook's form in, TwiML out. For carriers who speak TwiML, too.
//!
//! It reads `From`, `To`, `CallSid` or `MessageSid`, and `StirVerstat`
//! (`TN-Validation-Passed-A`, `-B` or `-C`, with or without more after it; anything else
//! attests nothing).
//!
//! A webhook can be called by anybody. Check `X-Twilio-Signature` over the address and the
//! form before asking here, and refuse without an answer what is not signed.
//!
//! ```
//! use unjoin_phone::{Channel, Route};
//! use unjoin_phone::gateway::twilio;
//! let question = twilio::question(
//!     b"CallSid=CA1&From=%2B8613811112222&To=%2B8617000000001&StirVerstat=TN-Validation-Passed-A",
//!     Channel::Voice,
//!     false,
//! )?;
//! assert!(twilio::call(&Route::Refuse, None).contains("<Response><Reject/></Response>"));
//! # Ok::<(), unjoin_phone::gateway::GatewayError>(())
//! ```

use super::message::may_pass;
use super::xml::{DECLARATION, escaped};
use super::{Address, Attestation, Audio, Channel, GatewayError, Question, Route, form};
use zeroize::Zeroizing;

/// The longest form, in bytes.
pub const MAX_BYTES: usize = 16_384;
/// The longest call that TwiML can ask for, in seconds; a longer one is cut to it.
pub const MAX_CALL: u64 = 14_400;

/// The longest text of a message, in characters.
pub const MAX_TEXT: usize = 1600;
/// For how many seconds a callee's phone rings at most.
pub const RINGING: u64 = 30;
/// Twilio rings up to this many seconds longer than it is told.
const RINGS_ON: u64 = 5;
/// Twilio takes no shorter time of ringing.
const LEAST_RINGING: u64 = 5;

/// What Twilio presents for a caller without a number: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE and
/// PRIVATE as they are typed on a telephone's keys.
const NOBODY: [&str; 6] = ["+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253", "+7748283"];

/// Reads the form of a call, or of a message. What it comes for is the address that was asked at, so it is the host's to
/// say; and so is whether it came in on a line that the host trusts, for each of the two: see
/// [`RouteRequest::trusted_trunk`](crate::RouteRequest::trusted_trunk). **Twilio attests calls alone, and those of few
/// countries**: without trust no message passes. Whoever can send a message under another's number then writes in that party's name.
/// The question's id is the call's or the message's.
///
/// # Errors
/// [`GatewayError`]; answer with status 400 and nothing else.
///
/// ```
/// use unjoin_phone::{Attestation, Channel, NumberingPlan, gateway::twilio};
/// let form = b"MessageSid=SM1&From=%2B8613811112222&To=%2B8617000000001";
/// let question = twilio::question(form, Channel::Sms, true)?;
/// let request = question.request(&NumberingPlan::new("86", "00", "0")?).ok_or("no number")?;
/// // Nobody attests messages: this one passes on the host's trust in the line, or not at all.
/// assert!(request.attestation == Attestation::None && request.trusted_trunk);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn question(body: &[u8], channel: Channel, trusted_trunk: bool) -> Result<Question, GatewayError> {
    let names = ["To", "From", "CallSid", "MessageSid", "StirVerstat"];
    let [dialled, caller, call, message, verdict] = form::fields(body, MAX_BYTES, names)?;
    let (id, name, other) = match channel {
        Channel::Voice => (call, "CallSid", message),
        Channel::Sms => (message, "MessageSid", call),
    };
    let id = id.ok_or(GatewayError::Missing(name))?;
    let is_sid =
        (1..=Question::MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_sid || other.is_some() {
        return Err(GatewayError::Value(name));
    }
    let caller = caller.filter(|caller| !NOBODY.contains(&caller.as_str()));
    let passed = verdict.as_ref().and_then(|text| text.strip_prefix("TN-Validation-Passed-"));
    Ok(Question {
        id: id.to_string(),
        callers: caller.map(Address::here).into_iter().collect(),
        dialled: Address::here(dialled.ok_or(GatewayError::Missing("To"))?),
        channel,
        attestation: match passed.map(|level| level.split('-').next().unwrap_or_default()) {
            Some(level) => Attestation::of_level(level),
            None => Attestation::None,
        },
        trusted_trunk,
    })
}

/// The text of a message's form, at most [`MAX_TEXT`] characters. Empty when Twilio has taken it for a word of its opt-out. Erased
/// when dropped.
///
/// # Errors
/// [`GatewayError`]; answer with status 400 and nothing else.
///
/// ```
/// use unjoin_phone::gateway::twilio;
/// assert_eq!(twilio::text(b"Body=I+am+at+the+door.")?.as_str(), "I am at the door.");
/// assert!(twilio::text(b"Body=STOP&OptOutType=STOP")?.is_empty());
/// # Ok::<(), unjoin_phone::gateway::GatewayError>(())
/// ```
pub fn text(body: &[u8]) -> Result<Zeroizing<String>, GatewayError> {
    let [text, opt_out] = form::fields(body, MAX_BYTES, ["Body", "OptOutType"])?;
    let text = text.ok_or(GatewayError::Missing("Body"))?;
    if text.chars().count() > MAX_TEXT {
        return Err(GatewayError::Value("Body"));
    }
    Ok(if opt_out.is_some() { Zeroizing::new(String::new()) } else { text })
}

/// What becomes of a call. Erased when dropped.
///
/// Twilio counts a call's time from the moment it is answered. So of the time that is left the longest ringing is taken
/// off, and a call for which nothing remains is refused.
///
/// With audio the caller hears its tone while the phone rings, and its prompt for every refusal: Twilio answers the call for that.
///
/// ```
/// # use unjoin_core::Timestamp;
/// # use unjoin_phone::{CallId, PhoneNumber, VirtualNumber};
/// use unjoin_phone::{Route, gateway::twilio};
/// let route = Route::Connect {
///     callee: PhoneNumber::new("+8613933334444")?,
///     show: VirtualNumber::new("+8617000000001")?,
///     max_duration: 600,
/// #   ends_at: Timestamp::from_unix_seconds(1_800_000_600),
/// #   call: CallId::from_hex("00112233445566778899aabbccddeeff").unwrap(),
/// };
/// let document = twilio::call(&route, None);
/// // Ringing for half a minute, and the rest of the ten.
/// assert!(document.contains("timeout=\"30\" timeLimit=\"565\""));
/// assert!(document.contains("callerId=\"+8617000000001\""));
/// # Ok::<(), unjoin_phone::NumberError>(())
/// ```
pub fn call(route: &Route, audio: Option<Audio>) -> Zeroizing<String> {
    let mut document = Zeroizing::new(String::with_capacity(512));
    document.push_str(DECLARATION);
    match (route, times(route)) {
        (Route::Connect { callee, show, .. }, Some((ringing, talking))) => {
            document.push_str("<Response><Dial answerOnBridge=\"true\" callerId=\"");
            document.push_str(&show.to_e164());
            document.push_str("\" timeout=\"");
            document.push_str(&ringing.to_string());
            document.push_str("\" timeLimit=\"");
            document.push_str(&talking.to_string());
            if let Some(audio) = audio {
                document.push_str("\" ringTone=\"");
                document.push_str(audio.twilio_tone());
            }
            document.push_str("\"><Number>");
            document.push_str(&callee.to_e164());
            document.push_str("</Number></Dial></Response>\n");
        }
        _ => match audio {
            None => document.push_str("<Response><Reject/></Response>\n"),
            Some(audio) => {
                document.push_str("<Response><Say language=\"");
                document.push_str(audio.twilio_language());
                document.push_str("\">");
                document.push_str(audio.words());
                document.push_str("</Say><Hangup/></Response>\n");
            }
        },
    }
    document
}

/// For how many seconds a phone may ring, and a call last after that.
fn times(route: &Route) -> Option<(u64, u64)> {
    let Route::Connect { max_duration, .. } = route else { return None };
    let ringing = (max_duration / 3).clamp(LEAST_RINGING, RINGING);
    let talking =
        max_duration.checked_sub(ringing.saturating_add(RINGS_ON)).filter(|talking| *talking > 0)?;
    Some((ringing, talking.min(MAX_CALL)))
}

/// What becomes of a message with this text: passed on, showing the virtual number, or dropped without a word. One
/// without a text (a picture, say) is dropped, and one that asks the number to be silent (`STOP`). Erased when
/// dropped.
///
/// Twilio asks again about a message whose answer it did not get: see [`Once`](super::Once).
///
/// ```
/// use unjoin_phone::{Route, gateway::twilio};
/// // Dropped without a word: the sender does not learn why.
/// assert!(twilio::message(&Route::Refuse, "Are you there?").contains("<Response/>"));
/// ```
pub fn message(route: &Route, text: &str) -> Zeroizing<String> {
    let escaped = escaped(text);
    let mut document = Zeroizing::new(String::with_capacity(256 + escaped.len()));
    document.push_str(DECLARATION);
    match route {
        Route::Connect { callee, show, .. } if may_pass(text) => {
            document.push_str("<Response><Message to=\"");
            document.push_str(&callee.to_e164());
            document.push_str("\" from=\"");
            document.push_str(&show.to_e164());
            document.push_str("\"><Body>");
            document.push_str(&escaped);
            document.push_str("</Body></Message></Response>\n");
        }
        Route::Connect { .. } | Route::Refuse => document.push_str("<Response/>\n"),
    }
    document
}
