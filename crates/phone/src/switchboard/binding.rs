//! What the host asks for: numbers between two parties of an order.

use crate::{Channel, PhoneNumber, VirtualNumber};
use unjoin_core::{Name, Timestamp, one_byte};

/// An order, by the host's names. Neither name is stored: digests stand for them.
///
/// ```
/// use unjoin_core::Name;
/// use unjoin_phone::{OrderRef, OrderTag};
/// let order = OrderRef { merchant: Name::new("merchant 17")?, order: Name::new("order 4711")? };
/// // What events name it by.
/// assert_eq!(OrderTag::of(&order), OrderTag::of(&order.clone()));
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderRef {
    /// The merchant.
    pub merchant: Name,
    /// The order, among the merchant's.
    pub order: Name,
}

/// One of the two pairs of parties that an order can have.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, order, parties, request, switchboard};
/// use unjoin_phone::{Binding, Leg, Route};
/// # let directory = unjoin_test_util::Directory::new();
/// # let board = switchboard(directory.file("slot-keys"));
/// let order = order("merchant 17", "order 4711");
/// let bound = board.bind(Binding::merchant(order.clone(), parties(1, 2), START.saturating_add(LIFE))).wait()?;
/// board.release(&order, Leg::Merchant)?;
/// assert_eq!(board.route(&request(2, bound.number))?, Route::Refuse);
/// # Ok::<(), unjoin_phone::SwitchboardError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// Merchant and customer.
    Merchant,
    /// Courier and customer.
    Courier,
}

/// The two phones of a leg.
///
/// ```
/// use unjoin_phone::{Parties, PhoneNumber};
/// let parties = Parties {
///     hub: PhoneNumber::new("+8613800138000")?,
///     customer: PhoneNumber::new("+8613911112222")?,
/// };
/// // Nothing prints a real number.
/// assert!(!format!("{parties:?}").contains("138"));
/// # Ok::<(), unjoin_phone::NumberError>(())
/// ```
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
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, courier, order, parties};
/// use unjoin_phone::{Binding, Directions};
/// let (order, parties, not_after) = (order("merchant 17", "order 4711"), parties(1, 2), START.saturating_add(LIFE));
/// let merchant = Binding::merchant(order.clone(), parties.clone(), not_after);
/// let courier = Binding::courier(order, courier(1), parties, not_after);
/// assert_eq!((merchant.directions, courier.directions), (Directions::FromCustomer, Directions::Both));
/// assert!(merchant.courier.is_none() && courier.courier.is_some());
/// ```
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
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, order, parties, switchboard};
/// use unjoin_phone::Binding;
/// # let directory = unjoin_test_util::Directory::new();
/// # let (board, not_after) = (switchboard(directory.file("slot-keys")), START.saturating_add(LIFE));
/// let binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), not_after);
/// let bound = board.bind(binding.clone()).wait()?;
/// assert_eq!(bound.not_after, not_after);
/// // The same asked again is answered with the same number.
/// assert_eq!(board.bind(binding).wait()?, bound);
/// # Ok::<(), unjoin_phone::SwitchboardError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What both parties dial, and are shown.
    pub number: VirtualNumber,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Who may call whom.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, courier, order, parties, request, switchboard};
/// use unjoin_phone::{Binding, Directions, Route};
/// # let directory = unjoin_test_util::Directory::new();
/// # let (board, not_after) = (switchboard(directory.file("slot-keys")), START.saturating_add(LIFE));
/// # let binding = Binding::courier(order("merchant 17", "order 4711"), courier(1), parties(1, 2), not_after);
/// let bound = board.bind(Binding { directions: Directions::FromHub, ..binding }).wait()?;
/// let (from_courier, from_customer) = (request(1, bound.number), request(2, bound.number));
/// assert!(matches!(board.route(&from_courier)?, Route::Connect { .. }));
/// assert_eq!(board.route(&from_customer)?, Route::Refuse);
/// # Ok::<(), unjoin_phone::SwitchboardError>(())
/// ```
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
}

one_byte!(Directions: Both, FromCustomer, FromHub);
