//! Exchanges messages with a second implementation of the protocol, one JSON object a line,
//! with the field names of `tests/vectors/README.md` ("Checking messages in the other
//! direction").
//!
//! ```text
//! cargo run --example interop -- --seed 7 > ours.jsonl    # fresh messages, valid and corrupted
//! cargo run --example interop -- --check theirs.jsonl     # `-` reads standard input
//! ```
//!
//! `--check` answers each line with what came out, whether that was expected, the kind and
//! the name. It ends with 0 if every line came out as expected, 1 if one did not, and 2 if a
//! line is no line of its kind (a field is missing, say): that is a mistake of whoever wrote
//! it and never counts as a refusal.
//!
//! A message is checked by the functions that check the vectors. They check the shares of a whole
//! committee: a line of a share has `Y_shares`, not `Y_i`.

#[path = "../../src/vectors/checks.rs"]
mod checks;
mod corrupt;
mod line;
mod make;
#[path = "../../src/vectors/values.rs"]
#[allow(dead_code, reason = "the vectors have more fields than the lines")]
mod values;
#[allow(dead_code, reason = "its end has another exit code")]
#[path = "../shared/words.rs"]
mod words;

use clap::Parser;
use line::Line;
use rand_core::Rng;
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;
use unjoin::secret::SystemRng;
use unjoin_test_util::Seeded;
use words::{At, Outcome};

#[derive(Parser)]
#[command(about = "Prints messages for a second implementation, or checks its messages")]
struct Arguments {
    /// Makes the same messages again; without it they are fresh.
    #[arg(long, conflicts_with = "check")]
    seed: Option<u64>,
    /// A file of lines to check; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    check: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.check {
        Some(file) => check_lines(file),
        None => print_lines(arguments.seed),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn print_lines(seed: Option<u64>) -> Outcome<ExitCode> {
    let seed = seed.unwrap_or_else(|| SystemRng::new().next_u64());
    eprintln!("--seed {seed}");
    let mut out = std::io::stdout().lock();
    for line in make::lines(&mut Seeded(seed))? {
        writeln!(out, "{line}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check_lines(file: &str) -> Outcome<ExitCode> {
    let input: Box<dyn BufRead> = match file {
        "-" => Box::new(std::io::stdin().lock()),
        path => Box::new(BufReader::new(std::fs::File::open(path).at(path)?)),
    };
    std::panic::set_hook(Box::new(|mistake| eprintln!("{mistake}")));
    let (mut lines, mut unexpected) = (0, 0);
    for (number, text) in (1..).zip(input.lines()) {
        let text = text.at(file)?;
        if text.trim().is_empty() {
            continue;
        }
        let line = Line::parse(&text).ok_or_else(|| format!("{file}: line {number}: not a JSON object"))?;
        let accepted = accepts(&line)
            .ok_or_else(|| format!("{file}: line {number}: no line of the kind {:?}", line.kind()))?;
        let as_expected = accepted == line.expects_ok();
        println!(
            "{}\t{}\t{}\t{}",
            if accepted { "ok" } else { "refused" },
            if as_expected { "as expected" } else { "NOT AS EXPECTED" },
            line.kind(),
            line.name(),
        );
        lines += 1;
        unexpected += usize::from(!as_expected);
    }
    eprintln!("{lines} lines, {unexpected} not as expected");
    Ok(if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the line's message is accepted. `None` for no line of its kind: the check of it panics,
/// and says why.
fn accepts(line: &Line) -> Option<bool> {
    std::panic::catch_unwind(|| checks::check(line.kind(), line.fields()).is_ok()).ok()
}

#[test]
fn every_line_of_ours_comes_out_as_it_says() {
    let lines = make::lines(&mut Seeded(7)).unwrap();
    for line in &lines {
        assert_eq!(accepts(line), Some(line.expects_ok()), "{}: {}", line.kind(), line.name());
        assert!(Line::parse(&line.to_string()).is_some_and(|read| read.fields() == line.fields()));
    }
    let kinds: std::collections::BTreeSet<&str> = lines.iter().map(Line::kind).collect();
    assert_eq!(kinds.len(), 15, "{kinds:?}");
}

#[test]
fn a_line_that_lacks_a_field_is_a_mistake_and_no_refusal() {
    let (mut seen, mut mistakes) = (std::collections::BTreeSet::new(), 0);
    for line in make::lines(&mut Seeded(8)).unwrap() {
        if !seen.insert(line.kind().to_owned()) {
            continue;
        }
        for field in line.fields().as_object().unwrap().keys() {
            let accepted = accepts(&line.clone().without(field));
            assert_ne!(accepted, Some(false), "{}: {field}", line.kind());
            mistakes += usize::from(accepted.is_none());
        }
    }
    // 100 fields that a check needs, and the kind of each.
    assert_eq!((seen.len(), mistakes), (15, 115));
}
