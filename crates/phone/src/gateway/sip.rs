//! SIP, for a proxy that asks with the headers as they came. Who the caller is, and how far that is vouched for, is
//! read here and not in a proxy's script.
//!
//! A question is a form, with headers and URIs in hexadecimal:
//!
//! | field | value |
//! |---|---|
//! | `id` | 1 to 64 letters, digits, `:`, `-`, `_` or `.`: comes back in the answer |
//! | `channel` | `voice` or `sms` |
//! | `dialled` | the request's URI |
//! | `asserted` | all P-Asserted-Identity headers, with commas between them; may be missing |
//! | `from` | the From header; may be missing |
//! | `attestation` | all headers with the carrier's attestation (`A`, `B`, `C`); may be missing |
//! | `privacy` | all Privacy headers; may be missing |
//! | `trunk` | `trusted` or `untrusted`: the host's word about the line |
//! | `passed` | what a `verstat` that passed without a level counts as: `full`, `partial`, `gateway` or `none` |
//! | `text`, `message` | of a message: its text, and its name; see [`text`] |
//! | `private` | `served` or `withheld`: callers who ask for privacy. They are shown to nobody either way |
//!
//! **Who calls** is what the trunk asserts, never what the phone says. Identities without a number (a name in a home network) are
//! passed over; two different numbers are none. A number without `+` in the context of another country or of a private
//! network (`phone-context`) is none. It is another subscriber's than the same digits here.
//!
//! **How far it is vouched for**: a `verstat` of any identity that is not `TN-Validation-Passed` outranks everything, one in
//! From too. Of all levels that are named the lowest counts; headers that contradict each other vouch for nothing.

use super::json::fits_id;
use super::{
    Address, Attestation, Channel, GatewayError, NumberingPlan, Question, Route, RouteRequest, form,
};
use crate::{CallEnd, CallId, CallProgress};
use zeroize::Zeroizing;

/// The longest question, in bytes.
pub const MAX_BYTES: usize = 16_384;

/// Reads a question.
///
/// # Errors
/// [`GatewayError`]; end the call, and say nothing else.
///
/// ```
/// use unjoin_phone::gateway::sip;
/// # let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
/// # let (dialled, asserted) = (hex("sip:+8617000000001@shop.example"), hex("<sip:+8613811112222@carrier.example>"));
/// let body = format!(
///     "id=7:42&channel=voice&dialled={dialled}&asserted={asserted}&attestation={}\
///      &trunk=untrusted&passed=none&private=served", hex("A"),
/// );
/// let question = sip::question(body.as_bytes())?;
/// assert_eq!(question.id(), "7:42");
/// # Ok::<(), unjoin_phone::gateway::GatewayError>(())
/// ```
pub fn question(body: &[u8]) -> Result<Question, GatewayError> {
    let names = [
        "id",
        "channel",
        "dialled",
        "asserted",
        "from",
        "attestation",
        "privacy",
        "trunk",
        "passed",
        "private",
    ];
    let [id, channel, dialled, asserted, from, attestation, privacy, trunk, passed, private] =
        form::fields(body, MAX_BYTES, names)?;
    let id = id.ok_or(GatewayError::Missing("id"))?;
    if !fits_id(&id) {
        return Err(GatewayError::Value("id"));
    }
    let [dialled, asserted, from, attestation, privacy] = [
        (dialled, "dialled"),
        (asserted, "asserted"),
        (from, "from"),
        (attestation, "attestation"),
        (privacy, "privacy"),
    ]
    .map(|(field, name)| {
        field.map(|digits| from_hexadecimal(&digits).ok_or(GatewayError::Value(name))).transpose()
    });
    let text = |text: Result<Option<Zeroizing<String>>, _>| text.map(Option::unwrap_or_default);
    let channel = one_of(&channel, "channel", &[("voice", Channel::Voice), ("sms", Channel::Sms)])?;
    let trusted_trunk = one_of(&trunk, "trunk", &[("trusted", true), ("untrusted", false)])?;
    let levels = [
        ("full", Attestation::Full),
        ("partial", Attestation::Partial),
        ("gateway", Attestation::Gateway),
        ("none", Attestation::None),
    ];
    let passed = one_of(&passed, "passed", &levels)?;
    let is_served = one_of(&private, "private", &[("served", true), ("withheld", false)])?;
    let dialled = dialled?.ok_or(GatewayError::Missing("dialled"))?;
    let dialled = Uri::parse(&dialled).and_then(|uri| uri.address()).unwrap_or_default();
    // What cannot be read asserts nobody, and vouches for nothing.
    let (asserted, from) = (text(asserted)?, text(from)?);
    let (identities, written) = (identities(&asserted), identities(&from));
    let attestation = text(attestation)?;
    let is_private = !is_served && asks_for_privacy(&text(privacy)?);
    let attestation = match (&identities, &written) {
        (Some(identities), Some(written)) => attested(identities, written, &attestation, passed),
        _ => Attestation::None,
    };
    let callers = identities.unwrap_or_default().iter().filter_map(Uri::address).collect();
    let callers = if is_private { Vec::new() } else { callers };
    Ok(Question { id: id.to_string(), callers, dialled, channel, attestation, trusted_trunk })
}

/// What the field's word stands for.
fn one_of<T: Copy>(
    field: &Option<Zeroizing<String>>,
    name: &'static str,
    words: &[(&str, T)],
) -> Result<T, GatewayError> {
    let said = field.as_ref().ok_or(GatewayError::Missing(name))?;
    let found = words.iter().find(|(word, _)| *word == said.as_str());
    found.map(|(_, means)| *means).ok_or(GatewayError::Value(name))
}

/// Two digits a byte; what is no UTF-8 in it is replaced, and so names no number.
fn from_hexadecimal(digits: &str) -> Option<Zeroizing<String>> {
    let digit = |letter: &u8| char::from(*letter).to_digit(16);
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.as_bytes().chunks(2) {
        let [high, low] = pair else { return None };
        bytes.push((digit(high)? * 16 + digit(low)?) as u8);
    }
    Some(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The answer to a question, for the proxy: JSON. Erased when dropped.
///
/// | field | value |
/// |---|---|
/// | `id` | the question's |
/// | `route` | `connect` or `refuse`; with `refuse` nothing follows |
/// | `call` | the call's name, by which it is told to end: 32 hexadecimal digits |
/// | `callee` | whom to connect: `+` and 7 to 15 digits |
/// | `show` | what to show the callee as the caller: `+` and 7 to 17 digits |
/// | `max_duration` | seconds from now, the ringing included, after which the call must end |
/// | `hide_caller`, `hide_callee` | the digits of each by which no message to the other may tell them: those behind the country code |
///
/// ```
/// # use unjoin_phone::{NumberingPlan, Route, gateway::Question};
/// use unjoin_phone::gateway::sip;
/// # let question: Question = serde_json::from_str(
/// #     r#"{"id": "7:42", "caller": null, "dialled": "0170 0000 0001", "channel": "sms", "attestation": "none", "trunk": "trusted"}"#,
/// # )?;
/// # let plan = NumberingPlan::new("86", "00", "0")?;
/// let request = question.request(&plan);
/// let answer = sip::answer(&question, request.as_ref(), &Route::Refuse, &plan);
/// assert_eq!(answer.as_str(), r#"{"id":"7:42","route":"refuse"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn answer(
    question: &Question,
    request: Option<&RouteRequest>,
    route: &Route,
    plan: &NumberingPlan,
) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(512));
    let mut field = |name: &str, value: &str, is_text: bool| {
        let before = if out.is_empty() { '{' } else { ',' };
        out.push(before);
        out.push('"');
        out.push_str(name);
        out.push_str(if is_text { "\":\"" } else { "\":" });
        // Digits, and an id of checked letters: nothing to be escaped.
        out.push_str(value);
        out.push_str(if is_text { "\"" } else { "" });
    };
    field("id", &question.id, true);
    match (route, request.and_then(|request| request.caller.as_ref())) {
        (Route::Connect { callee, show, max_duration, call, .. }, Some(caller)) => {
            field("route", "connect", true);
            field("call", &call.to_string(), true);
            field("callee", &callee.to_e164(), true);
            field("show", &show.to_e164(), true);
            field("max_duration", &max_duration.to_string(), false);
            field("hide_caller", &plan.national_digits(caller), true);
            field("hide_callee", &plan.national_digits(callee), true);
        }
        _ => field("route", "refuse", true),
    }
    out.push('}');
    out
}

/// A message's text, and what names it when it comes again: the fields `text` and `message` of a question, in hexadecimal. Erased when
/// dropped; `None` unless both are there.
///
/// ```
/// use unjoin_phone::gateway::sip;
/// // "Hi" under the name "M1".
/// let [text, message] = sip::text(b"text=4869&message=4d31").ok_or("no message")?;
/// assert_eq!((text.as_str(), message.as_str()), ("Hi", "M1"));
/// # Ok::<(), &str>(())
/// ```
pub fn text(body: &[u8]) -> Option<[Zeroizing<String>; 2]> {
    let [text, message] = form::fields(body, MAX_BYTES, ["text", "message"]).ok()?;
    Some([from_hexadecimal(&text?)?, from_hexadecimal(&message?)?])
}

/// What a proxy says of a call: a form with `call`, the name that the answer gave it. Also `progress` (`ringing`, `answered` or `ended`);
/// and with `ended`, if nobody had picked up, `status`: the response that ended it. `None` if it is none.
///
/// ```
/// use unjoin_phone::{CallEnd, CallProgress, gateway::sip};
/// let told = b"call=00112233445566778899aabbccddeeff&progress=ended&status=487";
/// let (call, progress) = sip::progress(told).ok_or("nothing that a proxy says")?;
/// assert_eq!(call.to_string(), "00112233445566778899aabbccddeeff");
/// assert_eq!(progress, CallProgress::Ended(CallEnd::NoAnswer));
/// # Ok::<(), &str>(())
/// ```
pub fn progress(body: &[u8]) -> Option<(CallId, CallProgress)> {
    let [call, progress, status] = form::fields(body, MAX_BYTES, ["call", "progress", "status"]).ok()?;
    let progress = match progress?.as_str() {
        "ringing" => CallProgress::Ringing,
        "answered" => CallProgress::Answered,
        "ended" => CallProgress::Ended(match status.as_ref().map(|status| status.as_str()) {
            None => CallEnd::Completed,
            Some("486" | "600" | "603") => CallEnd::Busy,
            Some("408" | "480" | "487") => CallEnd::NoAnswer,
            Some(_) => CallEnd::Failed,
        }),
        _ => return None,
    };
    Some((CallId::from_hex(&call?)?, progress))
}

/// A SIP or tel URI, as far as it may name a subscriber.
struct Uri<'a> {
    /// What stands for the subscriber, without parameters.
    user: &'a str,
    /// Those of the user part, of the URI and of the header's value, in this order.
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(':')?;
        let mut params = Vec::new();
        let user = if scheme.eq_ignore_ascii_case("tel") {
            split_params(rest, &mut params)
        } else if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
            let host = host.split('?').next().unwrap_or_default();
            let user = split_params(user, &mut params);
            split_params(host, &mut params);
            user.split(':').next().unwrap_or_default()
        } else {
            return None;
        };
        Some(Self { user, params })
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = move |(key, value): &(&str, &'a str)| key.eq_ignore_ascii_case(name).then_some(*value);
        self.params.iter().filter_map(named)
    }

    /// The number that it names; `None` if it names somebody otherwise.
    fn address(&self) -> Option<Address> {
        let is_number = self.user.starts_with(|letter: char| letter == '+' || letter.is_ascii_digit());
        is_number.then(|| Address {
            text: Zeroizing::new(self.user.to_owned()),
            context: self.values("phone-context").next().map(|context| Zeroizing::new(context.to_owned())),
        })
    }
}

/// What stands before the first `;`; the parameters behind it go to `params`.
fn split_params<'a>(text: &'a str, params: &mut Vec<(&'a str, &'a str)>) -> &'a str {
    let mut parts = text.split(';');
    let first = parts.next().unwrap_or_default();
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        params.push((name.trim(), value.trim()));
    }
    first.trim()
}

/// The URIs of a header whose values are names and addresses (RFC 3261, 20.10; RFC 3325), with commas in between;
/// `None` if it is none. What stands in quotation marks is a name, whatever it looks like.
fn identities(header: &str) -> Option<Vec<Uri<'_>>> {
    let mut found = Vec::new();
    for value in split_unquoted(header, ',')? {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let parts = split_unquoted(value, '<')?;
        let uri = match parts.as_slice() {
            // Without brackets what follows a semicolon is the header's.
            [plain] => Uri::parse(plain),
            [_, address] => {
                let (address, rest) = address.split_once('>')?;
                let mut uri = Uri::parse(address);
                if let Some(uri) = &mut uri {
                    split_params(rest, &mut uri.params);
                }
                uri
            }
            _ => return None,
        };
        found.push(uri?);
    }
    Some(found)
}

/// The text cut at `mark`, but not in quotation marks nor, for commas, in brackets; `None` if a quotation does not end.
fn split_unquoted(text: &str, mark: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            _ if letter == mark && !(bracketed && mark == ',') => {
                parts.push(text.get(start..at)?);
                start = at.checked_add(mark.len_utf8())?;
            }
            '<' => bracketed = true,
            '>' => bracketed = false,
            _ => {}
        }
    }
    if quoted {
        return None;
    }
    parts.push(text.get(start..)?);
    Some(parts)
}

/// How far the caller is vouched for.
fn attested(identities: &[Uri<'_>], written: &[Uri<'_>], header: &str, passed: Attestation) -> Attestation {
    const PASSED: &str = "TN-Validation-Passed";
    let verdicts: Vec<&str> = identities.iter().flat_map(|uri| uri.values("verstat")).collect();
    let all = written.iter().flat_map(|uri| uri.values("verstat")).chain(verdicts.iter().copied());
    if all.into_iter().any(|verdict| !verdict.starts_with(PASSED)) {
        return Attestation::None;
    }
    let mut levels: Vec<&str> = header.split(',').map(str::trim).filter(|level| !level.is_empty()).collect();
    levels.dedup();
    if levels.len() > 1 {
        return Attestation::None;
    }
    let named = verdicts.iter().filter_map(|verdict| verdict.strip_prefix(PASSED)?.strip_prefix('-'));
    levels.extend(named.map(|level| level.split('-').next().unwrap_or_default()));
    let lowest = levels.into_iter().map(Attestation::of_level).min();
    lowest.unwrap_or(if verdicts.is_empty() { Attestation::None } else { passed })
}

/// Whether any of the values asks that the caller is not told: all but `none`, and those that are for other things.
fn asks_for_privacy(header: &str) -> bool {
    let values = header.split([',', ';']).map(str::trim).filter(|value| !value.is_empty());
    let other =
        |value: &str| ["none", "history", "session"].iter().any(|name| value.eq_ignore_ascii_case(name));
    values.into_iter().any(|value| !other(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CUSTOMER: &str = "+8613811112222";

    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A question with these headers, on a line that nobody trusts.
    fn asked(fields: &[(&str, &str)]) -> RouteRequest {
        let given = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        let dialled = encoded(given("dialled").unwrap_or("sip:+8617000000001@p.example"));
        let (passed, private) =
            (given("passed").unwrap_or("gateway"), given("private").unwrap_or("withheld"));
        let mut form = format!(
            "id=1:-2&channel=voice&trunk=untrusted&passed={passed}&private={private}&dialled={dialled}"
        );
        for name in ["asserted", "from", "attestation", "privacy"] {
            if let Some(value) = given(name) {
                form += &format!("&{name}={}", encoded(value));
            }
        }
        let china = NumberingPlan::new("86", "00", "0").unwrap().unprefixed_national();
        question(form.as_bytes()).unwrap().request(&china).expect("a number was dialled")
    }

    fn caller(asserted: &str) -> Option<String> {
        asked(&[("asserted", asserted)]).caller.map(|caller| caller.to_e164().to_string())
    }

    #[test]
    fn the_caller_is_whom_the_trunk_asserts() {
        for asserted in [
            "<sip:+8613811112222@c.example>",
            "\"Li\" <sip:+8613811112222@c.example;user=phone>",
            "<sip:+8613811112222;npdi;rn=+8613000000000@c.example;user=phone>",
            "<sips:013811112222:secret@c.example>;tag=1",
            "sip:8613811112222@c.example;verstat=x".replace("8613811112222", CUSTOMER).as_str(),
            "<tel:+86-138-1111-2222>",
            "<tel:13811112222;phone-context=+86>",
            "<sip:alice@ims.example>, <tel:+8613811112222>",
            "\"<tel:+8613577778888>, \\\" x\" <sip:+8613811112222@c.example>,\r\n\t<tel:13811112222>",
        ] {
            assert_eq!(caller(asserted).as_deref(), Some(CUSTOMER), "{asserted}");
        }
        for asserted in [
            "",
            ",",
            "<sip:alice@c.example>",
            "<sip:anonymous@anonymous.invalid>",
            "mailto:+8613811112222",
            // A subscriber of another country, and of somebody's own exchange.
            "<tel:13811112222;phone-context=+1>",
            "<sip:13811112222;phone-context=+1@c.example;user=phone>",
            "<tel:13811112222;phone-context=office.example>",
            // Two at once; one that cannot be read; what does not end.
            "<sip:+8613811112222@c.example>, <tel:+8613577778888>",
            "<sip:+86@c.example>, <tel:+8613811112222>",
            "\"Li <sip:+8613811112222@c.example>",
            "<sip:+8613811112222@c.example",
            "<<sip:+8613811112222@c.example>>",
        ] {
            assert_eq!(caller(asserted), None, "{asserted}");
        }
    }

    #[test]
    fn a_verdict_that_is_not_passed_outranks_everything() {
        let level = |verstat: &str, header: &str, from: &str, passed: &str| {
            let asserted = format!("<sip:+8613811112222;{verstat}@c.example;user=phone>");
            asked(&[("asserted", &asserted), ("attestation", header), ("from", from), ("passed", passed)])
                .attestation
        };
        for (verstat, header, from, passed, expected) in [
            ("x=1", "A", "", "none", Attestation::Full),
            ("x=1", "B", "<sip:a@b>;tag=1", "none", Attestation::Partial),
            ("x=1", "C", "", "none", Attestation::Gateway),
            ("x=1", "", "", "full", Attestation::None),
            ("x=1", "D", "", "full", Attestation::None),
            ("x=1", "A,C", "", "full", Attestation::None),
            ("x=1", "A, A", "", "none", Attestation::Full),
            ("verstat=TN-Validation-Failed", "A", "", "full", Attestation::None),
            ("VERSTAT=No-TN-Validation", "A", "", "full", Attestation::None),
            ("verstat=", "A", "", "full", Attestation::None),
            ("verstat=TN-Validation-Passed", "", "", "gateway", Attestation::Gateway),
            ("verstat=TN-Validation-Passed", "", "", "full", Attestation::Full),
            ("verstat=TN-Validation-Passed", "B", "", "full", Attestation::Partial),
            ("verstat=TN-Validation-Passed-A", "", "", "none", Attestation::Full),
            ("verstat=TN-Validation-Passed-B", "A", "", "none", Attestation::Partial),
            ("verstat=TN-Validation-Passed-A", "C", "", "none", Attestation::Gateway),
            (
                "verstat=TN-Validation-Passed-A",
                "A",
                "<sip:a;verstat=TN-Validation-Failed@b>",
                "full",
                Attestation::None,
            ),
            // From is the phone's: what passed there vouches for nobody.
            ("x=1", "", "<sip:a;verstat=TN-Validation-Passed-A@b>", "full", Attestation::None),
            ("x=1", "A", "\"never ends", "full", Attestation::None),
        ] {
            assert_eq!(level(verstat, header, from, passed), expected, "{verstat} {header} {from} {passed}");
        }
    }

    #[test]
    fn every_privacy_header_counts() {
        let hidden = |privacy: &str, private: &str| {
            let asserted = "<sip:+8613811112222@c.example>";
            asked(&[("asserted", asserted), ("privacy", privacy), ("private", private)]).caller.is_none()
        };
        for privacy in ["id", "ID", "none,id", "none, user;critical", "header", "unheard-of"] {
            assert!(hidden(privacy, "withheld"), "{privacy}");
            assert!(!hidden(privacy, "served"), "{privacy}");
        }
        for privacy in ["", "none", "history", "none,session"] {
            assert!(!hidden(privacy, "withheld"), "{privacy}");
        }
    }

    #[test]
    fn a_proxy_says_what_becomes_of_a_call() {
        let call = CallId::from_hex("00112233445566778899aabbccddeeff").unwrap();
        let told = |rest: &str| progress(format!("call={call}&progress={rest}").as_bytes());
        for (rest, expected) in [
            ("ringing", CallProgress::Ringing),
            ("answered", CallProgress::Answered),
            ("ended", CallProgress::Ended(CallEnd::Completed)),
            ("ended&status=486", CallProgress::Ended(CallEnd::Busy)),
            ("ended&status=487", CallProgress::Ended(CallEnd::NoAnswer)),
            ("ended&status=404", CallProgress::Ended(CallEnd::Failed)),
        ] {
            assert_eq!(told(rest), Some((call, expected)), "{rest}");
        }
        assert!(
            told("").is_none() && progress(b"call=1&progress=ended").is_none() && progress(b"{}").is_none()
        );
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_withheld(headers in proptest::collection::vec("[ -~]{0,60}", 4)) {
            let [asserted, from, attestation, privacy] = &headers[..] else { unreachable!() };
            asked(&[("asserted", asserted), ("from", from), ("attestation", attestation), ("privacy", privacy)]);
        }

        /// Whatever a phone has written as its name, in quotation marks as a carrier puts it there.
        #[test]
        fn a_name_is_never_a_number(name in "[ -~]{0,60}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let asserted = format!("\"{quoted}\" <sip:+8613811112222@c.example>");
            let found = caller(&asserted);
            prop_assert_eq!(found.as_deref(), Some(CUSTOMER));
        }
    }
}
