//! Plain objects out, and arguments in.

use crate::error::{Outcome, Thrown};
use js_sys::{Object, Reflect, Uint8Array};
use unjoin_core::Timestamp;
use wasm_bindgen::prelude::*;

/// The largest whole number that JavaScript holds exactly.
const LARGEST: f64 = 9_007_199_254_740_991.0;

/// Sets a property of an object that was made here, which takes every property.
pub(crate) fn set(object: &Object, name: &str, value: impl Into<JsValue>) {
    let _ = Reflect::set(object, &name.into(), &value.into());
}

/// An object with these properties.
pub(crate) fn object<const N: usize>(properties: [(&str, JsValue); N]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object
}

pub(crate) fn bytes(bytes: impl AsRef<[u8]>) -> JsValue {
    Uint8Array::from(bytes.as_ref()).into()
}

/// Seconds since 1970, as JavaScript has them.
pub(crate) fn seconds(time: Timestamp) -> JsValue {
    (time.as_unix_seconds() as f64).into()
}

/// `Date.now() / 1000` is one; what is less than a second is left out.
pub(crate) fn time(seconds: f64) -> Outcome<Timestamp> {
    if !(0.0..=LARGEST).contains(&seconds) {
        return Err(Thrown::argument("a time in seconds since 1970"));
    }
    Ok(Timestamp::from_unix_seconds(seconds as u64))
}

/// A whole number of this type.
pub(crate) fn whole<T: TryFrom<u64>>(number: f64, what: &str) -> Outcome<T> {
    let is_whole = (0.0..=LARGEST).contains(&number) && number.trunc() == number;
    let number = is_whole.then_some(number as u64).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Thrown::argument(what))
}

pub(crate) fn array<const N: usize>(bytes: &[u8], what: &str) -> Outcome<[u8; N]> {
    bytes.try_into().map_err(|_| Thrown::argument(&format!("{what}: {N} bytes")))
}
