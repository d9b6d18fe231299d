//! Names: opaque bytes, 1 to 64 of them.

use crate::describe_errors;
use crate::wire::{DecodeError, Reader, Rule, Writer};
use core::fmt;

/// A name of an issuer, an account, a merchant or an audience: 1 to 64 opaque bytes.
///
/// Compared byte by byte, never normalised. `Debug` prints its length alone, since it may
/// be somebody's account.
///
/// ```
/// use unjoin_core::Name;
/// let account = Name::new("account-7")?;
/// assert_eq!(account.as_bytes(), b"account-7");
/// assert_eq!(format!("{account:?}"), "Name(9 bytes)");
/// assert_ne!(account, Name::new("Account-7")?);
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
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

    /// The name as text; `None` if its bytes are not UTF-8. There is no `Display`, because an account that is
    /// written into a log should be seen in the code.
    ///
    /// ```
    /// use unjoin_core::Name;
    /// let name: Name = "lamps.example".parse()?;
    /// assert_eq!(name.as_str(), Some("lamps.example"));
    /// # Ok::<(), unjoin_core::NameError>(())
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
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

/// The 16 bytes: how telephony names an order.
impl From<crate::token::OrderHandle> for Name {
    fn from(handle: crate::token::OrderHandle) -> Self {
        Self(handle.0.to_vec())
    }
}

impl core::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// In readable formats a text, and an error for bytes that are none; in others the bytes.
impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        if serializer.is_human_readable() {
            let text =
                self.as_str().ok_or_else(|| S::Error::custom("a name that is not UTF-8 has no text"))?;
            serializer.serialize_str(text)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let read = crate::wire::text_or_bytes(
            deserializer,
            |text| Some(Self::new(text)),
            |bytes| Some(Self::new(bytes)),
        )?;
        read.ok_or_else(|| D::Error::custom("no name"))?.map_err(D::Error::custom)
    }
}

/// A name with no bytes or with too many.
///
/// ```
/// use unjoin_core::{Name, NameError};
/// assert_eq!(Name::new([7; 65]), Err(NameError { length: 65 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError {
    /// The bytes that were given.
    pub length: usize,
}

describe_errors!(NameError (Host, false) {
    Self { length } => "name", "a name has 1 to 64 bytes, not {length}: hash longer ones";
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{IssuerKey, IssuerPublicKey, OrderHandle, PlatformKey, PlatformPublicKey, ReviewId};
    use crate::wire::HexError;
    use core::fmt::{Debug, Display};
    use core::str::FromStr;
    use serde::{Serialize, de::DeserializeOwned};
    use unjoin_test_util::Seeded;

    #[test]
    fn a_name_is_its_text_in_json_and_is_refused_where_it_has_none() {
        let name = Name::new("lamps, Köln").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"lamps, Köln\"");
        assert_eq!(serde_json::from_str::<Name>("\"lamps, Köln\"").unwrap(), name);
        assert_eq!("lamps, Köln".parse(), Ok(name));
        let bytes = Name::new([0xff]).unwrap();
        assert_eq!(bytes.as_str(), None);
        assert!(serde_json::to_string(&bytes).is_err());
        let long = "x".repeat(65);
        assert_eq!(Name::try_from(long.clone()), Err(NameError { length: 65 }));
        assert!(serde_json::from_str::<Name>(&format!("\"{long}\"")).is_err());
        assert!(serde_json::from_str::<Name>("\"\"").is_err());
    }

    fn has_one_text<T>(value: T, bytes: &[u8])
    where
        T: Display + FromStr<Err = HexError> + Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let text = value.to_string();
        assert_eq!(text, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!(text.parse::<T>().as_ref(), Ok(&value));
        assert_eq!(serde_json::from_str::<T>(&serde_json::to_string(&value).unwrap()).unwrap(), value);
        for wrong in [text.to_uppercase(), format!("{text}0"), format!(" {text}"), text[2..].to_owned()] {
            assert_eq!(wrong.parse::<T>(), Err(HexError { digits: text.len() }), "{wrong}");
            assert!(serde_json::from_str::<T>(&format!("\"{wrong}\"")).is_err());
        }
    }

    #[test]
    fn identifiers_and_public_keys_have_one_text_each() {
        let rng = &mut Seeded(7);
        let (platform, issuer) = (PlatformKey::generate(rng), IssuerKey::generate(rng));
        has_one_text(OrderHandle([0xab; 16]), &[0xab; 16]);
        has_one_text(ReviewId([0xcd; 32]), &[0xcd; 32]);
        has_one_text(platform.public(), platform.public().as_bytes());
        has_one_text(*issuer.public(), issuer.public().element().as_bytes());
        // What is no key is refused as text, too.
        let small = "01".to_owned() + &"00".repeat(31);
        assert!(small.parse::<PlatformPublicKey>().is_err());
        assert!("ff".repeat(32).parse::<IssuerPublicKey>().is_err());
        let again = PlatformKey::from_secret_bytes(&platform.to_secret_bytes().unwrap());
        assert_eq!(again.public(), platform.public());
    }
}
