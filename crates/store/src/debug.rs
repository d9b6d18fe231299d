//! What the store's types print: lengths. Keys and values name accounts, orders, tokens and
//! reviews, which no log may hold, and a version could be guessed back to a short value.

use super::{Outcome, Precondition, Row, RowKey, Version, Write};
use std::fmt::{Debug, DebugTuple, Formatter, Result};

/// Prints as the number of its bytes.
struct Length<'a>(&'a [u8]);

impl Debug for Length<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} bytes", self.0.len())
    }
}

fn lengths<'f, 'b>(mut tuple: DebugTuple<'f, 'b>, parts: &[&[u8]]) -> Result {
    parts.iter().for_each(|part| {
        tuple.field(&Length(part));
    });
    tuple.finish()
}

impl Debug for RowKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RowKey").field("bucket", &self.bucket).field("key", &Length(&self.key)).finish()
    }
}

impl Debug for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Row").field("key", &Length(&self.key)).field("value", &Length(&self.value)).finish()
    }
}

impl Debug for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("Version(..)")
    }
}

impl Debug for Precondition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Absent(key) => lengths(f.debug_tuple("Absent"), &[key]),
            Self::At(key, _) => lengths(f.debug_tuple("At"), &[key]),
        }
    }
}

impl Debug for Write {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Put(key, value) => lengths(f.debug_tuple("Put"), &[key, value]),
            Self::Delete(key) => lengths(f.debug_tuple("Delete"), &[key]),
        }
    }
}

impl Debug for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Committed => f.write_str("Committed"),
            Self::Conflict(key) => lengths(f.debug_tuple("Conflict"), &[key]),
            Self::NotReached => f.write_str("NotReached"),
        }
    }
}
