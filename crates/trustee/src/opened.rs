//! An opening with everything that convinces somebody who trusts neither the platform nor the
//! requester, offline.

use super::warrant::{PresentedWarrant, WarrantError, WarrantPolicy};
use super::{Committee, DecryptionShare, EvidenceRefusal, ReviewEvidence, SignedCommittee, combine};
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_core::algebra::Element;
use unjoin_core::entry::{BindingEntry, ShareReleasedEntry, WarrantAction, WarrantEntry};
use unjoin_core::token::{IssuerPublicKey, Trustees};
use unjoin_core::wire::{DecodeError, Field, Message, Reader, Rule, Whole, Writer};
use unjoin_core::{describe_errors, fields, serde_as_bytes};
use unjoin_log::{CosignedEntry, PolicyError, WitnessPolicy};

/// Whom the verifier of an opening believes.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_trustee::OpeningTrust;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (opening, trust) = (world.opening(&world.warrant(&[0]), 0), world.trust());
/// assert!(opening.verify(&trust, &mut SystemRng::new()).is_ok());
/// // Who does not believe the issuing key believes no opening of its reviews.
/// let stranger = OpeningTrust { issuers: &[], ..trust };
/// assert!(opening.verify(&stranger, &mut SystemRng::new()).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpeningTrust<'a> {
    /// The issuing keys under which tokens were issued.
    pub issuers: &'a [IssuerPublicKey],
    /// The trustees' long-term keys.
    pub trustees: &'a Trustees,
    /// Who may ask for what.
    pub requesters: &'a WarrantPolicy,
    /// The reviews ledger and its witnesses.
    pub reviews: &'a WitnessPolicy,
    /// The openings ledger and its witnesses.
    pub openings: &'a WitnessPolicy,
}

/// The author of a review. `Debug` prints nothing of it.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::secret::SystemRng;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (opening, trust) = (world.opening(&world.warrant(&[0]), 0), world.trust());
/// let author = opening.verify(&trust, &mut SystemRng::new())?;
/// assert_eq!(author.wallet_key, world.written[0].author);
/// // Without a binding the wallet key is all; and no log repeats it.
/// assert_eq!((author.account.is_none(), format!("{author:?}").as_str()), (true, "Author(..)"));
/// # Ok::<(), unjoin_trustee::OpeningError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Author {
    /// The wallet key `U`.
    pub wallet_key: Element,
    /// The account that the wallet key was bound to, where the opening shows it.
    pub account: Option<Name>,
}

unjoin_core::opaque!(Author);

/// Whose wallet key it is, as the issuer's directory has it: shown by the entry that the
/// enrolment left in the openings ledger.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::{Name, entry::BindingEntry, secret::SystemRng, wire::Message};
/// # use unjoin_log::LogView;
/// use unjoin_trustee::AccountBinding;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (account, blind) = (Name::new("account-7")?, [5; 32]);
/// # let logged = BindingEntry::new(&account, &world.written[0].author, &blind).to_bytes();
/// # world.log(&[logged.clone()]);
/// # let opening = world.opening(&world.warrant(&[0]), 0);
/// # let entry = world.openings.evidence_of(&logged)?.unwrap();
/// // The issuer's directory says whose wallet key it is, and shows the entry that the enrolment left.
/// let opening = opening.with_binding(AccountBinding { account: account.clone(), blind, entry });
/// assert_eq!(opening.verify(&world.trust(), &mut SystemRng::new())?.account, Some(account));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AccountBinding {
    /// The account.
    pub account: Name,
    /// The blind of the entry's commitment.
    pub blind: [u8; 32],
    /// The [`BindingEntry`], under a cosigned checkpoint of the openings ledger.
    pub entry: CosignedEntry,
}

unjoin_core::opaque!(AccountBinding);

/// A trustee's share with the entry that it stands for: the trustee was charged before the share left it.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(2, 3, 1, budgets(9, 9, 9));
/// # let opening = world.opening(&world.warrant(&[0]), 0);
/// // Each share of an opening stands with the entry by which its trustee was charged.
/// for released in opening.shares() {
///     assert!(released.release.verify(&world.policy.openings).is_ok());
/// }
/// assert_eq!(opening.shares().iter().map(|released| released.share.index()).collect::<Vec<_>>(), [1, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedShare {
    /// The share.
    pub share: DecryptionShare,
    /// The trustee's [`ShareReleasedEntry`] for this review, under a cosigned checkpoint of the openings
    /// ledger.
    pub release: CosignedEntry,
}

/// Kind 45, at most 5,079,137 bytes: who wrote a review, with the warrant, the evidence and the
/// shares that show it. It does not hold the author: the reader derives that from the shares.
///
/// `Debug` prints nothing of it.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_core::{secret::SystemRng, wire::Message};
/// use unjoin_trustee::Opening;
/// # let world = World::new(2, 3, 1, budgets(9, 9, 9));
/// # let (bytes, trust) = (world.opening(&world.warrant(&[0]), 0).to_bytes(), world.trust());
/// // A court that was sent it, and believes no officer's word.
/// let opening = Opening::from_bytes(&bytes)?;
/// assert!(opening.warrant().terms().names(&world.id(0)));
/// let author = opening.verify(&trust, &mut SystemRng::new())?;
/// assert_eq!(author.wallet_key, world.written[0].author);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    warrant: PresentedWarrant,
    logged: CosignedEntry,
    review: ReviewEvidence,
    committees: Vec<SignedCommittee>,
    shares: Vec<ReleasedShare>,
    binding: Option<AccountBinding>,
}

impl Opening {
    /// The most committees, one for each share epoch from 1 to the shares'.
    pub const MAX_COMMITTEES: usize = 256;

    /// Combines the shares of one review. `logged` is the warrant's entry under a checkpoint of a time
    /// at which the warrant was valid. `committees` are those of all share epochs from the first to the
    /// shares'. More than t shares may be given; t are kept.
    ///
    /// The parts are checked as [`verify`](Self::verify) checks them.
    ///
    /// # Errors
    /// [`OpeningError`]; [`OpeningError::Culprits`] names every culprit.
    pub fn combine(
        warrant: PresentedWarrant,
        logged: CosignedEntry,
        review: ReviewEvidence,
        committees: Vec<SignedCommittee>,
        shares: Vec<ReleasedShare>,
        trust: &OpeningTrust<'_>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, OpeningError> {
        let mut opening = Self { warrant, logged, review, committees, shares, binding: None };
        opening.verify(trust, rng)?;
        let threshold = opening.committees.last().map_or(0, |last| last.committee().threshold());
        opening.shares.sort_by_key(|released| released.share.index());
        opening.shares.truncate(threshold.into());
        Ok(opening)
    }

    /// Adds whose wallet key it is; [`verify`](Self::verify) checks it.
    #[must_use]
    pub fn with_binding(self, binding: AccountBinding) -> Self {
        Self { binding: Some(binding), ..self }
    }

    unjoin_core::getters! {
        /// The warrant.
        pub warrant -> &PresentedWarrant;
        /// The review's evidence.
        pub review -> &ReviewEvidence;
        /// The committees of the share epochs, from the first; unchecked.
        pub committees -> &[SignedCommittee];
        /// The shares with their releases, unchecked.
        pub shares -> &[ReleasedShare];
    }

    /// The author, once everything is shown to hold: the warrant's signatures and its entry in the
    /// openings ledger, at a time at which it was valid. That it names this review. The review's
    /// publication, its token and its escrow. The committees and the shares. That each share's trustee
    /// announced it in the openings ledger, behind the warrant. And the account, if it is there and was
    /// bound before the warrant was logged. No clock is asked.
    ///
    /// Three things are a matter of the whole ledger, and [`audit_openings`](super::audit::audit_openings) tells them:
    /// whether the budgets had room; whether the shares' trustees are of a committee that was logged before; and
    /// whether an earlier entry binds the same wallet key.
    ///
    /// # Errors
    /// [`OpeningError`] names the first part that does not hold.
    pub fn verify(
        &self,
        trust: &OpeningTrust<'_>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Author, OpeningError> {
        let logged = self.logged.verify_under(trust.openings).map_err(OpeningError::Log)?;
        let entry = WarrantEntry::from_bytes(logged.entry).map_err(|_| OpeningError::OtherEntry)?;
        let (requester, origin) = (entry.requester(), trust.openings.log().name().as_str());
        let signed = trust.requesters.any_key(requester, |key| entry.verify(key.verifier(), origin).is_ok());
        if !signed || !self.warrant.is_announced_by(&entry) {
            return Err(OpeningError::OtherEntry);
        }
        if self.warrant.terms().action() != WarrantAction::Open {
            return Err(OpeningError::Action);
        }
        trust.requesters.check(self.warrant.warrant(), logged.quorum.median_time)?;
        let committee = self.committee(trust.trustees)?;
        let review = self.review.verify(trust.issuers, committee.key(), trust.reviews, rng)?;
        let terms = self.warrant.terms();
        if !terms.names(review.review_id()) {
            return Err(OpeningError::OtherReview);
        }
        let shares: Vec<_> = self.shares.iter().map(|released| released.share.clone()).collect();
        let wallet_key = combine(committee, &review.share_context(terms), &shares, rng)?;
        let tag = self.warrant.tag(review.review_id());
        for ReleasedShare { share, release } in &self.shares {
            let trustee = share.index();
            let at = announced(release, &self.warrant.commitment(), &tag, trustee, trust)?;
            if at <= logged.index {
                return Err(OpeningError::Release { trustee });
            }
        }
        let bound = |binding: &AccountBinding| binding.verify(&wallet_key, logged.index, trust.openings);
        let account = self.binding.as_ref().map(bound);
        Ok(Author { wallet_key, account: account.transpose()? })
    }

    /// The last committee, to which a chain leads from the key ceremony.
    fn committee(&self, trustees: &Trustees) -> Result<&Committee, OpeningError> {
        let refused = |_| OpeningError::Committee;
        let (first, rest) = self.committees.split_first().ok_or(OpeningError::Committee)?;
        first.verify_first(trustees).map_err(refused)?;
        rest.iter().try_fold(first.committee(), |previous, next| {
            next.verify_successor(trustees, previous).map_err(refused)?;
            Ok(next.committee())
        })
    }
}

/// Where a trustee announced that it releases a share: its own entry, for this warrant and review.
fn announced(
    release: &CosignedEntry,
    commitment: &[u8; 32],
    tag: &[u8; 32],
    trustee: u16,
    trust: &OpeningTrust<'_>,
) -> Result<u64, OpeningError> {
    let logged = release.verify_under(trust.openings).map_err(OpeningError::Log)?;
    let origin = trust.openings.log().name().as_str();
    let key = trust.trustees.key(trustee);
    match (ShareReleasedEntry::from_bytes(logged.entry), key) {
        (Ok(entry), Some(key))
            if entry.trustee() == trustee
                && entry.commitment() == commitment
                && entry.tag() == tag
                && entry.verify(key.verifier(), origin).is_ok() =>
        {
            Ok(logged.index)
        }
        _ => Err(OpeningError::Release { trustee }),
    }
}

impl AccountBinding {
    /// The account, if the entry is before the warrant's: what is logged after it names nobody.
    fn verify(
        &self,
        wallet_key: &Element,
        warrant_index: u64,
        openings: &WitnessPolicy,
    ) -> Result<Name, OpeningError> {
        let logged = self.entry.verify_under(openings).map_err(OpeningError::Log)?;
        let entry = BindingEntry::new(&self.account, wallet_key, &self.blind).to_bytes();
        if logged.entry != entry {
            return Err(OpeningError::Binding);
        }
        if logged.index >= warrant_index {
            return Err(OpeningError::BoundLate);
        }
        Ok(self.account.clone())
    }
}

unjoin_core::opaque!(Opening);

/// The shortest signed committee; a share's body with the length of its release.
const LEAST_COMMITTEE: usize = 174;
const LEAST_SHARE: usize = 134 + 2;

impl Message for Opening {
    const KIND: u8 = 45;
    const NAME: &'static str = "opening";
    const MAX_LEN: usize = 5_079_137;

    fn encode_body(&self, out: &mut Writer) {
        Whole::put(&self.warrant, out);
        Whole::put(&self.logged, out);
        Whole::put(&self.review, out);
        out.le16(self.committees.len() as u16);
        self.committees.iter().for_each(|committee| Whole::put(committee, out));
        out.le16(self.shares.len() as u16);
        self.shares.iter().for_each(|share| share.put(out));
        self.binding.put(out);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (warrant, logged) = (Whole::get(from, "warrant")?, Whole::get(from, "logged warrant")?);
        let review = Whole::get(from, "review")?;
        let committee = |from: &mut Reader<'_>| Whole::get(from, "committee");
        let committees = some(from, "committees", Self::MAX_COMMITTEES, 2 + LEAST_COMMITTEE, committee)?;
        let share = |from: &mut Reader<'_>| ReleasedShare::get(from, "share");
        let shares = some(from, "shares", Committee::MAX_TRUSTEES, LEAST_SHARE, share)?;
        Ok(Self { warrant, logged, review, committees, shares, binding: Field::get(from, "binding")? })
    }
}

fields!(ReleasedShare: share as "share", release as "logged release" whole);
fields!(AccountBinding: account as "account", blind as "blind", entry as "logged binding" whole);

/// A le16 count, 1 to `most`, and as many things of at least `least` bytes each.
fn some<T>(
    from: &mut Reader<'_>,
    field: &'static str,
    most: usize,
    least: usize,
    decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = usize::from(from.le16(field)?);
    if !(1..=most).contains(&count) {
        return Err(from.refuse(Rule::Length));
    }
    if !from.has_left(count.saturating_mul(least)) {
        return Err(from.refuse(Rule::Truncated));
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(decode(from)?);
    }
    Ok(all)
}

serde_as_bytes!(Opening);

describe_errors! {
    /// Why shares open nothing, or an opening does not convince.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::world::{World, budgets};
    /// # use unjoin_core::secret::SystemRng;
    /// use unjoin_trustee::{Opening, OpeningError};
    /// # let world = World::new(2, 3, 1, budgets(9, 9, 9));
    /// # let (warrant, review) = (world.warrant(&[0]), world.written[0].evidence.clone());
    /// # let (logged, committee) = (unjoin_log::LogView::evidence_of(&world.openings, &world.entry(&warrant))?.unwrap(), world.secrets(1).committee().unwrap().clone());
    /// let none_yet = vec![];
    /// let refused = Opening::combine(warrant, logged, review, vec![committee], none_yet, &world.trust(), &mut SystemRng::new());
    /// assert_eq!(refused.unwrap_err(), OpeningError::TooFew);
    /// # Ok::<(), unjoin_log::ViewError>(())
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum OpeningError (Host, false) {
        /// An entry is not shown to be in the openings ledger.
        Log(error: PolicyError) => "opening.log", "{error}";
        /// The entry announces another warrant.
        OtherEntry => "opening.other_entry",
            "the ledger's entry is not this warrant's under this blind, or none of its requester's keys signed \
             it: take the entry that announced it";
        /// The warrant does not hold, or did not when it was seen in the ledger.
        Warrant(#[from] error: WarrantError) => "opening.warrant", "{error}";
        /// No chain of committees leads from the trustees' key ceremony to the last.
        Committee => "opening.committee" (Operator, false),
            "the committees do not lead from the key ceremony of these trustees to the shares' epoch: take all \
            that the openings ledger holds, in order";
        /// The review's evidence does not hold.
        Review(#[from] error: EvidenceRefusal) => "opening.review", "{error}";
        /// The warrant does not name this review.
        OtherReview => "opening.other_review", "the warrant does not name this review";
        /// Fewer than t shares.
        TooFew => "opening.too_few" (Operator, true), "fewer than t shares: ask more trustees";
        /// The shares of these trustees are bad, repeated, or of another epoch.
        Culprits(indices: Vec<u16>) => "opening.culprits" (Operator, false),
            "the shares of trustees {indices:?} are bad, repeated or of another epoch: ask others, and report \
             these";
        /// The warrant allows another action.
        Action => "opening.action", "the warrant does not allow to open";
        /// The shares are good and the escrow opens to nobody: the presentation was never valid.
        Nobody => "opening.nobody" (Operator, false),
            "the escrow opens to nobody: check the issuing key and the accepted proof";
        /// A share is not sealed to this key under this warrant, or could not be.
        Sealed => "sealed_share",
            "the share is not sealed to this key under this warrant: take the recipient's key of the very warrant";
        /// It is not shown that this trustee announced its share in the ledger, behind the warrant.
        Release {
            /// The trustee's index.
            trustee: u16,
        } => "opening.release" (Operator, false),
            "it is not shown that trustee {trustee} announced this share in the ledger, behind the warrant: take \
             the entry of theirs for this review; without one the share was given away by no right";
        /// The entry of the binding is of another account or wallet key.
        Binding => "opening.binding" (Operator, false),
            "the account is not the one that the wallet key was enrolled for: take the directory's blind and entry";
        /// The binding was logged after the warrant.
        BoundLate => "opening.bound_late",
            "the account was bound to the wallet key after the warrant was logged, which names nobody: leave it \
             out";
    }
}
