//! A platform in small around the trustees: reviews with their evidence, both ledgers with
//! their witnesses, requesters with their warrants. Made of nothing but the public interface, so
//! that whatever is built on the crate can take this file.

use crate::ceremony::{CeremonyError, CeremonyMessage, CeremonyPlan, Step};
use crate::same_author::{Comparison, ComparisonPanel};
use crate::service::{OpeningAnswer, OpeningRequest, Trustee, TrusteePolicy};
use crate::warrant::{
    BudgetPolicy, Limit, PresentedWarrant, Requester, Warrant, WarrantPolicy, WarrantTerms,
};
use crate::{
    Committee, Opening, OpeningTrust, RecipientKey, ReleasedShare, ReviewEvidence, SealedTrusteeSecrets,
    SignedCommittee, TrusteeSecrets,
};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use unjoin_core::algebra::Element;
use unjoin_core::entry::{Ledger, PublishedEntry, WarrantAction};
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::{
    Accepted, IssuerKey, IssuerPublicKey, Offer, OrderHandle, PlatformKey, Review, ReviewId, Scope,
    TrusteeKey, Trustees,
};
use unjoin_core::wire::Message;
use unjoin_core::{Clock, DAY, Environment, ManualClock, Name, PassphraseCost, Timestamp};
use unjoin_log::{KeyName, Log, LogView, NoteKey, NotePublicKey, Witness, WitnessPolicy, WitnessService};
use unjoin_store::identity::Role;
use unjoin_store::{MemoryStore, OwnStore, Store, StoreError, Stores};
use unjoin_wallet::{TrustRoots, Wallet};

pub const START: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
/// How long a cosignature counts as fresh, in seconds.
pub const FRESHNESS: u64 = 600;
pub const REVIEWS: &str = "reviews";
pub const OPENINGS: &str = "openings.example";
pub const COURT: &str = "court of trade";
pub const CONSUMERS: &str = "consumers' bureau";
pub const PASSPHRASE: &[u8] = b"pass";
pub const GROUNDS: u16 = 7;

/// A trustee's store: created by the first call, opened by later ones.
pub fn own<S: Store>(secrets: &TrusteeSecrets, store: &Arc<S>) -> Arc<OwnStore<S>> {
    let (roster, rng) = (secrets.roster(), &mut SystemRng::new());
    let stores = || [(Role::Trustee, Arc::clone(store))];
    let opened = match Stores::open(&roster, stores(), rng) {
        Err(StoreError::Nobodys(_)) => Stores::create(&roster, stores(), rng),
        opened => opened,
    };
    opened.unwrap().own(Role::Trustee).unwrap()
}

/// A published review.
pub struct Written {
    pub evidence: ReviewEvidence,
    /// Its author's wallet key.
    pub author: Element,
}

pub struct World {
    pub clock: Arc<ManualClock>,
    pub trustees: Trustees,
    pub sealed: Vec<SealedTrusteeSecrets>,
    pub issuer: IssuerKey,
    pub reviews_log: Log<MemoryStore>,
    pub openings: Log<MemoryStore>,
    pub witnesses: Vec<Arc<dyn Witness>>,
    pub policy: TrusteePolicy,
    pub recipient: RecipientKey,
    pub written: Vec<Written>,
    /// The sizes of the openings ledger, each with the time at which it was published first.
    published: Mutex<Vec<(u64, Timestamp)>>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key_name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

pub fn log_key(name: &str) -> NoteKey {
    NoteKey::from_secret_bytes(key_name(name), &SecretBytes::new([name.len() as u8; 32]))
}

/// The officers of a requester: two keys.
pub fn officers(requester: &str) -> [NoteKey; 2] {
    [1, 2].map(|number: u8| {
        let seed = SecretBytes::new([requester.len() as u8 + number; 32]);
        NoteKey::from_secret_bytes(key_name(&format!("{}/{number}", requester.len())), &seed)
    })
}

/// The first officer of a warrant's requester.
pub fn officer_of(presented: &PresentedWarrant) -> NoteKey {
    let [officer, _] = officers(std::str::from_utf8(presented.terms().requester().as_bytes()).unwrap());
    officer
}

/// A witness of this number, which has seen nothing; all of one number have one key.
pub fn witness(
    number: u8,
    logs: &[NotePublicKey],
    environment: &Environment,
) -> Arc<WitnessService<MemoryStore>> {
    let (store, seed) = (Arc::new(MemoryStore::new()), SecretBytes::new([100 + number; 32]));
    let (name, logs) = (key_name(&format!("witness/{number}")), logs.to_vec());
    let service =
        WitnessService::create_with_key_that_may_have_signed(store, name, seed, logs, environment.clone());
    Arc::new(service.unwrap())
}

/// So many reviews a week altogether, for a requester and for a trustee; compared twice as many.
pub fn budgets(all: u32, own: u32, requester: u32) -> BudgetPolicy {
    let comparison = Limit { all: 2 * all, own: 2 * own, requester: 2 * requester };
    BudgetPolicy { window: 7 * DAY, cooling_off: 0, opening: Limit { all, own, requester }, comparison }
}

/// A generator that always says the same. Not `unjoin-test-util`'s: a published crate, of which this is
/// a feature, cannot depend on it.
pub(super) struct Constant(pub(super) u8);

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.into())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.into())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Constant {}

/// A trustee's long-term key, in the hands of somebody who keeps no rule.
pub fn stolen_key(index: u16) -> TrusteeKey {
    TrusteeKey::generate(&mut Constant(200 + index as u8))
}

/// Trustees' secrets without a share, with long-term keys that are always the same.
fn strangers(count: u16) -> (Vec<TrusteeSecrets>, Trustees) {
    let generate = |index: u16| TrusteeSecrets::generate(&mut Constant(200 + index as u8));
    let secrets: Vec<_> = (1..=count).map(generate).collect();
    let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).unwrap();
    (secrets, trustees)
}

/// A ceremony in one process.
fn ceremony(threshold: u16, count: u16) -> Vec<TrusteeSecrets> {
    let (mut secrets, trustees) = strangers(count);
    run(&mut secrets, CeremonyPlan::key_generation(threshold, trustees, &mut SystemRng::new()).unwrap());
    secrets
}

/// What everybody has seen of a ceremony that is finished.
pub fn seen_ceremony(threshold: u16, count: u16) -> (CeremonyPlan, Vec<CeremonyMessage>, SignedCommittee) {
    let (mut secrets, trustees) = strangers(count);
    let plan = CeremonyPlan::key_generation(threshold, trustees, &mut SystemRng::new()).unwrap();
    let (messages, signed) = run(&mut secrets, plan.clone());
    (plan, messages, signed)
}

/// The same of a refresh after it, whose messages nobody has logged: its plan, and the committee before.
pub fn seen_refresh(threshold: u16, count: u16) -> (CeremonyPlan, Committee, Vec<CeremonyMessage>) {
    let (mut secrets, rng) = (ceremony(threshold, count), &mut SystemRng::new());
    let previous = secrets[0].committee().unwrap().committee().clone();
    let (trustees, members) = (secrets[0].trustees().unwrap().clone(), (1..=count).collect());
    let plan = CeremonyPlan::refresh(&previous, trustees, members, rng).unwrap();
    let messages = run(&mut secrets, plan.clone()).0;
    (plan, previous, messages)
}

/// A whole ceremony among these. A refresh waits for its committee to be logged.
fn run(secrets: &mut [TrusteeSecrets], plan: CeremonyPlan) -> (Vec<CeremonyMessage>, SignedCommittee) {
    let rng = &mut SystemRng::new();
    for trustee in secrets.iter_mut() {
        trustee.join(plan.clone(), plan.threshold(), rng).unwrap();
    }
    let mut messages = Vec::new();
    let mut finished = Vec::new();
    while finished.len() < secrets.len() {
        finished.clear();
        for trustee in secrets.iter_mut() {
            match trustee.next(&messages, rng) {
                Ok(Step::Publish(message)) => messages.push(message),
                Ok(Step::Finished(signed)) => finished.push(signed),
                Err(CeremonyError::Idle) => finished.push(trustee.committee().unwrap().clone()),
                waits => assert!(matches!(waits, Ok(Step::Wait { .. })), "{waits:?}"),
            }
        }
    }
    (messages, finished.swap_remove(0))
}

fn requester(text: &str) -> Requester {
    Requester {
        name: name(text),
        keys: officers(text).iter().map(|key| key.public().clone()).collect(),
        needed: 2,
        actions: vec![WarrantAction::Open, WarrantAction::SameAuthor],
        grounds: vec![GROUNDS],
    }
}

fn witnesses_of(key: &NoteKey) -> WitnessPolicy {
    let public = |number| witness(number, &[], &Environment::system()).public_key().clone();
    let keys = (1..=4).map(public).collect();
    WitnessPolicy::new(key.public().clone(), keys, 3, 1, FRESHNESS).unwrap()
}

/// What a trustee believes: both ledgers, three of four witnesses, two requesters.
pub fn policy(issuer: IssuerPublicKey, budgets: BudgetPolicy) -> TrusteePolicy {
    TrusteePolicy {
        issuers: vec![issuer],
        warrants: WarrantPolicy::new(vec![requester(COURT), requester(CONSUMERS)]).unwrap(),
        budgets,
        reviews: witnesses_of(&log_key(REVIEWS)),
        openings: witnesses_of(&log_key(OPENINGS)),
    }
}

/// Four witnesses who have seen nothing.
fn witnesses(environment: &Environment) -> Vec<Arc<dyn Witness>> {
    let logs = vec![log_key(REVIEWS).public().clone(), log_key(OPENINGS).public().clone()];
    (1..=4).map(|number| witness(number, &logs, environment) as Arc<dyn Witness>).collect()
}

/// An empty ledger.
fn open(ledger: Ledger, policy: &WitnessPolicy) -> Log<MemoryStore> {
    super::fresh_log_of(ledger, log_key(policy.log().name().as_str()), Some(policy))
}

impl World {
    /// t of n trustees, and so many reviews, each of an author of its own.
    pub fn new(threshold: u16, count: u16, reviews: usize, budgets: BudgetPolicy) -> Self {
        let rng = &mut SystemRng::new();
        let secrets = ceremony(threshold, count);
        let cost = PassphraseCost::LEAST;
        let clock = Arc::new(ManualClock::new(START));
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let issuer = IssuerKey::generate(rng);
        let policy = policy(*issuer.public(), budgets);
        let mut world = Self {
            clock,
            trustees: secrets[0].trustees().unwrap().clone(),
            sealed: secrets.iter().map(|secrets| secrets.seal(PASSPHRASE, cost, rng).unwrap()).collect(),
            issuer,
            reviews_log: open(Ledger::Reviews, &policy.reviews),
            openings: open(Ledger::Openings, &policy.openings),
            witnesses: witnesses(&environment),
            policy,
            recipient: RecipientKey::generate(rng),
            written: Vec::new(),
            published: Mutex::new(Vec::new()),
        };
        world.log_committee();
        let authors: Vec<Wallet> = (0..reviews).map(|_| Wallet::generate(rng)).collect();
        world.write(&authors.iter().collect::<Vec<_>>());
        world
    }

    /// One published review of each of these authors more.
    pub fn write(&mut self, authors: &[&Wallet]) {
        let rng = &mut SystemRng::new();
        let escrow_key = *self.secrets(1).committee().unwrap().committee().key();
        let platform = PlatformKey::generate(rng);
        let trust = TrustRoots::new(platform.public(), 1, unjoin_core::Grid::Weekly)
            .pin(*self.issuer.public(), escrow_key)
            .unwrap();
        let shop = name("orders.example");
        let mut parts = Vec::new();
        for (at, wallet) in authors.iter().enumerate() {
            let offer = Offer {
                handle: OrderHandle([(self.written.len() + at) as u8; 16]),
                scope: Scope::new(*self.issuer.public().id(), name("noodles"), 77),
                issuer_key: *self.issuer.public(),
                escrow_key,
            };
            let token = super::shop::token_of(wallet, &shop, &self.issuer, &offer, &trust);
            let review = Review::new(1, format!("cold, {at}"), vec![]).unwrap();
            let presentation = wallet.presentation(&token, &review, rng).unwrap();
            let accepted = Accepted::prove(&self.issuer, &presentation, &review.digest(), rng);
            let entry = PublishedEntry {
                review_id: presentation.review_id(),
                review_digest: review.digest(),
                presentation_hash: presentation.hash(),
                author_key: *presentation.author_key(),
                scope: presentation.scope().clone(),
                boundary: START,
            };
            parts.push((presentation, accepted, entry, wallet.wallet_key(&shop).unwrap()));
        }
        let entries: Vec<_> = parts.iter().map(|(_, _, entry, _)| entry.to_bytes()).collect();
        self.reviews_log.append(&entries).unwrap();
        self.publish_log(&self.reviews_log);
        for (presentation, accepted, entry, author) in parts {
            let published = self.reviews_log.evidence_of(&entry.to_bytes()).unwrap().unwrap();
            let review_digest = entry.review_digest;
            let evidence = ReviewEvidence { presentation, accepted, review_digest, published };
            self.written.push(Written { evidence, author });
        }
    }

    /// Begins a new openings ledger at the start's time, before witnesses who have seen nothing.
    #[allow(dead_code, reason = "for whoever plays many histories")]
    pub fn begin_anew(&mut self) {
        self.begin_without_committee();
        self.log_committee();
    }

    /// The same, with nothing in the ledger at all.
    #[allow(dead_code, reason = "for whoever plays many histories")]
    pub fn begin_without_committee(&mut self) {
        self.clock.set(START);
        self.openings = open(Ledger::Openings, &self.policy.openings);
        self.witnesses = witnesses(&self.environment());
        self.published = Mutex::default();
    }

    /// Appends the committee of the trustees' key: before it nobody's release counts.
    fn log_committee(&self) {
        let signed = self.secrets(1).committee().unwrap().to_bytes();
        self.openings.append(&[signed]).unwrap();
    }

    pub fn environment(&self) -> Environment {
        Environment::new(self.clock.clone(), || Box::new(SystemRng::new()))
    }

    /// A trustee's secrets, index from 1.
    pub fn secrets(&self, index: u16) -> TrusteeSecrets {
        self.sealed[usize::from(index) - 1].open(PASSPHRASE).unwrap()
    }

    /// All trustees' secrets after a refresh that another copy of the ledger shows; those that are sealed stay as they are.
    #[allow(dead_code, reason = "for whoever refreshes")]
    pub fn refreshed(&self) -> Vec<TrusteeSecrets> {
        let mut secrets: Vec<_> = (1..=self.trustees.count()).map(|index| self.secrets(index)).collect();
        let committee = secrets[0].committee().unwrap().committee().clone();
        let (members, rng) = ((1..=self.trustees.count()).collect(), &mut SystemRng::new());
        let plan = CeremonyPlan::refresh(&committee, self.trustees.clone(), members, rng).unwrap();
        let before = secrets[0].committee().unwrap().to_bytes();
        let history = super::history_of(&[before, run(&mut secrets, plan).1.to_bytes()]);
        secrets.iter_mut().for_each(|secrets| secrets.commit(&history).unwrap());
        secrets
    }

    /// A trustee's service on this store: opened again it is the same trustee.
    pub fn trustee<S: Store>(&self, index: u16, store: &Arc<S>) -> Trustee<S> {
        self.trustee_with(index, store, self.policy.clone())
    }

    pub fn trustee_with<S: Store>(&self, index: u16, store: &Arc<S>, policy: TrusteePolicy) -> Trustee<S> {
        let secrets = self.secrets(index);
        Trustee::open(own(&secrets, store), secrets, policy, self.environment()).unwrap()
    }

    /// The services of all trustees, each with a store of its own.
    pub fn all_trustees(&self) -> Vec<Trustee<MemoryStore>> {
        let open = |index| self.trustee(index, &Arc::new(MemoryStore::new()));
        (1..=self.trustees.count()).map(open).collect()
    }

    pub fn id(&self, review: usize) -> ReviewId {
        self.written[review].evidence.presentation.review_id()
    }

    /// Terms of the court for these reviews, valid from the start until 60 days from now.
    pub fn terms(&self, action: WarrantAction, reviews: &[usize]) -> WarrantTerms {
        self.terms_of(COURT, action, reviews)
    }

    pub fn terms_of(&self, requester: &str, action: WarrantAction, reviews: &[usize]) -> WarrantTerms {
        let reviews = reviews.iter().map(|review| self.id(*review)).collect();
        let (valid, recipient) =
            (START..=self.clock.now().saturating_add(60 * DAY), *self.recipient.public());
        WarrantTerms::new("case 1", name(requester), action, GROUNDS, valid, recipient, reviews).unwrap()
    }

    /// Signed by both officers of its requester.
    pub fn sign(&self, terms: WarrantTerms) -> PresentedWarrant {
        let officers = officers(std::str::from_utf8(terms.requester().as_bytes()).unwrap());
        let mut warrant = Warrant::draft(terms).unwrap();
        officers.iter().for_each(|officer| warrant.sign(officer).unwrap());
        PresentedWarrant::new(warrant, &mut SystemRng::new())
    }

    /// The entry that announces a warrant, signed by the first officer of its requester.
    pub fn entry(&self, presented: &PresentedWarrant) -> Vec<u8> {
        presented.entry(&key_name(OPENINGS), &officer_of(presented)).unwrap().to_bytes()
    }

    /// The same for a comparison that is charged as openings.
    pub fn entry_as_opening(&self, presented: &PresentedWarrant) -> Vec<u8> {
        presented.entry_as_opening(&key_name(OPENINGS), &officer_of(presented)).unwrap().to_bytes()
    }

    /// A warrant to open these reviews, its entry logged and published.
    pub fn warrant(&self, reviews: &[usize]) -> PresentedWarrant {
        let presented = self.sign(self.terms(WarrantAction::Open, reviews));
        self.log(&[self.entry(&presented)]);
        presented
    }

    pub fn request(&self, presented: &PresentedWarrant, review: usize) -> OpeningRequest {
        OpeningRequest { presented: presented.clone(), review: self.written[review].evidence.clone() }
    }

    /// What this trustee answers for a review of a logged warrant, once its own entry is logged.
    pub fn answer<S: Store>(
        &self,
        trustee: &Trustee<S>,
        presented: &PresentedWarrant,
        review: usize,
    ) -> OpeningAnswer {
        let request = self.request(presented, review);
        match trustee.answer(&request, &self.openings).unwrap() {
            OpeningAnswer::Append(entry) => {
                self.log(&[entry]);
                trustee.answer(&request, &self.openings).unwrap()
            }
            other => other,
        }
    }

    /// Whom a reader of an opening believes.
    pub fn trust(&self) -> OpeningTrust<'_> {
        OpeningTrust {
            issuers: &self.policy.issuers,
            trustees: &self.trustees,
            requesters: &self.policy.warrants,
            reviews: &self.policy.reviews,
            openings: &self.policy.openings,
        }
    }

    /// This trustee's share of an opening, with its entry in the ledger.
    pub fn released<S: Store>(
        &self,
        trustee: &Trustee<S>,
        presented: &PresentedWarrant,
        review: usize,
    ) -> ReleasedShare {
        let first = trustee.answer(&self.request(presented, review), &self.openings).unwrap();
        let OpeningAnswer::Append(entry) = first else { panic!("{first:?}") };
        self.log(std::slice::from_ref(&entry));
        let answer = self.answer(trustee, presented, review);
        let OpeningAnswer::Released(sealed) = answer else { panic!("{answer:?}") };
        let release = self.openings.evidence_of(&entry).unwrap().unwrap();
        ReleasedShare { share: self.recipient.open(&sealed, presented.terms()).unwrap(), release }
    }

    /// The opening of a review under a logged warrant, by the first t trustees.
    pub fn opening(&self, presented: &PresentedWarrant, review: usize) -> Opening {
        let committee = self.secrets(1).committee().unwrap().clone();
        let trustees = self.all_trustees().into_iter().take(committee.committee().threshold().into());
        let shares = trustees.map(|trustee| self.released(&trustee, presented, review)).collect();
        let logged = self.openings.evidence_of(&self.entry(presented)).unwrap().unwrap();
        let (warrant, evidence) = (presented.clone(), self.written[review].evidence.clone());
        let rng = &mut SystemRng::new();
        Opening::combine(warrant, logged, evidence, vec![committee], shares, &self.trust(), rng).unwrap()
    }

    pub fn panel(&self) -> ComparisonPanel {
        let committee = self.secrets(1).committee().unwrap().committee().clone();
        ComparisonPanel { committee, trustees: self.trustees.clone(), origin: key_name(OPENINGS) }
    }

    /// A warrant that compares all reviews, logged, and charged by these trustees.
    pub fn compared<S: Store>(&self, trustees: &[Trustee<S>]) -> PresentedWarrant {
        let all: Vec<usize> = (0..self.written.len()).collect();
        let presented = self.sign(self.terms(WarrantAction::SameAuthor, &all));
        self.log(&[self.entry(&presented)]);
        for (trustee, review) in trustees.iter().flat_map(|trustee| all.iter().map(move |at| (trustee, *at)))
        {
            assert_eq!(self.answer(trustee, &presented, review), OpeningAnswer::Charged);
        }
        presented
    }

    /// The comparison that it asks for.
    pub fn comparison<S: Store>(&self, presented: &PresentedWarrant, trustees: &[Trustee<S>]) -> Comparison {
        let evidence = self.written.iter().map(|written| written.evidence.clone()).collect();
        let willing: Vec<u16> = trustees.iter().map(Trustee::index).collect();
        Comparison::new(presented.clone(), evidence, self.panel(), willing).unwrap()
    }

    /// Appends to the openings ledger and publishes it, one second later.
    pub fn log(&self, entries: &[Vec<u8>]) {
        self.openings.append(entries).unwrap();
        self.publish();
    }

    /// Publishes the openings ledger, one second later.
    pub fn publish(&self) {
        self.pass(1);
        self.publish_log(&self.openings);
        let (size, now) = (self.openings.size().unwrap(), self.clock.now());
        self.published.lock().unwrap().push((size, now));
    }

    /// How often the openings ledger was published.
    pub fn checkpoints(&self) -> usize {
        self.published.lock().unwrap().len()
    }

    /// When the entry at this index was published first.
    pub fn published_at(&self, index: u64) -> Option<Timestamp> {
        let published = self.published.lock().unwrap();
        published.iter().find(|(size, _)| *size > index).map(|(_, time)| *time)
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.clock.set(self.clock.now().saturating_add(seconds));
    }

    fn publish_log(&self, log: &Log<MemoryStore>) {
        assert!(log.publish(&self.witnesses).unwrap().published);
    }
}
