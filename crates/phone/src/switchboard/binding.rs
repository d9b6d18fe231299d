//! What the host asks for: numbers between two parties of an order.

use crate::{Channel, PhoneNumber, VirtualNumber};
use unjoin_core::{Name, Timestamp};

/// An order, by the host's names. Neither name is stored: digests stand for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderRef {
    /// The merchant.
    pub merchant: Name,
    /// The order, among the merchant's.
    pub order: Name,
}

/// One of the two pairs of parties that an order can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// Merchant and customer.
    Merchant,
    /// Courier and customer.
    Courier,
}

/// The two phones of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The merchant's or the courier's.
    pub hub: PhoneNumber,
    /// The customer's.
    pub customer: PhoneNumber,
}

/// A number to be made between two parties.
///
/// [`Binding::merchant`] and [`Binding::courier`] fill in the usual; the fields are free to be
/// changed.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Whose number it is.
    pub order: OrderRef,
    /// The courier on the business side; `None` for the order's merchant, under its own name.
    ///
    /// The business side draws the numbers, so that it never sees one twice within the quarantine:
    /// **one name for one person or desk and its phone**. A business with two names and one phone
    /// can meet a number again.
    pub courier: Option<Name>,
    /// The phones.
    pub parties: Parties,
    /// When it ends: from that second on nothing goes through. In the future, at most the
    /// longest life ahead. There is no binding without an end.
    pub not_after: Timestamp,
    /// Who may call whom. The merchant never may but by a ticket.
    pub directions: Directions,
    /// Calls alone, or messages alone; `None` for both.
    pub only: Option<Channel>,
    /// On a merchant's leg: no ticket ever opens it. For customers who hold a review token of
    /// an earlier order.
    pub keep_merchant_closed: bool,
    /// From which of the switchboard's [`Pools`](crate::Pools) the number is drawn, by its label; `None` for the first.
    pub pool: Option<String>,
}

impl Binding {
    /// Between merchant and customer: the customer may call and write.
    pub fn merchant(order: OrderRef, parties: Parties, not_after: Timestamp) -> Self {
        let directions = Directions::FromCustomer;
        let (courier, only, pool) = (None, None, None);
        Self { order, courier, parties, not_after, directions, only, keep_merchant_closed: false, pool }
    }

    /// Between a courier and the customer: both may call and write.
    pub fn courier(order: OrderRef, courier: Name, parties: Parties, not_after: Timestamp) -> Self {
        let directions = Directions::Both;
        Self { courier: Some(courier), directions, ..Self::merchant(order, parties, not_after) }
    }
}

/// A live number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What both parties dial, and are shown.
    pub number: VirtualNumber,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Who may call whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directions {
    /// Each the other.
    Both,
    /// The customer the business only.
    FromCustomer,
    /// The business the customer only.
    FromHub,
}

impl Directions {
    pub(super) fn hub_may_call(self) -> bool {
        self != Self::FromCustomer
    }

    pub(super) fn customer_may_call(self) -> bool {
        self != Self::FromHub
    }

    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Both => 0,
            Self::FromCustomer => 1,
            Self::FromHub => 2,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Both),
            1 => Some(Self::FromCustomer),
            2 => Some(Self::FromHub),
            _ => None,
        }
    }
}
