//! What the issuer offers for a due order.

use super::{IssuerPublicKey, OrderHandle, Scope};
use crate::algebra::EscrowKey;
use crate::{message, serde_as_bytes};

/// Kind 9, 124 bytes and the merchant's name: the scope on offer for an order, with the keys
/// that it binds. The wallet takes it only if both keys are pinned or logged.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{token::Offer, wire::Message};
/// # let shop = Shop::open();
/// # let bytes = shop.offer().to_bytes();
/// let offer = Offer::from_bytes(&bytes)?;
/// // A scope of another key's does not decode; whether the key is pinned is the wallet's to check.
/// assert!(offer.scope.is_of(&offer.issuer_key));
/// assert_eq!(bytes.len(), 124 + offer.scope.merchant().as_bytes().len());
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The order.
    pub handle: OrderHandle,
    /// The scope that a request must name.
    pub scope: Scope,
    /// `X`, whose id the scope holds.
    pub issuer_key: IssuerPublicKey,
    /// `Y`, which belongs to `X` for its whole life.
    pub escrow_key: EscrowKey,
}

message!(Offer = 9, "offer":
    handle as "order handle", scope as "scope", issuer_key as "X", escrow_key as "Y";
    if |offer| offer.scope.is_of(&offer.issuer_key));

serde_as_bytes!(Offer);
