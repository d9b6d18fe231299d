//! What is in a vector, and in a line of the messages exchanged with another implementation.
//! A field that is missing or is none of its kind is its writer's mistake: a panic,
//! never a refusal.

use curve25519_dalek::scalar::Scalar;
use serde_json::Value;
use std::collections::VecDeque;
use unjoin_core::Name;
use unjoin_core::algebra::{Element, decode_scalar};
use unjoin_core::secret::{SecretBytes, SecretScalar, SystemRng};
use unjoin_core::token::{IssuerKey, Scope};
use unjoin_core::wire::Message;
pub(super) use unjoin_test_util::Draws;

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// The cases of a file, which has so many.
pub(super) fn cases(file: &Value, count: usize) -> &[Value] {
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), count);
    cases
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().expect("a field in hex").as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit in hex") as u8;
    assert!(hex.len().is_multiple_of(2));
    hex.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(super) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap_or_else(|_| panic!("not {N} bytes: {value}"))
}

/// A number, or a decimal string where it may not fit a double.
pub(super) fn number(value: &Value) -> u64 {
    match value.as_str() {
        Some(decimal) => decimal.parse().unwrap(),
        None => value.as_u64().expect("a number"),
    }
}

pub(super) fn small<T: TryFrom<u64, Error: core::fmt::Debug>>(value: &Value) -> T {
    number(value).try_into().unwrap()
}

pub(super) fn element(value: &Value) -> Element {
    Element::from_bytes(&array(value)).expect("an element")
}

pub(super) fn scalar(value: &Value) -> Scalar {
    decode_scalar(array(value)).expect("a scalar")
}

pub(super) fn secret(value: &Value) -> SecretScalar {
    SecretScalar::new(scalar(value))
}

pub(super) fn name(value: &Value) -> Name {
    Name::new(bytes(value)).unwrap()
}

pub(super) fn scope(value: &Value) -> Scope {
    Scope::from_bytes(&bytes(value)).unwrap()
}

pub(super) fn message<M: Message>(value: &Value) -> M {
    M::from_bytes(&bytes(value)).unwrap()
}

pub(super) fn elements(value: &Value) -> Vec<Element> {
    list(value).iter().map(element).collect()
}

/// The issuing key with secret scalar `x`; verifying needs no PRF key.
pub(super) fn issuer_key(x: &Value, prf_key: [u8; 32]) -> IssuerKey {
    let mut secrets = [0; 64];
    secrets[..32].copy_from_slice(&array::<32>(x));
    secrets[32..].copy_from_slice(&prf_key);
    IssuerKey::from_secret_bytes(&SecretBytes::new(secrets)).expect("an issuing key")
}

pub(super) fn system() -> SystemRng {
    SystemRng::new()
}

/// A generator that returns the given strings in order, one a call, and nothing else: the
/// code under test must draw exactly these.
pub(super) fn scripted<const N: usize>(strings: [Vec<u8>; N]) -> Draws<impl FnMut(&mut [u8])> {
    let mut left = Script(strings.into());
    Draws(move |to: &mut [u8]| {
        to.copy_from_slice(&left.0.pop_front().expect("more randomness drawn than the protocol says"))
    })
}

/// The 32 fresh bytes of one proof.
pub(super) fn fresh(proof: &Value) -> Draws<impl FnMut(&mut [u8])> {
    scripted([bytes(&proof["fresh"])])
}

struct Script(VecDeque<Vec<u8>>);

impl Drop for Script {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "less randomness drawn than the protocol says");
        }
    }
}
