//! What JavaScript catches.

use crate::object::set;
use unjoin_core::NameError;
use unjoin_core::token::{ReviewError, TrusteesError};
use unjoin_core::wire::{DecodeError, HexError};
use unjoin_door::DoorError;
use unjoin_log::{NoteError, PolicyError};
use unjoin_wallet::WalletError;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What every function of this module throws: an `Error` whose `name` is "UnjoinError". */
export interface UnjoinError extends Error {
  /** A short stable string, `wallet.grant` for example. Show `message`, decide by this. */
  code: string;
  /** Whether the same call may succeed later without being changed. */
  retryable: boolean;
}
"#;

/// An error of one of our crates, or an argument that is none.
pub struct Thrown {
    code: &'static str,
    retryable: bool,
    text: String,
}

/// What every function here returns.
pub type Outcome<T> = Result<T, Thrown>;

impl Thrown {
    /// An argument that is not what its type and its description say.
    pub(crate) fn argument(what: &str) -> Self {
        Self { code: "web.argument", retryable: false, text: format!("give {what}") }
    }

    /// A question that was answered already.
    pub(crate) fn used() -> Self {
        let text = "this question was answered already: seal a new one".into();
        Self { code: "web.used", retryable: false, text }
    }
}

impl From<Thrown> for JsValue {
    fn from(thrown: Thrown) -> Self {
        let error = js_sys::Error::new(&thrown.text);
        error.set_name("UnjoinError");
        set(&error, "code", thrown.code);
        set(&error, "retryable", thrown.retryable);
        error.into()
    }
}

macro_rules! thrown {
    ($($error:ty),+ $(,)?) => { $(
        impl From<$error> for Thrown {
            fn from(error: $error) -> Self {
                Self { code: error.code(), retryable: error.is_retryable(), text: error.to_string() }
            }
        }
    )+ };
}

thrown!(
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
