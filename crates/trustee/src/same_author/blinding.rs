//! Two reviews under one escrow key, the blinds of a round on them, and what its shares are bound to.

use super::SameAuthorError;
use crate::share;
use crate::share::{DecryptionShare, ShareContext};
use crate::{Committee, OpeningError};
use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, IsIdentity},
};
use rand_core::CryptoRng;
use unjoin_core::algebra::proof::{Base, Equation, Proof, Statement, prove, verify};
use unjoin_core::algebra::transcript::Transcript;
use unjoin_core::algebra::{Element, Escrow, Generator};
use unjoin_core::entry::WarrantAction;
use unjoin_core::secret::SecretScalar;
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{Digest, ReviewId, VerifyError};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use zeroize::Zeroize;

/// Two different reviews under one escrow key, ordered by the bytes of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    a: (ReviewId, Escrow),
    b: (ReviewId, Escrow),
}

impl Pair {
    /// Takes two reviews, the smaller id first.
    ///
    /// # Errors
    /// [`SameAuthorError::Pair`] when the ids are equal or out of order.
    pub fn new(a: (ReviewId, Escrow), b: (ReviewId, Escrow)) -> Result<Self, SameAuthorError> {
        if a.0 < b.0 { Ok(Self { a, b }) } else { Err(SameAuthorError::Pair) }
    }

    /// The two reviews, the smaller id first.
    pub fn review_ids(&self) -> (ReviewId, ReviewId) {
        (self.a.0, self.b.0)
    }

    fn differences(&self) -> (RistrettoPoint, RistrettoPoint) {
        let (a, b) = (self.a.1, self.b.1);
        (a.e1.point() - b.e1.point(), a.e2.point() - b.e2.point())
    }
}

/// What is public without a round: `Some(answer)` when `E1a = E1b` (unequal `E2` then means
/// collusion of two wallets), `None` when a round is needed.
///
/// # Errors
/// [`SameAuthorError::OnlySecondEqual`] when only `E2a = E2b`: refuse and report.
pub fn without_round(pair: &Pair) -> Result<Option<bool>, SameAuthorError> {
    let (a, b) = (pair.a.1, pair.b.1);
    match (a.e1 == b.e1, a.e2 == b.e2) {
        (true, second) => Ok(Some(second)),
        (false, true) => Err(SameAuthorError::OnlySecondEqual),
        (false, false) => Ok(None),
    }
}

/// A member's secret factor `z` of one round; erased when dropped, never used again.
#[derive(Debug)]
pub struct BlindingFactor(SecretScalar);

impl BlindingFactor {
    /// A fresh factor: 64 bytes from `rng`.
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        loop {
            let mut wide = [0; 64];
            rng.fill_bytes(&mut wide);
            let z = Scalar::from_bytes_mod_order_wide(&wide);
            wide.zeroize();
            if z != Scalar::ZERO {
                return Self(SecretScalar::new(z));
            }
        }
    }
}

/// Kind 7, 230 bytes: a member's blinded differences with their proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    index: u16,
    round: u16,
    /// `Z = z*G`.
    z: Element,
    /// `V1 = z*(E1a - E1b)`.
    v1: Element,
    /// `V2 = z*(E2a - E2b)`.
    v2: Element,
    proof: Proof<3, 1>,
}

impl Blind {
    /// The trustee's index.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Blinds the pair's differences for one round of one warrant.
    ///
    /// # Errors
    /// [`SameAuthorError::NoRound`] when a part of the pair is equal: no round is run then.
    pub fn new(
        index: u16,
        round: u16,
        factor: &BlindingFactor,
        warrant_digest: &Digest,
        pair: &Pair,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, SameAuthorError> {
        let z = factor.0.expose();
        let (first, second) = pair.differences();
        let element = |point| Element::from_point(point).ok_or(SameAuthorError::NoRound);
        let mut blind = Self {
            index,
            round,
            z: element(Generator::G.mul(z))?,
            v1: element(first * z)?,
            v2: element(second * z)?,
            proof: Proof { commitments: [pair.a.1.e1; 3], responses: [Scalar::ZERO] },
        };
        blind.proof = prove(&blind.statement(warrant_digest, pair), [z], rng);
        Ok(blind)
    }

    /// Checks the blind for this warrant, pair and round.
    ///
    /// # Errors
    /// [`VerifyError`] when it is of another round or does not hold.
    pub fn verify(
        &self,
        round: u16,
        warrant_digest: &Digest,
        pair: &Pair,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        let statement = self.statement(warrant_digest, pair);
        unjoin_core::token::verdict(self.round == round && verify(&statement, &self.proof, rng))
    }

    fn statement(&self, warrant_digest: &Digest, pair: &Pair) -> Statement {
        let (a, b) = (pair.a.1, pair.b.1);
        let (first, second) = pair.differences();
        Statement::new("blind")
            .item(warrant_digest)
            .item(&self.round.to_le_bytes())
            .item(pair.a.0.as_bytes())
            .item(pair.b.0.as_bytes())
            .item(&self.index.to_le_bytes())
            .item(a.e1.as_bytes())
            .item(a.e2.as_bytes())
            .item(b.e1.as_bytes())
            .item(b.e2.as_bytes())
            .item(self.z.as_bytes())
            .item(self.v1.as_bytes())
            .item(self.v2.as_bytes())
            .equation(Equation::of(self.z).plus(0, Generator::G))
            .equation(Equation::of(self.v1).plus(0, Base::Point(first)))
            .equation(Equation::of(self.v2).plus(0, Base::Point(second)))
    }
}

/// A round whose blinds were checked: what its shares are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRound {
    context: ShareContext,
}

impl CheckedRound {
    /// Checks the blinds of the fixed `members` (indices in rising order) of a round.
    ///
    /// # Errors
    /// [`SameAuthorError::Members`] when the set has fewer than t distinct members or the
    /// blinds are not exactly theirs; [`SameAuthorError::Culprits`] names every member whose
    /// blind is bad; [`SameAuthorError::SumIsIdentity`] when the blinds cancel;
    /// [`SameAuthorError::NoRound`] or [`SameAuthorError::OnlySecondEqual`] when no round is
    /// to be run for the pair.
    pub fn new(
        committee: &Committee,
        warrant_digest: &Digest,
        round: u16,
        pair: &Pair,
        members: &[u16],
        blinds: &[Blind],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, SameAuthorError> {
        if without_round(pair)?.is_some() {
            return Err(SameAuthorError::NoRound);
        }
        let rising = members.windows(2).all(|two| two.first() < two.last());
        let known = members.iter().all(|index| committee.verification_share(*index).is_some());
        if !rising || !known || round == 0 || members.len() < usize::from(committee.threshold()) {
            return Err(SameAuthorError::Members);
        }
        let mut sorted: Vec<&Blind> = blinds.iter().collect();
        sorted.sort_by_key(|blind| blind.index);
        if !sorted.iter().map(|blind| blind.index).eq(members.iter().copied()) {
            return Err(SameAuthorError::Members);
        }
        let mut culprits = Vec::new();
        for blind in &sorted {
            if blind.verify(round, warrant_digest, pair, rng).is_err() {
                culprits.push(blind.index);
            }
        }
        if !culprits.is_empty() {
            return Err(SameAuthorError::Culprits(culprits));
        }
        let sum = |part: fn(&Blind) -> &Element| {
            let points = sorted.iter().map(|blind| part(blind).point());
            let sum = points.fold(RistrettoPoint::identity(), |sum, point| sum + point);
            Element::from_point(sum).ok_or(SameAuthorError::SumIsIdentity)
        };
        let escrow = Escrow { e1: sum(|blind| &blind.v1)?, e2: sum(|blind| &blind.v2)? };
        let subject = round_id(warrant_digest, round, pair, &sorted);
        let action = WarrantAction::SameAuthor;
        Ok(Self { context: ShareContext { warrant_digest: *warrant_digest, action, subject, escrow } })
    }

    /// What every member's share of this round is bound to. A member answers only after it
    /// has found its own blind unchanged among those of the round.
    pub fn context(&self) -> &ShareContext {
        &self.context
    }

    /// Combines the members' shares: whether the two reviews have one author. Only the
    /// comparison with the identity leaves this function.
    ///
    /// # Errors
    /// As [`combine`](crate::combine()) does.
    pub fn answer(
        &self,
        committee: &Committee,
        shares: &[DecryptionShare],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<bool, OpeningError> {
        let decrypted = share::decrypt(committee, &self.context, shares, rng)?;
        Ok((self.context.escrow.e2.point() - decrypted).is_identity())
    }
}

/// `H32("round", warrant digest, le16(round), a, b, then per member le16(i), Z, V1, V2)`.
fn round_id(warrant_digest: &Digest, round: u16, pair: &Pair, blinds: &[&Blind]) -> [u8; 32] {
    let start = Transcript::new(&["round"])
        .item(warrant_digest)
        .item(&round.to_le_bytes())
        .item(pair.a.0.as_bytes())
        .item(pair.b.0.as_bytes());
    let all = blinds.iter().fold(start, |hash, blind| {
        hash.item(&blind.index.to_le_bytes())
            .item(blind.z.as_bytes())
            .item(blind.v1.as_bytes())
            .item(blind.v2.as_bytes())
    });
    all.finish32()
}

impl Message for Blind {
    const KIND: u8 = 7;
    const NAME: &'static str = "blind";

    fn encode_body(&self, out: &mut Writer) {
        out.le16(self.index);
        out.le16(self.round);
        out.elements(&[self.z, self.v1, self.v2]);
        out.elements(&self.proof.commitments);
        out.scalars(&self.proof.responses);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = share::trustee_index(from)?;
        let round = from.le16("round")?;
        if round == 0 {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self {
            index,
            round,
            z: from.element("Z")?,
            v1: from.element("V1")?,
            v2: from.element("V2")?,
            proof: Proof { commitments: from.elements("T")?, responses: from.scalars("z")? },
        })
    }
}

serde_as_bytes!(Blind);
