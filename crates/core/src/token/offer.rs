//! What the issuer offers for a due order.

use super::{IssuerPublicKey, OrderHandle, Scope};
use crate::algebra::EscrowKey;
use crate::serde_as_bytes;
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

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

impl Message for Offer {
    const KIND: u8 = 9;
    const NAME: &'static str = "offer";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(self.handle.as_bytes());
        self.scope.encode(out);
        out.elements(&[*self.issuer_key.element(), *self.escrow_key.element()]);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offer = Self {
            handle: OrderHandle(from.array("order handle")?),
            scope: Scope::decode(from)?,
            issuer_key: IssuerPublicKey::new(from.element("X")?),
            escrow_key: EscrowKey::new(from.element("Y")?),
        };
        if !offer.scope.is_of(&offer.issuer_key) {
            return Err(from.refuse(Rule::Value));
        }
        Ok(offer)
    }
}

serde_as_bytes!(Offer);
