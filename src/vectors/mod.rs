//! The protocol's test vectors, which a second implementation wrote, run against this one.
//!
//! | file | holds |
//! |---|---|
//! | `foundations` | generators, encodings, hashes, scopes, derivation, committees |
//! | `manifests` | cohort manifests, of a second implementation that stands beside the vectors |
//! | `messages` | every message made again byte for byte, and accepted |
//! | `openings` | shares, combinations and same-author rounds |
//! | `batches` | bad members found, and why each equation needs a weight of its own |
//! | `checks` | each kind's verifier as a service calls it, on a vector's context; `examples/interop` has it too |
//! | `negative` | everything that must be refused |
//! | `random` | the same statements with random witnesses |
//! | `rules` | what must be refused and is in no vector |
//! | `values` | the fields of a vector |
//! | `wires` | decoding: identity, truncation, flipped bits, limits, serde |

mod batches;
mod checks;
mod foundations;
mod manifests;
mod messages;
mod negative;
mod openings;
mod random;
mod rules;
mod values;
mod wires;

use curve25519_dalek::scalar::Scalar;
use serde_json::Value;
use unjoin_core::Name;
use unjoin_core::algebra::{Element, decode_scalar};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use unjoin_core::token::{IssuerKey, Scope};
use unjoin_core::wire::{Message, Reader};
use values::*;

/// A whole file of vectors.
fn load(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let vectors: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors["protocol"], "unjoin/v1", "{file}");
    vectors
}
