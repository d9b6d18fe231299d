use crate::issuer::IssuerError;
use crate::review::DeskError;
use unjoin_core::describe_errors;
use unjoin_log::ViewError;
use unjoin_phone::SwitchboardError;
use unjoin_store::StoreError;

describe_errors! {
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
    pub enum PlatformError (Host, false) {
        /// The platform was opened without telephony.
        NoTelephony => "platform.no_telephony",
            "this platform has no telephony: open it with a switchboard, or ask yours";
        /// The platform was opened without ledgers.
        NoLedgers => "platform.no_ledgers", "this platform has no ledgers: open it with them, or ask yours";
        /// Numbers are bound, and orders closed, under the order's handle.
        OrderName => "platform.order_name",
            "a tick ends the numbers of an order that nobody closes, and knows its handle alone: bind and close \
             under the name that Platform::order_ref gives";
        /// A service gave no answer to a call: a bug of this crate.
        NoAnswer => "platform.no_answer" (Operator, false), "a service gave no answer: report this as a bug";
        /// A store's, or that of all stores together.
        Store(#[from] error: StoreError) => of error;
        /// The order service's.
        Issuer(#[from] error: IssuerError) => of error;
        /// The review service's.
        Desk(#[from] error: DeskError) => of error;
        /// Telephony's.
        Telephony(#[from] error: SwitchboardError) => of error;
        /// A ledger could not be read.
        Ledger(#[from] error: ViewError) => of error;
    }
}

impl PlatformError {
    /// A failed store ends a tick; anything else is an operator's and stays due.
    pub(super) fn ends_the_tick(&self) -> bool {
        match self {
            Self::Issuer(error) => error.ends_the_tick(),
            Self::Desk(error) => error.ends_the_tick(),
            _ => false,
        }
    }
}
