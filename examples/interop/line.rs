//! One line: a JSON object with byte strings in lower-case hex.

use serde_json::{Value, json};
use std::fmt::{self, Display};

#[derive(Clone)]
pub(crate) struct Line(Value);

impl Line {
    pub(crate) fn new(kind: &str, name: impl Into<String>) -> Self {
        Self(json!({ "kind": kind, "name": name.into() }))
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    pub(crate) fn with_bytes(self, field: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.with(field, hex(bytes))
    }

    #[cfg(test)]
    pub(crate) fn without(mut self, field: &str) -> Self {
        self.0.as_object_mut().unwrap().remove(field);
        self
    }

    /// The line with another value at this place, a JSON pointer.
    pub(crate) fn with_other(mut self, place: &str, value: Value) -> Self {
        if let Some(at) = self.0.pointer_mut(place) {
            *at = value;
        }
        self
    }

    /// An object; `None` for any other JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(Value::is_object).map(Self)
    }

    pub(crate) fn fields(&self) -> &Value {
        &self.0
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or("")
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("kind")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("name")
    }

    pub(crate) fn expects_ok(&self) -> bool {
        self.text("expect") != "refused"
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    unjoin_test_util::hex(bytes.as_ref())
}
