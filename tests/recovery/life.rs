//! What happens in a platform's life, and what everybody can check of it.

use crate::devices::Customer;
use crate::world::{Disks, Shop, merchant, tick};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use unjoin::audit::{CountedElsewhere, Finding, PublishedSet, audit_manifests, audit_reviews, recoveries};
use unjoin::ledger::{HeldWithdrawalEntry, PublishedEntry, RecoveredEntry};
use unjoin::store::identity::Role;
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Grid, Platform};
use unjoin_test_util::Faulty;

pub(crate) const PEOPLE: [&str; 4] = ["ann", "ben", "cat", "dan"];
pub(crate) const BOTH: [Role; 2] = [Role::Orders, Role::Reviews];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Report {
        who: usize,
    },
    Dead {
        who: usize,
    },
    Ask {
        who: usize,
        wallet: usize,
        earlier: usize,
    },
    /// Another review than the device's first is a dishonest one's.
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
    Tick,
    Pass {
        hours: u64,
    },
}

impl Event {
    pub(crate) fn who(self) -> Option<usize> {
        match self {
            Self::Report { who } | Self::Dead { who } | Self::Ask { who, .. } => Some(who),
            Self::Submit { who, .. } | Self::Edit { who, .. } | Self::Withdraw { who } => Some(who),
            Self::Tick | Self::Pass { .. } => None,
        }
    }
}

pub(crate) fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let who = || 0..PEOPLE.len();
    let event = prop_oneof![
        1 => who().prop_map(|who| Event::Report { who }),
        1 => who().prop_map(|who| Event::Dead { who }),
        3 => (who(), 0..2usize, 0..2usize).prop_map(|(who, wallet, earlier)| Event::Ask { who, wallet, earlier }),
        5 => (who(), 0..3usize).prop_map(|(who, words)| Event::Submit { who, words }),
        2 => (who(), 0..3usize).prop_map(|(who, words)| Event::Edit { who, words }),
        3 => who().prop_map(|who| Event::Withdraw { who }),
        4 => Just(Event::Tick),
        4 => (1..60u64).prop_map(|hours| Event::Pass { hours }),
    ];
    prop::collection::vec(event, 0..most)
}

pub(crate) struct Life {
    pub(crate) shop: Shop,
    pub(crate) platform: Option<Platform<Faulty>>,
    pub(crate) people: Vec<Customer>,
}

impl Life {
    /// Everybody has an order that is due; so many have a token, and their cohort is sealed.
    pub(crate) fn new(granted: usize) -> Self {
        let shop = Shop::new();
        let platform = shop.open().unwrap();
        let mut people: Vec<Customer> = PEOPLE.map(Customer::new).into();
        for person in &mut people {
            person.report(&shop, &platform);
        }
        for person in people.iter_mut().take(granted) {
            person.numbers_dead(&platform);
            person.ask(&shop, &platform, 0, 0);
            assert_eq!(person.tokens(), 1);
        }
        let mut life = Self { shop, platform: Some(platform), people };
        for _ in 0..3 {
            life.pass(24);
            life.happen(Event::Tick);
        }
        assert_eq!(life.platform().manifests(&merchant(), None, 10).unwrap().len(), 1);
        life
    }

    pub(crate) fn platform(&self) -> &Platform<Faulty> {
        self.platform.as_ref().unwrap()
    }

    pub(crate) fn pass(&self, hours: u64) {
        self.shop.clock.set(self.shop.clock.now().saturating_add(hours * 3600));
    }

    pub(crate) fn happen(&mut self, event: Event) {
        let (shop, platform) = (&self.shop, self.platform.as_ref().unwrap());
        let mut whose = event.who().map(|who| &mut self.people[who]);
        match (event, whose.as_mut()) {
            (Event::Report { .. }, Some(person)) => person.report(shop, platform),
            (Event::Dead { .. }, Some(person)) => person.numbers_dead(platform),
            (Event::Ask { wallet, earlier, .. }, Some(person)) => person.ask(shop, platform, wallet, earlier),
            (Event::Submit { words, .. }, Some(person)) => person.submit(platform, words),
            (Event::Edit { words, .. }, Some(person)) => person.act(shop, platform, Some(words)),
            (Event::Withdraw { .. }, Some(person)) => person.act(shop, platform, None),
            (Event::Pass { hours }, _) => self.pass(hours),
            _ => tick(platform),
        }
    }

    /// A backup, with marks before and after.
    pub(crate) fn back_up(&self) -> Disks {
        self.platform().advance_marks().unwrap();
        let copies = self.shop.disks.copy();
        self.platform().advance_marks().unwrap();
        copies
    }

    /// The service ends, stores are put back; nothing serves them, and a recovery does.
    pub(crate) fn put_back(&mut self, older: &Disks, roles: &[Role]) -> unjoin::PlatformRecovery {
        self.platform = None;
        self.shop.put_back(older, roles);
        assert_eq!(self.shop.open().map(drop).unwrap_err(), "store.older");
        let report = self.shop.recover().unwrap();
        assert_eq!(report.orders.is_some(), roles.contains(&Role::Orders));
        assert_eq!(report.reviews.is_some(), roles.contains(&Role::Reviews));
        self.platform = Some(self.shop.open().unwrap());
        tick(self.platform());
        report
    }

    /// What everybody can check.
    pub(crate) fn check(&self) {
        tick(self.platform());
        let (history, key) = (self.shop.history(self.platform()), *self.platform().public_key());
        for person in &self.people {
            assert!(person.tokens() <= 1, "an order has {} tokens", person.tokens());
        }
        let listed = self.platform().published(&merchant(), None, 100).unwrap();
        let shown: PublishedSet =
            listed.iter().map(|one| (one.review_id, (merchant(), one.review.digest()))).collect();
        for finding in audit_reviews(&history, &shown, &key, DAY) {
            assert!(matches!(finding, Finding::Lost { .. }), "{finding:?}");
        }
        let settled: Vec<ReviewId> = history.entries().iter().filter_map(|entry| settles(entry)).collect();
        assert_eq!(BTreeSet::from_iter(&settled).len(), settled.len(), "each token once");
        let counted = CountedElsewhere {
            grid: Grid::Daily,
            classes: 16,
            orders: BTreeMap::new(),
            grants: BTreeMap::new(),
        };
        let found = audit_manifests(&history, &counted).findings;
        assert!(found.is_empty(), "{found:?}");
        let entries = history.entries().iter().filter(|entry| entry[1] == RecoveredEntry::KIND).count();
        assert_eq!(recoveries(&history, &key).len(), entries, "each recovery counts");
    }

    /// Every boundary passes, one by one.
    pub(crate) fn end(&mut self, era: u32) {
        for _ in 0..70 {
            self.pass(24);
            tick(self.platform());
        }
        self.check();
        for person in &self.people {
            person.check_promises(&self.shop, self.platform(), era);
        }
    }
}

pub(crate) fn settles(entry: &[u8]) -> Option<ReviewId> {
    match entry[1] {
        PublishedEntry::KIND => Some(PublishedEntry::from_bytes(entry).unwrap().review_id),
        HeldWithdrawalEntry::KIND => {
            Some(HeldWithdrawalEntry::from_bytes(entry).unwrap().action.statement().review_id)
        }
        _ => None,
    }
}

pub(crate) fn roles(chosen: usize) -> Vec<Role> {
    BOTH.into_iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, role)| role).collect()
}

/// One of everything that a recovery has to do with: published, edited, withdrawn held and later, granted and open.
pub(crate) fn lived() -> (Life, Disks) {
    let mut life = Life::new(3);
    let submit = |who| Event::Submit { who, words: 0 };
    for event in [submit(0), submit(1), Event::Pass { hours: 50 }, Event::Tick] {
        life.happen(event);
    }
    life.happen(Event::Edit { who: 0, words: 1 });
    let older = life.back_up();
    life.happen(submit(2));
    life.happen(Event::Withdraw { who: 2 });
    life.happen(Event::Withdraw { who: 1 });
    life.happen(Event::Dead { who: 3 });
    life.happen(Event::Ask { who: 3, wallet: 0, earlier: 0 });
    assert_eq!(life.people[3].tokens(), 1);
    life.happen(Event::Pass { hours: 80 });
    life.happen(Event::Tick);
    (life, older)
}
