//! Step 3: the issuer's MAC on the blinded commitment, with a proof that the one public `X`
//! made it. Nobody can be tagged by a key of their own.

use super::{IssuerKey, IssuerPublicKey, Scope, VerifyError, verdict};
use crate::algebra::proof::{Base, Equation, Proof, Statement, prove, verify};
use crate::algebra::{Element, Generator, mac};
use crate::{message, serde_as_bytes};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;

/// Kind 3, 162 bytes: the tag `(A, e)` and the proof that `A = (x + e)^-1 * B`.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{secret::SystemRng, token::{Grant, IssuerKey}};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let (_, request) = shop.request();
/// // The issuer sees the order and a commitment, and no serial.
/// let (scope, commitment) = (request.scope(), request.commitment());
/// let grant = Grant::issue(&shop.issuer_key, scope, commitment, rng)?;
/// assert!(grant.verify(shop.issuer_key.public(), scope, commitment, rng).is_ok());
/// // A key of one's own for somebody is found out.
/// assert!(grant.verify(IssuerKey::generate(rng).public(), scope, commitment, rng).is_err());
/// # Ok::<(), unjoin_core::token::VerifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    tag: Element,
    exponent: Scalar,
    proof: Proof<2, 1>,
}

/// A tag whose proof was checked, with what presenting it needs.
#[doc(hidden)]
#[derive(Clone)]
pub struct GrantedTag {
    #[doc(hidden)]
    pub tag: Element,
    #[doc(hidden)]
    pub exponent: Scalar,
    #[doc(hidden)]
    /// `B - e*A = x*A`, kept so that presenting does not make it again.
    pub image: RistrettoPoint,
}

impl GrantedTag {
    /// The tag `(A, e)` on the base B.
    #[doc(hidden)]
    pub fn new(tag: Element, exponent: Scalar, base: &RistrettoPoint) -> Self {
        Self { tag, exponent, image: base - tag.point() * exponent }
    }
}

impl Grant {
    /// Answers a request whose proof was checked: a function of the key, the scope and `C`,
    /// but for the proof's randomness. The caller has stored (scope, C) durably.
    ///
    /// # Errors
    /// [`VerifyError`] when the scope is another key's, or in the negligible case
    /// `x + e = 0`.
    pub fn issue(
        key: &IssuerKey,
        scope: &Scope,
        commitment: &Element,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, VerifyError> {
        verdict(scope.is_of(key.public()))?;
        let base = mac::base(&scope.scalar(), commitment);
        let exponent = mac::exponent(key.prf_key(), &scope.to_bytes(), commitment);
        let tag = mac::tag(key.x(), &exponent, &base).ok_or(VerifyError)?;
        let statement = statement(key.public(), scope, commitment, &base, &tag, &exponent);
        let proof = prove(&statement, [key.x()], rng);
        Ok(Self { tag, exponent, proof })
    }

    /// Checks the grant against the pinned or logged `X`, for the scope and commitment that
    /// were asked for.
    ///
    /// # Errors
    /// [`VerifyError`] when the scope is another key's or the proof does not hold.
    pub fn verify(
        &self,
        key: &IssuerPublicKey,
        scope: &Scope,
        commitment: &Element,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<GrantedTag, VerifyError> {
        verdict(scope.is_of(key))?;
        let base = mac::base(&scope.scalar(), commitment);
        let statement = statement(key, scope, commitment, &base, &self.tag, &self.exponent);
        verdict(verify(&statement, &self.proof, rng))?;
        Ok(GrantedTag::new(self.tag, self.exponent, &base))
    }
}

fn statement(
    key: &IssuerPublicKey,
    scope: &Scope,
    commitment: &Element,
    base: &RistrettoPoint,
    tag: &Element,
    exponent: &Scalar,
) -> Statement {
    Statement::new("grant")
        .item(&scope.to_bytes())
        .item(key.element().as_bytes())
        .item(commitment.as_bytes())
        .item(tag.as_bytes())
        .item(exponent.as_bytes())
        .equation(Equation::of(*key.element()).plus(0, Generator::G))
        .equation(Equation::new().known(Scalar::ONE, Base::Point(*base)).known(-exponent, *tag).plus(0, *tag))
}

message!(Grant = 3, "grant": tag as "A", exponent as "e", proof as "proof");

serde_as_bytes!(Grant);
