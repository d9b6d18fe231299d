//! A trustee's answer for one escrow: `D_i = y_i * E1`, with the proof that `y_i` is the
//! secret behind `Y_i`. What opens: any t valid shares of one epoch give
//! `y*E1 = sum of lambda_i * D_i`, and the author `U = E2 - y*E1`.

use super::{Committee, OpeningError, TrusteeShare};
use rand_core::CryptoRng;
use unjoin_core::algebra::proof::{Base, BatchVerifier, Equation, Proof, Statement, prove};
use unjoin_core::algebra::{Element, Escrow, Generator, threshold};
use unjoin_core::entry::WarrantAction;
use unjoin_core::token::{Digest, ReviewId, VerifyError};
use unjoin_core::wire::{DecodeError, Reader, Rule};
use unjoin_core::{message, serde_as_bytes};

/// What a share is about; bound by its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareContext {
    /// SHA-256 of the warrant's signed text.
    pub warrant_digest: Digest,
    /// The review.
    pub review_id: ReviewId,
    /// Its escrow.
    pub escrow: Escrow,
}

/// Kind 6, 136 bytes: one trustee's decryption share with its proof.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(2, 3, 1, budgets(9, 9, 9));
/// # let warrant = world.warrant(&[0]);
/// # let trustees = world.all_trustees();
/// # let review = world.written[0].evidence.verify(world.trust().issuers, world.panel().committee.key(), world.trust().reviews, &mut unjoin_core::secret::SystemRng::new()).unwrap();
/// # let (context, committee) = (review.share_context(warrant.terms()), world.panel().committee);
/// let share = world.released(&trustees[2], &warrant, 0).share;
/// assert_eq!((share.index(), share.epoch()), (3, 1));
/// // Everybody can check it against the committee.
/// assert!(share.verify(&committee, &context, &mut unjoin_core::secret::SystemRng::new()).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecryptionShare {
    index: u16,
    epoch: u32,
    /// `D_i`.
    share: Element,
    proof: Proof<2, 1>,
}

impl DecryptionShare {
    unjoin_core::getters! {
        /// The trustee's index, from 1.
        pub index -> u16;
        /// The share epoch it belongs to.
        pub epoch -> u32;
    }

    /// `D_i = y_i * E1`.
    pub fn element(&self) -> &Element {
        &self.share
    }

    /// Answers with `share`. This is the mathematics alone: whether a trustee may answer is
    /// decided before.
    ///
    /// # Errors
    /// [`VerifyError`] when the share is not the committee's at its index and epoch.
    pub fn answer(
        share: &TrusteeShare,
        committee: &Committee,
        context: &ShareContext,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, VerifyError> {
        let own = committee.verification_share(share.index()).ok_or(VerifyError)?;
        check_own(share, committee, own)?;
        let secret = share.secret().expose();
        let element = Element::from_point(context.escrow.e1.point() * secret).ok_or(VerifyError)?;
        let statement = statement(share.index(), committee, own, &element, context);
        let proof = prove(&statement, [secret], rng);
        Ok(Self { index: share.index(), epoch: share.epoch(), share: element, proof })
    }

    /// Checks the share against the committee.
    ///
    /// # Errors
    /// [`VerifyError`] when it is of another epoch, of no member, or does not hold.
    pub fn verify(
        &self,
        committee: &Committee,
        context: &ShareContext,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        let mut batch = BatchVerifier::new(rng, 1);
        self.add_to(&mut batch, committee, context)?;
        unjoin_core::token::verdict(batch.holds())
    }

    /// Adds the share's proof to a batch.
    ///
    /// # Errors
    /// [`VerifyError`] when it is of another epoch or of no member; the batch is as before.
    pub(super) fn add_to<R: CryptoRng + ?Sized>(
        &self,
        batch: &mut BatchVerifier<'_, R>,
        committee: &Committee,
        context: &ShareContext,
    ) -> Result<(), VerifyError> {
        let own = committee.verification_share(self.index).ok_or(VerifyError)?;
        unjoin_core::token::verdict(self.epoch == committee.epoch())?;
        batch.add(&statement(self.index, committee, own, &self.share, context), &self.proof);
        Ok(())
    }
}

fn statement(
    index: u16,
    committee: &Committee,
    own: &Element,
    share: &Element,
    context: &ShareContext,
) -> Statement {
    let Escrow { e1, e2 } = context.escrow;
    Statement::new("share")
        .item(&context.warrant_digest)
        .item(&[WarrantAction::Open as u8])
        .item(context.review_id.as_bytes())
        .item(committee.key().id())
        .item(&committee.epoch().to_le_bytes())
        .item(&index.to_le_bytes())
        .item(own.as_bytes())
        .item(e1.as_bytes())
        .item(e2.as_bytes())
        .item(share.as_bytes())
        .equation(Equation::of(*own).plus(0, Generator::G))
        // All shares of a batch have it in common.
        .equation(Equation::of(*share).plus(0, Base::Key(e1)))
}

/// Opens an escrow to the author's wallet key. Anybody can check it, given the parts.
///
/// # Errors
/// [`OpeningError::Culprits`] names every trustee whose share is bad, was given twice or is
/// of no member; nothing is combined then. [`OpeningError::TooFew`] when fewer than t are
/// left to combine.
pub fn combine(
    committee: &Committee,
    context: &ShareContext,
    shares: &[DecryptionShare],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Element, OpeningError> {
    let culprits = culprits(committee, context, shares, rng);
    if !culprits.is_empty() {
        return Err(OpeningError::Culprits(culprits));
    }
    let needed = usize::from(committee.threshold());
    let Some(used) = shares.get(..needed) else { return Err(OpeningError::TooFew) };
    let points: Vec<_> = used.iter().map(|share| (share.index(), *share.element().point())).collect();
    let decrypted = threshold::interpolate(&points, 0);
    Element::from_point(context.escrow.e2.point() - decrypted).ok_or(OpeningError::Nobody)
}

/// Whose shares are bad or repeated, rising. All are checked at once; one by one only if that
/// fails.
fn culprits(
    committee: &Committee,
    context: &ShareContext,
    shares: &[DecryptionShare],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Vec<u16> {
    let mut batch = BatchVerifier::new(&mut *rng, shares.len());
    let all_of_members = shares.iter().all(|share| share.add_to(&mut batch, committee, context).is_ok());
    let all_hold = all_of_members && batch.holds();
    let mut culprits = Vec::new();
    for share in shares {
        let repeated = shares.iter().filter(|other| other.index() == share.index()).count() > 1;
        if repeated || !all_hold && share.verify(committee, context, &mut *rng).is_err() {
            culprits.push(share.index());
        }
    }
    culprits.sort_unstable();
    culprits.dedup();
    culprits
}

message!(DecryptionShare = 6, "decryption share":
    index as "trustee index", epoch as "share epoch", share as "D", proof as "proof";
    if |share| is_index(share.index) && share.epoch > 0);

/// Whether it is a trustee's index: 1 to [`Committee::MAX_TRUSTEES`].
pub(super) fn is_index(index: u16) -> bool {
    (1..=Committee::MAX_TRUSTEES).contains(&usize::from(index))
}

/// A trustee's index.
pub(super) fn trustee_index(from: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let index = from.le16("trustee index")?;
    if is_index(index) { Ok(index) } else { Err(from.refuse(Rule::Value)) }
}

/// Whether the share is the committee's, with this `Y_i` at its index. Only the verdict is returned: where it
/// chose between references, addresses would depend on it, and so on the secret.
pub(super) fn check_own(
    share: &TrusteeShare,
    committee: &Committee,
    own: &Element,
) -> Result<(), VerifyError> {
    let expected = Element::from_point(Generator::G.mul(share.secret().expose())).ok_or(VerifyError)?;
    unjoin_core::token::verdict(own == &expected && share.epoch() == committee.epoch())
}

serde_as_bytes!(DecryptionShare);
