//! Twilio: a webhook's form in, TwiML out. For carriers who speak TwiML, too.
//!
//! It reads `From`, `To`, `CallSid` or `MessageSid`, and `StirVerstat`
//! (`TN-Validation-Passed-A`, `-B` or `-C`, with or without more after it; anything else
//! attests nothing).
//!
//! A webhook can be called by anybody: check `X-Twilio-Signature` over the address and the
//! form before asking here, and refuse without an answer what is not signed.
//!
//! ```
//! use unjoin_phone::Route;
//! use unjoin_phone::gateway::twilio;
//! let question = twilio::question(
//!     b"CallSid=CA1&From=%2B8613811112222&To=%2B8617000000001&StirVerstat=TN-Validation-Passed-A",
//!     false,
//! )?;
//! assert!(twilio::call(&Route::Refuse).contains("<Response><Reject/></Response>"));
//! # Ok::<(), unjoin_phone::gateway::GatewayError>(())
//! ```

use super::xml::{DECLARATION, escaped};
use super::{Attestation, Channel, GatewayError, Question, Route, form};
use zeroize::Zeroizing;

/// The longest form, in bytes.
pub const MAX_BYTES: usize = 16_384;
/// The longest call that TwiML can ask for, in seconds; a longer one is cut to it.
pub const MAX_CALL: u64 = 14_400;

/// Reads a call's or a message's form, which came in on a line that the host trusts or does not: see
/// [`RouteRequest::trusted_trunk`](crate::RouteRequest::trusted_trunk). The question's id is the
/// call's or the message's.
///
/// # Errors
/// [`GatewayError`]; answer with status 400 and nothing else.
pub fn question(body: &[u8], trusted_trunk: bool) -> Result<Question, GatewayError> {
    let names = ["To", "From", "CallSid", "MessageSid", "StirVerstat"];
    let [dialled, caller, call, message, verdict] = form::fields(body, MAX_BYTES, names)?;
    let (id, channel) = match (call, message) {
        (Some(call), None) => (call, Channel::Voice),
        (None, Some(message)) => (message, Channel::Sms),
        (Some(_), Some(_)) => return Err(GatewayError::Value("CallSid")),
        (None, None) => return Err(GatewayError::Missing("CallSid")),
    };
    if id.is_empty() || id.len() > Question::MAX_ID || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(GatewayError::Value("CallSid"));
    }
    let passed = verdict.as_ref().and_then(|text| text.strip_prefix("TN-Validation-Passed-"));
    Ok(Question {
        id: id.to_string(),
        caller,
        dialled: dialled.ok_or(GatewayError::Missing("To"))?,
        channel,
        attestation: match passed.map(|level| level.split('-').next().unwrap_or_default()) {
            Some("A") => Attestation::Full,
            Some("B") => Attestation::Partial,
            Some("C") => Attestation::Gateway,
            Some(_) | None => Attestation::None,
        },
        trusted_trunk,
    })
}

/// The text of a message's form. Erased when dropped.
///
/// # Errors
/// [`GatewayError`]; answer with status 400 and nothing else.
pub fn text(body: &[u8]) -> Result<Zeroizing<String>, GatewayError> {
    let [text] = form::fields(body, MAX_BYTES, ["Body"])?;
    text.ok_or(GatewayError::Missing("Body"))
}

/// What becomes of a call. Erased when dropped.
pub fn call(route: &Route) -> Zeroizing<String> {
    let mut document = Zeroizing::new(String::with_capacity(256));
    document.push_str(DECLARATION);
    match route {
        Route::Connect { callee, show, max_duration } => {
            document.push_str("<Response><Dial answerOnBridge=\"true\" callerId=\"");
            document.push_str(&show.to_e164());
            document.push_str("\" timeLimit=\"");
            document.push_str(&(*max_duration).min(MAX_CALL).to_string());
            document.push_str("\"><Number>");
            document.push_str(&callee.to_e164());
            document.push_str("</Number></Dial></Response>\n");
        }
        Route::Refuse => document.push_str("<Response><Reject/></Response>\n"),
    }
    document
}

/// What becomes of a message with this text: passed on, showing the virtual number, or
/// dropped without a word. Erased when dropped.
pub fn message(route: &Route, text: &str) -> Zeroizing<String> {
    let text = escaped(text);
    let mut document = Zeroizing::new(String::with_capacity(256 + text.len()));
    document.push_str(DECLARATION);
    match route {
        Route::Connect { callee, show, .. } => {
            document.push_str("<Response><Message to=\"");
            document.push_str(&callee.to_e164());
            document.push_str("\" from=\"");
            document.push_str(&show.to_e164());
            document.push_str("\"><Body>");
            document.push_str(&text);
            document.push_str("</Body></Message></Response>\n");
        }
        Route::Refuse => document.push_str("<Response/>\n"),
    }
    document
}
