//! One proof system for every statement of the protocol.
//!
//! A [`Statement`] is a list of linear equations `P_j = sum_i w_i * Q_ji` over secret
//! witnesses `w_i` and public bases `Q_ji`, with the bytes that the challenge binds. The
//! proof is Schnorr's, made non-interactive by Fiat and Shamir: commitments
//! `T_j = sum_i rho_i * Q_ji`, challenge `c = H2S("proof/" + statement, items.., T_1, ..)`,
//! responses `z_i = rho_i + c * w_i`; it holds when `sum_i z_i * Q_ji = T_j + c * P_j`.
//!
//! **Proving** uses secrets in constant-time operations only. Nonces are hedged: they hash
//! fresh bytes, all witnesses and all items, so neither a repeated nor a predictable
//! generator alone reveals a witness.
//!
//! **Verifying** is always a batch, of one proof or of many: a single multi-scalar
//! multiplication over public data, in which *every equation* has a 128-bit weight of its
//! own. One weight a proof would let the errors of two equations cancel.

use crate::algebra::{
    group::{Element, Generator},
    transcript::{Transcript, push_frame},
};
use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, IsIdentity, MultiscalarMul, VartimeMultiscalarMul},
};
use rand_core::CryptoRng;
use zeroize::Zeroize;

/// A public base of an equation.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub enum Base {
    /// A generator: has a table for proving, and one common scalar in a batch.
    Fixed(Generator),
    /// A key that many statements of a batch share; its scalars are added up.
    Key(Element),
    /// An element of one message; its scalars are added up within that message.
    Element(Element),
    /// Any other point.
    Point(RistrettoPoint),
}

impl From<Generator> for Base {
    fn from(generator: Generator) -> Self {
        Self::Fixed(generator)
    }
}

impl From<Element> for Base {
    fn from(element: Element) -> Self {
        Self::Element(element)
    }
}

impl From<RistrettoPoint> for Base {
    fn from(point: RistrettoPoint) -> Self {
        Self::Point(point)
    }
}

/// `sum of coefficient * base = sum of (+/-) witness * base`.
#[doc(hidden)]
pub struct Equation {
    left: Vec<(Scalar, Base)>,
    right: Vec<(usize, bool, Base)>,
}

impl Equation {
    /// Begins an equation whose left side is `base`.
    #[doc(hidden)]
    pub fn of(base: impl Into<Base>) -> Self {
        Self::new().known(Scalar::ONE, base)
    }

    pub(crate) fn new() -> Self {
        Self { left: Vec::new(), right: Vec::new() }
    }

    /// Adds `coefficient * base` to the public left side.
    pub(crate) fn known(mut self, coefficient: Scalar, base: impl Into<Base>) -> Self {
        self.left.push((coefficient, base.into()));
        self
    }

    /// Adds `witness * base` to the right side; witnesses are numbered from 0.
    #[doc(hidden)]
    pub fn plus(mut self, witness: usize, base: impl Into<Base>) -> Self {
        self.right.push((witness, false, base.into()));
        self
    }

    /// Subtracts `witness * base` from the right side.
    pub(crate) fn minus(mut self, witness: usize, base: impl Into<Base>) -> Self {
        self.right.push((witness, true, base.into()));
        self
    }
}

/// A linear relation with its name and the bytes that the proof binds, in order.
#[doc(hidden)]
pub struct Statement {
    name: &'static str,
    items: Vec<u8>,
    equations: Vec<Equation>,
}

impl Statement {
    #[doc(hidden)]
    pub fn new(name: &'static str) -> Self {
        Self { name, items: Vec::with_capacity(512), equations: Vec::with_capacity(3) }
    }

    /// Binds `bytes`.
    #[doc(hidden)]
    pub fn item(mut self, bytes: &[u8]) -> Self {
        push_frame(&mut self.items, bytes);
        self
    }

    /// Adds an equation.
    #[doc(hidden)]
    pub fn equation(mut self, equation: Equation) -> Self {
        self.equations.push(equation);
        self
    }

    /// `d_1 .. d_count`: what many equations over one witness are weighed with to make one of them, the
    /// composite (RFC 9497, 2.2.1). They hash all that is bound so far, so nobody chooses an equation
    /// in the knowledge of its weight.
    #[doc(hidden)]
    pub fn composite_weights(&self, count: u16) -> Vec<Scalar> {
        let all = Transcript::new(&[self.name, "/weights"]).framed(&self.items).finish();
        let weight = |at: u16| Transcript::new(&[self.name, "/weight"]).item(&all).item(&at.to_le_bytes());
        (1..=count).map(|at| weight(at).finish_scalar()).collect()
    }

    fn challenge(&self, commitments: &[Element]) -> Scalar {
        let start = Transcript::new(&["proof/", self.name]).framed(&self.items);
        commitments.iter().fold(start, |hash, t| hash.item(t.as_bytes())).finish_scalar()
    }

    /// `rho_1 .. rho_Z`, hedged with 32 fresh bytes.
    fn nonces<const Z: usize>(
        &self,
        witnesses: [&Scalar; Z],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> [Scalar; Z] {
        let mut fresh = [0; 32];
        rng.fill_bytes(&mut fresh);
        let mut index = 0u16;
        let nonces = witnesses.map(|_| {
            index += 1;
            let start = Transcript::new(&["nonce/", self.name]).item(&fresh);
            witnesses
                .iter()
                .fold(start, |hash, witness| hash.item(witness.as_bytes()))
                .framed(&self.items)
                .item(&index.to_le_bytes())
                .finish_scalar()
        });
        fresh.zeroize();
        nonces
    }
}

/// `T` commitments and `Z` responses; on the wire in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
#[doc(hidden)]
pub struct Proof<const T: usize, const Z: usize> {
    pub commitments: [Element; T],
    pub responses: [Scalar; Z],
}

/// Proves `statement`, which must have `T` equations over these `Z` witnesses.
///
/// Draws 32 bytes from `rng`; again in the negligible case of a commitment that is the
/// identity.
#[doc(hidden)]
pub fn prove<const T: usize, const Z: usize>(
    statement: &Statement,
    witnesses: [&Scalar; Z],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Proof<T, Z> {
    debug_assert_eq!(statement.equations.len(), T);
    loop {
        let mut nonces = statement.nonces(witnesses, rng);
        let mut halved = nonces.each_ref().map(Scalar::div_by_2);
        let mut halves = [RistrettoPoint::identity(); T];
        for (half, equation) in halves.iter_mut().zip(&statement.equations) {
            *half = secret_sum(equation, &halved);
        }
        halved.zeroize();
        if let Some(commitments) = Element::from_halves(&halves) {
            let challenge = statement.challenge(&commitments);
            let mut witness = witnesses.iter();
            let responses = nonces.map(|nonce| witness.next().map_or(nonce, |w| nonce + challenge * *w));
            nonces.zeroize();
            return Proof { commitments, responses };
        }
        nonces.zeroize();
    }
}

/// The right side of `equation` at `secrets`, in constant time.
fn secret_sum<const Z: usize>(equation: &Equation, secrets: &[Scalar; Z]) -> RistrettoPoint {
    let mut sum = RistrettoPoint::identity();
    let (mut scalars, mut points) = (Vec::with_capacity(4), Vec::with_capacity(4));
    for (witness, negative, base) in &equation.right {
        let Some(secret) = secrets.get(*witness) else { continue };
        // The sign is part of the statement, hence public.
        let mut secret = if *negative { -secret } else { *secret };
        match base {
            Base::Fixed(generator) => sum += generator.mul(&secret),
            Base::Key(element) | Base::Element(element) => {
                scalars.push(secret);
                points.push(*element.point());
            }
            Base::Point(point) => {
                scalars.push(secret);
                points.push(*point);
            }
        }
        secret.zeroize();
    }
    if !scalars.is_empty() {
        sum += RistrettoPoint::multiscalar_mul(&scalars, &points);
    }
    scalars.zeroize();
    sum
}

/// Collects equations to be checked in one multi-scalar multiplication.
///
/// Weights are drawn as members are added, so every member must be fixed by then. A member
/// cannot be chosen in the knowledge of a weight.
#[doc(hidden)]
pub struct BatchVerifier<'a, R: CryptoRng + ?Sized> {
    rng: &'a mut R,
    fixed: [Scalar; Generator::ALL.len()],
    keys: Vec<(Element, Scalar)>,
    /// The elements of the message that was added last.
    elements: Vec<(Element, Scalar)>,
    scalars: Vec<Scalar>,
    points: Vec<RistrettoPoint>,
}

impl<'a, R: CryptoRng + ?Sized> BatchVerifier<'a, R> {
    /// `proofs` is the number of members to make room for.
    #[doc(hidden)]
    pub fn new(rng: &'a mut R, proofs: usize) -> Self {
        let room = proofs.saturating_mul(10);
        Self {
            rng,
            fixed: [Scalar::ZERO; Generator::ALL.len()],
            keys: Vec::new(),
            elements: Vec::with_capacity(8),
            scalars: Vec::with_capacity(room),
            points: Vec::with_capacity(room),
        }
    }

    /// Adds every equation of a proof, each with a weight of its own.
    #[doc(hidden)]
    pub fn add<const T: usize, const Z: usize>(&mut self, statement: &Statement, proof: &Proof<T, Z>) {
        self.close_message();
        let challenge = statement.challenge(&proof.commitments);
        for (equation, commitment) in statement.equations.iter().zip(&proof.commitments) {
            let weight = self.weight();
            for (witness, negative, base) in &equation.right {
                let Some(response) = proof.responses.get(*witness) else { continue };
                let term = weight * response;
                self.term(if *negative { -term } else { term }, base);
            }
            let scaled = -(weight * challenge);
            for (coefficient, base) in &equation.left {
                self.term(scaled * coefficient, base);
            }
            self.point(-weight, *commitment.point());
        }
    }

    /// A fresh 128-bit weight, not zero.
    #[doc(hidden)]
    pub fn weight(&mut self) -> Scalar {
        loop {
            let mut bytes = [0; 16];
            self.rng.fill_bytes(&mut bytes);
            let weight = u128::from_le_bytes(bytes);
            if weight != 0 {
                return Scalar::from(weight);
            }
        }
    }

    /// Adds `scalar * element` to the sum; both public. An element of the message that was
    /// added last costs no further point.
    #[doc(hidden)]
    pub fn element(&mut self, scalar: Scalar, element: &Element) {
        add_up(&mut self.elements, element, scalar);
    }

    fn point(&mut self, scalar: Scalar, point: RistrettoPoint) {
        self.scalars.push(scalar);
        self.points.push(point);
    }

    fn close_message(&mut self) {
        for (element, scalar) in self.elements.drain(..) {
            self.scalars.push(scalar);
            self.points.push(*element.point());
        }
    }

    fn term(&mut self, scalar: Scalar, base: &Base) {
        match base {
            Base::Fixed(generator) => {
                for (sum, fixed) in self.fixed.iter_mut().zip(Generator::ALL) {
                    if fixed == *generator {
                        *sum += scalar;
                    }
                }
            }
            Base::Key(element) => add_up(&mut self.keys, element, scalar),
            Base::Element(element) => self.element(scalar, element),
            Base::Point(point) => self.point(scalar, *point),
        }
    }

    /// The weighted sum over all members: the identity if all equations hold.
    pub(crate) fn sum(mut self) -> RistrettoPoint {
        self.close_message();
        for (scalar, generator) in self.fixed.iter().zip(Generator::ALL) {
            if *scalar != Scalar::ZERO {
                self.scalars.push(*scalar);
                self.points.push(*generator.point());
            }
        }
        for (key, scalar) in &self.keys {
            self.scalars.push(*scalar);
            self.points.push(*key.point());
        }
        RistrettoPoint::vartime_multiscalar_mul(&self.scalars, &self.points)
    }

    /// Whether all equations hold, but for an error of probability 2^-128.
    #[doc(hidden)]
    pub fn holds(self) -> bool {
        self.sum().is_identity()
    }
}

/// Adds `scalar` to the one that `element` has in `sums`.
fn add_up(sums: &mut Vec<(Element, Scalar)>, element: &Element, scalar: Scalar) {
    match sums.iter_mut().find(|(known, _)| known == element) {
        Some((_, sum)) => *sum += scalar,
        None => sums.push((*element, scalar)),
    }
}

/// Verifies one proof: the batch of one.
#[doc(hidden)]
pub fn verify<const T: usize, const Z: usize>(
    statement: &Statement,
    proof: &Proof<T, Z>,
    rng: &mut (impl CryptoRng + ?Sized),
) -> bool {
    let mut batch = BatchVerifier::new(rng, 1);
    batch.add(statement, proof);
    batch.holds()
}

/// Whether `holds` all members at once; if not, the positions of those that it does not hold alone, in order.
pub(crate) fn all_or_bad<T>(members: &[T], mut holds: impl FnMut(&[T]) -> bool) -> Result<(), Vec<usize>> {
    if holds(members) {
        return Ok(());
    }
    let bad = members.iter().enumerate().filter(|(_, member)| !holds(core::slice::from_ref(*member)));
    Err(bad.map(|(position, _)| position).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRng;
    use proptest::prelude::*;
    use unjoin_test_util::Draws;

    /// Two relations over the same three witnesses, with every kind of base and both signs.
    #[derive(Debug)]
    struct Relation {
        witnesses: [Scalar; 3],
        points: [RistrettoPoint; 3],
        key: Element,
    }

    impl Relation {
        fn statement(&self, item: &[u8]) -> Statement {
            let [w0, w1, w2] = self.witnesses;
            let [p0, p1, p2] = self.points;
            let first = Generator::Gu.point() * w0 - p0 * w1;
            let second = Generator::Gs.point() * w1 + self.key.point() * w2;
            Statement::new("test")
                .item(item)
                .item(b"fixed")
                // Two known points on the left, as in a presentation.
                .equation(
                    Equation::new()
                        .known(Scalar::ONE, Base::Point(first - p1))
                        .known(-Scalar::ONE, Base::Point(p2))
                        .known(Scalar::ONE, Base::Point(p1 + p2))
                        .plus(0, Generator::Gu)
                        .minus(1, Base::Point(p0)),
                )
                .equation(
                    Equation::new()
                        .known(Scalar::ONE, Base::Point(second))
                        .plus(1, Generator::Gs)
                        .plus(2, Base::Key(self.key)),
                )
        }

        fn prove(&self, item: &[u8]) -> Proof<2, 3> {
            let [w0, w1, w2] = &self.witnesses;
            prove(&self.statement(item), [w0, w1, w2], &mut SystemRng::new())
        }
    }

    prop_compose! {
        fn relation()(secrets in any::<[[u8; 32]; 3]>(), points in any::<[[u8; 32]; 4]>()) -> Relation {
            let point = |bytes: [u8; 32]| Generator::G.mul(&Scalar::from_bytes_mod_order(bytes));
            let [key, rest @ ..] = points.map(point);
            Relation {
                witnesses: secrets.map(Scalar::from_bytes_mod_order),
                points: rest,
                key: Element::from_point(key).unwrap(),
            }
        }
    }

    fn holds(relation: &Relation, item: &[u8], proof: &Proof<2, 3>) -> bool {
        verify(&relation.statement(item), proof, &mut SystemRng::new())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_true_statement_is_proved_and_no_part_of_its_proof_can_change(relation in relation()) {
            let proof = relation.prove(b"item");
            prop_assert!(holds(&relation, b"item", &proof));
            prop_assert!(!holds(&relation, b"iten", &proof));
            prop_assert!(!holds(&relation, b"", &proof));
            for i in 0..2 {
                let mut other = proof.clone();
                let moved = other.commitments[i].point() + Generator::G.point();
                other.commitments[i] = Element::from_point(moved).unwrap();
                prop_assert!(!holds(&relation, b"item", &other));
            }
            for i in 0..3 {
                let mut other = proof.clone();
                other.responses[i] += Scalar::ONE;
                prop_assert!(!holds(&relation, b"item", &other));
            }
            let exchanged = Proof { commitments: [proof.commitments[1], proof.commitments[0]], ..proof };
            prop_assert!(!holds(&relation, b"item", &exchanged));
        }

        #[test]
        fn a_false_statement_is_not_proved(relation in relation(), wrong in 0usize..3) {
            let statement = relation.statement(b"item");
            let mut witnesses = relation.witnesses;
            witnesses[wrong] += Scalar::ONE;
            let [w0, w1, w2] = &witnesses;
            let rng = &mut SystemRng::new();
            let proof: Proof<2, 3> = prove(&statement, [w0, w1, w2], rng);
            prop_assert!(!verify(&statement, &proof, rng));
        }

        #[test]
        fn a_batch_holds_exactly_if_every_member_does(
            members in prop::collection::vec((relation(), any::<bool>()), 0..6),
        ) {
            let rng = &mut SystemRng::new();
            let mut batch = BatchVerifier::new(rng, members.len());
            for (relation, is_bad) in &members {
                let mut proof = relation.prove(b"item");
                proof.responses[2] += Scalar::from(u64::from(*is_bad));
                batch.add(&relation.statement(b"item"), &proof);
            }
            prop_assert_eq!(batch.holds(), members.iter().all(|(_, is_bad)| !is_bad));
        }

        #[test]
        fn a_generator_that_repeats_itself_gives_no_nonce_twice(one in relation(), other in relation()) {
            // The same fresh bytes with another witness or another item: other nonces.
            let fresh = |relation: &Relation, item: &[u8]| {
                let [w0, w1, w2] = &relation.witnesses;
                relation.statement(item).nonces([w0, w1, w2], &mut Draws(|bytes: &mut [u8]| bytes.fill(0)))
            };
            let nonces = [fresh(&one, b"a"), fresh(&one, b"b"), fresh(&other, b"a")].concat();
            for (position, nonce) in nonces.iter().enumerate() {
                prop_assert!(!nonces[..position].contains(nonce));
            }
            prop_assert_eq!(fresh(&one, b"a"), fresh(&one, b"a"));
        }
    }
}
