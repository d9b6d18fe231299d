//! Measures every step of unjoin and of its peers in one run, as one table.

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use unjoin_benches::arguments::Extent;
use unjoin_benches::measure::{Step, measure};
use unjoin_benches::{report, steps};

/// Measures every step of every scheme.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    extent: Extent,
}

fn main() -> Result<(), Box<dyn Error>> {
    let effort = Arguments::parse().extent.effort();
    let mut measured = steps::all();
    measured.insert(0, Step::new(R, R, steps::reference()));
    let progress = ProgressBar::new((measured.len() * effort.rounds) as u64)
        .with_style(ProgressStyle::with_template("measuring {wide_bar} {pos}/{len}, {eta} left")?);
    let mut figures = measure(&mut steps::reference(), &mut measured, effort, || progress.inc(1));
    progress.finish_and_clear();
    let reference = figures.remove(0).micros;
    println!("{}\n{}", report::table(&figures, reference), report::floor(&figures));
    Ok(())
}

const R: &str = "R";
