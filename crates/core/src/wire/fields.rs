//! What has one encoding wherever it stands, and what is nothing but such fields: one list says how it is written and
//! how it is read.

use super::{DecodeError, Reader, Writer};
use crate::algebra::Element;
use crate::algebra::proof::Proof;
use crate::name::Name;
use crate::time::Timestamp;
use crate::token::{AuthorKey, OrderHandle, ReviewId, Scope};
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
impl Field for Scope {
    fn put(&self, out: &mut Writer) {
        self.encode(out);
    }

    fn get(from: &mut Reader<'_>, _: &'static str) -> Result<Self, DecodeError> {
        Self::decode(from)
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

/// A message that is its fields, one after the other, each with its name in errors.
#[doc(hidden)]
#[macro_export]
macro_rules! message {
    ($message:ident = $kind:literal, $name:literal: $($field:ident as $text:literal),+ $(,)?) => {
        impl $crate::wire::Message for $message {
            const KIND: u8 = $kind;
            const NAME: &'static str = $name;

            fn encode_body(&self, out: &mut $crate::wire::Writer) {
                $($crate::wire::Field::put(&self.$field, out);)+
            }

            fn decode_body(from: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $($field: $crate::wire::Field::get(from, $text)?),+ })
            }
        }
    };
}
