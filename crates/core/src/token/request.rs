//! Step 2: the device asks for a token of the offered scope. `C` hides the serial behind
//! `b`: without it `C - U = s * G_s` would link the serial to the request.

use super::{OrderHandle, Scope, VerifyError, verdict};
use crate::algebra::proof::{BatchVerifier, Equation, Proof, Statement, all_or_bad};
use crate::algebra::{Element, Generator};
use crate::secret::SecretScalar;
use crate::{message, serde_as_bytes};
use rand_core::CryptoRng;

/// Kind 2, 252 bytes and the merchant's name: the order, the scope on offer, and
/// `C = u*G_u + s*G_s + b*G_b` with a proof that it holds the enrolled `u`.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{secret::SystemRng, token::TokenRequest, wire::Message};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let (bytes, offer, enrolled) = (shop.request().1.to_bytes(), shop.offer(), shop.wallet.wallet_key(&shop.name)?);
/// // The issuer: is it for what was offered, by the wallet that the account enrolled?
/// let request = TokenRequest::from_bytes(&bytes)?;
/// assert_eq!((request.handle(), request.scope()), (offer.handle, &offer.scope));
/// assert!(request.verify(&enrolled, rng).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    handle: OrderHandle,
    scope: Scope,
    commitment: Element,
    proof: Proof<2, 3>,
}

/// The secrets of a request, with the wallet key that the first belongs to.
#[doc(hidden)]
pub struct RequestWitness<'a> {
    pub u: &'a SecretScalar,
    pub s: &'a SecretScalar,
    pub b: &'a SecretScalar,
    pub wallet_key: &'a Element,
}

impl RequestWitness<'_> {
    /// The blinded commitment `C`; `None` in the negligible case that it is the identity.
    pub fn commitment(&self) -> Option<Element> {
        let (s, b) = (Generator::Gs.mul(self.s.expose()), Generator::Gb.mul(self.b.expose()));
        Element::from_point(self.wallet_key.point() + s + b)
    }
}

impl TokenRequest {
    crate::getters! {
        /// The order it is for.
        pub handle -> OrderHandle;
        /// The scope it asks for.
        pub scope -> &Scope;
        /// The blinded commitment `C`.
        pub commitment -> &Element;
    }

    /// Makes the request; `None` in the negligible case that `C` is the identity.
    #[doc(hidden)]
    pub fn prove(
        witness: &RequestWitness<'_>,
        handle: OrderHandle,
        scope: Scope,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<Self> {
        let commitment = witness.commitment()?;
        let statement = statement(handle, &scope, witness.wallet_key, &commitment);
        let secrets = [witness.u, witness.s, witness.b].map(SecretScalar::expose);
        let proof = crate::algebra::proof::prove(&statement, secrets, rng);
        Some(Self { handle, scope, commitment, proof })
    }

    /// Checks the proof for the account's live wallet key. The caller compares the handle
    /// and the scope with what it offered.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not hold.
    pub fn verify(
        &self,
        wallet_key: &Element,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        verdict(holds(&[(self, *wallet_key)], rng))
    }
}

/// Checks many requests, each for a wallet key, in one multi-scalar multiplication.
///
/// # Errors
/// The positions of the bad ones, in order, when the batch does not hold: it then checks every
/// one alone.
#[doc(hidden)]
pub fn verify_requests(
    checks: &[(&TokenRequest, Element)],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(), Vec<usize>> {
    all_or_bad(checks, |checks| holds(checks, rng))
}

fn holds(checks: &[(&TokenRequest, Element)], rng: &mut (impl CryptoRng + ?Sized)) -> bool {
    let mut batch = BatchVerifier::new(rng, checks.len());
    for (request, wallet_key) in checks {
        let statement = statement(request.handle, &request.scope, wallet_key, &request.commitment);
        batch.add(&statement, &request.proof);
    }
    batch.holds()
}

fn statement(handle: OrderHandle, scope: &Scope, wallet_key: &Element, commitment: &Element) -> Statement {
    Statement::new("request")
        .item(handle.as_bytes())
        .item(&scope.to_bytes())
        .item(wallet_key.as_bytes())
        .item(commitment.as_bytes())
        .equation(Equation::of(*wallet_key).plus(0, Generator::Gu))
        .equation(
            Equation::of(*commitment).plus(0, Generator::Gu).plus(1, Generator::Gs).plus(2, Generator::Gb),
        )
}

message!(TokenRequest = 2, "token request":
    handle as "order handle", scope as "scope", commitment as "C", proof as "proof");

serde_as_bytes!(TokenRequest);
