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

/// Declares an error enum, each variant with what the error says about itself beside it: a code, whom it is for,
/// whether the same call may succeed later, and a message. So no variant can lack one of them. The head says whom
/// most of them are for, and whether most are retryable; a variant that differs says so behind its code.
///
/// It writes the enum, `Display`, `Error`, `code`, `is_retryable` and `audience`. What a variant holds has the name
/// that its message calls it by.
///
/// ```
/// use unjoin_core::{ClockError, NameError, describe_errors};
/// describe_errors! {
///     /// Why nothing was opened.
///     #[derive(Debug)]
///     pub enum OpenError (Device, true) {
///         /// The door is shut.
///         Shut => "open.shut", "the door is shut: come again later";
///         /// Another one is inside: `?` makes this variant of the error that it holds.
///         Clock(#[from] source: ClockError) => "open.clock" (Operator, false), "{source}";
///             // Some of what it may hold tells something else.
///             but Self::Clock(source @ ClockError::Behind { .. }) => "open.behind" (Operator, true), "{source}";
///         /// The one that it holds tells everything itself.
///         Name(#[from] error: NameError) => of error;
///     }
/// }
/// let error = OpenError::from(ClockError::Behind { seconds: 700 });
/// assert!(error.code() == "open.behind" && error.is_retryable());
/// assert_eq!(OpenError::from(NameError { length: 65 }).code(), "name");
/// ```
///
/// An error that is no enum is declared by itself, and told by patterns: `describe_errors!(Refused (Host, false) { _ => ..; })`.
#[doc(hidden)]
#[macro_export]
macro_rules! describe_errors {
    (@audience $most:ident) => { $crate::error::Audience::$most };
    (@audience $most:ident $audience:ident) => { $crate::error::Audience::$audience };
    (@retry $most:literal) => { $most };
    (@retry $most:literal $retry:literal) => { $retry };
    ($(#[$about:meta])* $public:vis enum $name:ident ($most_are_for:ident, $most_retry:literal) { $(
        $(#[$doc:meta])+
        $variant:ident
        $(( $($(#[$from:ident])? $held:ident: $held_type:ty),+ ))?
        $({ $($(#[$field_doc:meta])* $field:ident: $field_type:ty),+ $(,)? })?
        => $(of $inner:ident)? $($code:literal $(($audience:ident, $retry:literal))?, $($text:expr),+)?;
        $(but $case:pat => $case_code:literal $(($case_audience:ident, $case_retry:literal))?, $($case_text:expr),+;)*
    )+ }) => {
        $(#[$about])*
        $public enum $name { $(
            $(#[$doc])+
            $variant $(( $($held_type),+ ))? $({ $($(#[$field_doc])* $field: $field_type),+ })?,
        )+ }
        $crate::describe_errors!($name ($most_are_for, $most_retry) { $(
            $($case => $case_code $(($case_audience, $case_retry))?, $($case_text),+;)*
            Self::$variant $(( $($held),+ ))? $({ $($field),+ })? =>
                $(of $inner)? $($code $(($audience, $retry))?, $($text),+)?;
        )+ });
        $($($($($crate::describe_errors!(@$from $name, $variant, $held_type);)?)+)?)+
    };
    ($name:ident ($most_are_for:ident, $most_retry:literal) { $(
        $pattern:pat => $(of $inner:ident)? $($code:literal $(($audience:ident, $retry:literal))?, $($text:expr),+)?;
    )+ }) => {
        impl $name {
            /// Every code of its own, with whom it is for and whether it is retryable.
            #[doc(hidden)]
            #[allow(dead_code)]
            pub const CODES: &'static [(&'static str, $crate::error::Audience, bool)] =
                &[$($((
                    $code,
                    $crate::describe_errors!(@audience $most_are_for $($audience)?),
                    $crate::describe_errors!(@retry $most_retry $($retry)?),
                ),)?)+];
            /// A short stable string for logs, metrics and clients.
            pub fn code(&self) -> &'static str {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $($pattern => $($inner.code())? $($code)?,)+ }
            }
            /// Whether the same call may succeed later without being changed.
            pub fn is_retryable(&self) -> bool {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $(
                    $pattern => $($inner.is_retryable())?
                        $($crate::describe_errors!(@retry $most_retry $($retry)?))?,
                )+ }
            }
            /// Who can do something about it.
            pub fn audience(&self) -> $crate::error::Audience {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $(
                    $pattern => $($inner.audience())?
                        $($crate::describe_errors!(@audience $most_are_for $($audience)?))?,
                )+ }
            }
        }
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                #[allow(unused_variables, clippy::match_single_binding)]
                match self { $(
                    $pattern => $(core::fmt::Display::fmt($inner, f))? $(write!(f, $($text),+))?,
                )+ }
            }
        }
        impl core::error::Error for $name {}
    };
    (@from $name:ident, $variant:ident, $held:ty) => {
        impl From<$held> for $name {
            fn from(source: $held) -> Self {
                Self::$variant(source)
            }
        }
    };
}
