//! Any history, a copy of any moment, anything after it: put back, recovered, and replayed by honest and by
//! dishonest devices. What may be is a small model; the public ledger and its audit are the judge.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use unjoin::ledger::{HeldWithdrawalEntry, PublishedEntry};
use unjoin::token::{ActionReceipt, AuthorAction, Review, ReviewId};

const COHORTS: [(&str, u64, u64, u64); 2] = [("a", 1, 3, 9), ("b", 2, 4, 8)];
const EACH: usize = 3;
const AUTHORS: usize = EACH * COHORTS.len();

static SCOPES: LazyLock<Vec<Scope>> =
    LazyLock::new(|| COHORTS.iter().map(|(name, number, ..)| scope(name, *number)).collect());
static PEOPLE: LazyLock<Vec<Author>> =
    LazyLock::new(|| (0..AUTHORS).map(|who| Author::new(&SCOPES[who / EACH])).collect());

/// Three different reviews; an honest device sends the first.
fn words(number: usize) -> Review {
    review([1, 3, 5][number], ["bad", "so so", "great"][number])
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The review that is sent; another than the device's first is a dishonest one's.
    Submit {
        who: usize,
        words: usize,
    },
    Edit {
        who: usize,
        words: usize,
    },
    Withdraw {
        who: usize,
    },
    /// The action that a device signed so long ago, again.
    Replay {
        who: usize,
        at: usize,
    },
    Remove {
        who: usize,
    },
    Tick,
    Pass {
        hours: u64,
    },
    /// The ledger takes in what waits.
    Publish,
}

fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let who = || 0..AUTHORS;
    let event = prop_oneof![
        6 => (who(), 0..3usize).prop_map(|(who, words)| Event::Submit { who, words }),
        4 => (who(), 0..3usize).prop_map(|(who, words)| Event::Edit { who, words }),
        3 => who().prop_map(|who| Event::Withdraw { who }),
        3 => (who(), 0..4usize).prop_map(|(who, at)| Event::Replay { who, at }),
        1 => who().prop_map(|who| Event::Remove { who }),
        4 => Just(Event::Tick),
        5 => (1..40u64).prop_map(|hours| Event::Pass { hours }),
        3 => Just(Event::Publish),
    ];
    prop::collection::vec(event, 0..most)
}

/// What a device keeps.
#[derive(Clone, Default)]
struct Device {
    sent: Vec<Submission>,
    receipts: Vec<Receipt>,
    actions: Vec<(AuthorAction, Option<Review>)>,
    promised: Vec<(ActionReceipt, AuthorAction)>,
    /// A withdrawal was accepted while the review was held.
    took_back: bool,
}

struct Life {
    world: World<MemoryStore>,
    public: Public,
    devices: Vec<Device>,
}

impl Life {
    fn new() -> Self {
        let world = World::in_memory();
        let cohorts: Vec<_> = SCOPES
            .iter()
            .zip(COHORTS)
            .map(|(scope, (_, _, first, end))| (scope.clone(), first, end))
            .collect();
        let public = Public::new(&world.clock, &cohorts);
        for (scope, first, end) in &cohorts {
            world.desk.admit(&manifest(scope, *first, *end)).unwrap();
        }
        let life = Self { world, public, devices: vec![Device::default(); AUTHORS] };
        life.public.publish(&*life.world.store);
        life
    }

    fn submit(&mut self, who: usize, sent: Submission) {
        if let Ok(receipt) = self.world.submit(sent.clone()) {
            self.devices[who].sent.push(sent);
            self.devices[who].receipts.push(receipt);
        }
    }

    fn act(&mut self, who: usize, action: AuthorAction, new: Option<Review>) -> bool {
        let answer = self.world.act(&PEOPLE[who], &action, new.as_ref());
        self.devices[who].actions.push((action.clone(), new));
        let is_accepted = answer.is_ok();
        self.devices[who].promised.extend(answer.map(|receipt| (receipt, action)));
        is_accepted
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Submit { who, words: number } => {
                self.submit(who, PEOPLE[who].submission(&words(number)));
            }
            Event::Edit { who, .. } | Event::Withdraw { who } => {
                let question = PEOPLE[who].question(self.world.clock.now());
                let Ok(state) = self.world.desk.state(PEOPLE[who].scope(), &question) else { return };
                if state.digest_in_force == [0; 32] {
                    return;
                }
                let new = match event {
                    Event::Edit { words: number, .. } => Some(words(number)),
                    _ => None,
                };
                let action = match &new {
                    Some(new) => PEOPLE[who].edit(&state, new),
                    None => PEOPLE[who].withdrawal(&state),
                };
                let is_accepted = self.act(who, action, new);
                self.devices[who].took_back |= is_accepted && state.standing == ReviewStanding::Held;
            }
            Event::Replay { who, at } => {
                if let Some((action, new)) = self.devices[who].actions.get(at).cloned() {
                    self.act(who, action, new);
                }
            }
            Event::Remove { who } => {
                let _ = self.world.remove(PEOPLE[who].scope(), &PEOPLE[who].id(), "spam");
            }
            Event::Tick => assert!(self.world.desk.tick().unwrap().failed.is_empty()),
            Event::Pass { hours } => {
                self.world.clock.set(self.world.clock.now().saturating_add(hours * 3600))
            }
            Event::Publish => self.public.publish(&*self.world.store),
        }
    }

    /// The store that was lost is replaced by the copy.
    fn put_back(self, older: MemoryStore) -> Self {
        let (world, _) = put_back(self.world, older, &self.public);
        Self { world, ..self }
    }

    /// Every device but one sends again, unchanged, what it sent first and what it signed.
    fn send_again(&mut self, silent: usize) {
        for who in (0..AUTHORS).filter(|who| *who != silent) {
            let Device { sent, actions, .. } = self.devices[who].clone();
            if let Some(first) = sent.first() {
                self.submit(who, first.clone());
            }
            for (action, new) in actions {
                self.act(who, action, new);
            }
        }
    }

    /// What everybody can check of this ledger and this listing.
    fn check(&self) {
        self.public.publish(&*self.world.store);
        let history = self.public.history(None);
        let shown = shown(&self.world);
        for finding in audit_reviews(&history, &shown, &keys_public(), DAY) {
            // Words that did not come back are missing, with the recovery's name. Nothing else is found: no
            // second publication, no publication of what was withdrawn, nothing shown that is not in force.
            assert!(matches!(finding, Finding::Lost { .. }), "{finding:?}");
        }
        let of = |entry: &Vec<u8>| match entry[1] {
            PublishedEntry::KIND => Some(PublishedEntry::from_bytes(entry).unwrap().review_id),
            HeldWithdrawalEntry::KIND => {
                Some(HeldWithdrawalEntry::from_bytes(entry).unwrap().action.statement().review_id)
            }
            _ => None,
        };
        let settled: Vec<ReviewId> = history.entries().iter().filter_map(of).collect();
        assert_eq!(BTreeSet::from_iter(&settled).len(), settled.len(), "each token once");
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            let mut counts = [0; 5];
            for shown in self.world.listing(name) {
                counts[usize::from(shown.review.stars()) - 1] += 1;
                assert_eq!(shown.scope, SCOPES[at]);
            }
            // A removal is counted until the next boundary.
            let rated: u64 = self.world.counts(name).iter().sum();
            assert!(rated >= counts.iter().sum());
        }
    }

    /// Promises of the last era are kept; what was promised before is kept or lost.
    fn check_promises(&self, era: u32) {
        let history = self.public.history(None);
        for (who, device) in self.devices.iter().enumerate() {
            for receipt in &device.receipts {
                let verdict = self.public.verdict(&PEOPLE[who], receipt);
                let is_lost = matches!(verdict, ReceiptVerdict::Lost { .. });
                assert!(
                    verdict == ReceiptVerdict::Kept || is_lost && receipt.terms().era < era,
                    "{verdict:?}"
                );
            }
            for (receipt, action) in &device.promised {
                let verdict = action_verdict(&history, receipt, action, &keys_public(), DAY).unwrap();
                let is_lost = matches!(verdict, ReceiptVerdict::Lost { .. });
                assert!(verdict == ReceiptVerdict::Kept || is_lost && receipt.era() < era, "{verdict:?}");
            }
        }
    }
}

impl Event {
    /// Whether it is of this device's doing.
    fn is_of(self, device: usize) -> bool {
        match self {
            Self::Submit { who, .. } | Self::Edit { who, .. } | Self::Withdraw { who } => who == device,
            Self::Replay { who, .. } => who == device,
            Self::Remove { .. } | Self::Tick | Self::Pass { .. } | Self::Publish => false,
        }
    }
}

/// One life: what happens before the copy, between it and the loss, and after. One device sends nothing any
/// more after the loss.
fn live(before: &[Event], gap: &[Event], after: &[Event], (honest, twice): (bool, bool), silent: usize) {
    let mut life = Life::new();
    before.iter().for_each(|event| life.happen(*event));
    let older = copy(&*life.world.store);
    let again = copy(&older);
    gap.iter().for_each(|event| life.happen(*event));
    let took_back = life.devices[silent].took_back;
    life = life.put_back(older);
    life.check();
    let mut era = 2;
    if honest {
        life.send_again(silent);
    }
    if twice {
        life = life.put_back(again);
        era = 3;
        life.check();
    }
    after.iter().filter(|event| !event.is_of(silent)).for_each(|event| life.happen(*event));
    life.send_again(silent);
    life.check();
    // Every boundary passes, one by one.
    let today = life.world.clock.now().saturating_since(day(0)) / DAY;
    for number in today + 1..today + 30 {
        life.world.clock.set(day(number).saturating_add(1));
        life.happen(Event::Tick);
        life.happen(Event::Publish);
    }
    life.check();
    life.check_promises(era);
    let published = |entry: &Vec<u8>| {
        PublishedEntry::from_bytes(entry).is_ok_and(|entry| entry.review_id == PEOPLE[silent].id())
    };
    assert!(!took_back || !life.public.history(None).entries().iter().any(published));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn no_withdrawn_review_comes_back_and_no_token_is_published_twice(
        before in events(30), gap in events(30), after in events(30),
        says: (bool, bool), silent in 0..AUTHORS,
    ) {
        live(&before, &gap, &after, says, silent);
    }
}
