//! What programs over a table of orders are told alike, and how they show that they work.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use unjoin_linkage::data::BUNDLED;

/// What is read.
#[derive(Args)]
pub(crate) struct Source {
    /// Orders with their reviews, .csv or .csv.gz.
    #[arg(long, value_name = "FILE", default_value = BUNDLED)]
    pub(crate) orders: PathBuf,
}

/// What is made of it.
#[derive(Args)]
pub(crate) struct Made {
    /// Where the pictures and tables go that this makes.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Seeds all that is drawn: by wallets, of rows, for the attack.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// So many steps of work, in these units.
pub(crate) fn progress(what: &'static str, unit: &str, steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps).with_message(what);
    match ProgressStyle::with_template(&format!("{{msg:32}} {{wide_bar}} {{pos}}/{{len}} {unit} {{elapsed}}"))
    {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
