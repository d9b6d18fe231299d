//! The fields of a request's JSON object: each is asked for once, and none may be left over.
//! No error repeats what came.

use crate::hex::unhex;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};

/// A body as it was read, or why it was not.
pub(crate) type Body = Result<Bytes, BytesRejection>;

pub(crate) fn bytes(body: Body) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::body(),
    })
}

pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads `body`, takes from it what `read` takes, and refuses what is left.
    pub(crate) fn read<T>(
        body: Body,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut fields = Self(serde_json::from_slice(&bytes(body)?).map_err(|_| Problem::json())?);
        let value = read(&mut fields)?;
        if fields.0.is_empty() { Ok(value) } else { Err(Problem::other_fields()) }
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, Problem> {
        match self.0.remove(field) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Problem::field(field)),
        }
    }

    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, Problem> {
        self.0.remove(field).and_then(|value| value.as_u64()).ok_or(Problem::field(field))
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
