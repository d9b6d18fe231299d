use super::*;
use crate::{Callees, PhoneNumber, VirtualNumber};
use proptest::prelude::*;
use serde_json::{Value, json};

const CUSTOMER: &str = "+8613811112222";
const COURIER: &str = "+8613933334444";
const X: &str = "+8617000000001";

fn china() -> NumberingPlan {
    NumberingPlan::new("86", "00", "0").unwrap().unprefixed_national()
}

fn connect(max_duration: u64) -> Route {
    Route::Connect {
        callee: PhoneNumber::new(COURIER).unwrap(),
        show: VirtualNumber::new(X).unwrap(),
        max_duration,
        ends_at: unjoin_core::Timestamp::from_unix_seconds(1_800_000_000),
        call: crate::CallId::from_hex("00112233445566778899aabbccddeeff").unwrap(),
    }
}

fn good() -> Value {
    json!({"id": "61208:-36551067", "caller": CUSTOMER, "dialled": X, "channel": "voice",
           "attestation": "full", "trunk": "untrusted"})
}

fn parsed(question: &Value) -> Result<Question, serde_json::Error> {
    serde_json::from_str(&question.to_string())
}

/// Whether an error's or a debug text has the last digits of a number that went in.
fn tells(text: &str) -> bool {
    text.contains("11112222") || text.contains("00000001")
}

fn presented(request: &RouteRequest) -> Option<String> {
    request.caller.as_ref().map(|number| number.to_e164().to_string())
}

#[test]
fn a_question_in_json_says_what_it_says() {
    let question = parsed(&good()).unwrap();
    assert_eq!(question.id(), "61208:-36551067");
    let request = question.request(&china()).unwrap();
    assert_eq!(presented(&request).as_deref(), Some(CUSTOMER));
    assert_eq!(request.dialled.to_e164(), X);
    assert_eq!(request.channel, Channel::Voice);
    assert_eq!(request.attestation, Attestation::Full);
    assert!(!request.trusted_trunk);
}

#[test]
fn every_word_of_a_question_has_its_meaning() {
    for (field, word, holds) in [
        ("channel", "sms", (|request| request.channel == Channel::Sms) as fn(&RouteRequest) -> bool),
        ("attestation", "partial", |request| request.attestation == Attestation::Partial),
        ("attestation", "gateway", |request| request.attestation == Attestation::Gateway),
        ("attestation", "none", |request| request.attestation == Attestation::None),
        ("trunk", "trusted", |request| request.trusted_trunk),
    ] {
        let mut question = good();
        question[field] = json!(word);
        assert!(holds(&parsed(&question).unwrap().request(&china()).unwrap()), "{field} {word}");
    }
}

#[test]
fn numbers_are_read_in_every_form_of_the_plan() {
    for (caller, dialled) in [
        ("008613811112222", "008617000000001"),
        ("013811112222", "017000000001"),
        ("138 1111 2222", "+86 170-0000-0001"),
    ] {
        let mut question = good();
        question["caller"] = json!(caller);
        question["dialled"] = json!(dialled);
        let request = parsed(&question).unwrap().request(&china()).unwrap();
        assert_eq!(presented(&request).as_deref(), Some(CUSTOMER));
        assert_eq!(request.dialled.to_e164(), X);
    }
    // China's privacy numbers: 15 national digits.
    let mut question = good();
    question["dialled"] = json!("700123456789012");
    assert_eq!(parsed(&question).unwrap().request(&china()).unwrap().dialled.to_e164(), "+86700123456789012");
}

#[test]
fn a_caller_who_cannot_be_read_is_withheld() {
    let withheld = [
        Value::Null,
        json!(""),
        json!("anonymous"),
        json!("unavailable"),
        json!("+"),
        json!("0"),
        json!("9".repeat(40)),
    ];
    for caller in withheld {
        let mut question = good();
        question["caller"] = caller.clone();
        let request = parsed(&question).unwrap().request(&china()).unwrap();
        assert!(presented(&request).is_none(), "{caller}");
    }
}

#[test]
fn what_is_no_number_is_refused_unasked() {
    for dialled in ["", "operator", "+", "sip:a@b", "\u{0}", &"1".repeat(23)] {
        let mut question = good();
        question["dialled"] = json!(dialled);
        assert!(parsed(&question).unwrap().request(&china()).is_none(), "{dialled}");
    }
}

#[test]
fn a_question_that_is_none_is_an_error_that_repeats_nothing() {
    let mut wrong = vec![
        json!(CUSTOMER),
        json!(8613811112222u64),
        json!([CUSTOMER]),
        json!(-1.5),
        json!(true),
        Value::Null,
        json!({}),
    ];
    for field in ["id", "caller", "dialled", "channel", "attestation", "trunk"] {
        // Another type; a word that is none; nothing at all.
        for value in [
            json!(8613811112222u64),
            json!(-13811112222i64),
            json!(1.5),
            json!(true),
            json!([X]),
            json!({X: X}),
            json!(X.repeat(9)),
        ] {
            let mut question = good();
            question[field] = value;
            wrong.push(question);
        }
        if field != "caller" && field != "dialled" {
            let mut question = good();
            question[field] = json!(format!("{CUSTOMER}!"));
            wrong.push(question);
        }
        if field != "caller" {
            let mut question = good();
            question[field] = Value::Null;
            wrong.push(question);
        }
        let mut question = good();
        question.as_object_mut().unwrap().remove(field);
        wrong.push(question);
    }
    let mut more = good();
    more[CUSTOMER] = json!(X);
    wrong.push(more);
    let mut texts: Vec<String> = wrong.iter().map(Value::to_string).collect();
    let good = good().to_string();
    texts.push(format!("{good}{good}"));
    texts.push(good.replacen("{", &format!("{{\"caller\":\"{CUSTOMER}\","), 1));
    texts.push(good.replacen("\"caller\"", "\"caller\" ", 1).replacen(':', "", 1));
    texts.push(good.get(..good.len() - 3).unwrap().to_owned());
    for text in texts {
        let error = serde_json::from_str::<Question>(&text).expect_err(&text).to_string();
        assert!(!tells(&error), "{text} is repeated: {error}");
    }
}

#[test]
fn answers_in_json_are_these_bytes() {
    let mut asked = good();
    asked["id"] = json!("7:-42");
    let question = parsed(&asked).unwrap();
    let answer = |route: &Route| serde_json::to_string(&question.answer(route)).unwrap();
    assert_eq!(
        answer(&connect(600)),
        r#"{"id":"7:-42","route":"connect","callee":"+8613933334444","show":"+8617000000001","max_duration":600,"call":"00112233445566778899aabbccddeeff"}"#
    );
    assert_eq!(answer(&Route::Refuse), r#"{"id":"7:-42","route":"refuse"}"#);
}

const FORM: &str = "hostname=switch-1&section=dialplan&tag_name=&key_name=&Event-Name=REQUEST_PARAMS\
    &Caller-Caller-ID-Name=%22Li%22&Caller-Caller-ID-Number=%2B8613811112222&Caller-Network-Addr=192.0.2.7\
    &Caller-Destination-Number=%2B8617000000001&Caller-Context=virtual&Caller-Privacy-Hide-Name=false\
    &Caller-Privacy-Hide-Number=false&variable_sip_req_uri=x%40y&variable_attestation=full&broken=%zz";

fn freeswitch() -> FreeSwitch {
    FreeSwitch::new("carrier-1", false).unwrap()
}

#[test]
fn freeswitch_asks_with_a_form() {
    let request = freeswitch().question(FORM.as_bytes()).unwrap().request(&china()).unwrap();
    assert_eq!(presented(&request).as_deref(), Some(CUSTOMER));
    assert_eq!(request.dialled.to_e164(), X);
    assert_eq!(
        (request.channel, request.attestation, request.trusted_trunk),
        (Channel::Voice, Attestation::Full, false)
    );
    let hidden = FORM.replace("Hide-Number=false", "Hide-Number=true");
    let request = freeswitch().question(hidden.as_bytes()).unwrap().request(&china()).unwrap();
    assert!(presented(&request).is_none());
    let unattested = FORM.replace("&variable_attestation=full", "");
    let request = freeswitch().question(unattested.as_bytes()).unwrap().request(&china()).unwrap();
    assert_eq!(request.attestation, Attestation::None);
}

#[test]
fn a_form_that_is_none_is_an_error_that_repeats_nothing() {
    let refused = |form: &str| {
        let error = freeswitch().question(form.as_bytes()).expect_err(form);
        assert!(!tells(&error.to_string()) && !tells(&format!("{error:?}")), "{error}");
        error
    };
    assert_eq!(refused(""), GatewayError::Missing("Caller-Context"));
    assert_eq!(
        refused(&FORM.replace("Caller-Destination-Number", "Other")),
        GatewayError::Missing("Caller-Destination-Number")
    );
    assert_eq!(
        refused(&format!("{FORM}&Caller-Destination-Number=1")),
        GatewayError::Twice("Caller-Destination-Number")
    );
    assert_eq!(refused(&FORM.replace("%2B86170", "%2g86170")), GatewayError::Form);
    assert_eq!(refused(&FORM.replace("%2B86170", "%ff86170")), GatewayError::Form);
    assert_eq!(refused(&format!("{FORM}&Caller-Context=%")), GatewayError::Form);
    assert_eq!(
        refused(&FORM.replace("Hide-Number=false", "Hide-Number=13811112222")),
        GatewayError::Value("Caller-Privacy-Hide-Number")
    );
    assert_eq!(
        refused(&FORM.replace("=virtual", &format!("={}", "x".repeat(129)))),
        GatewayError::Value("Caller-Context")
    );
    assert_eq!(
        refused(&FORM.replace("attestation=full", "attestation=13811112222")),
        GatewayError::Value("variable_attestation")
    );
    assert_eq!(refused(&format!("{FORM}&x={}", "0".repeat(FreeSwitch::MAX_BYTES))), GatewayError::TooLong);
    assert!(FreeSwitch::new("carrier/1,user", false).is_err());
}

/// A dial plan of these actions.
fn plan(actions: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<document type="freeswitch/xml">
<section name="dialplan">
<context name="virtual">
<extension name="route">
<condition>
{actions}</condition>
</extension>
</context>
</section>
</document>
"#
    )
}

#[test]
fn freeswitch_gets_these_documents() {
    let question = freeswitch().question(FORM.as_bytes()).unwrap();
    assert_eq!(
        *freeswitch().document(&question, &connect(600)),
        plan(
            r#"<action application="set" data="unjoin_call=00112233445566778899aabbccddeeff"/>
<action application="set" data="effective_caller_id_number=+8617000000001"/>
<action application="set" data="effective_caller_id_name=+8617000000001"/>
<action application="set" data="sip_cid_type=pid"/>
<action application="set" data="effective_callee_id_number=+8617000000001"/>
<action application="set" data="effective_callee_id_name=+8617000000001"/>
<action application="set" data="ignore_display_updates=true"/>
<action application="set" data="sip_copy_custom_headers=false"/>
<action application="set" data="sip_copy_multipart=false"/>
<action application="set" data="hangup_after_bridge=true"/>
<action application="set" data="continue_on_fail=true"/>
<action application="sched_hangup" data="+600 allotted_timeout"/>
<action application="bridge" data="sofia/gateway/carrier-1/+8613933334444"/>
<action application="respond" data="480 Temporarily Unavailable"/>
"#
        )
    );
    assert_eq!(
        *freeswitch().document(&question, &Route::Refuse),
        plan(
            r#"<action application="respond" data="480 Temporarily Unavailable"/>
"#
        )
    );
}

#[test]
fn twilio_asks_with_a_form() {
    for (verdict, attestation) in [
        ("TN-Validation-Passed-A", Attestation::Full),
        ("TN-Validation-Passed-A-Passthrough", Attestation::Full),
        ("TN-Validation-Passed-B-Diverted", Attestation::Partial),
        ("TN-Validation-Passed-C", Attestation::Gateway),
        ("TN-Validation-Failed-A", Attestation::None),
        ("No-TN-Validation", Attestation::None),
        ("TN-Validation-Passed-", Attestation::None),
        ("TN-Validation-Passed-AB", Attestation::None),
    ] {
        let form = format!("CallSid=CA0123&From=%2B8613811112222&To=%2B8617000000001&StirVerstat={verdict}");
        let request =
            twilio::question(form.as_bytes(), Channel::Voice, false).unwrap().request(&china()).unwrap();
        assert_eq!(request.attestation, attestation, "{verdict}");
        assert_eq!((presented(&request).as_deref(), request.channel), (Some(CUSTOMER), Channel::Voice));
    }
    // What Twilio sends for a message. It has no verdict, so it is the host's trust alone by which it passes.
    let message =
        b"ToCountry=CN&SmsMessageSid=SM1&NumMedia=0&SmsSid=SM1&SmsStatus=received&Body=I+am+downstairs\
        &FromCountry=CN&To=%2B8617000000001&NumSegments=1&MessageSid=SM1&AccountSid=AC1&From=%2B8613811112222\
        &ApiVersion=2010-04-01";
    for trusted in [false, true] {
        let request = twilio::question(message, Channel::Sms, trusted).unwrap().request(&china()).unwrap();
        assert_eq!(
            (presented(&request).as_deref(), request.attestation),
            (Some(CUSTOMER), Attestation::None)
        );
        assert_eq!((request.channel, request.trusted_trunk), (Channel::Sms, trusted));
    }
    for nobody in ["anonymous", "%2B266696687", "%2B7378742833", "%2B86282452253"] {
        let form = format!("CallSid=CA1&From={nobody}&To=%2B8617000000001");
        let request =
            twilio::question(form.as_bytes(), Channel::Voice, true).unwrap().request(&china()).unwrap();
        assert_eq!(presented(&request), None, "{nobody}");
        let form = form.replace("CallSid", "MessageSid");
        let request =
            twilio::question(form.as_bytes(), Channel::Sms, true).unwrap().request(&china()).unwrap();
        assert_eq!(presented(&request), None, "{nobody}, a message");
    }
    // Nor is it a party: its form is a number's of a country that nobody named.
    let lesotho = PhoneNumber::new("+266696687").unwrap();
    assert!(!Callees::known().allow(&lesotho) && Callees::any().allow(&lesotho));
    let error = twilio::question(message, Channel::Voice, false).unwrap_err();
    assert_eq!(error, GatewayError::Missing("CallSid"));
    for (form, error) in [
        ("From=1&To=2", GatewayError::Missing("CallSid")),
        ("CallSid=CA1&From=1", GatewayError::Missing("To")),
        ("CallSid=CA1&MessageSid=SM1&From=1&To=2", GatewayError::Value("CallSid")),
        ("CallSid=%2B8613811112222&From=1&To=2", GatewayError::Value("CallSid")),
        ("CallSid=CA1&CallSid=CA1&From=1&To=2", GatewayError::Twice("CallSid")),
    ] {
        assert_eq!(twilio::question(form.as_bytes(), Channel::Voice, false).unwrap_err(), error, "{form}");
    }
}

#[test]
fn every_refusal_is_one_prompt_and_the_tone_is_not_the_callees() {
    for language in ["de", "en", "es", "it", "pt", "zh"] {
        let audio = Audio::of(language).unwrap();
        let switch = freeswitch().with_audio(audio);
        let question = switch.question(FORM.as_bytes()).unwrap();
        let refused = switch.document(&question, &Route::Refuse).to_string();
        let prompt = format!(
            "<action application=\"pre_answer\" data=\"\"/>\n<action application=\"playback\" data=\"unjoin-refused.{language}.wav\"/>\n\
             <action application=\"respond\" data=\"480 Temporarily Unavailable\"/>\n"
        );
        assert_eq!(refused, plan(&prompt));
        // What fails behind the bridge is told by the same words.
        let connected = switch.document(&question, &connect(600)).to_string();
        let (before, after) = connected.split_once("+8613933334444\"/>\n").unwrap();
        assert!(after.starts_with(&prompt), "{after}");
        let tone = before.find("ringback=%(").unwrap();
        assert!(
            before.find("ignore_early_media=true").unwrap() < tone
                && tone < before.find("\"bridge\"").unwrap()
        );

        let refused = twilio::call(&Route::Refuse, Some(audio)).to_string();
        assert!(
            refused.contains("<Say language=\"")
                && refused.contains(audio.words())
                && refused.contains("<Hangup/>")
        );
        assert_eq!(*twilio::call(&connect(5), Some(audio)), refused, "no time is left");
        assert!(twilio::call(&connect(600), Some(audio)).contains(" ringTone=\""));
    }
}

#[test]
fn twilio_gets_these_documents() {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    assert_eq!(
        *twilio::call(&connect(600), None),
        format!(
            "{head}<Response><Dial answerOnBridge=\"true\" callerId=\"{X}\" timeout=\"30\" timeLimit=\"565\"><Number>{COURIER}</Number></Dial></Response>\n"
        )
    );
    assert!(twilio::call(&connect(100_000), None).contains("timeLimit=\"14400\""));
    assert_eq!(*twilio::call(&Route::Refuse, None), format!("{head}<Response><Reject/></Response>\n"));
    // However long it rings it is over in time: Twilio rings five seconds longer than told, and counts from the answer.
    for left in 1..200 {
        let document = twilio::call(&connect(left), None).to_string();
        let told = |name| -> Option<u64> {
            document.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok()
        };
        match (told("timeout"), told("timeLimit")) {
            (Some(ringing), Some(talking)) => {
                assert!(ringing >= 5 && talking >= 1 && ringing + 5 + talking <= left)
            }
            _ => assert!(left <= 10 && document.contains("<Reject/>"), "{left} s: {document}"),
        }
    }
    assert_eq!(
        *twilio::message(&connect(1), "I'm <here> & \"there\""),
        format!(
            "{head}<Response><Message to=\"{COURIER}\" from=\"{X}\"><Body>I&apos;m &lt;here&gt; &amp; &quot;there&quot;</Body></Message></Response>\n"
        )
    );
    let form = b"MessageSid=SM1&From=1&To=2&Body=I%27m+%3Chere%3E";
    assert_eq!(*twilio::text(form).unwrap(), "I'm <here>");
    assert_eq!(twilio::text(b"MessageSid=SM1").unwrap_err(), GatewayError::Missing("Body"));
    assert_eq!(*twilio::message(&Route::Refuse, "anything"), format!("{head}<Response/>\n"));
    // A picture without a text; words for whoever holds the number; more than a message can have.
    for text in ["", "  ", "STOP", " stop. ", "Unsubscribe", "退订", "td"] {
        assert_eq!(*twilio::message(&connect(1), text), format!("{head}<Response/>\n"), "{text}");
    }
    assert!(twilio::message(&connect(1), "Please stop at the gate").contains("<Message"));
    assert_eq!(*twilio::text(b"MessageSid=SM1&Body=Basta&OptOutType=STOP").unwrap(), "");
    let long = |letters: usize| format!("MessageSid=SM1&Body={}", "%E5%A5%BD".repeat(letters));
    assert_eq!(twilio::text(long(1600).as_bytes()).unwrap().chars().count(), 1600);
    assert_eq!(twilio::text(long(1601).as_bytes()).unwrap_err(), GatewayError::Value("Body"));
}

#[test]
fn a_message_passes_once_in_bounded_memory() {
    let once = Once::new();
    for id in 0..Once::REMEMBERED {
        assert!(once.is_first(&format!("SM{id}")));
    }
    let count = (0..Once::REMEMBERED).filter(|id| once.is_first(&format!("SM{id}"))).count();
    assert_eq!(count, 0);
    for id in Once::REMEMBERED..3 * Once::REMEMBERED {
        once.is_first(&format!("SM{id}"));
    }
    assert!(once.is_first("SM0"), "forgotten");
}

#[test]
fn nothing_prints_a_number() {
    let question = parsed(&good()).unwrap();
    let route = connect(600);
    let printed = format!("{question:?} {route:?} {:?}", question.request(&china()));
    assert!(!tells(&printed) && !printed.contains("33334444"), "{printed}");
}

/// What an XML parser makes of escaped text: the five names and the decimal references that are
/// written; and line ends and tabs as the recommendation has them (XML 1.0, 2.11 and 3.3.3).
fn parsed_xml(text: &str) -> String {
    let normalized = text.replace(['\r', '\n', '\t'], " ");
    let mut out = String::new();
    let mut rest = normalized.as_str();
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';').unwrap() + at;
        out.push(match &rest[at + 1..end] {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => char::from_u32(number.strip_prefix('#').unwrap().parse().unwrap()).unwrap(),
        });
        rest = &rest[end + 1..];
    }
    out + rest
}

/// XML 1.0, production 2.
fn is_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

proptest! {
    #[test]
    fn escaped_text_is_itself_again_and_never_markup(text in any::<String>()) {
        let escaped = xml::escaped(&text);
        prop_assert!(escaped.chars().all(|letter| is_xml(letter) && !"<>\"'\t\r\n".contains(letter)));
        let expected: String = text.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
        prop_assert_eq!(parsed_xml(&escaped), expected);
    }

    #[test]
    fn a_context_never_changes_the_document(context in "[ -~\u{80}-\u{2ff}]{1,60}") {
        let encoded: String = context.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let question = freeswitch().question(FORM.replace("=virtual", &format!("={encoded}")).as_bytes()).unwrap();
        let document = freeswitch().document(&question, &connect(600));
        let plain = freeswitch().document(&freeswitch().question(FORM.as_bytes()).unwrap(), &connect(600));
        let escaped = xml::escaped(&context);
        prop_assert_eq!(document.replace(&format!("<context name=\"{}\">", *escaped), "<context name=\"virtual\">"), plain.to_string());
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = serde_json::from_slice::<Question>(&bytes);
        let _ = freeswitch().question(&bytes).map(|question| question.request(&china()));
        let _ = twilio::question(&bytes, Channel::Sms, true).map(|question| question.request(&china()));
    }

    #[test]
    fn a_form_gives_back_what_was_put_in(text in any::<String>()) {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let [value] = form::fields(format!("a=1&b={encoded}&c").as_bytes(), 4096, ["b"]).unwrap();
        prop_assert_eq!(value.unwrap().to_string(), text);
    }

    #[test]
    fn a_question_is_the_same_in_any_order_of_fields(order in Just(vec![0, 1, 2, 3, 4, 5]).prop_shuffle()) {
        let good = good();
        let fields: Vec<String> = good.as_object().unwrap().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text: Vec<&str> = order.iter().map(|place: &usize| fields[*place].as_str()).collect();
        let question: Question = serde_json::from_str(&format!("{{{}}}", text.join(","))).unwrap();
        prop_assert_eq!(presented(&question.request(&china()).unwrap()), Some(CUSTOMER.to_owned()));
    }
}
