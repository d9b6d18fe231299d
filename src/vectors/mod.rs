//! The protocol's test vectors, which a second implementation wrote, run against this one.
//!
//! | file | holds |
//! |---|---|
//! | `foundations` | generators, encodings, hashes, scopes, derivation, committees |
//! | `messages` | every message made again byte for byte, and accepted |
//! | `openings` | shares, combinations and same-author rounds |
//! | `batches` | bad members found, and why each equation needs a weight of its own |
//! | `checks` | each kind's verifier as a service calls it, on a vector's context |
//! | `negative` | everything that must be refused |
//! | `random` | the same statements with random witnesses |
//! | `rules` | what must be refused and is in no vector |
//! | `wires` | decoding: identity, truncation, flipped bits, limits, serde |

mod batches;
mod checks;
mod foundations;
mod messages;
mod negative;
mod openings;
mod random;
mod rules;
mod wires;

use curve25519_dalek::scalar::Scalar;
use serde_json::Value;
use std::collections::VecDeque;
use unjoin_core::Name;
use unjoin_core::algebra::{Element, decode_scalar};
use unjoin_core::secret::{SecretBytes, SecretScalar, SystemRng};
use unjoin_core::token::{IssuerKey, Scope};
use unjoin_core::wire::{Message, Reader};
use unjoin_test_util::Draws;

/// A whole file of vectors.
fn load(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let vectors: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors["protocol"], "unjoin/v1", "{file}");
    vectors
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().expect("a field in hex").as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit in hex") as u8;
    assert!(hex.len().is_multiple_of(2));
    hex.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap_or_else(|_| panic!("not {N} bytes: {value}"))
}

/// A number, or a decimal string where it may not fit a double.
fn number(value: &Value) -> u64 {
    match value.as_str() {
        Some(decimal) => decimal.parse().unwrap(),
        None => value.as_u64().expect("a number"),
    }
}

fn small<T: TryFrom<u64, Error: core::fmt::Debug>>(value: &Value) -> T {
    number(value).try_into().unwrap()
}

fn element(value: &Value) -> Element {
    Element::from_bytes(&array(value)).expect("an element")
}

fn scalar(value: &Value) -> Scalar {
    decode_scalar(array(value)).expect("a scalar")
}

fn secret(value: &Value) -> SecretScalar {
    SecretScalar::new(scalar(value))
}

fn name(value: &Value) -> Name {
    Name::new(bytes(value)).unwrap()
}

fn scope(value: &Value) -> Scope {
    let bytes = bytes(value);
    let mut from = Reader::new(&bytes, "scope");
    let scope = Scope::decode(&mut from).unwrap();
    from.end().unwrap();
    scope
}

fn message<M: Message>(value: &Value) -> M {
    M::from_bytes(&bytes(value)).unwrap()
}

fn elements(value: &Value) -> Vec<Element> {
    list(value).iter().map(element).collect()
}

/// The issuing key with secret scalar `x`; verifying needs no PRF key.
fn issuer_key(x: &Value, prf_key: [u8; 32]) -> IssuerKey {
    let mut secrets = [0; 64];
    secrets[..32].copy_from_slice(&array::<32>(x));
    secrets[32..].copy_from_slice(&prf_key);
    IssuerKey::from_secret_bytes(&SecretBytes::new(secrets)).expect("an issuing key")
}

fn system() -> SystemRng {
    SystemRng::new()
}

/// A generator that returns the given strings in order, one a call, and nothing else: the
/// code under test must draw exactly these.
fn scripted<const N: usize>(strings: [Vec<u8>; N]) -> Draws<impl FnMut(&mut [u8])> {
    let mut left = Script(strings.into());
    Draws(move |to: &mut [u8]| {
        to.copy_from_slice(&left.0.pop_front().expect("more randomness drawn than the protocol says"))
    })
}

/// The 32 fresh bytes of one proof.
fn fresh(proof: &Value) -> Draws<impl FnMut(&mut [u8])> {
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
