//! A verifier accepts a message in its context exactly when both are as they were made: one
//! field or part swapped, negated, moved, respelled, made the identity or cut, and it refuses.

#![no_main]

use arbitrary::Arbitrary;
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::sync::LazyLock;
use unjoin_fuzz::pool::{CASES, Case, Kind};

#[derive(Arbitrary, Debug)]
struct Mutation {
    /// A field of the message, or (odd) a part of its context.
    place: u8,
    change: Change,
}

#[derive(Arbitrary, Debug)]
enum Change {
    /// The same place of another valid message.
    Swap(u8),
    /// Another place of the same message.
    Move(u8),
    Flip {
        byte: u8,
        bit: u8,
    },
    Fill(u8),
    /// The negated element or scalar.
    Negate,
    /// The element or scalar and so many times the base point or one.
    Add(u8),
    /// The element or scalar so many times.
    Scale(u8),
    /// The scalar plus l, the element's encoding with a wrong bit.
    NonCanonical(bool),
    Cut(u8),
    Append(u8),
    Any([u8; 32]),
}

fn word(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

fn point(bytes: &[u8]) -> Option<RistrettoPoint> {
    CompressedRistretto(word(bytes)?).decompress()
}

fn scalar(bytes: &[u8]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(word(bytes)?).into()
}

/// Applies `to_point` to an element and `to_scalar` to a scalar; a string that is both is taken
/// for an element.
fn mapped(
    old: &[u8],
    to_point: impl FnOnce(RistrettoPoint) -> RistrettoPoint,
    to_scalar: impl FnOnce(Scalar) -> Scalar,
) -> Vec<u8> {
    match (point(old), scalar(old)) {
        (Some(point), _) => to_point(point).compress().to_bytes().to_vec(),
        (None, Some(scalar)) => to_scalar(scalar).to_bytes().to_vec(),
        (None, None) => old.to_vec(),
    }
}

/// The scalar plus the group's order, which stays below 2^256.
fn plus_order(scalar: [u8; 32]) -> Vec<u8> {
    let mut order = (-Scalar::ONE).to_bytes();
    order[0] += 1;
    let mut carry = 0u16;
    let sum = scalar.iter().zip(order).map(|(byte, more)| {
        carry += u16::from(*byte) + u16::from(more);
        let low = carry as u8;
        carry >>= 8;
        low
    });
    sum.collect()
}

fn changed(
    old: &[u8],
    change: &Change,
    elsewhere: impl Fn(u8) -> Vec<u8>,
    swapped: impl Fn(u8) -> Vec<u8>,
) -> Vec<u8> {
    let mut new = old.to_vec();
    match change {
        Change::Swap(other) => return swapped(*other),
        Change::Move(other) => return elsewhere(*other),
        Change::Flip { byte, bit } => {
            let at = usize::from(*byte) % new.len().max(1);
            if let Some(byte) = new.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Change::Fill(byte) => new.fill(*byte),
        Change::Negate => return mapped(old, |point| -point, |scalar| -scalar),
        Change::Add(count) => {
            let count = Scalar::from(*count);
            return mapped(old, |point| point + RistrettoPoint::mul_base(&count), |scalar| scalar + count);
        }
        Change::Scale(count) => {
            let count = Scalar::from(*count);
            return mapped(old, |point| point * count, |scalar| scalar * count);
        }
        Change::NonCanonical(high) => match (point(old), word(old)) {
            (None, Some(bytes)) if scalar(old).is_some() => return plus_order(bytes),
            (_, Some(_)) if *high => new[31] |= 0x80,
            (_, Some(_)) => new[0] |= 1,
            _ => {}
        },
        Change::Cut(count) => new.truncate(old.len() - usize::from(*count).min(old.len())),
        Change::Append(byte) => new.push(*byte),
        Change::Any(bytes) => {
            let length = new.len().min(32);
            new[..length].copy_from_slice(&bytes[..length]);
        }
    }
    new
}

fn mutate(case: &mut Case, kind: Kind, Mutation { place, change }: &Mutation) {
    let cases = &CASES[kind as usize];
    let other = |number: u8| &cases[usize::from(number) % cases.len()];
    let at = usize::from(place / 2);
    if place % 2 == 0 {
        // A message that was cut or spliced before has lost its fields.
        let Some(fields) = case.fields(kind) else { return };
        let at = at % fields.len();
        let old = case.message[fields[at].clone()].to_vec();
        let elsewhere = |to: u8| case.message[fields[usize::from(to) % fields.len()].clone()].to_vec();
        let swapped = |number| {
            // Of another number of reviews it may have fewer fields.
            let (other, fields) = (other(number), other(number).fields(kind).unwrap_or_default());
            other.message[fields[at % fields.len()].clone()].to_vec()
        };
        let new = changed(&old, change, elsewhere, swapped);
        case.message.splice(fields[at].clone(), new);
    } else {
        let at = at % case.context.len();
        let elsewhere = |to: u8| case.context[usize::from(to) % case.context.len()].clone();
        let swapped = |number| {
            let context = &other(number).context;
            context[at % context.len()].clone()
        };
        let new = changed(&case.context[at], change, elsewhere, swapped);
        case.context[at] = new;
    }
}

static VALID: LazyLock<HashSet<(Kind, Case)>> = LazyLock::new(|| {
    let mut valid = HashSet::new();
    for kind in Kind::ALL {
        for case in &CASES[kind as usize] {
            assert_eq!(case.verdict(kind), Some(true));
            valid.insert((kind, case.clone()));
        }
    }
    valid
});

fuzz_target!(|input: (Kind, u8, Vec<Mutation>)| {
    let (kind, which, mutations) = input;
    let valid = &*VALID;
    let cases = &CASES[kind as usize];
    let original = &cases[usize::from(which) % cases.len()];
    let mut case = original.clone();
    for mutation in mutations.iter().take(4) {
        mutate(&mut case, kind, mutation);
    }
    if &case == original {
        return;
    }
    // Several swaps may amount to another valid message with its whole context.
    let expected = valid.contains(&(kind, case.clone()));
    assert_eq!(case.verdict(kind).unwrap_or(false), expected, "{kind:?}");
});
