//! The table in Markdown, for a terminal and for a README.

use crate::measure::Figure;
use crate::peers::{BLIND_RSA, CMZ, P384, RISTRETTO255};
use crate::steps::{
    BATCHES, DECODE, FINISH, FLOOR, ISSUE, PRESENT, REDEEM, REDEEM_BATCH, REQUEST, UNJOIN, batch_name,
};
use std::fmt::Write;

/// The columns.
pub const SCHEMES: [&str; 5] = [UNJOIN, RISTRETTO255, P384, BLIND_RSA, CMZ];
/// The rows that more than unjoin has.
pub const COMMON: [&str; 6] = [REQUEST, ISSUE, FINISH, PRESENT, REDEEM, REDEEM_BATCH];

/// What each scheme does by itself, in the order of [`SCHEMES`]; what is left to whoever uses
/// it is "host".
const PROPERTIES: [(&str, [&str; 5]); 9] = [
    ("whoever has all keys and tables links use to issue", ["no", "no", "no", "no", "no"]),
    (
        "a token says merchant and cohort",
        ["yes", "a key for each", "a key for each", "a key for each", "yes"],
    ),
    ("one review an order; a lost answer gives the same token", ["yes", "host", "host", "host", "host"]),
    ("spent once, bound to one review, durable, with a receipt", ["yes", "host", "host", "host", "host"]),
    ("author escrowed to t of n trustees, provably", ["yes", "no", "no", "no", "to one key"]),
    ("two reviews compared by author, unmasking nobody", ["yes", "no", "no", "no", "no"]),
    ("only the author edits, withdraws", ["yes", "no", "no", "no", "no"]),
    ("many checked in one batch", ["yes", "no", "no", "no", "no"]),
    ("checked without the issuer's secret", ["by the desk's proof", "no", "no", "yes", "no"]),
];

pub fn find<'a>(figures: &'a [Figure], scheme: &str, name: &str) -> Option<&'a Figure> {
    figures.iter().find(|figure| figure.scheme == scheme && figure.name == name)
}

/// One table: what every scheme has, what only unjoin has, and what each does not do. A cell
/// is microseconds, and the same in units of R.
pub fn table(figures: &[Figure], reference_micros: f64) -> String {
    let mut rows = vec![[vec!["step: µs (R)".to_owned()], SCHEMES.map(str::to_owned).to_vec()].concat()];
    let own = figures.iter().filter(|figure| figure.scheme == UNJOIN && !COMMON.contains(&&*figure.name));
    for name in COMMON.into_iter().chain(own.map(|figure| &*figure.name)) {
        let cell = |scheme| find(figures, scheme, name).map_or_else(|| "-".to_owned(), cost);
        rows.push([vec![name.trim().to_owned()], SCHEMES.map(cell).to_vec()].concat());
    }
    for (property, cells) in PROPERTIES {
        rows.push([vec![property.to_owned()], cells.map(str::to_owned).to_vec()].concat());
    }
    let mut text = align(&rows);
    let _ = write!(
        text,
        "
R = {reference_micros:.1} µs: one constant-time multiplication of a point of ristretto255 by a scalar, measured
right before every step. Medians of one thread's processor time. Common rows go from the bytes received to the bytes
sent. VOPRF and blind RSA present nothing but the token itself. cmz is set up to say the same as unjoin's token:
hidden user and serial, ElGamal escrow at the showing.
"
    );
    text
}

/// How near a batch is to what it cannot do without.
pub fn floor(figures: &[Figure]) -> String {
    let micros = |name: &str| find(figures, UNJOIN, name).map_or(f64::NAN, |figure| figure.micros);
    let ratio = |name: &str| find(figures, UNJOIN, name).map_or(f64::NAN, |figure| figure.ratio);
    let [.., largest] = BATCHES;
    let batch = batch_name(largest);
    format!(
        "Floor of a batch of {largest}, each: 7 decompressions and 7 points in the sum: {:.1} µs ({:.2} R).\n\
         Decoding ({:.1} µs) and verifying in the batch ({:.1} µs): {:.2} times the floor.",
        micros(FLOOR),
        ratio(FLOOR),
        micros(DECODE),
        micros(&batch),
        (ratio(DECODE) + ratio(&batch)) / ratio(FLOOR),
    )
}

fn cost(figure: &Figure) -> String {
    format!("{} ({})", three_digits(figure.micros), three_digits(figure.ratio))
}

fn three_digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Markdown whose columns line up in a terminal too.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            });
            text.push_str("|\n");
        }
    }
    text
}
