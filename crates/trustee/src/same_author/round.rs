//! A round whose blinds were checked: what the members' shares are bound to, and what t of them tell.

use super::blinding::composite;
use super::{AuthorClasses, Blind, ComparedReviews, SameAuthorError};
use crate::share::{check_own, is_index};
use crate::{Committee, TrusteeShare};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand_core::CryptoRng;
use unjoin_core::algebra::proof::{Equation, Proof, Statement, prove, verify};
use unjoin_core::algebra::transcript::{Transcript, hash_to_scalar};
use unjoin_core::algebra::{Element, Generator, threshold};
use unjoin_core::entry::Members;
use unjoin_core::token::{Digest, ReviewId, VerifyError, verdict};
use unjoin_core::{message, serde_as_bytes};
use zeroize::Zeroize;

/// What a member's share of a round is about; bound by its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonContext {
    /// SHA-256 of the warrant's signed text.
    pub warrant_digest: Digest,
    /// H32("round", ..).
    pub round_id: [u8; 32],
    /// `S1` of each review, in rising order of their ids: what is decrypted.
    pub sums: Vec<Element>,
}

/// A round whose blinds were checked.
#[derive(Clone, Debug)]
pub struct CheckedRound {
    context: ComparisonContext,
    reviews: Vec<ReviewId>,
    members: Members,
    /// `S2` of each review.
    masked: Vec<Element>,
}

impl CheckedRound {
    /// Checks the blinds of the fixed `members` of a round, and weighs each with its member's
    /// factor.
    ///
    /// The factors hash the whole round, so a member who shows others another blind changes what
    /// everybody's count for. With plain sums anybody who showed two members two blinds of their own would learn the
    /// difference of two results, which they know a multiple of. That is every wallet key of the round.
    ///
    /// # Errors
    /// [`SameAuthorError::Members`] when the set has fewer than t members or a stranger, or the
    /// blinds are not exactly theirs; [`SameAuthorError::Culprits`] names every member whose
    /// blind is bad; [`SameAuthorError::Cancelled`] when a sum is the identity.
    pub fn new(
        committee: &Committee,
        warrant_digest: &Digest,
        round: u16,
        reviews: &ComparedReviews,
        members: Members,
        blinds: &[Blind],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, SameAuthorError> {
        let known = members.indices().all(|index| committee.verification_share(index).is_some());
        let mut sorted: Vec<&Blind> = blinds.iter().collect();
        sorted.sort_by_key(|blind| blind.index());
        let theirs = sorted.iter().map(|blind| blind.index()).eq(members.indices());
        if !known || !theirs || round == 0 || members.count() < committee.threshold() {
            return Err(SameAuthorError::Members);
        }
        let is_bad = |blind: &&&Blind| blind.verify(round, warrant_digest, reviews, rng).is_err();
        let culprits: Vec<u16> = sorted.iter().filter(is_bad).map(|blind| blind.index()).collect();
        if !culprits.is_empty() {
            return Err(SameAuthorError::Culprits(culprits));
        }
        let round_id = round_id(warrant_digest, round, reviews, &sorted);
        let factors: Vec<Scalar> = sorted.iter().map(|blind| factor(&round_id, blind.index())).collect();
        let weigh = |elements: &mut dyn Iterator<Item = Element>| {
            Element::from_point(composite(&factors, elements)).ok_or(SameAuthorError::Cancelled)
        };
        weigh(&mut sorted.iter().map(|blind| *blind.factor_times_g()))?;
        let (mut sums, mut masked) = (Vec::new(), Vec::new());
        for at in 0..reviews.ids().count() {
            let parts: Vec<[Element; 2]> =
                sorted.iter().filter_map(|blind| blind.blinded().get(at).copied()).collect();
            sums.push(weigh(&mut parts.iter().map(|[first, _]| *first))?);
            masked.push(weigh(&mut parts.iter().map(|[_, second]| *second))?);
        }
        let context = ComparisonContext { warrant_digest: *warrant_digest, round_id, sums };
        Ok(Self { context, reviews: reviews.ids().copied().collect(), members, masked })
    }

    /// What every member's share of this round is bound to. A member answers only after it
    /// has found its own blind unchanged among those of the round.
    pub fn context(&self) -> &ComparisonContext {
        &self.context
    }

    /// Combines members' shares: which reviews have one author. What they decrypt to, a multiple
    /// of the wallet key that nobody knows, is compared and erased.
    ///
    /// # Errors
    /// [`SameAuthorError::Culprits`] names every trustee whose share is bad, was given twice, or who is
    /// no member; [`SameAuthorError::TooFew`] when there are fewer than t shares.
    pub fn classes(
        &self,
        committee: &Committee,
        shares: &[ComparisonShare],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<AuthorClasses, SameAuthorError> {
        let mut culprits: Vec<u16> = Vec::new();
        for share in shares {
            let repeated = shares.iter().filter(|other| other.index == share.index).count() > 1;
            let strange = !self.members.contains(share.index);
            if repeated || strange || share.verify(committee, &self.context, rng).is_err() {
                culprits.push(share.index);
            }
        }
        if !culprits.is_empty() {
            culprits.sort_unstable();
            culprits.dedup();
            return Err(SameAuthorError::Culprits(culprits));
        }
        let used = shares.get(..usize::from(committee.threshold())).ok_or(SameAuthorError::TooFew)?;
        let mut results: Vec<RistrettoPoint> = Vec::with_capacity(self.masked.len());
        for (at, masked) in self.masked.iter().enumerate() {
            let part = |share: &ComparisonShare| Some((share.index, *share.decrypted.get(at)?.point()));
            let points: Vec<_> = used.iter().filter_map(part).collect();
            results.push(masked.point() - threshold::interpolate(&points, 0));
        }
        let mut classes: Vec<(RistrettoPoint, Vec<ReviewId>)> = Vec::new();
        for (result, review) in results.iter().zip(&self.reviews) {
            match classes.iter_mut().find(|(known, _)| known == result) {
                Some((_, class)) => class.push(*review),
                None => classes.push((*result, vec![*review])),
            }
        }
        let mut found = AuthorClasses::default();
        for (result, class) in &mut classes {
            let class = core::mem::take(class);
            if result.is_identity() {
                found.nobody = class
            } else {
                found.authors.push(class)
            }
            result.zeroize();
        }
        results.zeroize();
        Ok(found)
    }
}

/// `H32("round", warrant digest, le16(round), le16(m), review ids.., then per member le16(i), Z, V1, V2..)`.
fn round_id(warrant_digest: &Digest, round: u16, reviews: &ComparedReviews, blinds: &[&Blind]) -> [u8; 32] {
    let start = Transcript::new(&["round"])
        .item(warrant_digest)
        .item(&round.to_le_bytes())
        .item(&reviews.count().to_le_bytes());
    let start = reviews.ids().fold(start, |hash, id| hash.item(id.as_bytes()));
    let all = blinds.iter().fold(start, |hash, blind| {
        let hash = hash.item(&blind.index().to_le_bytes()).item(blind.factor_times_g().as_bytes());
        blind.blinded().iter().flatten().fold(hash, |hash, element| hash.item(element.as_bytes()))
    });
    all.finish32()
}

/// What a member's blind counts for in the round.
pub(crate) fn factor(round_id: &[u8; 32], index: u16) -> Scalar {
    hash_to_scalar("round/factor", &[round_id, &index.to_le_bytes()])
}

/// Kind 15, 170 to 2,154 bytes: one member's share of a round, for all its reviews.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets, officer_of};
/// # use unjoin_trustee::same_author::RoundAnswer;
/// # use unjoin_core::wire::Message;
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// # let (trustees, ledger) = (world.all_trustees(), &world.openings);
/// # let presented = world.compared(&trustees);
/// # let mut comparison = world.comparison(&presented, &trustees);
/// # let (round, trustee) = (comparison.next_round()?, &trustees[0]);
/// # world.log(&[comparison.entry(&round, &officer_of(&presented))?.to_bytes()]);
/// # let RoundAnswer::Append(entry) = trustee.blind(&round.request, ledger)? else { panic!() };
/// # world.log(&[entry]);
/// # let RoundAnswer::Reveal(blind) = trustee.blind(&round.request, ledger)? else { panic!() };
/// # let RoundAnswer::Append(entry) = trustee.compare(&round.request, &[blind.clone()], ledger)? else { panic!() };
/// # world.log(&[entry]);
/// # let RoundAnswer::Released(sealed) = trustee.compare(&round.request, &[blind], ledger)? else { panic!() };
/// // The recipient's side of a member's last answer.
/// let share = world.recipient.open_comparison(&sealed, presented.terms())?;
/// assert_eq!((share.index(), share.to_bytes().len()), (1, 170));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonShare {
    index: u16,
    epoch: u32,
    /// `D = y_i * S1` of each review.
    decrypted: Vec<Element>,
    proof: Proof<2, 1>,
}

impl ComparisonShare {
    /// The trustee's index, from 1.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// `D` of each review.
    #[doc(hidden)]
    pub fn elements(&self) -> &[Element] {
        &self.decrypted
    }

    /// Answers with `share`. This is the mathematics alone: whether a trustee may answer is
    /// decided before.
    ///
    /// # Errors
    /// [`VerifyError`] when the share is not the committee's at its index and epoch.
    pub fn answer(
        share: &TrusteeShare,
        committee: &Committee,
        context: &ComparisonContext,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, VerifyError> {
        let own = committee.verification_share(share.index()).ok_or(VerifyError)?;
        check_own(share, committee, own)?;
        let secret = share.secret().expose();
        let times = |sum: &Element| Element::from_point(sum.point() * secret).ok_or(VerifyError);
        let decrypted = context.sums.iter().map(times).collect::<Result<_, _>>()?;
        let proof = Proof { commitments: [*own; 2], responses: [Scalar::ZERO] };
        let mut made = Self { index: share.index(), epoch: share.epoch(), decrypted, proof };
        made.proof = prove(&made.statement(committee, own, context), [secret], rng);
        Ok(made)
    }

    /// Checks the share against the committee.
    ///
    /// # Errors
    /// [`VerifyError`] when it is of another epoch, of no member, of another number of reviews, or
    /// does not hold.
    pub fn verify(
        &self,
        committee: &Committee,
        context: &ComparisonContext,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        let own = committee.verification_share(self.index).ok_or(VerifyError)?;
        verdict(self.epoch == committee.epoch() && self.decrypted.len() == context.sums.len())?;
        verdict(verify(&self.statement(committee, own, context), &self.proof, rng))
    }

    fn statement(&self, committee: &Committee, own: &Element, context: &ComparisonContext) -> Statement {
        let count = context.sums.len() as u16;
        let start = Statement::new("compare")
            .item(&context.warrant_digest)
            .item(&context.round_id)
            .item(committee.key().id())
            .item(&self.epoch.to_le_bytes())
            .item(&self.index.to_le_bytes())
            .item(&count.to_le_bytes())
            .item(own.as_bytes());
        let all = context.sums.iter().zip(&self.decrypted).fold(start, |statement, (sum, decrypted)| {
            statement.item(sum.as_bytes()).item(decrypted.as_bytes())
        });
        let weights = all.composite_weights(count);
        let sums = composite(&weights, context.sums.iter().copied());
        let decrypted = composite(&weights, self.decrypted.iter().copied());
        all.equation(Equation::of(*own).plus(0, Generator::G)).equation(Equation::of(decrypted).plus(0, sums))
    }
}

message!(ComparisonShare = 15, "comparison share":
    index as "trustee index",
    epoch as "share epoch",
    decrypted as "D" of(ComparedReviews::MIN..=ComparedReviews::MAX),
    proof as "proof";
    if |share| is_index(share.index) && share.epoch > 0);

serde_as_bytes!(ComparisonShare);
