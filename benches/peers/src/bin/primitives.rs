//! ring's primitives beside RustCrypto's, on what the platform does with them: the figures behind the
//! decision about ring in the manual.
//!
//! A row of a slot is sealed under a key of its own, made for the call. A row is named by an HMAC of 16
//! bytes under the slot's key, from the key's bytes or from a prepared state.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use clap::Parser;
use hmac::{Hmac, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2_of_today::Sha256;
use std::hint::black_box;
use unjoin_benches::arguments::Extent;
use unjoin_benches::measure::{Effort, Run, Step, measure, repeated};

/// Measures ring's primitives beside RustCrypto's.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    extent: Extent,
}

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [9; 12];
/// What a row is sealed for, and two numbers in fixed places.
const NAME: [u8; 32] = [5; 32];
const NUMBERS: [u8; 16] = [3; 16];
/// The plaintext of a row.
const ROW: [u8; 81] = [1; 81];

fn main() {
    let effort = Arguments::parse().extent.effort();
    assert_eq!((seal_rustcrypto(), hmac_rustcrypto()), (seal_ring(), hmac_ring()), "one cipher, one MAC");
    println!("ns a call, and times the first of its kind (medians of pairs)");
    show(
        effort,
        "seal a row, key made for it",
        repeated(seal_rustcrypto),
        [
            ("RustCrypto", repeated(seal_rustcrypto)),
            ("ring", repeated(seal_ring)),
            (
                "ring, and 8 KiB of stack overwritten",
                repeated(|| {
                    let sealed = seal_ring();
                    black_box(&mut [0u64; 1024]);
                    sealed
                }),
            ),
        ],
    );
    let (state, key) = (keyed(), ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &KEY));
    show(
        effort,
        "HMAC-SHA-256 of 16 bytes",
        repeated(hmac_rustcrypto),
        [
            ("RustCrypto, from the key's bytes", repeated(hmac_rustcrypto)),
            ("ring, from the key's bytes", repeated(hmac_ring)),
            (
                "RustCrypto, prepared",
                repeated(move || state.clone().chain_update(black_box(NUMBERS)).finalize()),
            ),
            ("ring, prepared", repeated(move || ring::hmac::sign(&key, black_box(&NUMBERS)))),
        ],
    );
    show(
        effort,
        "12 bytes from the system",
        repeated(system),
        [
            ("getrandom", repeated(system)),
            ("ring", repeated(|| filled(|bytes| SystemRandom::new().fill(bytes).is_ok()))),
        ],
    );
}

/// The first of `runs` is measured once more right before each, as R is elsewhere.
fn show<const N: usize>(effort: Effort, what: &'static str, mut first: Run, runs: [(&str, Run); N]) {
    println!("\n{what}");
    let mut steps = runs.map(|(name, run)| Step::new(what, name, run));
    for figure in measure(&mut first, &mut steps, effort, || ()) {
        println!("    {:<40} {:>6.0} ns {:>6.2}", figure.name, figure.micros * 1e3, figure.ratio);
    }
}

fn seal_rustcrypto() -> Vec<u8> {
    let mut row = ROW.to_vec();
    let cipher = ChaCha20Poly1305::new(black_box(&KEY).into());
    let tag =
        cipher.encrypt_inout_detached(&Nonce::from(NONCE), &NAME, row.as_mut_slice().into()).expect("short");
    row.extend_from_slice(&tag);
    row
}

fn seal_ring() -> Vec<u8> {
    let mut row = ROW.to_vec();
    let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, black_box(&KEY)).expect("32 bytes"));
    let nonce = ring::aead::Nonce::assume_unique_for_key(NONCE);
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(NAME), &mut row).expect("short");
    row.extend_from_slice(tag.as_ref());
    row
}

fn keyed() -> Hmac<Sha256> {
    Hmac::new_from_slice(black_box(&KEY)).expect("any length")
}

fn hmac_rustcrypto() -> [u8; 32] {
    keyed().chain_update(black_box(NUMBERS)).finalize().into_bytes().into()
}

fn hmac_ring() -> [u8; 32] {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, black_box(&KEY));
    ring::hmac::sign(&key, black_box(&NUMBERS)).as_ref().try_into().expect("32 bytes")
}

fn system() -> [u8; 12] {
    filled(|bytes| getrandom::fill(bytes).is_ok())
}

fn filled(fill: impl Fn(&mut [u8]) -> bool) -> [u8; 12] {
    let mut bytes = [0; 12];
    assert!(fill(&mut bytes), "the system has randomness");
    bytes
}
