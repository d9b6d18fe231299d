//! FreeSWITCH: `mod_xml_curl` posts the call's variables and takes a dialplan.

use super::xml::{DECLARATION, escaped};
use super::{Address, Attestation, Audio, Channel, GatewayError, Question, Route, form};
use zeroize::Zeroizing;

/// The encoder for FreeSWITCH's `mod_xml_curl`, bound to `dialplan`.
///
/// It reads `Caller-Caller-ID-Number`, `Caller-Destination-Number` and `Caller-Context`;
/// `Caller-Privacy-Hide-Number` (`true`: withheld); and `variable_attestation` (`full`,
/// `partial`, `gateway`, `none`), which the host's own dialplan sets from what its carrier says,
/// none if it is not there.
///
/// FreeSWITCH is a back-to-back user agent: the callee's leg is a new call. What it would carry
/// over from one to the other is switched off in the document. In the SIP profile the host sets
/// `pass-callee-id` and `send-display-update` to `false` and `manage-shared-appearance` off.
/// The document always routes or ends the call. `mod_xml_curl` looks into the files of the
/// machine for whatever it gets no document for, so let the context exist nowhere else.
///
/// ```
/// use unjoin_phone::Route;
/// use unjoin_phone::gateway::FreeSwitch;
/// let switch = FreeSwitch::new("carrier", false)?;
/// let body = b"section=dialplan&Caller-Context=virtual&Caller-Caller-ID-Number=%2B8613811112222\
///     &Caller-Destination-Number=%2B8617000000001&variable_attestation=full";
/// let question = switch.question(body)?;
/// let document = switch.document(&question, &Route::Refuse);
/// assert!(document.contains(r#"<context name="virtual">"#));
/// assert!(document.contains(r#"data="480 Temporarily Unavailable""#));
/// # Ok::<(), unjoin_phone::gateway::GatewayError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FreeSwitch {
    gateway: String,
    trusted_trunk: bool,
    audio: Option<Audio>,
}

const DESTINATION: &str = "Caller-Destination-Number";
const NUMBER: &str = "Caller-Caller-ID-Number";
const CONTEXT: &str = "Caller-Context";
const HIDDEN: &str = "Caller-Privacy-Hide-Number";
const ATTESTATION: &str = "variable_attestation";

impl FreeSwitch {
    /// The longest form, in bytes: all variables of a call.
    pub const MAX_BYTES: usize = 65_536;
    /// The longest context, in bytes.
    pub const MAX_CONTEXT: usize = 128;

    /// For calls that leave through the Sofia gateway of this name (1 to 64 letters, digits,
    /// `-`, `_`, `.`) and come in on lines that the host trusts or does not: see
    /// [`RouteRequest::trusted_trunk`](crate::RouteRequest::trusted_trunk).
    ///
    /// # Errors
    /// [`GatewayError::Config`] for another name: it is written into a dial string.
    pub fn new(gateway: &str, trusted_trunk: bool) -> Result<Self, GatewayError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if gateway.is_empty() || gateway.len() > 64 || !gateway.bytes().all(fits) {
            return Err(GatewayError::Config("a Sofia gateway's name of letters, digits, '-', '_' and '.'"));
        }
        Ok(Self { gateway: gateway.to_owned(), trusted_trunk, audio: None })
    }

    /// Callers hear its tone while a phone rings, and its prompt in place of silence when they are refused, before the 480.
    #[must_use]
    pub fn with_audio(self, audio: Audio) -> Self {
        Self { audio: Some(audio), ..self }
    }

    /// Reads the form that `mod_xml_curl` posts for a dialplan. The question's id is the
    /// dialplan's context, as the document needs it.
    ///
    /// # Errors
    /// [`GatewayError`]; answer with status 400 and nothing else.
    pub fn question(&self, body: &[u8]) -> Result<Question, GatewayError> {
        let names = [DESTINATION, NUMBER, CONTEXT, HIDDEN, ATTESTATION];
        let [dialled, caller, context, hidden, attestation] = form::fields(body, Self::MAX_BYTES, names)?;
        let context = context.ok_or(GatewayError::Missing(CONTEXT))?;
        if context.is_empty() || context.len() > Self::MAX_CONTEXT {
            return Err(GatewayError::Value(CONTEXT));
        }
        let is_hidden = match hidden.as_ref().map(|text| text.as_str()) {
            None | Some("false" | "") => false,
            Some("true") => true,
            Some(_) => return Err(GatewayError::Value(HIDDEN)),
        };
        Ok(Question {
            id: context.to_string(),
            callers: caller.filter(|_| !is_hidden).map(Address::here).into_iter().collect(),
            dialled: Address::here(dialled.ok_or(GatewayError::Missing(DESTINATION))?),
            channel: Channel::Voice,
            attestation: match attestation.as_ref().map(|text| text.as_str()) {
                Some("full") => Attestation::Full,
                Some("partial") => Attestation::Partial,
                Some("gateway") => Attestation::Gateway,
                None | Some("none" | "") => Attestation::None,
                Some(_) => return Err(GatewayError::Value(ATTESTATION)),
            },
            trusted_trunk: self.trusted_trunk,
        })
    }

    /// The dialplan: one extension that connects, or answers 480. Erased when dropped.
    pub fn document(&self, question: &Question, route: &Route) -> Zeroizing<String> {
        // Room for all of it, so that nothing is left behind by growing.
        let mut document = Zeroizing::new(String::with_capacity(4096));
        document.push_str(DECLARATION);
        document
            .push_str("<document type=\"freeswitch/xml\">\n<section name=\"dialplan\">\n<context name=\"");
        document.push_str(&escaped(question.id()));
        document.push_str("\">\n<extension name=\"route\">\n<condition>\n");
        let mut action = |application: &str, parts: &[&str]| {
            document.push_str("<action application=\"");
            document.push_str(application);
            document.push_str("\" data=\"");
            // Digits, names of a checked form and our own words: nothing to be escaped.
            parts.iter().for_each(|part| document.push_str(part));
            document.push_str("\"/>\n");
        };
        match route {
            Route::Connect { callee, show, max_duration, call, .. } => {
                let (callee, show) = (callee.to_e164(), show.to_e164());
                for (variable, value) in [
                    // By this name it is told to end: "hupall normal_clearing unjoin_call NAME".
                    ("unjoin_call", call.to_string().as_str()),
                    // What the callee sees.
                    ("effective_caller_id_number", show.as_str()),
                    ("effective_caller_id_name", show.as_str()),
                    ("sip_cid_type", "pid"),
                    // What the caller sees of the callee.
                    ("effective_callee_id_number", show.as_str()),
                    ("effective_callee_id_name", show.as_str()),
                    ("ignore_display_updates", "true"),
                    // Nothing of one leg's headers goes into the other.
                    ("sip_copy_custom_headers", "false"),
                    ("sip_copy_multipart", "false"),
                    // What the callee's side says of a failure stays there: the action behind the bridge is the
                    // one refusal.
                    ("hangup_after_bridge", "true"),
                    ("continue_on_fail", "true"),
                ] {
                    action("set", &[variable, "=", value]);
                }
                if let Some(audio) = self.audio {
                    // The tone is ours: what the callee's network plays may speak the callee's number.
                    action("set", &["ignore_early_media=true"]);
                    action("set", &["ringback=", audio.freeswitch_tone()]);
                }
                action("sched_hangup", &["+", &max_duration.to_string(), " allotted_timeout"]);
                action("bridge", &["sofia/gateway/", &self.gateway, "/", &callee]);
            }
            Route::Refuse => {}
        }
        if let Some(audio) = self.audio {
            // Before the answer, so that the caller does not pay.
            action("pre_answer", &[]);
            action("playback", &[&audio.file()]);
        }
        action("respond", &["480 Temporarily Unavailable"]);
        document.push_str("</condition>\n</extension>\n</context>\n</section>\n</document>\n");
        document
    }
}
