//! The fields of a request's JSON object: each is asked for once, and none may be left over, so none
//! may come twice. No error repeats what came.

use crate::arrival::Arrived;
use crate::hex::unhex;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use unjoin::token::Scope;
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};

pub(crate) struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Object)
    }
}

impl Fields {
    /// Reads `body`, takes from it what `read` takes, and refuses what is left.
    pub(crate) fn read<T>(
        body: Arrived,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut fields: Self = serde_json::from_slice(&body.0?).map_err(|_| Problem::json())?;
        let value = read(&mut fields)?;
        if fields.0.is_empty() { Ok(value) } else { Err(Problem::other_fields()) }
    }

    /// For an endpoint that takes no field: `{}`.
    pub(crate) fn none(body: Arrived) -> Result<(), Problem> {
        Self::read(body, |_| Ok(()))
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        let at = self.0.iter().position(|(name, _)| name == field)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, Problem> {
        match self.take(field) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Problem::field(field)),
        }
    }

    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, Problem> {
        self.take(field).and_then(|value| value.as_u64()).ok_or(Problem::field(field))
    }

    pub(crate) fn timestamp(&mut self, field: &'static str) -> Result<Timestamp, Problem> {
        self.number(field).map(Timestamp::from_unix_seconds)
    }

    pub(crate) fn name(&mut self, field: &'static str) -> Result<Name, Problem> {
        Ok(Name::new(self.text(field)?)?)
    }

    /// `N` bytes as hexadecimal digits.
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Problem> {
        unhex(&self.text(field)?).ok_or(Problem::field(field))
    }

    /// A token's scope: its bytes as a message's.
    pub(crate) fn scope(&mut self, field: &'static str) -> Result<Scope, Problem> {
        let bytes = Base64UrlUnpadded::decode_vec(&self.text(field)?).map_err(|_| Problem::field(field))?;
        Ok(Scope::from_bytes(&bytes)?)
    }

    /// A message of the protocol: its bytes as base64url without padding.
    pub(crate) fn message<M: Message>(&mut self, field: &'static str) -> Result<M, Problem> {
        let bytes = Base64UrlUnpadded::decode_vec(&self.text(field)?).map_err(|_| Problem::field(field))?;
        Ok(M::from_bytes(&bytes)?)
    }
}

/// A message's bytes as the endpoints write them.
pub(crate) fn encoded(message: &impl Message) -> String {
    Base64UrlUnpadded::encode_string(&message.to_bytes())
}

/// What the path of a listing names.
pub(crate) struct Listing {
    pub(crate) merchant: Name,
    /// What came last on the page before, as text.
    pub(crate) after: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<Vec<String>>::from_request_parts(parts, state).await;
        let Path(mut names) = path.map_err(|_| Problem::path())?;
        let after = if names.len() > 1 { names.pop() } else { None };
        let merchant = names.pop().ok_or_else(Problem::path)?;
        Ok(Self { merchant: Name::new(merchant)?, after })
    }
}
