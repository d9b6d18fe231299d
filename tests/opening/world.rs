//! Trustees after a real ceremony, a court, an issuer, and two ledgers with a witness whose
//! clock the test sets.

use std::sync::Arc;
use unjoin::audit::History;
use unjoin::issuer::ClassPolicy;
use unjoin::ledger::{
    BindingEntry, CosignedEntry, KeyName, Ledger, Log, LogView, NoteKey, PublishedEntry, ShareReleasedEntry,
    WarrantAction, WarrantEntry, Witness, WitnessPolicy, WitnessService,
};
use unjoin::opening::ceremony::{CeremonyPlan, Step};
use unjoin::opening::warrant::{PresentedWarrant, Requester, Warrant, WarrantPolicy, WarrantTerms};
use unjoin::opening::{
    AccountBinding, DecryptionShare, Opening, OpeningError, OpeningTrust, RecipientKey, ReleasedShare,
    ReviewEvidence, SealedShare, SignedCommittee, TrusteeSecrets,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{
    Accepted, AuthorKey, Grant, IssuerKey, IssuerPublicKey, Offer, OrderHandle, PlatformKey, Presentation,
    Review, ReviewId, Scope, Trustees,
};
use unjoin::wire::Message;
use unjoin::{Clock, Environment, ManualClock, Name, PlatformConfig, PlatformSecrets, Timestamp};
use unjoin_test_util::{fresh, hex};
use unjoin_wallet::{Token, TrustRoots, Wallet};

pub(crate) const START: u64 = 1_700_000_000;
pub(crate) const GROUNDS: u16 = 3;
/// The secret of the warrants' recipient.
pub(crate) const RECIPIENT: [u8; 32] = [24; 32];
pub(crate) const OPENINGS: &str = "shop.example/openings";

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(START + seconds)
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn key(text: &str, seed: u8) -> NoteKey {
    NoteKey::from_secret_bytes(KeyName::new(text).unwrap(), &SecretBytes::new([seed; 32]))
}

/// A shop of which two customers are a crowd, by the week, whose numbers are dead at once; and what its devices pin.
pub(crate) fn weekly_shop(secrets: &PlatformSecrets) -> (TrustRoots, PlatformConfig) {
    let pair = secrets.keys.newest();
    let trust = TrustRoots::new(secrets.platform_key.public(), 2, unjoin::Grid::Weekly)
        .pin(*pair.issuer_key.public(), pair.escrow_key)
        .unwrap();
    let mut config = PlatformConfig::new(name("shop.example"));
    config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
    (config.issuer.grid, config.issuer.hold) = (unjoin::Grid::Weekly, 0);
    (trust, config)
}

/// The court's officers, of whom two must sign.
pub(crate) fn officers() -> [NoteKey; 3] {
    [1, 2, 3].map(|seed| key(&format!("court.example/officer{seed}"), seed))
}

pub(crate) fn court() -> Requester {
    Requester {
        name: name("court.example"),
        keys: officers().map(|officer| officer.public().clone()).to_vec(),
        needed: 2,
        actions: vec![WarrantAction::Open, WarrantAction::SameAuthor],
        grounds: vec![GROUNDS],
    }
}

/// One ledger with its policy.
pub(crate) struct Logged {
    pub(crate) log: Log<MemoryStore>,
    pub(crate) policy: WitnessPolicy,
}

impl Logged {
    fn new(ledger: Ledger, key: NoteKey, witness: &dyn Witness) -> Self {
        let witnesses = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, 60).unwrap();
        let log = Log::open(fresh(Role::Ledgers), ledger, key, Some(policy.clone())).unwrap();
        Self { log, policy }
    }
}

/// Somebody who wrote a review.
pub(crate) struct Author {
    pub(crate) wallet: Arc<Wallet>,
    pub(crate) token: Token,
    pub(crate) review: Review,
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) reviews: Logged,
    pub(crate) openings: Logged,
    pub(crate) secrets: Vec<TrusteeSecrets>,
    pub(crate) trustees: Trustees,
    pub(crate) committees: Vec<SignedCommittee>,
    pub(crate) issuer_key: IssuerKey,
    pub(crate) issuers: Vec<IssuerPublicKey>,
    pub(crate) requesters: WarrantPolicy,
    pub(crate) recipient: RecipientKey,
}

impl World {
    /// A ceremony of three trustees, of whom two open.
    pub(crate) fn new() -> Self {
        let rng = &mut SystemRng::new();
        let clock = Arc::new(ManualClock::new(at(0)));
        let (reviews, openings) = (key("shop.example/reviews", 21), key(OPENINGS, 22));
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let logs = vec![reviews.public().clone(), openings.public().clone()];
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness").unwrap());
        // All worlds have the same one.
        let seed = SecretBytes::new([23; 32]);
        let witness =
            WitnessService::create_with_key_that_may_have_signed(store, name, seed, logs, environment);
        let witness: Arc<dyn Witness> = Arc::new(witness.unwrap());
        let secrets: Vec<_> = (0..3).map(|_| TrusteeSecrets::generate(rng)).collect();
        let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).unwrap();
        let issuer_key = IssuerKey::generate(rng);
        let mut world = Self {
            reviews: Logged::new(Ledger::Reviews, reviews, &*witness),
            openings: Logged::new(Ledger::Openings, openings, &*witness),
            clock,
            witness,
            secrets,
            committees: Vec::new(),
            issuers: vec![*IssuerKey::generate(rng).public(), *issuer_key.public()],
            issuer_key,
            requesters: WarrantPolicy::new(vec![court()]).unwrap(),
            recipient: RecipientKey::from_secret_bytes(SecretBytes::new(RECIPIENT)),
            trustees: trustees.clone(),
        };
        world.run(CeremonyPlan::key_generation(2, trustees, rng).unwrap(), |_| {});
        world
    }

    /// The next share epoch.
    pub(crate) fn refresh(&mut self) {
        self.refresh_but(|_| {});
    }

    /// The next share epoch, with a look at the secrets before the ledger has it.
    pub(crate) fn refresh_but(&mut self, finished: impl FnOnce(&[TrusteeSecrets])) -> SignedCommittee {
        let committee = self.committees.last().unwrap().committee();
        let (trustees, rng) = (self.trustees.clone(), &mut SystemRng::new());
        let plan = CeremonyPlan::refresh(committee, trustees, vec![1, 2, 3], rng).unwrap();
        self.run(plan, finished)
    }

    pub(crate) fn run(
        &mut self,
        plan: CeremonyPlan,
        finished: impl FnOnce(&[TrusteeSecrets]),
    ) -> SignedCommittee {
        let (rng, mut messages) = (&mut SystemRng::new(), Vec::new());
        for (trustee, _) in
            self.secrets.iter_mut().zip(1..).filter(|(_, index)| plan.members().contains(index))
        {
            trustee.join(plan.clone(), plan.threshold(), rng).unwrap();
        }
        let signed = loop {
            let mut moved = None;
            for trustee in self.secrets.iter_mut().filter(|trustee| trustee.plan().is_some()) {
                match trustee.next(&messages, rng).unwrap() {
                    Step::Publish(message) => messages.push(message),
                    Step::Finished(signed) => moved = Some(signed),
                    _ => {}
                }
            }
            if let Some(signed) = moved {
                break signed;
            }
        };
        finished(&self.secrets);
        self.append(&self.openings, signed.to_bytes());
        let (openings, now) = (&self.openings, self.clock.now());
        let history = History::read(&openings.log, &openings.policy, None, now).unwrap();
        for trustee in self.secrets.iter_mut().filter(|trustee| trustee.plan().is_some()) {
            let step = trustee.next(&messages, rng).unwrap();
            assert!(matches!(step, Step::Finished(_)), "{step:?}");
            if plan.is_refresh() {
                trustee.commit(&history).unwrap();
            }
        }
        self.committees.push(signed.clone());
        signed
    }

    /// Appends an entry and publishes; the entry under the checkpoint.
    pub(crate) fn append(&self, to: &Logged, entry: Vec<u8>) -> CosignedEntry {
        to.log.append(std::slice::from_ref(&entry)).unwrap();
        self.cosigned(to, &entry)
    }

    /// An entry under a fresh checkpoint.
    pub(crate) fn cosigned(&self, on: &Logged, entry: &[u8]) -> CosignedEntry {
        assert!(on.log.publish(std::slice::from_ref(&self.witness)).unwrap().published);
        on.log.evidence_of(entry).unwrap().unwrap()
    }

    pub(crate) fn author(&self, text: &str) -> Author {
        self.author_under(&self.issuer_key, text)
    }

    /// Another review of somebody's, of another order.
    #[allow(dead_code, reason = "for whoever compares")]
    pub(crate) fn author_again(&self, author: &Author, text: &str) -> Author {
        self.order(&self.issuer_key, Arc::clone(&author.wallet), OrderHandle([8; 16]), text)
    }

    pub(crate) fn author_under(&self, issuer_key: &IssuerKey, text: &str) -> Author {
        let wallet = Arc::new(Wallet::generate(&mut SystemRng::new()));
        self.order(issuer_key, wallet, OrderHandle([7; 16]), text)
    }

    fn order(&self, issuer_key: &IssuerKey, wallet: Arc<Wallet>, handle: OrderHandle, text: &str) -> Author {
        let (rng, escrow_key) = (&mut SystemRng::new(), *self.committees[0].committee().key());
        let scope = Scope::new(*issuer_key.public().id(), name("lamps.example"), 7);
        let issuer_key_ = *issuer_key.public();
        let offer = Offer { handle, scope, issuer_key: issuer_key_, escrow_key };
        let platform = PlatformKey::generate(rng).public();
        let trust = TrustRoots::new(platform, 2, unjoin::Grid::Weekly).pin(issuer_key_, escrow_key).unwrap();
        let (pending, request) =
            wallet.request(&name("issuer"), offer.scope.merchant(), handle, &offer, &trust, rng).unwrap();
        let grant = Grant::issue(issuer_key, request.scope(), request.commitment(), rng).unwrap();
        let token = wallet.finish(pending, &grant, rng).unwrap();
        Author { wallet, token, review: Review::new(1, text, vec![]).unwrap() }
    }

    /// Publishes the author's review, as a desk does.
    pub(crate) fn publish(&self, author: &Author) -> ReviewEvidence {
        self.publish_as(&self.issuer_key, &author.present(), author.review.digest())
    }

    /// Logs whatever this is as a published review: what a corrupt desk can do.
    pub(crate) fn publish_as(
        &self,
        issuer_key: &IssuerKey,
        presentation: &Presentation,
        review_digest: [u8; 32],
    ) -> ReviewEvidence {
        self.publish_with(issuer_key, presentation, review_digest, *presentation.author_key())
    }

    /// Under the author key that the entry is said to have.
    pub(crate) fn publish_with(
        &self,
        issuer_key: &IssuerKey,
        presentation: &Presentation,
        review_digest: [u8; 32],
        author_key: AuthorKey,
    ) -> ReviewEvidence {
        let rng = &mut SystemRng::new();
        let accepted = Accepted::prove(issuer_key, presentation, &review_digest, rng);
        let entry = PublishedEntry {
            review_id: presentation.review_id(),
            review_digest,
            presentation_hash: presentation.hash(),
            author_key,
            scope: presentation.scope().clone(),
            boundary: at(0),
        };
        let published = self.append(&self.reviews, entry.to_bytes());
        ReviewEvidence { presentation: presentation.clone(), accepted, review_digest, published }
    }

    pub(crate) fn terms(&self, action: WarrantAction, reviews: &[&ReviewEvidence]) -> WarrantTerms {
        let reviews = reviews.iter().map(|review| review.presentation.review_id()).collect();
        let (requester, recipient) = (name("court.example"), *self.recipient.public());
        WarrantTerms::new(
            "Az. 41 Js 12/26",
            requester,
            action,
            GROUNDS,
            at(0)..=at(1_000),
            recipient,
            reviews,
        )
        .unwrap()
    }

    /// A warrant that two officers signed.
    pub(crate) fn warrant(&self, action: WarrantAction, reviews: &[&ReviewEvidence]) -> PresentedWarrant {
        present(self.terms(action, reviews))
    }

    pub(crate) fn log_warrant(&self, presented: &PresentedWarrant) -> CosignedEntry {
        self.append(&self.openings, entry_of(presented).to_bytes())
    }

    /// What these trustees answer, on its way through the recipient's hands, with what they logged before.
    pub(crate) fn shares(
        &self,
        presented: &PresentedWarrant,
        review: &ReviewEvidence,
        trustees: &[u16],
    ) -> Vec<ReleasedShare> {
        self.log_warrant(presented);
        let (rng, terms) = (&mut SystemRng::new(), presented.terms());
        let committee = self.committees.last().unwrap().committee();
        let review = review.verify(&self.issuers, committee.key(), &self.reviews.policy, rng).unwrap();
        let answer = |index: &u16| {
            let share = self.secrets[usize::from(*index) - 1].share().unwrap();
            let context = review.share_context(terms);
            let share = DecryptionShare::answer(share, committee, &context, rng).unwrap();
            let (commitment, subject) = (presented.commitment(), *review.review_id().as_bytes());
            let sealed = SealedShare::seal(&share, terms, commitment, subject, rng).unwrap();
            let sealed = SealedShare::from_bytes(&sealed.to_bytes()).unwrap();
            assert_eq!(self.recipient.open(&sealed, terms).unwrap(), share);
            let release = self.release(presented, review.review_id(), *index, &self.openings);
            ReleasedShare { share, release }
        };
        trustees.iter().map(answer).collect()
    }

    /// A trustee's entry for a review, in one of the ledgers.
    pub(crate) fn release(
        &self,
        presented: &PresentedWarrant,
        review: &ReviewId,
        trustee: u16,
        ledger: &Logged,
    ) -> CosignedEntry {
        let key = self.secrets[usize::from(trustee) - 1].identity();
        let (commitment, tag) = (presented.commitment(), presented.tag(review));
        let origin = ledger.policy.log().name().as_str();
        let entry = ShareReleasedEntry::sign(key, origin, trustee, 1, commitment, tag).unwrap();
        self.append(ledger, entry.to_bytes())
    }

    pub(crate) fn trust(&self) -> OpeningTrust<'_> {
        OpeningTrust {
            issuers: &self.issuers,
            trustees: &self.trustees,
            requesters: &self.requesters,
            reviews: &self.reviews.policy,
            openings: &self.openings.policy,
        }
    }

    pub(crate) fn combine(
        &self,
        presented: &PresentedWarrant,
        review: &ReviewEvidence,
        shares: Vec<ReleasedShare>,
    ) -> Result<Opening, OpeningError> {
        let logged = self.cosigned(&self.openings, &entry_of(presented).to_bytes());
        let (warrant, review, committees) = (presented.clone(), review.clone(), self.committees.clone());
        Opening::combine(warrant, logged, review, committees, shares, &self.trust(), &mut SystemRng::new())
    }

    /// A review's opening by the first two trustees.
    pub(crate) fn open(&self, author: &Author) -> Opening {
        let review = self.publish(author);
        let presented = self.warrant(WarrantAction::Open, &[&review]);
        let shares = self.shares(&presented, &review, &[1, 2]);
        self.combine(&presented, &review, shares).unwrap()
    }

    /// What the directory logged when the author enrolled.
    pub(crate) fn binding(&self, author: &Author, account: &str) -> AccountBinding {
        let (account, blind) = (name(account), [9; 32]);
        let entry = BindingEntry::new(&account, &author.wallet_key(), &blind);
        let entry = self.append(&self.openings, entry.to_bytes());
        AccountBinding { account, blind, entry }
    }
}

impl Author {
    pub(crate) fn present(&self) -> Presentation {
        let rng = &mut SystemRng::new();
        self.wallet.presentation(&self.token, &self.review, rng).unwrap()
    }

    pub(crate) fn wallet_key(&self) -> unjoin::algebra::Element {
        self.wallet.wallet_key(&name("issuer")).unwrap()
    }
}

/// The entry that announces a warrant, signed by the court's first officer.
pub(crate) fn entry_of(presented: &PresentedWarrant) -> WarrantEntry {
    presented.entry(&KeyName::new(OPENINGS).unwrap(), &officers()[0]).unwrap()
}

/// Signed by the first two officers, with a fresh blind.
pub(crate) fn present(terms: WarrantTerms) -> PresentedWarrant {
    let mut warrant = Warrant::draft(terms).unwrap();
    officers()[..2].iter().for_each(|officer| warrant.sign(officer).unwrap());
    PresentedWarrant::new(warrant, &mut SystemRng::new())
}

fn ledger(title: &str, policy: &WitnessPolicy) -> String {
    let witness = &policy.witnesses()[0];
    format!("ledger {title}\nlog {}\nwitness {witness}\nquorum 1 of which faulty 0\n", policy.log())
}

/// The lines of a trust file.
pub(crate) fn trust(world: &World) -> String {
    let mut text = String::from("# whom we believe\n");
    for issuer in &world.issuers {
        text += &format!("issuer {}\n", hex(issuer.element().as_bytes()));
    }
    for trustee in world.trustees.keys() {
        text += &format!("trustee {}\n", hex(trustee.as_bytes()));
    }
    text += "requester court.example needs 2 actions open,same-author grounds 3\n";
    for officer in court().keys {
        text += &format!("officer {officer}\n");
    }
    text + &ledger("reviews", &world.reviews.policy) + &ledger("openings", &world.openings.policy)
}

/// The bytes with one bit of them flipped.
pub(crate) fn flipped(bytes: &[u8], number: usize) -> Vec<u8> {
    let (mut bytes, bit) = (bytes.to_vec(), number % (8 * bytes.len()));
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}
