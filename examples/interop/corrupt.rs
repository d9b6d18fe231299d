//! Corrupts a line, one thing at a time: each must be refused.

use crate::line::{Line, hex};
use crate::values::{bytes, list, number};
use curve25519_dalek::RistrettoPoint;
use rand_core::Rng;
use serde_json::Value;
use unjoin_test_util::Seeded;

/// Fields that say nothing about the message, or are numbers in a string.
const NO_BYTES: [&str; 6] = ["kind", "name", "expect", "wire", "sequence", "cohort"];
/// What a flipped bit seldom leaves an element.
const ELEMENTS: [&str; 6] = ["U", "X", "C", "Y", "E1", "E2"];

/// The line with its message changed, with one bit of each other field flipped, with other
/// elements and numbers, with shorter lists, and with another answer.
pub(crate) fn corrupted(line: &Line, rng: &mut Seeded) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut refuse = |what: &str, place: &str, value: Value| {
        let name = format!("{}: {what}", line.name());
        lines.push(line.clone().with("name", name).with("expect", "refused").with_other(place, value));
    };
    let fields = line.fields();
    if let Some(wire) = fields.get("wire").map(bytes) {
        let header = rng.below(16) as usize;
        let body = 16 + below(rng, wire.len() * 8 - 16);
        for bit in [header, body] {
            refuse(&format!("bit {bit} flipped"), "/wire", flipped(&wire, bit));
        }
        refuse("cut short", "/wire", hex(&wire[..below(rng, wire.len())]).into());
        refuse("a byte too long", "/wire", hex([wire.as_slice(), &[0]].concat()).into());
    }
    for (place, value) in places(fields, rng) {
        match bytes(value) {
            // The review that a withdrawal has not.
            empty if empty.is_empty() => refuse(&format!("{place} not empty"), &place, "00".into()),
            full => {
                // The desk's proof is over what the presentation begins with, not over the proof in it.
                let alone = (line.kind(), place.as_str()) == ("accepted", "/presentation");
                let bit = if alone { 16 + below(rng, 32 * 8) } else { below(rng, full.len() * 8) };
                refuse(&format!("{place} changed"), &place, flipped(&full, bit));
            }
        }
        if ELEMENTS.contains(&place.rsplit('/').next().unwrap_or("")) {
            let mut uniform = [0; 64];
            rng.fill_bytes(&mut uniform);
            let other = RistrettoPoint::from_uniform_bytes(&uniform).compress().to_bytes();
            refuse(&format!("{place} another element"), &place, hex(other).into());
        }
    }
    for (field, value) in fields.as_object().into_iter().flatten() {
        let place = format!("/{field}");
        let next = match (line.kind(), field.as_str(), value) {
            // A committee's epoch is bound by its shares, and a blind's n is a bound.
            ("committee", "epoch", _) => continue,
            ("blind", "n", _) => Value::from(number(&fields["index"]) - 1),
            (_, _, Value::Number(_)) => Value::from(number(value) + 1),
            (_, "sequence" | "cohort", _) => Value::from(number(value).wrapping_add(1).to_string()),
            _ => continue,
        };
        refuse(&format!("another {field}"), &place, next);
    }
    for (field, value) in fields.as_object().into_iter().flatten() {
        let Value::Array(all) = value else { continue };
        let place = format!("/{field}");
        // Fewer members are a committee too, which a share may be of.
        if !(field == "Y_shares" && line.kind().ends_with("share")) {
            refuse(&format!("one of {field} missing"), &place, all[1..].into());
        }
        if ["reviews", "sums"].contains(&field.as_str()) {
            let falling: Vec<Value> = all.iter().rev().cloned().collect();
            refuse(&format!("{field} falling"), &place, falling.into());
            let escrow = if field == "sums" { "S1" } else { "E1" };
            let (first, second) = (format!("{place}/0/{escrow}"), all[1][escrow].clone());
            refuse(&format!("one {escrow} twice"), &first, second);
        }
        if field == "classes" {
            refuse("the other answer", &place, other_answer(all));
        }
    }
    lines
}

/// Where bytes stand in a line: every field, and one of each list.
fn places<'a>(fields: &'a Value, rng: &mut Seeded) -> Vec<(String, &'a Value)> {
    let mut open: Vec<(String, &Value)> = vec![(String::new(), fields)];
    let mut places = Vec::new();
    while let Some((place, value)) = open.pop() {
        match value {
            Value::Object(all) => {
                let own = all.iter().filter(|(field, _)| !NO_BYTES.contains(&field.as_str()));
                // A sum's review is in the line for its order alone: a share's proof has the round's id.
                let bound = own.filter(|(field, _)| !(*field == "review_id" && all.contains_key("S1")));
                open.extend(bound.map(|(field, value)| (format!("{place}/{field}"), value)));
            }
            Value::Array(all) => {
                let at = below(rng, all.len());
                open.push((format!("{place}/{at}"), &all[at]));
            }
            Value::String(_) => places.push((place, value)),
            _ => {}
        }
    }
    places
}

/// Two authors taken for one, or one for two.
fn other_answer(classes: &[Value]) -> Value {
    match classes {
        [one, other, rest @ ..] => {
            let both = [list(one), list(other)].concat();
            [&[both.into()], rest].concat().into()
        }
        _ => classes.iter().flat_map(list).map(|id| Value::from(vec![id.clone()])).collect(),
    }
}

fn below(rng: &mut Seeded, bound: usize) -> usize {
    rng.below(bound as u64) as usize
}

fn flipped(bytes: &[u8], bit: usize) -> Value {
    let mut other = bytes.to_vec();
    other[bit / 8] ^= 1 << (bit % 8);
    hex(other).into()
}
