//! What every error of this crate can say about itself.
//!
//! Errors are typed by area ([`wire::DecodeError`](crate::wire::DecodeError),
//! `IssuerError`, `DeskError`, ...). Each has
//!
//! * a `code()`: a short stable string for logs, metrics and clients,
//! * `is_retryable()`: whether the same call may succeed later unchanged,
//! * an [`audience()`](Audience): who can do something about it,
//! * a message (`Display`) that says what to do, and never holds an account, an
//!   order, a phone number, a token or a key.

/// Who can do something about an error.
///
/// ```
/// use unjoin_core::{Name, error::Audience};
/// let error = Name::new("").unwrap_err();
/// // Whom a log's alarm should wake.
/// assert_eq!((error.audience(), error.code()), (Audience::Host, "name"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Audience {
    /// The person's device: show it, or correct the request.
    Device,
    /// The service that embeds this crate: a call was wrong or came at a wrong time.
    Host,
    /// Anybody who runs the service: storage, keys, capacity.
    Operator,
}

/// Writes `Display`, `Error`, `code`, `is_retryable` and `audience` of an error enum from
/// one table, so that no variant can lack one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! describe_errors {
    ($name:ident { $($pattern:pat => $code:literal, $audience:ident, $retry:literal, $($text:expr),+;)+ }) => {
        impl $name {
            /// Every code, with whom it is for and whether it is retryable.
            #[doc(hidden)]
            #[allow(dead_code)]
            pub const CODES: &'static [(&'static str, $crate::error::Audience, bool)] =
                &[$(($code, $crate::error::Audience::$audience, $retry)),+];
            /// A short stable string for logs, metrics and clients.
            pub fn code(&self) -> &'static str {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $($pattern => $code,)+ }
            }
            /// Whether the same call may succeed later without being changed.
            pub fn is_retryable(&self) -> bool {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $($pattern => $retry,)+ }
            }
            /// Who can do something about it.
            pub fn audience(&self) -> $crate::error::Audience {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $($pattern => $crate::error::Audience::$audience,)+ }
            }
        }
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $($pattern => write!(f, $($text),+),)+ }
            }
        }
        impl core::error::Error for $name {}
    };
}
