//! Any history of the review side, against maps and loops: a token is spent exactly once, the
//! same review has the same receipt, a cohort is published at its two boundaries only, and what
//! can be read is what the model says.

#![no_main]

#[path = "../../../tests/review/desk_model.rs"]
mod model;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use model::{AUTHORS, Model, code};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use unjoin::ledger::{RemovedEntry, StaffKeyEntry};
use unjoin::review::{DeskConfig, ReviewDesk, Submission};
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{
    AuthorAction, CohortManifest, OrderHandle, PlatformPublicKey, Presentation, PublicationDates, ReviewId,
    ReviewState, Scope, SignedManifest, StaffKey,
};
use unjoin::wire::Message;
use unjoin::{DAY, Environment, Grid, ManualClock, QueueConfig, Timestamp};
use unjoin_fuzz::pool::{Author, KEYS, name as merchant, review, review as words};
use unjoin_test_util::{Seeded, copy, own};
use unjoin_wallet::AuthorRequest;

/// Merchant, cohort number, first publication and window's end in days.
const COHORTS: [(&str, u64, u64, u64); 3] = [("a", 1, 3, 6), ("a", 2, 4, 9), ("b", 3, 2, 4)];
const EACH: usize = 2;
/// How long after a window's end escrows are kept.
const OPENING_WINDOW: u64 = 4 * DAY;
/// Midnight of day 0.
const START: u64 = 1_577_664_000;

#[derive(Arbitrary, Debug)]
enum Op {
    /// `other_proof`: another presentation of the same token for the same review.
    Submit {
        who: u8,
        words: u8,
        other_proof: bool,
    },
    /// With a review that the presentation is not for, or under a changed proof.
    SubmitBad {
        who: u8,
        words: u8,
        proof: bool,
    },
    /// Two at once, through one call.
    SubmitBoth {
        first: (u8, u8),
        second: (u8, u8),
    },
    Admit {
        cohort: u8,
    },
    /// A manifest with other boundaries.
    AdmitOther {
        cohort: u8,
    },
    Edit {
        who: u8,
        words: u8,
    },
    Withdraw {
        who: u8,
    },
    /// The last accepted action again.
    Again {
        who: u8,
    },
    /// An action from a place where the review does not stand.
    Stale {
        who: u8,
        ahead: u8,
    },
    Remove {
        who: u8,
    },
    Tick,
    Hours(u8),
    Days(u8),
    Restart,
}

static PEOPLE: LazyLock<Vec<(Author, ReviewId)>> = LazyLock::new(|| {
    let person = |who: usize| {
        let (merchant, number, ..) = COHORTS[who / EACH];
        let author =
            Author::new(who as u8, 0, &KEYS.scope(0, merchant, number), OrderHandle([who as u8; 16]));
        let id = author.wallet.review_id(&author.token).unwrap();
        (author, id)
    };
    (0..AUTHORS).map(person).collect()
});

static PRESENTATIONS: LazyLock<Vec<Presentation>> = LazyLock::new(|| {
    let all = (0..AUTHORS * 6).map(|at| PEOPLE[at / 6].0.present(&review(at / 2 % 3), at as u64));
    all.collect()
});

static SPOILT: LazyLock<Vec<Presentation>> = LazyLock::new(|| {
    let spoil = |presentation: &Presentation| {
        let mut bytes = presentation.to_bytes();
        let from = bytes.len() - 32;
        bytes[from] ^= 1;
        Presentation::from_bytes(&bytes).unwrap()
    };
    PRESENTATIONS.iter().map(spoil).collect()
});

static STAFF: LazyLock<StaffKey> = LazyLock::new(|| StaffKey::generate(&mut Seeded(77)));
/// The name of the reviews ledger.
const ORIGIN: &str = "shop.example/reviews";

fn id(who: usize) -> ReviewId {
    PEOPLE[who].1
}

fn scope_of(who: usize) -> &'static Scope {
    PEOPLE[who].0.token.scope()
}

fn day(number: u64) -> Timestamp {
    Timestamp::from_unix_seconds(START + number * DAY)
}

fn platform() -> PlatformPublicKey {
    KEYS.platform.public()
}

fn presentation(who: usize, words: usize, other: bool) -> &'static Presentation {
    &PRESENTATIONS[who * 6 + words * 2 + usize::from(other)]
}

/// Actions are functions of what they say: signed once in a run.
fn signed(who: usize, state: &ReviewState, action: Action) -> AuthorAction {
    type Key = (usize, u64, [u8; 32], Action);
    static MADE: LazyLock<Mutex<HashMap<Key, AuthorAction>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || {
        let edited = review(action.words().unwrap_or(0));
        let request = match action {
            Action::Edit(_) => AuthorRequest::Edit(&edited),
            Action::Withdraw => AuthorRequest::Withdraw,
        };
        let author = &PEOPLE[who].0;
        author.wallet.act(&author.token, state, request, day(0), &mut Seeded(who as u64)).unwrap().action
    };
    made.entry((who, state.last_sequence, state.digest_in_force, action)).or_insert_with(make).clone()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Edit(usize),
    Withdraw,
}

impl Action {
    fn words(self) -> Option<usize> {
        match self {
            Self::Edit(words) => Some(words),
            Self::Withdraw => None,
        }
    }
}

fn manifest(cohort: usize, later: u64) -> SignedManifest {
    let (merchant, number, first, end) = COHORTS[cohort];
    let manifest = CohortManifest {
        scope: KEYS.scope(0, merchant, number),
        escrow_id: *KEYS.pairs[0].escrow_key.id(),
        at_least: 2,
        publications: PublicationDates::new(&[day(first), day(end + later)]).expect("rising"),
    };
    manifest.sign(&KEYS.platform).unwrap()
}

struct Shop {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    seed: Arc<AtomicU64>,
    desk: Option<ReviewDesk<MemoryStore>>,
}

impl Shop {
    fn new(rows: &MemoryStore) -> Self {
        let (store, seed) = (Arc::new(copy(rows)), Arc::new(AtomicU64::new(0)));
        let clock = Arc::new(ManualClock::new(day(0).saturating_add(1)));
        let mut shop = Self { store, clock, seed, desk: None };
        shop.restart();
        shop
    }

    fn restart(&mut self) {
        self.desk = None;
        let seed = Arc::clone(&self.seed);
        let environment = Environment::new(self.clock.clone(), move || {
            Box::new(Seeded(seed.fetch_add(1 << 32, Ordering::Relaxed)))
        });
        let queue = QueueConfig { capacity: 8, max_batch: 8, workers: 1 };
        // No history is so long that a cohort is pruned.
        let config = DeskConfig { opening_window: OPENING_WINDOW, retry_window: 1_000_000 * DAY, queue };
        let (ring, platform) = (KEYS.ring_of(1), Arc::clone(&KEYS.platform));
        let store = own(&self.store, Role::Reviews);
        let desk = ReviewDesk::open(store, Grid::Daily, config, ring, platform, environment).unwrap();
        let staff =
            StaffKeyEntry::sign(&KEYS.platform, ORIGIN, &STAFF.public(), merchant("staff 3")).unwrap();
        desk.admit_staff(&staff, ORIGIN).unwrap();
        self.desk = Some(desk);
    }

    fn desk(&self) -> &ReviewDesk<MemoryStore> {
        self.desk.as_ref().unwrap()
    }
}

fn act(shop: &Shop, model: &mut Model, who: usize, action: Action) {
    let (signed, new) = (signed(who, &model.stands(who), action), action.words().map(review));
    let new = new.map(|new| new.to_bytes()).unwrap_or_default();
    let answer = shop.desk().act(scope_of(who), &signed, &new);
    model.acted(who, action.words(), signed, answer);
}

fn submission(who: usize, words: usize, other: bool) -> Submission {
    Submission { presentation: presentation(who, words, other).clone(), review: review(words) }
}

fn step(shop: &mut Shop, model: &mut Model, op: &Op) {
    let person = |who: u8| usize::from(who) % AUTHORS;
    let text = |words: u8| usize::from(words) % 3;
    let desk = shop.desk();
    match *op {
        Op::Submit { who, words, other_proof } => {
            let (who, words) = (person(who), text(words));
            let answer = desk.submit(submission(who, words, other_proof)).wait();
            model.answered(who, words, true, answer);
        }
        Op::SubmitBad { who, words, proof } => {
            let (who, words) = (person(who), text(words));
            let mut submission = submission(who, words, false);
            submission.presentation = match proof {
                true => SPOILT[who * 6 + words * 2].clone(),
                false => presentation(who, (words + 1) % 3, false).clone(),
            };
            let answer = desk.submit(submission).wait();
            model.answered(who, words, false, answer);
        }
        Op::SubmitBoth { first, second } => {
            let both = [first, second].map(|(who, words)| (person(who), text(words)));
            let submissions = both.map(|(who, words)| submission(who, words, false)).to_vec();
            let answers = desk.submit_all(submissions);
            for ((who, words), answer) in both.into_iter().zip(answers) {
                model.answered(who, words, true, answer.wait());
            }
        }
        Op::Admit { cohort } => {
            let cohort = usize::from(cohort) % COHORTS.len();
            desk.admit(&manifest(cohort, 0)).unwrap();
            model.admitted[cohort] = true;
        }
        Op::AdmitOther { cohort } => {
            let cohort = usize::from(cohort) % COHORTS.len();
            if model.admitted[cohort] {
                assert_eq!(code(desk.admit(&manifest(cohort, 1))), Err("desk.manifest_conflict"));
            }
        }
        Op::Edit { who, words } => act(shop, model, person(who), Action::Edit(text(words))),
        Op::Withdraw { who } => act(shop, model, person(who), Action::Withdraw),
        Op::Again { who } => model.repeat(desk, person(who)),
        Op::Stale { who, ahead } => {
            let who = person(who);
            let mut state = model.stands(who);
            match ahead % 4 {
                0 => state.digest_in_force[0] ^= 1,
                more => state.last_sequence += u64::from(more),
            }
            let stale = signed(who, &state, Action::Withdraw);
            let answer = code(desk.act(scope_of(who), &stale, &[]));
            let expected = match model.refuses_author(who, true) {
                None | Some("desk.too_many_actions") => "desk.out_of_sequence",
                Some(refused) => refused,
            };
            assert_eq!(answer.map(drop), Err(expected));
        }
        Op::Remove { who } => {
            let who = person(who);
            let listing = desk.published(scope_of(who).merchant(), None, 100).unwrap();
            let shown = listing.iter().find(|shown| shown.review_id == id(who));
            let digest = shown.map_or([0; 32], |shown| shown.review.digest());
            let removed = RemovedEntry::sign(&STAFF, ORIGIN, id(who), digest, "spam").unwrap();
            let answer = desk.remove(scope_of(who), &removed, ORIGIN);
            assert_eq!(code(answer), model.remove(who));
        }
        Op::Tick => model.ticked(desk.tick().unwrap()),
        Op::Hours(hours) => model.now = model.now.saturating_add(u64::from(hours % 48) * 3600),
        Op::Days(days) => model.now = model.now.saturating_add(u64::from(days % 8) * DAY),
        Op::Restart => shop.restart(),
    }
    shop.clock.set(model.now);
}

/// Where half of the histories begin: everything but one review was submitted, one cohort was
/// published, the others are admitted.
static MIDDLE: LazyLock<(Arc<MemoryStore>, Model)> = LazyLock::new(|| {
    let (mut shop, mut model) = (Shop::new(&MemoryStore::new()), Model::new());
    let submit = |who| Op::Submit { who, words: who, other_proof: false };
    let ops = (0..3).map(|cohort| Op::Admit { cohort }).chain((1..AUTHORS as u8).map(submit));
    for op in ops.chain([Op::Days(3), Op::Tick]) {
        step(&mut shop, &mut model, &op);
    }
    (shop.store, model)
});

fuzz_target!(|input: (bool, Vec<Op>)| {
    let (from_the_middle, ops) = input;
    let (mut shop, mut model) = match from_the_middle {
        true => (Shop::new(&MIDDLE.0), MIDDLE.1.clone()),
        false => (Shop::new(&MemoryStore::new()), Model::new()),
    };
    shop.clock.set(model.now);
    for op in ops.iter().take(48) {
        step(&mut shop, &mut model, op);
        model.compare(shop.desk());
    }
});
