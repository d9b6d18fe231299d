//! What programs here are told alike.

use crate::measure::Effort;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// How much is measured.
#[derive(clap::Args)]
pub struct Extent {
    /// A few of each, once: shows that it runs, measures nothing.
    #[arg(long)]
    pub quick: bool,
}

impl Extent {
    /// One of two numbers.
    pub fn of<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    pub fn effort(&self) -> Effort {
        self.of(Effort::QUICK, Effort::FULL)
    }
}

/// How large a ledger is.
#[derive(clap::Args)]
pub struct Entries {
    #[command(flatten)]
    pub extent: Extent,
    /// The ledger's size at the end.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
}

impl Entries {
    pub fn count(&self, quick: u64) -> u64 {
        self.extent.of(quick, self.entries)
    }
}

/// Where files are made.
#[derive(clap::Args)]
pub struct Place {
    /// Where the stores' files go; default: the system's directory for such files.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl Place {
    /// Runs in a new directory, which is gone afterwards.
    pub fn run(&self, name: &str, run: impl FnOnce(&Path) -> Outcome) -> Outcome {
        let parent = self.directory.clone().unwrap_or_else(std::env::temp_dir);
        let directory = parent.join(format!("unjoin-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let outcome = run(&directory);
        fs::remove_dir_all(&directory)?;
        outcome
    }
}

pub type Outcome = Result<(), Box<dyn Error>>;
