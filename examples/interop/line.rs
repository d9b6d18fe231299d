//! One line: a JSON object with byte strings in lower-case hex.

use serde_json::{Map, Value};
use std::fmt::{self, Display};

#[derive(Clone)]
pub(crate) struct Line(Map<String, Value>);

/// Why a line is no line of its kind.
#[derive(Debug)]
pub(crate) struct Mistake(String);

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

impl Mistake {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl Line {
    pub(crate) fn new(kind: &str, name: impl Into<String>) -> Self {
        Self(Map::new()).with("kind", kind).with("name", name.into())
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    pub(crate) fn with_bytes(self, field: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.with(field, hex(bytes.as_ref()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Mistake::new("not a JSON object")),
            Err(error) => Err(Mistake::new(format!("not JSON: {error}"))),
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.0.get("kind").and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn name(&self) -> &str {
        self.0.get("name").and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn expects_ok(&self) -> bool {
        self.0.get("expect").and_then(Value::as_str) != Some("refused")
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    fn value(&self, field: &str) -> Result<&Value, Mistake> {
        self.0.get(field).ok_or_else(|| Mistake::new(format!("field {field} is missing")))
    }

    pub(crate) fn bytes(&self, field: &str) -> Result<Vec<u8>, Mistake> {
        unhex(self.value(field)?).ok_or_else(|| Mistake::new(format!("field {field} is not hex")))
    }

    pub(crate) fn array<const N: usize>(&self, field: &str) -> Result<[u8; N], Mistake> {
        let bytes = self.bytes(field)?;
        bytes.try_into().map_err(|_| Mistake::new(format!("field {field} has not {N} bytes")))
    }

    /// Byte strings in a list.
    pub(crate) fn list(&self, field: &str) -> Result<Vec<Vec<u8>>, Mistake> {
        let list = self.value(field)?.as_array().map(|list| list.iter().map(unhex).collect());
        list.flatten().ok_or_else(|| Mistake::new(format!("field {field} is not a list of hex")))
    }

    /// A number, or a decimal string where it may not fit a double.
    pub(crate) fn number(&self, field: &str) -> Result<u64, Mistake> {
        decimal(self.value(field)?).ok_or_else(|| Mistake::new(format!("field {field} is not a number")))
    }

    pub(crate) fn numbers(&self, field: &str) -> Result<Vec<u64>, Mistake> {
        let list = self.value(field)?.as_array().map(|list| list.iter().map(decimal).collect());
        list.flatten().ok_or_else(|| Mistake::new(format!("field {field} is not a list of numbers")))
    }

    pub(crate) fn truth(&self, field: &str) -> Result<bool, Mistake> {
        self.value(field)?
            .as_bool()
            .ok_or_else(|| Mistake::new(format!("field {field} is not true or false")))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(self.0.clone()))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?.as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

fn decimal(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
