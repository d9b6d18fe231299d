//! Exchanges messages with a second implementation of the protocol, one JSON object a line,
//! with the field names of tests/vectors/README.md ("Checking messages in the other
//! direction").
//!
//! ```text
//! cargo run --example interop -- --seed 7 > ours.jsonl    # fresh messages, valid and corrupted
//! cargo run --example interop -- --check theirs.jsonl     # `-` reads standard input
//! ```
//!
//! `--check` answers each line with what came out, whether that was expected, the kind and
//! the name. It ends with 0 if every line came out as expected, 1 if one did not, and 2 if a
//! line is no line of its kind (a field is missing or is not hex): that is a mistake of
//! whoever wrote it and never counts as a refusal.
//!
//! Only the crate's public interface is used, so two kinds of line are left out: `wallet`
//! (a wallet's scalars never leave it) and `scope` (nor does the scalar m of a scope).

mod check;
mod generator;
mod line;
mod make;

use clap::Parser;
use generator::Generator;
use line::Line;
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;

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
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn print_lines(seed: Option<u64>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut rng = seed.map_or_else(Generator::fresh, Generator::seeded);
    let mut out = std::io::stdout().lock();
    for line in make::lines(&mut rng)? {
        writeln!(out, "{line}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check_lines(file: &str) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let input: Box<dyn BufRead> = match file {
        "-" => Box::new(std::io::stdin().lock()),
        path => Box::new(BufReader::new(std::fs::File::open(path)?)),
    };
    let (mut lines, mut unexpected) = (0, 0);
    for (number, text) in (1..).zip(input.lines()) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let line = Line::parse(&text).map_err(|mistake| format!("line {number}: {mistake}"))?;
        let accepted = check::accepts(&line).map_err(|mistake| format!("line {number}: {mistake}"))?;
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
