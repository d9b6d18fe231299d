//! Step 4: the device shows that it holds a token of the scope, without showing which one.
//!
//! Orrù 2024/1552 and Barki et al. 2016: the tag is randomized to `A' = r*A`,
//! `A_bar = r*B - e*A' = x*A'`, the serial is revealed, and one proof ties the hidden tag,
//! the revealed serial and the escrow of the author together:
//!
//! ```text
//! G_0 + m*G_m + s*G_s = r'*A_bar + e'*A' - u*G_u - b*G_b,   E1 = k*G,   E2 = u*G_u + k*Y
//! ```

use super::{AuthorKey, Digest, IssuerKey, IssuerPublicKey, ReviewId, Scope, VerifyError, sha256, verdict};
use crate::algebra::proof::{Base, BatchVerifier, Equation, Proof, Statement, all_or_bad};
use crate::algebra::{Element, Escrow, EscrowKey, Generator};
use crate::secret::SecretScalar;
use crate::wire::Message;
use crate::{message, serde_as_bytes};
use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, VartimeMultiscalarMul},
};
use rand_core::CryptoRng;

/// Kind 4, 524 bytes and the merchant's name: a randomized token bound to a review's digest. With
/// it are its serial, the escrow of its author, and the key that the author acts with later.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{secret::SystemRng, token::Presentation, wire::Message};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let accepted = shop.accepted();
/// # let (bytes, review) = (accepted.sent.presentation.to_bytes(), accepted.review);
/// // The review service learns the cohort, and that the token was not spent before.
/// let presentation = Presentation::from_bytes(&bytes)?;
/// presentation.verify(&shop.issuer_key, &shop.escrow_key, &review.digest(), rng)?;
/// assert_eq!(presentation.scope(), accepted.token.scope());
/// assert_eq!(presentation.escrow_id(), shop.escrow_key.id());
/// // It is bound to the words that were sent with it.
/// assert!(presentation.verify(&shop.issuer_key, &shop.escrow_key, &[0; 32], rng).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    scope: Scope,
    escrow_id: [u8; 32],
    /// `A'`.
    tag: Element,
    /// `A_bar`, which the issuer's secret must map `A'` to.
    image: Element,
    escrow: Escrow,
    serial: Scalar,
    author_key: AuthorKey,
    proof: Proof<3, 5>,
}

/// The secrets that a presentation hides.
#[doc(hidden)]
pub struct PresentationWitness<'a> {
    /// Of the request that the token answers.
    pub request: super::RequestWitness<'a>,
    /// The escrow's randomness.
    pub k: &'a SecretScalar,
    /// The randomizer, not zero.
    pub r: &'a SecretScalar,
    pub granted: &'a super::GrantedTag,
    pub author_key: AuthorKey,
}

impl Presentation {
    crate::getters! {
        /// The public scope.
        pub scope -> &Scope;
        /// The id of the trustees' key that the author is escrowed to.
        pub escrow_id -> &[u8; 32];
        /// The escrow of the author.
        pub escrow -> &Escrow;
        /// The key that edits and withdrawals are signed with: opaque bytes until then.
        pub author_key -> &AuthorKey;
    }

    /// The id of the review that this token can sign.
    pub fn review_id(&self) -> ReviewId {
        ReviewId::new(&self.scope, &self.serial)
    }

    /// SHA-256 of the whole message: what the published entry commits to.
    pub fn hash(&self) -> Digest {
        sha256(&self.to_bytes())
    }

    crate::getters! {
        /// `A'`, the randomized tag.
        #[doc(hidden)]
        pub tag -> &Element;
        /// `A_bar`.
        #[doc(hidden)]
        pub image -> &Element;
    }

    /// Presents a token for a review; `None` in the negligible case that an element is the
    /// identity.
    #[doc(hidden)]
    pub fn prove(
        witness: &PresentationWitness<'_>,
        scope: Scope,
        key: &IssuerPublicKey,
        escrow_key: &EscrowKey,
        review_digest: &Digest,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<Self> {
        let PresentationWitness { request, granted, .. } = witness;
        let r = witness.r.expose();
        let inverse = SecretScalar::new(r.invert());
        let exponent = SecretScalar::new(granted.exponent * inverse.expose());
        let half = SecretScalar::new(r.div_by_2());
        let half_k = SecretScalar::new(witness.k.expose().div_by_2());
        // A' = r*A, A_bar = r*(B - e*A) and E1 = k*G, encoded together.
        let halves = [
            granted.tag.point() * half.expose(),
            granted.image * half.expose(),
            Generator::G.mul(half_k.expose()),
        ];
        let [tag, image, e1] = Element::from_halves(&halves)?;
        let e2 = Escrow::hide(escrow_key, request.wallet_key.point(), witness.k.expose())?;
        let mut presentation = Self {
            scope,
            escrow_id: *escrow_key.id(),
            tag,
            image,
            escrow: Escrow { e1, e2 },
            serial: *request.s.expose(),
            author_key: witness.author_key,
            proof: Proof { commitments: [*escrow_key.element(); 3], responses: [Scalar::ZERO; 5] },
        };
        let statement = presentation.statement(key, escrow_key, review_digest);
        let witnesses = [&inverse, &exponent, request.u, request.b, witness.k].map(SecretScalar::expose);
        presentation.proof = crate::algebra::proof::prove(&statement, witnesses, rng);
        Some(presentation)
    }

    /// Checks the presentation with the issuing key: the scope's key id, the escrow id, the
    /// proof, and `A_bar = x * A'`.
    ///
    /// # Errors
    /// [`VerifyError`] when any of them does not hold.
    pub fn verify(
        &self,
        key: &IssuerKey,
        escrow_key: &EscrowKey,
        review_digest: &Digest,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        verdict(holds(&[PresentationCheck { presentation: self, key, escrow_key, review_digest }], rng))
    }

    /// Whether the key id and the escrow id are those of these keys.
    pub(crate) fn names(&self, key: &IssuerPublicKey, escrow_key: &EscrowKey) -> bool {
        self.scope.is_of(key) && &self.escrow_id == escrow_key.id()
    }

    #[doc(hidden)]
    pub fn proof(&self) -> &Proof<3, 5> {
        &self.proof
    }

    #[doc(hidden)]
    pub fn statement(
        &self,
        key: &IssuerPublicKey,
        escrow_key: &EscrowKey,
        review_digest: &Digest,
    ) -> Statement {
        let (e1, e2) = (self.escrow.e1, self.escrow.e2);
        Statement::new("present")
            .item(&self.scope.to_bytes())
            .item(key.element().as_bytes())
            .item(&self.escrow_id)
            .item(escrow_key.element().as_bytes())
            .item(self.tag.as_bytes())
            .item(self.image.as_bytes())
            .item(e1.as_bytes())
            .item(e2.as_bytes())
            .item(self.serial.as_bytes())
            .item(self.author_key.as_bytes())
            .item(review_digest)
            .equation(
                Equation::new()
                    .known(Scalar::ONE, Generator::G0)
                    .known(self.scope.scalar(), Generator::Gm)
                    .known(self.serial, Generator::Gs)
                    .plus(0, self.image)
                    .plus(1, self.tag)
                    .minus(2, Generator::Gu)
                    .minus(3, Generator::Gb),
            )
            .equation(Equation::of(e1).plus(4, Generator::G))
            .equation(Equation::of(e2).plus(2, Generator::Gu).plus(4, Base::Key(*escrow_key.element())))
    }
}

/// One member of a batch: a presentation with the keys and the review digest that it must
/// verify under.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct PresentationCheck<'a> {
    /// The presentation.
    pub presentation: &'a Presentation,
    /// The issuing key that its scope names.
    pub key: &'a IssuerKey,
    /// The escrow key that belongs to that issuing key.
    pub escrow_key: &'a EscrowKey,
    /// The digest of the review that was submitted with it.
    pub review_digest: &'a Digest,
}

/// Verifies many presentations in one multi-scalar multiplication, whatever their keys.
///
/// # Errors
/// The positions of the bad members, in order, when the batch does not hold: it then checks
/// every member alone.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{secret::SystemRng, token::{PresentationCheck, verify_batch}};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// let (digest, another) = (accepted.review.digest(), [0; 32]);
/// let check = PresentationCheck {
///     presentation: &accepted.sent.presentation,
///     key: &shop.issuer_key,
///     escrow_key: &shop.escrow_key,
///     review_digest: &digest,
/// };
/// // The second is not for the words that came with it: it alone is named.
/// let batch = [check, PresentationCheck { review_digest: &another, ..check }];
/// assert_eq!(verify_batch(&batch, &mut SystemRng::new()), Err(vec![1]));
/// ```
#[doc(hidden)]
pub fn verify_batch(
    checks: &[PresentationCheck<'_>],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(), Vec<usize>> {
    all_or_bad(checks, |checks| holds(checks, rng))
}

/// Whether all members verify. The issuing secret enters one constant-time multiplication
/// per key and nothing else: `sum of w*A_bar` in the variable-time sum must equal
/// `x * (sum of w*A')`.
fn holds(checks: &[PresentationCheck<'_>], rng: &mut (impl CryptoRng + ?Sized)) -> bool {
    if !checks.iter().all(|check| check.presentation.names(check.key.public(), check.escrow_key)) {
        return false;
    }
    let mut batch = BatchVerifier::new(rng, checks.len());
    let mut tags: Vec<(&IssuerKey, Vec<Scalar>, Vec<RistrettoPoint>)> = Vec::new();
    for check in checks {
        let presentation = check.presentation;
        let statement = presentation.statement(check.key.public(), check.escrow_key, check.review_digest);
        batch.add(&statement, &presentation.proof);
        let weight = batch.weight();
        batch.element(weight, &presentation.image);
        let tag = *presentation.tag.point();
        match tags.iter_mut().find(|(key, ..)| key.public().id() == check.key.public().id()) {
            Some((_, weights, points)) => {
                weights.push(weight);
                points.push(tag);
            }
            None => tags.push((check.key, vec![weight], vec![tag])),
        }
    }
    let expected = tags.iter().fold(RistrettoPoint::identity(), |sum, (key, weights, points)| {
        sum + RistrettoPoint::vartime_multiscalar_mul(weights, points) * key.x()
    });
    batch.sum() == expected
}

message!(Presentation = 4, "presentation":
    scope as "scope",
    escrow_id as "escrow id",
    tag as "A'",
    image as "A_bar",
    escrow as "escrow",
    serial as "s",
    author_key as "author key",
    proof as "proof",
);

serde_as_bytes!(Presentation);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::mac;
    use crate::algebra::proof::prove;
    use crate::name::Name;
    use crate::secret::SystemRng;
    use crate::token::{GrantedTag, RequestWitness};

    /// An author who binds another id than that of the key they encrypt to: every equation holds.
    #[test]
    fn an_escrow_id_that_is_not_the_keys_is_refused() {
        let rng = &mut SystemRng::new();
        let (key, escrow_key) = (
            IssuerKey::generate(rng),
            EscrowKey::new(Element::from_point(Generator::G.mul(&Scalar::from(2u64))).unwrap()),
        );
        let scope = Scope::new(*key.public().id(), Name::new("merchant").unwrap(), 7);
        let [u, s, b, k, r] = [3u64, 5, 7, 11, 13].map(|secret| SecretScalar::new(Scalar::from(secret)));
        let wallet_key = Element::from_point(Generator::Gu.mul(u.expose())).unwrap();
        let request = RequestWitness { u: &u, s: &s, b: &b, wallet_key: &wallet_key };
        let base = mac::base(&scope.scalar(), &request.commitment().unwrap());
        let exponent = Scalar::from(17u64);
        let granted = GrantedTag::new(mac::tag(key.x(), &exponent, &base).unwrap(), exponent, &base);
        let author_key = AuthorKey::NOBODY;
        let witness = PresentationWitness { request, k: &k, r: &r, granted: &granted, author_key };
        let digest = [1; 32];
        let honest = Presentation::prove(&witness, scope, key.public(), &escrow_key, &digest, rng).unwrap();
        assert!(honest.verify(&key, &escrow_key, &digest, rng).is_ok());

        let mut forged = Presentation { escrow_id: [9; 32], ..honest };
        let statement = forged.statement(key.public(), &escrow_key, &digest);
        let inverse = r.expose().invert();
        let secrets = [&inverse, &(exponent * inverse), u.expose(), b.expose(), k.expose()];
        forged.proof = prove(&statement, secrets, rng);
        assert!(crate::algebra::proof::verify(&statement, &forged.proof, rng), "the proof itself holds");
        assert!(forged.verify(&key, &escrow_key, &digest, rng).is_err());
    }
}
