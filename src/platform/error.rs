use crate::issuer::IssuerError;
use crate::review::DeskError;
use core::fmt;
use unjoin_core::error::Audience;
use unjoin_log::ViewError;
use unjoin_phone::SwitchboardError;
use unjoin_store::StoreError;

/// An error of one of the services.
///
/// ```
/// use unjoin::{Audience, PlatformError};
/// // What the host's own code does about it.
/// let error = PlatformError::NoTelephony;
/// assert_eq!((error.code(), error.audience()), ("platform.no_telephony", Audience::Host));
/// assert!(!error.is_retryable());
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PlatformError {
    /// The platform was opened without telephony.
    NoTelephony,
    /// The platform was opened without ledgers.
    NoLedgers,
    /// Numbers are bound, and orders closed, under the order's handle.
    OrderName,
    /// A service gave no answer to a call: a bug of this crate.
    NoAnswer,
    /// A store's, or that of all stores together.
    Store(StoreError),
    /// The order service's.
    Issuer(IssuerError),
    /// The review service's.
    Desk(DeskError),
    /// Telephony's.
    Telephony(SwitchboardError),
    /// A ledger could not be read.
    Ledger(ViewError),
}

impl PlatformError {
    /// Its own codes; the services have theirs.
    #[doc(hidden)]
    pub const CODES: &'static [(&'static str, Audience, bool)] = &[
        ("platform.no_telephony", Audience::Host, false),
        ("platform.no_ledgers", Audience::Host, false),
        ("platform.order_name", Audience::Host, false),
        ("platform.no_answer", Audience::Operator, false),
    ];

    /// A short stable string for logs, metrics and clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTelephony => "platform.no_telephony",
            Self::NoLedgers => "platform.no_ledgers",
            Self::OrderName => "platform.order_name",
            Self::NoAnswer => "platform.no_answer",
            Self::Store(error) => error.code(),
            Self::Issuer(error) => error.code(),
            Self::Desk(error) => error.code(),
            Self::Telephony(error) => error.code(),
            Self::Ledger(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoTelephony | Self::NoLedgers | Self::OrderName | Self::NoAnswer => false,
            Self::Store(error) => error.is_retryable(),
            Self::Issuer(error) => error.is_retryable(),
            Self::Desk(error) => error.is_retryable(),
            Self::Telephony(error) => error.is_retryable(),
            Self::Ledger(error) => error.is_retryable(),
        }
    }

    /// A failed store ends a tick; anything else is an operator's and stays due.
    pub(super) fn ends_the_tick(&self) -> bool {
        match self {
            Self::Issuer(error) => error.ends_the_tick(),
            Self::Desk(error) => error.ends_the_tick(),
            _ => false,
        }
    }

    /// Who can do something about it.
    pub fn audience(&self) -> Audience {
        match self {
            Self::NoTelephony | Self::NoLedgers | Self::OrderName => Audience::Host,
            Self::NoAnswer => Audience::Operator,
            Self::Store(error) => error.audience(),
            Self::Issuer(error) => error.audience(),
            Self::Desk(error) => error.audience(),
            Self::Telephony(error) => error.audience(),
            Self::Ledger(error) => error.audience(),
        }
    }
}

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTelephony => {
                f.write_str("this platform has no telephony: open it with a switchboard, or ask yours")
            }
            Self::NoLedgers => f.write_str("this platform has no ledgers: open it with them, or ask yours"),
            Self::OrderName => f.write_str(
                "a tick ends the numbers of an order that nobody closes, and knows its handle alone: bind and close \
                 under the name that Platform::order_ref gives",
            ),
            Self::NoAnswer => f.write_str("a service gave no answer: report this as a bug"),
            Self::Store(error) => error.fmt(f),
            Self::Issuer(error) => error.fmt(f),
            Self::Desk(error) => error.fmt(f),
            Self::Telephony(error) => error.fmt(f),
            Self::Ledger(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PlatformError {}

impl From<StoreError> for PlatformError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<IssuerError> for PlatformError {
    fn from(error: IssuerError) -> Self {
        Self::Issuer(error)
    }
}

impl From<SwitchboardError> for PlatformError {
    fn from(error: SwitchboardError) -> Self {
        Self::Telephony(error)
    }
}

impl From<DeskError> for PlatformError {
    fn from(error: DeskError) -> Self {
        Self::Desk(error)
    }
}

impl From<ViewError> for PlatformError {
    fn from(error: ViewError) -> Self {
        Self::Ledger(error)
    }
}
