//! Names: opaque bytes, 1 to 64 of them.

use crate::describe_errors;
use crate::wire::{DecodeError, Reader, Rule, Writer};
use core::fmt;

/// A name of an issuer, an account, a merchant or an audience: 1 to 64 opaque bytes.
///
/// Compared byte by byte, never normalised. `Debug` prints its length alone, since it may
/// be somebody's account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// The most bytes a name may have.
    pub const MAX_LEN: usize = 64;

    /// A name of these bytes.
    ///
    /// # Errors
    /// [`NameError`] when there are none, or more than [`Name::MAX_LEN`].
    ///
    /// ```
    /// use unjoin_core::Name;
    /// assert!(Name::new("merchant-0001").is_ok());
    /// assert!(Name::new("").is_err());
    /// ```
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            1..=Self::MAX_LEN => Ok(Self(bytes.to_vec())),
            length => Err(NameError { length }),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[doc(hidden)]
    pub fn encode(&self, out: &mut Writer) {
        out.bytes(&self.0);
    }

    #[doc(hidden)]
    pub fn decode(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        let bytes = from.bytes(field, 1, Self::MAX_LEN)?;
        Self::new(bytes).map_err(|_| from.refuse(Rule::Length))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({} bytes)", self.0.len())
    }
}

/// A name with no bytes or with too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError {
    /// The bytes that were given.
    pub length: usize,
}

describe_errors!(NameError {
    Self { length } => "name", Host, false,
        "a name has 1 to 64 bytes, not {length}: hash longer ones";
});
