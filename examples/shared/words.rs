//! How a program ends: with a sentence that says what it is about, never with `Debug`.

use std::error::Error;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Says which file it was.
pub(crate) trait At<T> {
    fn at(self, path: impl AsRef<Path>) -> Outcome<T>;
}

impl<T, E: Display> At<T> for Result<T, E> {
    fn at(self, path: impl AsRef<Path>) -> Outcome<T> {
        self.map_err(|error| format!("{}: {error}", path.as_ref().display()).into())
    }
}

/// What `main` returns: 0, or 1 after the sentence.
pub(crate) fn end(outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
