//! What has one encoding wherever it stands, and what is nothing but such fields: one list says how it is written and
//! how it is read.

use super::{DecodeError, MAX_MESSAGE, Message, Reader, Rule, Writer};
use crate::algebra::proof::Proof;
use crate::algebra::{Element, Escrow, EscrowKey};
use crate::name::Name;
use crate::time::Timestamp;
use crate::token::{AuthorKey, IssuerPublicKey, OrderHandle, ReviewId, Scope};
use core::ops::RangeInclusive;
use curve25519_dalek::scalar::Scalar;

/// A part of a message or of a stored row.
#[doc(hidden)]
pub trait Field: Sized {
    /// Appends it.
    fn put(&self, out: &mut Writer);

    /// Reads it; `field` is what errors call it.
    ///
    /// # Errors
    /// When the bytes are none that [`put`](Self::put) writes.
    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError>;
}

macro_rules! plain_fields {
    ($($type:ty: $name:ident;)+) => {$(
        impl Field for $type {
            fn put(&self, out: &mut Writer) {
                out.$name(*self);
            }

            fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
                from.$name(field)
            }
        }
    )+};
}
plain_fields! { u8: u8; u16: le16; u32: le32; u64: le64; bool: bool; Timestamp: timestamp; Element: element; Scalar: scalar; }

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Writer) {
        out.raw(self);
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        from.array(field)
    }
}

/// One after the other.
macro_rules! array_fields {
    ($($number:ty),+) => {$(
        impl<const N: usize> Field for [$number; N] {
            fn put(&self, out: &mut Writer) {
                self.iter().for_each(|number| number.put(out));
            }

            fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
                let mut numbers = [0; N];
                for number in &mut numbers {
                    *number = Field::get(from, field)?;
                }
                Ok(numbers)
            }
        }
    )+};
}
array_fields!(u16, u64);

/// Wrapped in a type of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! wrapped_fields {
    ($($type:ident),+) => {$(
        impl $crate::wire::Field for $type {
            fn put(&self, out: &mut $crate::wire::Writer) {
                $crate::wire::Field::put(&self.0, out);
            }

            fn get(
                from: &mut $crate::wire::Reader<'_>,
                field: &'static str,
            ) -> Result<Self, $crate::wire::DecodeError> {
                $crate::wire::Field::get(from, field).map(Self)
            }
        }
    )+};
}
wrapped_fields!(AuthorKey, OrderHandle, ReviewId);

impl Field for Name {
    fn put(&self, out: &mut Writer) {
        self.encode(out);
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        Self::decode(from, field)
    }
}

/// Its parts have names of their own.
impl<const T: usize, const Z: usize> Field for Proof<T, Z> {
    fn put(&self, out: &mut Writer) {
        out.elements(&self.commitments);
        out.scalars(&self.responses);
    }

    fn get(from: &mut Reader<'_>, _: &'static str) -> Result<Self, DecodeError> {
        Ok(Self { commitments: from.elements("T")?, responses: from.scalars("z")? })
    }
}

/// A byte that says whether there is one, and it.
impl<F: Field> Field for Option<F> {
    fn put(&self, out: &mut Writer) {
        out.bool(self.is_some());
        self.iter().for_each(|value| value.put(out));
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        Ok(if from.bool(field)? { Some(F::get(from, field)?) } else { None })
    }
}

/// Enumerations without fields whose values are their bytes; other bytes are refused.
#[doc(hidden)]
#[macro_export]
macro_rules! one_byte {
    ($enumeration:ident: $($value:ident),+) => {
        impl $crate::wire::Field for $enumeration {
            fn put(&self, out: &mut $crate::wire::Writer) {
                out.u8(*self as u8);
            }

            fn get(
                from: &mut $crate::wire::Reader<'_>,
                field: &'static str,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let byte = from.u8(field)?;
                let value = [$(Self::$value),+].into_iter().find(|value| *value as u8 == byte);
                value.ok_or(from.refuse($crate::wire::Rule::Value))
            }
        }
    };
}

/// Its parts have names of their own.
impl Field for Scope {
    fn put(&self, out: &mut Writer) {
        self.encode(out);
    }

    fn get(from: &mut Reader<'_>, _: &'static str) -> Result<Self, DecodeError> {
        Self::decode(from)
    }
}

/// A part of a message that is itself one: its body, without version and kind.
impl<M: Message> Field for M {
    fn put(&self, out: &mut Writer) {
        self.encode_body(out);
    }

    fn get(from: &mut Reader<'_>, _: &'static str) -> Result<Self, DecodeError> {
        Self::decode_body(from)
    }
}

/// Public keys that are an element, and know its digest.
macro_rules! element_fields {
    ($($key:ty),+) => {$(
        impl Field for $key {
            fn put(&self, out: &mut Writer) {
                out.element(*self.element());
            }

            fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
                from.element(field).map(Self::new)
            }
        }
    )+};
}
element_fields!(EscrowKey, IssuerPublicKey);

/// The least and the most that there may be of something.
type Limits = RangeInclusive<usize>;

/// Several of something behind their number (le16), which must lie within limits.
#[doc(hidden)]
pub trait Sequence: Sized {
    /// Appends them.
    fn put(&self, out: &mut Writer);

    /// Reads them.
    ///
    /// # Errors
    /// [`Rule::Length`] when they are fewer or more than `limits` say; nothing is allocated then.
    fn get(from: &mut Reader<'_>, field: &'static str, limits: Limits) -> Result<Self, DecodeError>;
}

impl Sequence for Vec<u8> {
    fn put(&self, out: &mut Writer) {
        out.bytes(self);
    }

    fn get(from: &mut Reader<'_>, field: &'static str, limits: Limits) -> Result<Self, DecodeError> {
        from.bytes(field, *limits.start(), *limits.end()).map(<[u8]>::to_vec)
    }
}

/// Its bytes of UTF-8.
impl Sequence for String {
    fn put(&self, out: &mut Writer) {
        out.bytes(self.as_bytes());
    }

    fn get(from: &mut Reader<'_>, field: &'static str, limits: Limits) -> Result<Self, DecodeError> {
        let bytes = from.bytes(field, *limits.start(), *limits.end())?;
        Ok(core::str::from_utf8(bytes).map_err(|_| from.refuse(Rule::Value))?.to_owned())
    }
}

impl Sequence for Vec<[u8; 32]> {
    fn put(&self, out: &mut Writer) {
        out.count(self.len());
        self.iter().for_each(|hash| out.raw(hash));
    }

    fn get(from: &mut Reader<'_>, field: &'static str, limits: Limits) -> Result<Self, DecodeError> {
        let count = from.count(field, limits)?;
        (0..count).map(|_| from.array(field)).collect()
    }
}

impl Sequence for Vec<Element> {
    fn put(&self, out: &mut Writer) {
        out.count(self.len());
        out.elements(self);
    }

    fn get(from: &mut Reader<'_>, field: &'static str, limits: Limits) -> Result<Self, DecodeError> {
        let count = from.count(field, limits)?;
        from.element_list(field, count)
    }
}

/// A few of something behind their number in one byte; more than 255 are never written.
#[doc(hidden)]
pub fn put_few<F: Field>(values: &[F], out: &mut Writer) {
    out.u8(u8::try_from(values.len()).unwrap_or(u8::MAX));
    values.iter().for_each(|value| value.put(out));
}

/// What [`put_few`] writes.
///
/// # Errors
/// [`Rule::Length`] when they are more than `most`.
#[doc(hidden)]
pub fn get_few<F: Field>(
    from: &mut Reader<'_>,
    field: &'static str,
    most: usize,
) -> Result<Vec<F>, DecodeError> {
    let count = from.u8(field)?;
    if usize::from(count) > most {
        return Err(from.refuse(Rule::Length));
    }
    (0..count).map(|_| F::get(from, field)).collect()
}

/// A whole message behind its length (le16), version and kind included.
#[doc(hidden)]
pub trait Whole: Sized {
    /// Appends it.
    fn put(&self, out: &mut Writer);

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with the message.
    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError>;
}

impl<M: Message> Whole for M {
    fn put(&self, out: &mut Writer) {
        out.bytes(&self.to_bytes());
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        M::from_bytes(from.bytes(field, 1, MAX_MESSAGE)?)
    }
}

/// Nothing behind the length 0.
impl<M: Message> Whole for Option<M> {
    fn put(&self, out: &mut Writer) {
        out.bytes(&self.as_ref().map(M::to_bytes).unwrap_or_default());
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        match from.bytes(field, 0, MAX_MESSAGE)? {
            [] => Ok(None),
            bytes => M::from_bytes(bytes).map(Some),
        }
    }
}

/// A part of messages that is fields, one after the other, each with its name in errors:
/// `fields!(Escrow: e1 as "E1", e2 as "E2")`. A field that is no [`Field`] is followed by how it is written: `of(1..=64)`
/// for a [`Sequence`] of so many, `few(3)` for at most so many behind one byte, `whole` for a [`Whole`] message, `rest` for all bytes that are left.
#[doc(hidden)]
#[macro_export]
macro_rules! fields {
    ($part:ident: $($field:ident as $text:literal $($how:ident $(($limits:expr))?)?),+ $(,)?) => {
        impl $crate::wire::Field for $part {
            fn put(&self, out: &mut $crate::wire::Writer) {
                $($crate::fields!(@put self.$field, out $(, $how $(($limits))?)?);)+
            }

            fn get(
                from: &mut $crate::wire::Reader<'_>,
                _: &'static str,
            ) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $($field: $crate::fields!(@get from, $text $(, $how $(($limits))?)?)),+ })
            }
        }
    };
    (@put $value:expr, $out:ident) => { $crate::wire::Field::put(&$value, $out) };
    (@put $value:expr, $out:ident, of($limits:expr)) => { $crate::wire::Sequence::put(&$value, $out) };
    (@put $value:expr, $out:ident, few($most:expr)) => { $crate::wire::put_few(&$value, $out) };
    (@put $value:expr, $out:ident, whole) => { $crate::wire::Whole::put(&$value, $out) };
    (@put $value:expr, $out:ident, rest) => { $out.raw(&$value) };
    (@get $from:ident, $text:expr) => { $crate::wire::Field::get($from, $text)? };
    (@get $from:ident, $text:expr, of($limits:expr)) => { $crate::wire::Sequence::get($from, $text, $limits)? };
    (@get $from:ident, $text:expr, few($most:expr)) => { $crate::wire::get_few($from, $text, $most)? };
    (@get $from:ident, $text:expr, whole) => { $crate::wire::Whole::get($from, $text)? };
    (@get $from:ident, $text:expr, rest) => { $from.rest($text).to_vec() };
}
fields!(Escrow: e1 as "E1", e2 as "E2");

/// A part that is one of several, behind a byte that says which: `one_of!(State: 0 => Unbound, 1 => Live(leg as "leg"))`.
/// Other bytes are refused.
#[doc(hidden)]
#[macro_export]
macro_rules! one_of {
    ($choice:ident: $(
        $byte:literal => $variant:ident $(($held:ident as $text:literal $($how:ident $(($limits:expr))?)?))?
    ),+ $(,)?) => {
        impl $crate::wire::Field for $choice {
            fn put(&self, out: &mut $crate::wire::Writer) {
                match self {$(
                    Self::$variant $(($held))? => {
                        out.u8($byte);
                        $($crate::fields!(@put *$held, out $(, $how $(($limits))?)?);)?
                    }
                )+}
            }

            fn get(
                from: &mut $crate::wire::Reader<'_>,
                field: &'static str,
            ) -> Result<Self, $crate::wire::DecodeError> {
                Ok(match from.u8(field)? {
                    $($byte => Self::$variant $(($crate::fields!(@get from, $text $(, $how $(($limits))?)?)))?,)+
                    _ => return Err(from.refuse($crate::wire::Rule::Value)),
                })
            }
        }
    };
}

/// A message that is [`fields!`], one after the other, each with its name in errors. Behind `if` stands what they must
/// fulfil together; a message that does not is refused.
///
/// ```
/// use unjoin_core::{message, wire::{Message, Rule}};
/// #[derive(Debug, PartialEq)]
/// struct Piece { piece: u16, of: u16, bytes: Vec<u8> }
/// message!(Piece = 200, "piece": piece as "piece", of as "of", bytes as "bytes" of(1..=512);
///     if |message| message.piece < message.of);
/// let piece = Piece { piece: 1, of: 2, bytes: vec![7] };
/// assert_eq!(piece.to_bytes(), [1, 200, 1, 0, 2, 0, 1, 0, 7]);
/// assert_eq!(Piece::from_bytes(&piece.to_bytes()), Ok(piece));
/// assert_eq!(Piece::from_bytes(&[1, 200, 2, 0, 2, 0, 1, 0, 7]).unwrap_err().rule, Rule::Value);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! message {
    ($message:ident = $kind:literal, $name:literal:
        $($field:ident as $text:literal $($how:ident $(($limits:expr))?)?),+ $(,)? $(; if $fits:expr)?
    ) => {
        impl $crate::wire::Message for $message {
            const KIND: u8 = $kind;
            const NAME: &'static str = $name;

            fn encode_body(&self, out: &mut $crate::wire::Writer) {
                $($crate::fields!(@put self.$field, out $(, $how $(($limits))?)?);)+
            }

            fn decode_body(from: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::DecodeError> {
                let message = Self { $($field: $crate::fields!(@get from, $text $(, $how $(($limits))?)?)),+ };
                $(
                    let fits: fn(&Self) -> bool = $fits;
                    if !fits(&message) {
                        return Err(from.refuse($crate::wire::Rule::Value));
                    }
                )?
                Ok(message)
            }
        }
    };
}
