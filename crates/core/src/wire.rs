//! The bytes of every message: `[version u8 = 1][kind u8][body]`.
//!
//! Fields are in a fixed order. Variable fields have a le16 length and a named limit, which is checked
//! before anything is allocated. Trailing bytes, non-canonical encodings, the identity and unknown
//! versions are refused, never negotiated. Decoding then encoding gives the same bytes. The table of
//! kinds is in the wire manual.
//!
//! ```
//! use unjoin_core::wire::{Message, Rule};
//! use unjoin_core::token::Enrolment;
//! let refused = Enrolment::from_bytes(&[2, 1]).unwrap_err();
//! assert_eq!(refused.rule, Rule::Version);
//! ```

#![deny(clippy::arithmetic_side_effects)]

mod fields;

pub use fields::{Field, Sequence, Whole, get_few, put_few};

use crate::algebra::{Element, decode_scalar};
use crate::describe_errors;
use crate::time::Timestamp;
use curve25519_dalek::scalar::Scalar;

/// The only version.
pub const VERSION: u8 = 1;

/// A message that has a kind of its own.
///
/// ```
/// use unjoin_core::{token::Review, wire::{Message, VERSION}};
/// let review = Review::new(2, "Late.", vec![])?;
/// let bytes = review.to_bytes();
/// assert_eq!(bytes[..2], [VERSION, Review::KIND]);
/// assert_eq!(Review::from_bytes(&bytes)?, review);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Message: Sized {
    /// Its number in the table of kinds.
    const KIND: u8;
    /// Its name in errors.
    const NAME: &'static str;
    /// The longest one that serde input may carry, in bytes.
    const MAX_LEN: usize = MAX_MESSAGE;

    /// Appends the body.
    #[doc(hidden)]
    fn encode_body(&self, out: &mut Writer);

    /// Reads the body.
    #[doc(hidden)]
    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The whole message, version and kind included.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(512));
        out.u8(VERSION);
        out.u8(Self::KIND);
        self.encode_body(&mut out);
        out.0
    }

    /// Reads one whole message; nothing may follow it.
    ///
    /// # Errors
    /// Names the message, the field and the rule that the bytes break.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader { rest: bytes, message: Self::NAME, field: "header" };
        if from.u8("version")? != VERSION {
            return Err(from.refuse(Rule::Version));
        }
        if from.u8("kind")? != Self::KIND {
            return Err(from.refuse(Rule::Kind));
        }
        let message = Self::decode_body(&mut from)?;
        from.end()?;
        Ok(message)
    }

    /// The bytes before the last field, which is a signature of 64 bytes.
    #[doc(hidden)]
    fn before_signature(&self) -> Vec<u8> {
        let mut bytes = self.to_bytes();
        bytes.truncate(bytes.len().saturating_sub(64));
        bytes
    }
}

/// The rule that some bytes break.
///
/// ```
/// use unjoin_core::{token::Review, wire::{Message, Rule}};
/// let broken = |bytes: &[u8]| Review::from_bytes(bytes).unwrap_err().rule;
/// assert_eq!((broken(&[1]), broken(&[1, 13]), broken(&[1, 12])), (Rule::Truncated, Rule::Kind, Rule::Truncated));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The bytes end too early.
    Truncated,
    /// Bytes follow the end of the message.
    Trailing,
    /// The version is not 1.
    Version,
    /// Another kind of message.
    Kind,
    /// A length outside the field's named limits.
    Length,
    /// Not the canonical encoding of a group element other than the identity.
    Element,
    /// Not a canonical scalar.
    Scalar,
    /// A value that the field does not allow.
    Value,
}

/// Bytes that are no message: which message, which field, which rule.
///
/// ```
/// use unjoin_core::{token::Review, wire::{DecodeError, Message, Rule}};
/// let mut bytes = Review::new(5, "Fine.", vec![]).unwrap().to_bytes();
/// bytes.push(0);
/// let DecodeError { message, rule, .. } = Review::from_bytes(&bytes).unwrap_err();
/// assert_eq!((message, rule), ("review", Rule::Trailing));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The message's name.
    pub message: &'static str,
    /// The field's name.
    pub field: &'static str,
    /// The rule.
    pub rule: Rule,
}

describe_errors!(DecodeError (Device, false) {
    Self { message, field, rule } => "wire.decode", "not a valid {message}: field {field} breaks the rule {rule:?}";
});

/// Reads fields off the front of some bytes.
#[doc(hidden)]
pub struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
    field: &'static str,
}

impl<'a> Reader<'a> {
    #[doc(hidden)]
    pub fn new(bytes: &'a [u8], message: &'static str) -> Self {
        Self { rest: bytes, message, field: "header" }
    }

    /// The error for the field that was read last.
    #[doc(hidden)]
    pub fn refuse(&self, rule: Rule) -> DecodeError {
        DecodeError { message: self.message, field: self.field, rule }
    }

    /// So many bytes without a length.
    pub(crate) fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], DecodeError> {
        self.field = field;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.refuse(Rule::Truncated))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Whether so many bytes are left: asked before room is made for what they decode to.
    #[doc(hidden)]
    pub fn has_left(&self, length: usize) -> bool {
        self.rest.len() >= length
    }

    #[doc(hidden)]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let taken = self.take(field, N)?;
        taken.try_into().map_err(|_| self.refuse(Rule::Truncated))
    }

    #[doc(hidden)]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    /// A byte that must be 0 or 1.
    #[doc(hidden)]
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.refuse(Rule::Value)),
        }
    }

    #[doc(hidden)]
    pub fn timestamp(&mut self, field: &'static str) -> Result<Timestamp, DecodeError> {
        Ok(Timestamp::from_unix_seconds(self.le64(field)?))
    }

    #[doc(hidden)]
    pub fn element(&mut self, field: &'static str) -> Result<Element, DecodeError> {
        let bytes = self.array(field)?;
        Element::from_bytes(&bytes).ok_or(self.refuse(Rule::Element))
    }

    #[doc(hidden)]
    pub fn elements<const N: usize>(&mut self, field: &'static str) -> Result<[Element; N], DecodeError> {
        let mut elements = Vec::with_capacity(N);
        for _ in 0..N {
            elements.push(self.element(field)?);
        }
        elements.try_into().map_err(|_| self.refuse(Rule::Truncated))
    }

    /// This many elements: each takes six times its bytes, so no room is made for what is not there.
    #[doc(hidden)]
    pub fn element_list(&mut self, field: &'static str, count: u16) -> Result<Vec<Element>, DecodeError> {
        self.field = field;
        if !self.has_left(usize::from(count).saturating_mul(32)) {
            return Err(self.refuse(Rule::Truncated));
        }
        let mut elements = Vec::with_capacity(count.into());
        for _ in 0..count {
            elements.push(self.element(field)?);
        }
        Ok(elements)
    }

    #[doc(hidden)]
    pub fn scalar(&mut self, field: &'static str) -> Result<Scalar, DecodeError> {
        let bytes = self.array(field)?;
        decode_scalar(bytes).ok_or(self.refuse(Rule::Scalar))
    }

    #[doc(hidden)]
    pub fn scalars<const N: usize>(&mut self, field: &'static str) -> Result<[Scalar; N], DecodeError> {
        let mut scalars = [Scalar::ZERO; N];
        for scalar in &mut scalars {
            *scalar = self.scalar(field)?;
        }
        Ok(scalars)
    }

    /// A le16 number of things, within these limits: checked before any of them is read.
    #[doc(hidden)]
    pub fn count(
        &mut self,
        field: &'static str,
        limits: core::ops::RangeInclusive<usize>,
    ) -> Result<u16, DecodeError> {
        match self.le16(field)? {
            count if limits.contains(&count.into()) => Ok(count),
            _ => Err(self.refuse(Rule::Length)),
        }
    }

    /// A le16-length-prefixed field of `least..=most` bytes.
    #[doc(hidden)]
    pub fn bytes(&mut self, field: &'static str, least: usize, most: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.le16(field)?);
        if length < least || length > most {
            return Err(self.refuse(Rule::Length));
        }
        self.take(field, length)
    }

    /// A le32-length-prefixed field of `least..=most` bytes: for what may be longer than
    /// 65,535 of them.
    #[cfg(feature = "passphrase")]
    pub(crate) fn long_bytes(
        &mut self,
        field: &'static str,
        least: usize,
        most: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.le32(field)?).unwrap_or(usize::MAX);
        if length < least || length > most {
            return Err(self.refuse(Rule::Length));
        }
        self.take(field, length)
    }

    /// Whatever is left.
    #[doc(hidden)]
    pub fn rest(&mut self, field: &'static str) -> &'a [u8] {
        self.field = field;
        core::mem::take(&mut self.rest)
    }

    #[doc(hidden)]
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(DecodeError { message: self.message, field: "end", rule: Rule::Trailing }),
        }
    }
}

/// Appends fields to a message.
#[doc(hidden)]
pub struct Writer(Vec<u8>);

impl Writer {
    #[doc(hidden)]
    pub fn new() -> Self {
        Self(Vec::with_capacity(128))
    }

    /// With room for `length` bytes, so that secrets among them are never left behind by a
    /// growing buffer.
    #[doc(hidden)]
    pub fn with_capacity(length: usize) -> Self {
        Self(Vec::with_capacity(length))
    }

    #[doc(hidden)]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    #[doc(hidden)]
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    #[doc(hidden)]
    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    #[doc(hidden)]
    pub fn timestamp(&mut self, value: Timestamp) {
        self.le64(value.as_unix_seconds());
    }

    /// Bytes without a length.
    #[doc(hidden)]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number of things or bytes, le16; their type keeps it below 65,536.
    #[doc(hidden)]
    pub fn count(&mut self, count: usize) {
        debug_assert!(count <= usize::from(u16::MAX));
        self.le16(count as u16);
    }

    /// Bytes behind their le16 length.
    #[doc(hidden)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    #[doc(hidden)]
    pub fn element(&mut self, element: Element) {
        self.raw(element.as_bytes());
    }

    #[doc(hidden)]
    pub fn elements(&mut self, elements: &[Element]) {
        elements.iter().for_each(|element| self.raw(element.as_bytes()));
    }

    #[doc(hidden)]
    pub fn scalar(&mut self, scalar: Scalar) {
        self.raw(scalar.as_bytes());
    }

    #[doc(hidden)]
    pub fn scalars(&mut self, scalars: &[Scalar]) {
        scalars.iter().for_each(|scalar| self.raw(scalar.as_bytes()));
    }
}

/// serde for messages: base64url without padding in human-readable formats, the bytes
/// themselves in binary ones. Strict both ways, as decoding is.
#[doc(hidden)]
#[macro_export]
macro_rules! serde_as_bytes {
    ($($message:ty),+ $(,)?) => {$(
        impl $crate::wire::serde::Serialize for $message {
            fn serialize<S: $crate::wire::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::wire::serialize(&$crate::wire::Message::to_bytes(self), serializer)
            }
        }
        impl<'de> $crate::wire::serde::Deserialize<'de> for $message {
            fn deserialize<D: $crate::wire::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let most = <$message as $crate::wire::Message>::MAX_LEN;
                let bytes = $crate::wire::deserialize(deserializer, most)?;
                $crate::wire::Message::from_bytes(&bytes).map_err($crate::wire::serde::de::Error::custom)
            }
        }
    )+};
}
macro_rules! little_endian {
    ($($name:ident: $number:ty),+) => {$(
        impl Reader<'_> {
            #[doc(hidden)]
            pub fn $name(&mut self, field: &'static str) -> Result<$number, DecodeError> {
                Ok(<$number>::from_le_bytes(self.array(field)?))
            }
        }

        impl Writer {
            #[doc(hidden)]
            pub fn $name(&mut self, value: $number) {
                self.raw(&value.to_le_bytes());
            }
        }
    )+};
}
little_endian!(le16: u16, le32: u32, le64: u64);

#[doc(hidden)]
pub use serde;

/// Bytes whose text is hexadecimal.
#[doc(hidden)]
pub struct Hex<'a>(pub &'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A type of `N` public bytes as text: hexadecimal digits in lower case, by `Display`, `FromStr` and, in readable formats,
/// serde; in others the bytes.
#[doc(hidden)]
#[macro_export]
macro_rules! text_as_hex {
    ($($type:ty: $len:literal, $from:expr;)+) => {$(
        impl ::core::fmt::Display for $type {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&$crate::wire::Hex(&self.as_bytes()[..]), f)
            }
        }
        impl ::core::str::FromStr for $type {
            type Err = $crate::wire::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let from: fn([u8; $len]) -> Option<Self> = $from;
                $crate::wire::hex::<$len>(text).and_then(from).ok_or($crate::wire::HexError { digits: 2 * $len })
            }
        }
        impl $crate::wire::serde::Serialize for $type {
            fn serialize<S: $crate::wire::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(self.as_bytes())
                }
            }
        }
        impl<'de> $crate::wire::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::wire::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use $crate::wire::serde::de::Error;
                let text = |text: &str| text.parse().ok();
                let bytes = |bytes: &[u8]| {
                    let from: fn([u8; $len]) -> Option<Self> = $from;
                    <[u8; $len]>::try_from(bytes).ok().and_then(from)
                };
                $crate::wire::text_or_bytes(deserializer, text, bytes)?
                    .ok_or_else(|| D::Error::custom($crate::wire::HexError { digits: 2 * $len }))
            }
        }
    )+};
}

/// Text that is not the hexadecimal form of what is read.
///
/// ```
/// use unjoin_core::{token::ReviewId, wire::HexError};
/// assert_eq!("AB".repeat(32).parse::<ReviewId>(), Err(HexError { digits: 64 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexError {
    /// The digits that it has.
    pub digits: usize,
}

crate::describe_errors!(HexError (Host, false) {
    Self { digits } => "hex",
        "this is not what was meant: give the {digits} hexadecimal digits in lower case, unchanged";
});

/// `N` bytes from exactly `2 N` digits in lower case: one text for one value.
#[doc(hidden)]
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let pairs: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(core::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect();
    pairs?.try_into().ok()
}

/// Reads a short value from its text where the format is readable and from its bytes where it is not; from either
/// where serde has buffered it, and forgotten which kind the format was.
#[doc(hidden)]
pub fn text_or_bytes<'de, D: serde::Deserializer<'de>, T>(
    deserializer: D,
    from_text: impl FnOnce(&str) -> Option<T>,
    from_bytes: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    struct Short<T, B>(T, B);
    impl<T, A: FnOnce(&str) -> Option<T>, B: FnOnce(&[u8]) -> Option<T>> serde::de::Visitor<'_> for Short<A, B> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("a short text, or its bytes")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<T>, E> {
            Ok((self.0)(text))
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Option<T>, E> {
            Ok((self.1)(bytes))
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Short(from_text, from_bytes))
    } else {
        deserializer.deserialize_bytes(Short(from_text, from_bytes))
    }
}

/// The longest message that serde input may carry, in bytes, unless its kind says otherwise:
/// bounds what a deserializer keeps before decoding.
pub const MAX_MESSAGE: usize = 1 << 16;

#[doc(hidden)]
pub fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    use base64ct::{Base64UrlUnpadded, Encoding};
    if serializer.is_human_readable() {
        serializer.serialize_str(&Base64UrlUnpadded::encode_string(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

#[doc(hidden)]
pub fn deserialize<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
    most: usize,
) -> Result<Vec<u8>, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Visitor { is_readable: true, most })
    } else {
        // Some formats give borrowed bytes from a buffer of a few KiB, and refuse longer ones: these are owned.
        deserializer.deserialize_byte_buf(Visitor { is_readable: false, most })
    }
}

/// What serde buffers for an internally tagged, untagged or flattened type calls itself readable, whatever the format: so
/// a readable one may give bytes, too. One that is read straight gives its own form, or is refused.
struct Visitor {
    is_readable: bool,
    most: usize,
}

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.is_readable {
            "a message in base64url without padding"
        } else {
            "a message's bytes"
        })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        use base64ct::{Base64UrlUnpadded, Encoding};
        if !self.is_readable || text.len() > self.most.div_ceil(3).saturating_mul(4) {
            return Err(E::invalid_length(text.len(), &self));
        }
        Base64UrlUnpadded::decode_vec(text).map_err(|_| E::custom("not base64url without padding"))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        if bytes.len() > self.most {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(bytes.to_vec())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        if self.is_readable {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element::<u8>()? {
            if bytes.len() == self.most {
                return Err(serde::de::Error::invalid_length(bytes.len(), &self));
            }
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
