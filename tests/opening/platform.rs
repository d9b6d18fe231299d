//! From an order to a named account: a whole platform, its ledgers, and trustees after a real
//! ceremony.

use crate::world::{OPENINGS, World, entry_of, name, present, weekly_shop};
use std::sync::Arc;
use unjoin::issuer::{BoundAccount, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::ledger::{
    BindingEntry, KeyName, LedgerConfig, Ledgers, LogView, NoteKey, ShareReleasedEntry, WarrantAction,
    Witness, WitnessPolicy, WitnessService,
};
use unjoin::opening::warrant::WarrantTerms;
use unjoin::opening::{AccountBinding, DecryptionShare, Opening, OpeningTrust, ReleasedShare};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{EnrolmentContext, Presentation, Review};
use unjoin::wire::Message;
use unjoin::{
    DAY, Environment, ManualClock, Name, Platform, PlatformError, PlatformSecrets, Timestamp, WEEK,
};
use unjoin_test_util::own;
use unjoin_wallet::{Token, TrustRoots, Wallet};

type Shared = Arc<MemoryStore>;

fn monday() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_438_400)
}

struct Shop {
    platform: Platform<Shared>,
    clock: Arc<ManualClock>,
    trust: TrustRoots,
    reviews: WitnessPolicy,
    openings: WitnessPolicy,
}

impl Shop {
    fn new(world: &World, with_ledgers: bool) -> Self {
        let rng = &mut SystemRng::new();
        let clock = Arc::new(ManualClock::new(monday()));
        let environment = || Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let secrets = PlatformSecrets::generate(*world.committees[0].committee().key(), rng);
        let (trust, config) = weekly_shop(&secrets);
        let stores = || Shared::default();
        let standing = Arc::new(EveryoneOfStanding);
        let platform = Platform::open(
            unjoin_test_util::platform_stores(&secrets.stores, &Arc::new(stores()), &Arc::new(stores()))
                .unwrap(),
            config,
            secrets,
            standing,
            environment(),
        )
        .unwrap();
        let key = |title: &str, seed| {
            NoteKey::from_secret_bytes(KeyName::new(title).unwrap(), &SecretBytes::new([seed; 32]))
        };
        let keys = || [key("shop.example/reviews", 1), key(OPENINGS, 2)];
        let logs = keys().map(|key| key.public().clone()).to_vec();
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness").unwrap());
        let witness = WitnessService::create(store, name, logs, environment()).unwrap();
        let [reviews, openings] = keys().map(|key| {
            let witnesses = vec![witness.public_key().clone()];
            WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, 60).unwrap()
        });
        let [first, second] = keys();
        let ledgers = Ledgers::open(
            own(&Arc::new(Shared::default()), Role::Ledgers),
            LedgerConfig { key: first, policy: Some(reviews.clone()) },
            LedgerConfig { key: second, policy: Some(openings.clone()) },
            vec![Arc::new(witness)],
        );
        let platform = if with_ledgers { platform.with_ledgers(ledgers.unwrap()) } else { platform };
        Self { platform, clock, trust, reviews, openings }
    }

    /// Somebody with one order, granted, whose numbers are dead.
    fn customer(&self, account: &str) -> (Wallet, Token) {
        let (rng, issuer, account) = (&mut SystemRng::new(), name("shop.example"), name(account));
        let (wallet, merchant) = (Wallet::generate(rng), name("lamps.example"));
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[1; 32] };
        self.platform.enrol(account.clone(), [1; 32], wallet.enrol(context, rng).unwrap()).unwrap();
        let order = OrderReport {
            order_id: account.as_bytes().to_vec(),
            account: account.clone(),
            merchant: merchant.clone(),
            class: 0,
            due_at: monday(),
        };
        let handle = self.platform.order_due(order).unwrap();
        // Two customers of a merchant that was busy before are a crowd after two weeks.
        let past = PastOrders { merchant: merchant.clone(), class: 0, counts: vec![6_000] };
        assert!(self.platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
        self.platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at: monday() }).unwrap();
        let offer = self.platform.offer(account.clone(), merchant.clone(), handle).unwrap();
        let (pending, request) =
            wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng).unwrap();
        let grant = self.platform.grant(account, request).wait().unwrap();
        let token = wallet.finish(pending, &grant, rng).unwrap();
        (wallet, token)
    }

    /// Their review, once its cohort is closed: it waits for its boundary.
    fn submit(&self, (wallet, token): &(Wallet, Token)) -> Presentation {
        let rng = &mut SystemRng::new();
        let review = Review::new(1, "They threatened me.", vec![]).unwrap();
        let presentation = wallet.presentation(token, &review, rng).unwrap();
        self.platform.submit(presentation.clone(), review).wait().unwrap();
        presentation
    }

    /// Weeks pass between two ticks, which somebody vouches for.
    fn tick(&self, now: Timestamp) {
        self.clock.set(now);
        self.platform.desk().confirm_clock(now).unwrap();
        assert!(self.platform.tick().unwrap().failed.is_empty());
    }
}

#[test]
fn a_review_of_a_whole_platform_is_opened_to_its_account_and_anybody_can_check_it() {
    let (world, rng) = (World::new(), &mut SystemRng::new());
    let shop = Shop::new(&world, true);
    let [ann, ben] = ["ann", "ben"].map(|account| shop.customer(account));
    (1..3).for_each(|week| shop.tick(monday().saturating_add(week * WEEK + 1)));
    let [presentation, _] = [&ann, &ben].map(|customer| shop.submit(customer));
    let (scope, id) = (presentation.scope().clone(), presentation.review_id());
    assert_eq!(shop.platform.evidence(&scope, &id).unwrap(), None, "nothing before publication");
    let published = (3..8).map(|week| monday().saturating_add(week * WEEK + 1)).find(|now| {
        shop.tick(*now);
        shop.platform.evidence(&scope, &id).unwrap().is_some()
    });
    let now = published.unwrap();

    // The court.
    let (court, valid) = (name("court.example"), now..=now.saturating_add(DAY));
    let (recipient, action) = (*world.recipient.public(), WarrantAction::Open);
    let terms = WarrantTerms::new("Az. 1", court, action, crate::world::GROUNDS, valid, recipient, vec![id]);
    let presented = present(terms.unwrap());

    // The platform: logs the warrant, and hands out the evidence and nothing else.
    let evidence = shop.platform.evidence(&scope, &id).unwrap().unwrap();
    let openings = shop.platform.ledgers().unwrap().openings();
    let entry = entry_of(&presented).to_bytes();
    // Once, and again after a lost answer.
    let place = openings.append(std::slice::from_ref(&entry)).unwrap();
    assert_eq!(openings.append(std::slice::from_ref(&entry)).unwrap(), place);
    shop.tick(now);
    let logged = openings.evidence_of(&entry).unwrap().unwrap();

    // The trustees.
    let issuers = [*shop.platform.issuer().keys().newest().issuer_key.public()];
    let committee = world.committees[0].committee();
    let review = evidence.verify(&issuers, committee.key(), &shop.reviews, rng).unwrap();
    let context = review.share_context(presented.terms());
    let shares = [3u16, 1].map(|index| {
        let secrets = &world.secrets[usize::from(index) - 1];
        let (origin, tag) = (shop.openings.log().name().as_str(), presented.tag(&id));
        let (identity, commitment) = (secrets.identity(), presented.commitment());
        let entry = ShareReleasedEntry::sign(identity, origin, index, 1, commitment, tag).unwrap();
        openings.append(&[entry.to_bytes()]).unwrap();
        shop.tick(now);
        let release = openings.evidence_of(&entry.to_bytes()).unwrap().unwrap();
        let (share, rng) = (secrets.share().unwrap(), &mut SystemRng::new());
        ReleasedShare { share: DecryptionShare::answer(share, committee, &context, rng).unwrap(), release }
    });

    // The court again, and anybody.
    let trust = OpeningTrust {
        issuers: &issuers,
        trustees: &world.trustees,
        requesters: &world.requesters,
        reviews: &shop.reviews,
        openings: &shop.openings,
    };
    let committees = world.committees.clone();
    let opening =
        Opening::combine(presented.clone(), logged, evidence, committees, shares.to_vec(), &trust, rng);
    let opening = opening.unwrap();
    let author = opening.verify(&trust, rng).unwrap();
    assert_eq!(author.wallet_key, ann.0.wallet_key(&name("shop.example")).unwrap());

    // Whose wallet it is: out of the directory, shown by what it logged when she enrolled.
    let bound = shop.platform.issuer().account_of(&author.wallet_key).unwrap().unwrap();
    let BoundAccount { account, blind } = bound;
    let entry = BindingEntry::new(&account, &author.wallet_key, &blind).to_bytes();
    let entry = openings.evidence_of(&entry).unwrap().unwrap();
    let opening = opening.with_binding(AccountBinding { account, blind, entry });
    assert_eq!(opening.verify(&trust, rng).unwrap().account, Some(name("ann")));

    // What the platform logs in the end.
    openings.append(&[presented.disclosure().to_bytes()]).unwrap();
    shop.tick(now);
    assert!(openings.evidence_of(&presented.disclosure().to_bytes()).unwrap().is_some());
}

#[test]
fn a_platform_without_ledgers_has_no_evidence_to_hand_out() {
    let world = World::new();
    let shop = Shop::new(&world, false);
    let (wallet, token) = shop.customer("ann");
    let review = Review::new(1, "They threatened me.", vec![]).unwrap();
    let presentation = wallet.presentation(&token, &review, &mut SystemRng::new()).unwrap();
    let refused = shop.platform.evidence(presentation.scope(), &presentation.review_id()).unwrap_err();
    assert!(matches!(refused, PlatformError::NoLedgers));
    assert_eq!(refused.code(), "platform.no_ledgers");
}

#[test]
fn names_are_read_as_they_are_written() {
    // The requester's name in the entry is the bytes of the warrant's.
    let world = World::new();
    let review = world.publish(&world.author("one"));
    let presented = world.warrant(WarrantAction::Open, &[&review]);
    assert_eq!(Name::new(entry_of(&presented).requester()).unwrap(), *presented.terms().requester());
}
