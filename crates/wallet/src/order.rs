//! Asking for a token, and keeping it.

use super::derive::{self, AuthorSecret, OrderSecrets};
use super::{TrustRoots, Wallet, WalletError};
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_core::algebra::{Element, EscrowKey};
use unjoin_core::token::{
    Grant, GrantedTag, IssuerPublicKey, Offer, OrderHandle, ReviewId, Scope, TokenRequest,
};

/// The public surroundings of one token, from which the seed gives its secrets.
pub struct OrderContext {
    pub(super) issuer: Name,
    /// `U`: tells which wallet the token is of, without any secret.
    pub(super) wallet_key: Element,
    pub(super) handle: OrderHandle,
    pub(super) scope: Scope,
    pub(super) issuer_key: IssuerPublicKey,
    pub(super) escrow_key: EscrowKey,
}

/// A request under way: what the device keeps until the grant arrives. It holds no secret,
/// and losing it loses nothing: the same request can be made again from the offer.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::{secret::SystemRng, token::Grant};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let offer = shop.offer();
/// # let (pending, request) = shop.request();
/// # let grant = Grant::issue(&shop.issuer_key, request.scope(), request.commitment(), rng)?;
/// // Kept from the request until the grant, which it takes.
/// assert_eq!((pending.handle(), pending.scope()), (offer.handle, &offer.scope));
/// let token = shop.wallet.finish(pending, &grant, rng)?;
/// assert_eq!(token.handle(), offer.handle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PendingToken {
    pub(super) order: OrderContext,
    commitment: Element,
}

/// A token: the right to one review of one order. Its secrets are derived again from the
/// wallet's seed at each use. What it holds links an order to a wallet key, so it leaves the
/// device in a [`SealedBackup`](super::SealedBackup) alone.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # let shop = Shop::open();
/// let token = shop.token();
/// assert_eq!(token.scope().merchant().as_str(), Some("lamps"));
/// assert_eq!((token.issuer_key(), token.escrow_key()), (shop.issuer_key.public(), &shop.escrow_key));
/// // Derived again from the seed: asked for twice it is the same right to one review.
/// assert_eq!(shop.wallet.review_id(&token)?, shop.wallet.review_id(&shop.token())?);
/// # Ok::<(), unjoin_wallet::WalletError>(())
/// ```
pub struct Token {
    pub(super) order: OrderContext,
    pub(super) granted: GrantedTag,
}

/// A token, or the request for one: either way the seed gives the review's id and its author's key.
///
/// A device that was restored from its seed after the window of an order's cohort gets no grant. It
/// needs none to act as the author. It makes the request from an [`Offer`] of its own. It tries the
/// scope of one manifest of the merchant after another, until a listed review has the id.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_wallet::{ReviewRight, Wallet};
/// # let shop = Shop::open();
/// # let (pending, _) = shop.request();
/// fn is_mine(wallet: &Wallet, right: &impl ReviewRight) -> bool {
///     wallet.review_id(right).is_ok()
/// }
///
/// // The request for a token tells the review's id as well as the token.
/// assert!(is_mine(&shop.wallet, &pending) && is_mine(&shop.wallet, &shop.token()));
/// assert!(!is_mine(&Shop::open().wallet, &pending));
/// ```
pub trait ReviewRight: sealed::OfOrder {}

impl ReviewRight for Token {}
impl ReviewRight for PendingToken {}
impl ReviewRight for OrderContext {}

mod sealed {
    use super::{OrderContext, PendingToken, Token};

    pub trait OfOrder {
        fn order(&self) -> &OrderContext;
    }

    impl OfOrder for OrderContext {
        fn order(&self) -> &OrderContext {
            self
        }
    }

    impl OfOrder for Token {
        fn order(&self) -> &OrderContext {
            &self.order
        }
    }

    impl OfOrder for PendingToken {
        fn order(&self) -> &OrderContext {
            &self.order
        }
    }
}

impl PendingToken {
    /// The scope that was asked for.
    pub fn scope(&self) -> &Scope {
        &self.order.scope
    }

    /// The order.
    pub fn handle(&self) -> OrderHandle {
        self.order.handle
    }
}

impl Token {
    /// The scope, by which to look for the cohort's manifest.
    pub fn scope(&self) -> &Scope {
        &self.order.scope
    }

    /// The order. For the device's own screens: it never goes where the review goes.
    pub fn handle(&self) -> OrderHandle {
        self.order.handle
    }

    /// The name of the issuer that granted it.
    pub fn issuer(&self) -> &Name {
        &self.order.issuer
    }

    /// The issuer's key.
    pub fn issuer_key(&self) -> &IssuerPublicKey {
        &self.order.issuer_key
    }

    /// The trustees' key that an author is escrowed to.
    pub fn escrow_key(&self) -> &EscrowKey {
        &self.order.escrow_key
    }
}

unjoin_core::opaque!(PendingToken);

unjoin_core::opaque!(Token);

impl Wallet {
    /// Asks for a token for an eligible order, blindly: the request shows the order and the scope,
    /// never the serial. Everything but the proof's randomness comes from the seed, so
    /// asking again gets the same token.
    ///
    /// Ask for every order, in the background and at its [`asking_time`](crate::asking_time), whether there will
    /// be a review or not. A wallet that asks only when it complains gives itself away.
    ///
    /// `issuer` is the name under which the wallet is enrolled; `merchant` and `handle` are those
    /// of the order that the application asked about.
    ///
    /// # Errors
    /// [`WalletError::OtherOffer`] when the offer is for another merchant or order;
    /// [`WalletError::IssuerKeyNotPinned`] and [`WalletError::EscrowKeyNotPinned`] when the
    /// offer's two keys are not pinned as a pair; [`WalletError::ForeignScope`] when its
    /// scope is another key's.
    pub fn request(
        &self,
        issuer: &Name,
        merchant: &Name,
        handle: OrderHandle,
        offer: &Offer,
        trust: &TrustRoots,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(PendingToken, TokenRequest), WalletError> {
        if offer.scope.merchant() != merchant || offer.handle != handle {
            return Err(WalletError::OtherOffer);
        }
        trust.check(&offer.issuer_key, &offer.escrow_key)?;
        if !offer.scope.is_of(&offer.issuer_key) {
            return Err(WalletError::ForeignScope);
        }
        let order = OrderContext {
            issuer: issuer.clone(),
            wallet_key: self.wallet_key(issuer)?,
            handle: offer.handle,
            scope: offer.scope.clone(),
            issuer_key: offer.issuer_key,
            escrow_key: offer.escrow_key,
        };
        let (author, secrets) = self.secrets(&order)?;
        let witness = secrets.request(&author);
        let request = TokenRequest::prove(&witness, order.handle, order.scope.clone(), rng)
            .ok_or(WalletError::Degenerate)?;
        let commitment = *request.commitment();
        Ok((PendingToken { order, commitment }, request))
    }

    /// Takes the grant: checks it against the pinned issuer key for exactly what was asked.
    ///
    /// Consumes the request under way. After a failure nothing is handed out and
    /// [`Wallet::request`] can be called again with the same offer.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when another wallet asked; [`WalletError::Grant`] when
    /// the grant does not verify.
    pub fn finish(
        &self,
        pending: PendingToken,
        grant: &Grant,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Token, WalletError> {
        let PendingToken { order, commitment } = pending;
        self.check_own(&order)?;
        let granted = grant
            .verify(&order.issuer_key, &order.scope, &commitment, rng)
            .map_err(|_| WalletError::Grant)?;
        Ok(Token { order, granted })
    }

    /// The id of the review that the token signs, which is public once it is presented.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's.
    pub fn review_id(&self, right: &impl ReviewRight) -> Result<ReviewId, WalletError> {
        let (_, secrets) = self.secrets(right.order())?;
        Ok(ReviewId::new(&right.order().scope, secrets.s.expose()))
    }

    /// The secrets of a token of this wallet.
    pub(super) fn secrets(&self, order: &OrderContext) -> Result<(AuthorSecret, OrderSecrets), WalletError> {
        let author = self.check_own(order)?;
        let secrets = derive::order(&self.seed, &order.issuer, &order.scope, order.handle, &order.escrow_key);
        Ok((author, secrets))
    }

    /// Refuses what another wallet asked for: this seed would give it secrets that prove
    /// nothing.
    pub(super) fn check_own(&self, order: &OrderContext) -> Result<AuthorSecret, WalletError> {
        let author = self.author_secret(&order.issuer)?;
        if author.wallet_key == order.wallet_key { Ok(author) } else { Err(WalletError::AnotherWallet) }
    }
}
