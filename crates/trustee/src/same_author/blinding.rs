//! The reviews of a comparison, and one member's blind of their escrows.

use super::SameAuthorError;
use crate::{TrusteeShare, share};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use rand_core::CryptoRng;
use unjoin_core::algebra::proof::{Equation, Proof, Statement, prove, verify};
use unjoin_core::algebra::transcript::Transcript;
use unjoin_core::algebra::{Element, Escrow, Generator};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{Digest, ReviewId, VerifyError, verdict};
use unjoin_core::wire::{DecodeError, Field, Message, Reader, Rule, Writer};

/// The reviews that are compared, with their escrows under one key: 2 to 64, rising by id.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_trustee::same_author::{ComparedReviews, SameAuthorError};
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// # let of = |review: usize| (world.id(review), *world.written[review].evidence.presentation.escrow());
/// let mut reviews = vec![of(0), of(1)];
/// reviews.sort_by_key(|(id, _)| *id);
/// assert_eq!(ComparedReviews::new(reviews)?.ids().count(), 2);
/// assert_eq!(ComparedReviews::new(vec![of(0)]), Err(SameAuthorError::Reviews));
/// # Ok::<(), SameAuthorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedReviews(Vec<(ReviewId, Escrow)>);

impl ComparedReviews {
    /// The fewest reviews of a comparison.
    pub const MIN: usize = 2;
    /// The most reviews of a comparison.
    pub const MAX: usize = 64;

    /// Takes reviews in rising order of their ids.
    ///
    /// # Errors
    /// [`SameAuthorError::Reviews`] when they are too few, too many, repeated or out of order.
    pub fn new(reviews: Vec<(ReviewId, Escrow)>) -> Result<Self, SameAuthorError> {
        let fits = (Self::MIN..=Self::MAX).contains(&reviews.len());
        let rises = reviews.is_sorted_by(|(a, _), (b, _)| a < b);
        if fits && rises { Ok(Self(reviews)) } else { Err(SameAuthorError::Reviews) }
    }

    /// Their ids, rising.
    pub fn ids(&self) -> impl Iterator<Item = &ReviewId> {
        self.0.iter().map(|(id, _)| id)
    }

    /// m: how many there are.
    pub(super) fn count(&self) -> u16 {
        self.0.len() as u16
    }
}

/// A member's secret factor `z` of one round; erased when dropped, never used again.
#[derive(Debug)]
pub struct BlindingFactor(SecretScalar);

impl BlindingFactor {
    /// A fresh factor: 32 bytes from `rng`, hashed with the member's share, so that neither a
    /// generator that somebody can predict nor a stolen share alone tells it. It is hashed with what it is for, so
    /// that a generator that repeats itself gives no two rounds one factor.
    pub fn derive(
        share: &TrusteeShare,
        warrant_digest: &Digest,
        round: u16,
        reviews: &ComparedReviews,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        loop {
            let fresh = SecretBytes::<32>::random(rng);
            let start = Transcript::new(&["round/z"])
                .item(fresh.expose())
                .item(share.secret().expose().as_bytes())
                .item(warrant_digest)
                .item(&round.to_le_bytes())
                .item(&share.epoch().to_le_bytes());
            let all = reviews
                .0
                .iter()
                .fold(start, |hash, (_, escrow)| hash.item(escrow.e1.as_bytes()).item(escrow.e2.as_bytes()));
            if let Some(factor) = Self::from_scalar(SecretScalar::new(all.finish_scalar())) {
                return factor;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn expose(&self) -> &Scalar {
        self.0.expose()
    }

    /// The factor with this value; `None` if it is zero.
    #[doc(hidden)]
    pub fn from_scalar(z: SecretScalar) -> Option<Self> {
        (*z.expose() != Scalar::ZERO).then_some(Self(z))
    }
}

/// Kind 7, 264 to 4,232 bytes: a member's blinded escrows of all reviews, with their proof.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets, officer_of};
/// # use unjoin_trustee::same_author::RoundAnswer;
/// # use unjoin_core::wire::Message;
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// # let trustees = world.all_trustees();
/// # let presented = world.compared(&trustees);
/// # let mut comparison = world.comparison(&presented, &trustees);
/// # let round = comparison.next_round()?;
/// # world.log(&[comparison.entry(&round, &officer_of(&presented))?.to_bytes()]);
/// # let RoundAnswer::Append(entry) = trustees[0].blind(&round.request, &world.openings)? else { panic!() };
/// # world.log(&[entry]);
/// # let RoundAnswer::Reveal(blind) = trustees[0].blind(&round.request, &world.openings)? else { panic!() };
/// // Of this member, for this round; for two reviews it has the least length.
/// assert_eq!((blind.index(), blind.round()), (1, 1));
/// assert_eq!(blind.to_bytes().len(), 264);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    index: u16,
    round: u16,
    /// `Z = z*G`.
    z: Element,
    /// `V1 = z*E1` and `V2 = z*E2` of each review.
    blinded: Vec<[Element; 2]>,
    proof: Proof<2, 1>,
}

impl Blind {
    unjoin_core::getters! {
        /// The trustee's index.
        pub index -> u16;
        /// The round's number.
        pub round -> u16;
    }

    /// `Z`.
    pub(super) fn factor_times_g(&self) -> &Element {
        &self.z
    }

    /// `V1` and `V2` of each review.
    pub(crate) fn blinded(&self) -> &[[Element; 2]] {
        &self.blinded
    }

    /// Blinds the reviews' escrows for one round of one warrant.
    ///
    /// # Errors
    /// [`VerifyError`] for no factor that [`BlindingFactor`] makes.
    pub fn new(
        index: u16,
        round: u16,
        factor: &BlindingFactor,
        warrant_digest: &Digest,
        reviews: &ComparedReviews,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, VerifyError> {
        let z = factor.0.expose();
        let times = |element: &Element| Element::from_point(element.point() * z).ok_or(VerifyError);
        let public = Element::from_point(Generator::G.mul(z)).ok_or(VerifyError)?;
        let blinded = reviews.0.iter().map(|(_, escrow)| Ok([times(&escrow.e1)?, times(&escrow.e2)?]));
        let blinded = blinded.collect::<Result<Vec<_>, VerifyError>>()?;
        let proof = Proof { commitments: [public; 2], responses: [Scalar::ZERO] };
        let mut blind = Self { index, round, z: public, blinded, proof };
        blind.proof = prove(&blind.statement(warrant_digest, reviews), [z], rng);
        Ok(blind)
    }

    /// Checks the blind for this warrant, these reviews and this round.
    ///
    /// # Errors
    /// [`VerifyError`] when it is of another round or of other reviews, or does not hold.
    pub fn verify(
        &self,
        round: u16,
        warrant_digest: &Digest,
        reviews: &ComparedReviews,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        verdict(self.round == round && self.blinded.len() == reviews.0.len())?;
        verdict(verify(&self.statement(warrant_digest, reviews), &self.proof, rng))
    }

    fn statement(&self, warrant_digest: &Digest, reviews: &ComparedReviews) -> Statement {
        let start = Statement::new("blind")
            .item(warrant_digest)
            .item(&self.round.to_le_bytes())
            .item(&self.index.to_le_bytes())
            .item(&reviews.count().to_le_bytes());
        let pairs = || reviews.0.iter().zip(&self.blinded);
        let all = pairs().fold(start, |statement, ((id, escrow), [v1, v2])| {
            let parts = [&escrow.e1, &escrow.e2, v1, v2];
            parts
                .iter()
                .fold(statement.item(id.as_bytes()), |statement, part| statement.item(part.as_bytes()))
        });
        let all = all.item(self.z.as_bytes());
        let weights = all.composite_weights(reviews.count().saturating_mul(2));
        let escrows = pairs().flat_map(|((_, escrow), _)| [escrow.e1, escrow.e2]);
        let blinded = pairs().flat_map(|(_, blinded)| *blinded);
        let (escrows, blinded) = (composite(&weights, escrows), composite(&weights, blinded));
        all.equation(Equation::of(self.z).plus(0, Generator::G))
            .equation(Equation::of(blinded).plus(0, escrows))
    }
}

/// The sum of weighted elements; all of it public.
pub(crate) fn composite(weights: &[Scalar], elements: impl Iterator<Item = Element>) -> RistrettoPoint {
    let points: Vec<RistrettoPoint> = elements.map(|element| *element.point()).collect();
    RistrettoPoint::vartime_multiscalar_mul(weights, &points)
}

/// m of a message: 2 to 64.
pub(super) fn review_count(from: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let count = from.le16("reviews")?;
    let fits = (ComparedReviews::MIN..=ComparedReviews::MAX).contains(&usize::from(count));
    if fits { Ok(count) } else { Err(from.refuse(Rule::Length)) }
}

impl Message for Blind {
    const KIND: u8 = 7;
    const NAME: &'static str = "blind";

    fn encode_body(&self, out: &mut Writer) {
        out.le16(self.index);
        out.le16(self.round);
        out.le16(self.blinded.len() as u16);
        out.elements(&[self.z]);
        self.blinded.iter().for_each(|blinded| out.elements(blinded));
        self.proof.put(out);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = share::trustee_index(from)?;
        let round = from.le16("round")?;
        if round == 0 {
            return Err(from.refuse(Rule::Value));
        }
        let count = review_count(from)?;
        let z = from.element("Z")?;
        let all = from.element_list("V", count.saturating_mul(2))?;
        let (pairs, _) = all.as_chunks();
        Ok(Self { index, round, z, blinded: pairs.to_vec(), proof: Field::get(from, "proof")? })
    }
}

serde_as_bytes!(Blind);
