//! What the app catches.

use std::fmt;
use unjoin_core::NameError;
use unjoin_core::token::{ReviewError, TrusteesError};
use unjoin_core::wire::{DecodeError, HexError};
use unjoin_door::DoorError;
use unjoin_log::{NoteError, PolicyError};
use unjoin_wallet::WalletError;

/// What every function of this package throws.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
pub enum UnjoinError {
    /// It was refused. Nothing was sent, spent or changed, where the function does not say otherwise.
    Refused {
        /// A short stable string, `wallet.grant` for example. Show `reason`, decide by this.
        code: String,
        /// Whether the same call may succeed later without being changed.
        retryable: bool,
        /// What to do, in English.
        reason: String,
    },
}

/// What every function here returns.
pub type Outcome<T> = Result<T, UnjoinError>;

/// An argument that is not what its type and its description say.
pub(crate) fn argument(what: &str) -> UnjoinError {
    refused("mobile.argument", false, format!("give {what}"))
}

/// A question that was answered already.
pub(crate) fn used() -> UnjoinError {
    refused("mobile.used", false, "this question was answered already: seal a new one".into())
}

fn refused(code: &str, retryable: bool, reason: String) -> UnjoinError {
    UnjoinError::Refused { code: code.into(), retryable, reason }
}

impl fmt::Display for UnjoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Refused { code, reason, .. } = self;
        write!(f, "{code}: {reason}")
    }
}

impl std::error::Error for UnjoinError {}

macro_rules! refusals {
    ($($error:ty),+ $(,)?) => { $(
        impl From<$error> for UnjoinError {
            fn from(error: $error) -> Self {
                refused(error.code(), error.is_retryable(), error.to_string())
            }
        }
    )+ };
}

refusals!(
    DecodeError,
    DoorError,
    HexError,
    NameError,
    NoteError,
    PolicyError,
    ReviewError,
    TrusteesError,
    WalletError
);
