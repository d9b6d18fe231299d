//! Questions and answers as serde values, for JSON.
//!
//! Every visitor answers whatever it does not take with a fixed text. Serde's own errors repeat
//! the value, and the value may be a phone number.

use super::{Address, Attestation, Channel, Question, Route};
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use zeroize::Zeroizing;

/// Whatever else may come, but for the methods named: an error that does not repeat it.
macro_rules! refuse_other {
    ($message:expr; $($method:ident($kind:ty)),+) => {
        $(fn $method<E: Error>(self, _: $kind) -> Result<Self::Value, E> {
            Err(E::custom($message))
        })+
    };
}

impl<'de> Deserialize<'de> for Question {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_map`: a format's own error for something else would repeat it.
        deserializer.deserialize_any(Object)
    }
}

/// Whether a question may have this id.
pub(super) fn fits_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
    (1..=Question::MAX_ID).contains(&id.len()) && id.bytes().all(fits)
}

const NOT_A_QUESTION: &str = "a question is an object";

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Question;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_A_QUESTION)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Question, A::Error> {
        let (mut id, mut caller, mut dialled) = (None, None, None);
        let (mut channel, mut attestation, mut trunk) = (None, None, None);
        while let Some(Text(name)) = map.next_key::<Text>()? {
            let field = FIELDS.into_iter().find(|field| Some(*field) == name.as_deref().map(String::as_str));
            let Some(field) = field else {
                return Err(A::Error::custom("a question has a field that is none of its fields"));
            };
            let Text(value) = map.next_value()?;
            let slot = match field {
                "id" => &mut id,
                "caller" => &mut caller,
                "dialled" => &mut dialled,
                "channel" => &mut channel,
                "attestation" => &mut attestation,
                _ => &mut trunk,
            };
            if slot.replace(value).is_some() {
                return Err(A::Error::custom(format_args!("a question has {field} twice")));
            }
        }
        let missing = |field| A::Error::custom(format_args!("a question lacks {field}"));
        let wrong =
            |field| A::Error::custom(format_args!("a question's {field} has no value that it can have"));
        // Only the caller may be null.
        let text = |slot: Option<Option<Zeroizing<String>>>, field| {
            slot.ok_or_else(|| missing(field))?.ok_or_else(|| wrong(field))
        };
        let id = text(id, "id")?;
        if !fits_id(&id) {
            return Err(wrong("id"));
        }
        Ok(Question {
            id: id.to_string(),
            callers: caller.ok_or_else(|| missing("caller"))?.map(Address::here).into_iter().collect(),
            dialled: Address::here(text(dialled, "dialled")?),
            channel: match text(channel, "channel")?.as_str() {
                "voice" => Channel::Voice,
                "sms" => Channel::Sms,
                _ => return Err(wrong("channel")),
            },
            attestation: match text(attestation, "attestation")?.as_str() {
                "full" => Attestation::Full,
                "partial" => Attestation::Partial,
                "gateway" => Attestation::Gateway,
                "none" => Attestation::None,
                _ => return Err(wrong("attestation")),
            },
            trusted_trunk: match text(trunk, "trunk")?.as_str() {
                "trusted" => true,
                "untrusted" => false,
                _ => return Err(wrong("trunk")),
            },
        })
    }

    refuse_other!(NOT_A_QUESTION; visit_bool(bool), visit_i64(i64), visit_i128(i128), visit_u64(u64),
        visit_u128(u128), visit_f64(f64), visit_str(&str), visit_bytes(&[u8]));

    fn visit_unit<E: Error>(self) -> Result<Question, E> {
        Err(E::custom(NOT_A_QUESTION))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Question, A::Error> {
        Err(A::Error::custom(NOT_A_QUESTION))
    }
}

const FIELDS: [&str; 6] = ["id", "caller", "dialled", "channel", "attestation", "trunk"];

/// A bounded text, or null.
struct Text(Option<Zeroizing<String>>);

const NOT_A_TEXT: &str = "a question's fields are texts of at most 64 bytes, and the caller's may be null";

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyText).map(Text)
    }
}

struct AnyText;

impl<'de> Visitor<'de> for AnyText {
    type Value = Option<Zeroizing<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_A_TEXT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.len() > Question::MAX_NUMBER {
            return Err(E::custom(NOT_A_TEXT));
        }
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    refuse_other!(NOT_A_TEXT; visit_bool(bool), visit_i64(i64), visit_i128(i128), visit_u64(u64),
        visit_u128(u128), visit_f64(f64), visit_bytes(&[u8]));

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom(NOT_A_TEXT))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // Some formats insist that a map that was begun is read.
        let _ = map.next_key::<IgnoredAny>();
        Err(A::Error::custom(NOT_A_TEXT))
    }
}

/// What [`Question::answer`] gives. It names a party's number, so it has no `Debug`.
pub(super) struct Answer<'a> {
    pub(super) id: &'a str,
    pub(super) route: &'a Route,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.route {
            Route::Connect { callee, show, max_duration, call, .. } => {
                let mut answer = serializer.serialize_struct("Answer", 6)?;
                answer.serialize_field("id", self.id)?;
                answer.serialize_field("route", "connect")?;
                answer.serialize_field("callee", callee.to_e164().as_str())?;
                answer.serialize_field("show", &show.to_e164())?;
                answer.serialize_field("max_duration", max_duration)?;
                answer.serialize_field("call", &call.to_string())?;
                answer.end()
            }
            Route::Refuse => {
                let mut answer = serializer.serialize_struct("Answer", 2)?;
                answer.serialize_field("id", self.id)?;
                answer.serialize_field("route", "refuse")?;
                answer.end()
            }
        }
    }
}
