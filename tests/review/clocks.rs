//! A machine's clock that is wrong: nothing that cannot be undone follows from one tick, and there is a way back.

use crate::world::{Author, OPENING_WINDOW_DAYS, World, day, manifest, review, scope, submit_one};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin::token::{ReviewId, Scope};
use unjoin::{CLOCK_LIMIT, DAY, ManualClock, Timestamp};
use unjoin_test_util::{Believed, ClockEvent, Leap, dump, shifted};

const YEAR: u64 = 365 * DAY;

fn world() -> World<MemoryStore> {
    let world = World::by(MemoryStore::new(), ManualClock::doubtful(day(0).saturating_add(1)));
    world.settle();
    world
}

impl World<MemoryStore> {
    /// Two ticks that say the present time: how many reviews were published, and cohorts erased.
    fn settle(&self) -> (usize, usize) {
        let reports = [(); 2].map(|()| self.desk.tick().unwrap());
        assert!(reports.iter().all(|report| report.failed.is_empty()));
        let published = reports.iter().flat_map(|report| &report.batches).map(|batch| batch.reviews.len());
        (published.sum(), reports.iter().map(|report| report.erased_cohorts).sum())
    }

    /// After downtime until then, which somebody confirms.
    fn confirmed_at(&self, now: Timestamp) -> (usize, usize) {
        self.clock.set(now);
        self.refuses("desk.clock_ahead", || self.desk.tick());
        self.desk.confirm_clock(now).unwrap();
        self.settle()
    }

    /// A tick that believes another time.
    fn leaps(&self, to: Timestamp, code: &str) {
        let now = unjoin::Clock::now(&*self.clock);
        self.clock.set(to);
        self.refuses(code, || self.desk.tick());
        self.clock.set(now);
        assert_eq!(self.settle(), (0, 0));
    }
}

/// A world that holds a review in these words, of a cohort whose boundaries are days 2 to 5.
fn holding(words: &str) -> (World<MemoryStore>, Scope) {
    let (world, cohort) = (world(), scope("a", 1));
    world.desk.admit(&manifest(&cohort, 2, 5)).unwrap();
    let _ = submit_one(&world, &cohort, words);
    (world, cohort)
}

#[test]
fn a_clock_that_leaps_a_year_for_one_tick_does_nothing_and_all_goes_on_afterwards() {
    let (world, cohort) = holding("held");
    let leap = || {
        world.leaps(day(365), "desk.clock_ahead");
        world.leaps(day(0).saturating_sub(YEAR), "desk.clock_behind");
    };
    leap();
    // What is sent while the clock is wrong is dated as if it were right.
    world.clock.set(day(365));
    let (_, state) = submit_one(&world, &cohort, "while it is wrong");
    assert_eq!(state.published_at, day(2));
    assert_eq!(world.confirmed_at(day(2)), (2, 0));
    leap();
    let erased_at = day(5 + OPENING_WINDOW_DAYS);
    assert_eq!(world.confirmed_at(erased_at.saturating_sub(1)), (0, 0));
    leap();
    // The escrows are there until the end, and not after it.
    assert_eq!(world.confirmed_at(erased_at.saturating_add(CLOCK_LIMIT)), (0, 1));
    assert_eq!(world.listing("a").len(), 2);
}

#[test]
fn what_one_tick_alone_has_said_is_not_published() {
    let world = holding("held").0;
    assert_eq!(world.confirmed_at(day(2).saturating_sub(CLOCK_LIMIT)), (0, 0));
    // So near that it is believed, but by one tick only.
    world.clock.set(day(2));
    assert!(world.desk.tick().unwrap().batches.is_empty());
    world.clock.set(day(2).saturating_sub(CLOCK_LIMIT));
    assert_eq!(world.settle(), (0, 0));
    world.clock.set(day(2));
    assert_eq!(world.settle(), (1, 0));
}

#[test]
fn there_is_a_way_back_from_a_wrong_time_that_was_confirmed() {
    let world = holding("published a year early").0;
    assert_eq!(world.confirmed_at(day(365)), (1, 1));
    world.clock.set(day(1));
    world.refuses("desk.clock_behind", || world.desk.tick());
    world.desk.confirm_clock(day(1)).unwrap();
    assert_eq!(world.settle(), (0, 0));
    // What is done is done; what comes has its own boundaries again.
    let other = scope("b", 2);
    world.desk.admit(&manifest(&other, 3, 5)).unwrap();
    let (_, state) = submit_one(&world, &other, "in its time");
    assert_eq!(state.published_at, day(3));
    assert_eq!(world.confirmed_at(day(3).saturating_sub(1)), (0, 0));
    world.clock.set(day(3));
    assert_eq!(world.settle(), (1, 0));
}

#[test]
fn an_instance_whose_clock_is_wrong_is_refused_beside_one_that_is_right() {
    let world = holding("held").0;
    let ahead = std::sync::Arc::new(ManualClock::doubtful(day(365)));
    let wrong = crate::world::open(std::sync::Arc::clone(&world.store), std::sync::Arc::clone(&ahead));
    for minutes in 1..30 {
        world.clock.set(day(0).saturating_add(minutes * 60));
        assert!(world.desk.tick().unwrap().batches.is_empty());
        assert_eq!(wrong.tick().unwrap_err().code(), "desk.clock_ahead");
    }
}

#[test]
fn a_row_that_does_not_decode_stops_its_own_cohort_only() {
    let (world, scopes) = (world(), [scope("a", 1), scope("a", 2)]);
    let authors = scopes.each_ref().map(|scope| {
        world.desk.admit(&manifest(scope, 2, 5)).unwrap();
        let author = Author::new(scope);
        let receipt = world.submit(author.submission(&review(1, "before"))).unwrap();
        (author, receipt)
    });
    assert_eq!(world.confirmed_at(day(2)), (2, 0));
    for (author, receipt) in &authors {
        let state = crate::world::submitted(receipt);
        let new = review(5, "after");
        let action = author.edit(&state, &new);
        world.act(author, &action, Some(&new)).unwrap();
    }
    // What waits of the first one's, which shares its merchant and perhaps its boundary with the other's.
    let key = [b"rw", &scopes[0].to_bytes()[..]].concat();
    let bucket = Bucket::of(scopes[0].merchant().as_bytes());
    let found = world.store.scan(bucket, &key, None, usize::MAX).unwrap();
    assert_eq!(found.len(), 1);
    let commits = found.into_iter().map(|row| Commit::new(bucket).put(row.key, vec![9]));
    world.store.commit(&commits.collect::<Vec<_>>()).unwrap();
    world.clock.set(day(21));
    world.desk.confirm_clock(day(21)).unwrap();
    let reports = [(); 2].map(|()| world.desk.tick().unwrap());
    assert_eq!(reports.iter().map(|report| report.edits).sum::<usize>(), 1);
    let failed = reports.iter().flat_map(|report| &report.failed);
    assert!(failed.map(|error| error.code()).all(|code| code == "desk.store_unusable"));
    let stars = |id: ReviewId| {
        let listing = world.listing("a");
        listing.iter().find(|shown| shown.review_id == id).map(|shown| shown.review.stars())
    };
    assert_eq!(authors.each_ref().map(|(author, _)| stars(author.id())), [Some(1), Some(5)]);
}

// --- any sequence --------------------------------------------------------------------------------

/// Name, number, first publication, window's end.
const COHORTS: [(&str, u64, u64, u64); 2] = [("a", 1, 1, 2), ("b", 2, 2, 4)];
const EACH: usize = 3;

static AUTHORS: LazyLock<Vec<Author>> = LazyLock::new(|| {
    let of = |&(name, cohort, ..): &(&'static str, u64, u64, u64)| scope(name, cohort);
    COHORTS.iter().flat_map(|cohort| (0..EACH).map(move |_| Author::new(&of(cohort)))).collect()
});

/// This author submits.
#[derive(Clone, Debug)]
struct Submit(usize);

type Event = ClockEvent<Submit>;

fn event() -> impl Strategy<Value = Event> {
    let limit = CLOCK_LIMIT as i64;
    let skew = prop_oneof![
        4 => Just(0),
        3 => -2 * limit..2 * limit,
        1 => prop_oneof![Just(-(YEAR as i64)), Just(YEAR as i64), Just(30 * DAY as i64), Just(DAY as i64)],
    ];
    prop_oneof![
        3 => (0..=CLOCK_LIMIT).prop_map(Event::Pass),
        2 => (1..20u64).prop_map(|hours| Event::Pass(hours * 3600)),
        4 => skew.prop_map(Event::Skew),
        8 => Just(Event::Tick),
        3 => Just(Event::Confirm),
        3 => (0..EACH * COHORTS.len()).prop_map(|who| Event::Ask(Submit(who))),
    ]
}

/// What the desk should believe and do, from what every tick said.
struct Reference {
    believed: Believed,
    /// The latest time until which everything was done.
    done: Timestamp,
    /// The boundary of each accepted review.
    boundaries: BTreeMap<usize, Timestamp>,
}

impl Reference {
    /// The code of a tick's answer.
    fn tick(&mut self, now: Timestamp) -> &'static str {
        match self.believed.tick(now) {
            Err(Leap::Ahead) => return "desk.clock_ahead",
            Err(Leap::Behind) => return "desk.clock_behind",
            Ok(()) => self.done = self.done.max(self.believed.settled()),
        }
        "done"
    }

    fn confirm(&mut self, now: Timestamp) {
        self.believed.confirm(now);
    }

    fn submit(&mut self, who: usize, now: Timestamp) -> Result<Timestamp, &'static str> {
        if let Some(boundary) = self.boundaries.get(&who) {
            return Ok(*boundary);
        }
        let (_, _, first, end) = COHORTS[who / EACH];
        let latest = self.believed.latest();
        let now = now.clamp(latest, latest.saturating_add(CLOCK_LIMIT)).max(self.done);
        let boundary = [day(first), day(end)].into_iter().find(|boundary| now < *boundary);
        let boundary = boundary.ok_or("desk.window_over")?;
        self.boundaries.insert(who, boundary);
        Ok(boundary)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn any_ticks_with_leaps_do_what_two_of_them_have_said(events in prop::collection::vec(event(), 1..80)) {
        let start = day(0).saturating_add(1);
        let world = World::by(MemoryStore::new(), ManualClock::doubtful(start));
        for (name, number, first, end) in COHORTS {
            world.desk.admit(&manifest(&scope(name, number), first, end)).unwrap();
        }
        let mut reference = Reference {
            believed: Believed::new(Timestamp::ZERO, start),
            done: Timestamp::ZERO,
            boundaries: BTreeMap::new(),
        };
        let (mut right, mut skew, mut erased) = (start, 0, 0);
        assert!(world.desk.tick().unwrap().failed.is_empty());
        for event in events {
            let now = shifted(right, skew);
            world.clock.set(now);
            match event {
                Event::Pass(seconds) => right = right.saturating_add(seconds),
                Event::Skew(seconds) => skew = seconds,
                Event::Tick => {
                    let before = dump(&*world.store);
                    let answer = match world.desk.tick() {
                        Ok(report) => {
                            prop_assert!(report.failed.is_empty());
                            erased += report.erased_cohorts;
                            "done"
                        }
                        Err(error) => {
                            prop_assert!(before == dump(&*world.store), "a refused tick changed the store");
                            error.code()
                        }
                    };
                    prop_assert_eq!(answer, reference.tick(now));
                }
                Event::Confirm => {
                    world.desk.confirm_clock(right).unwrap();
                    reference.confirm(right);
                }
                Event::Ask(Submit(who)) => {
                    let answer = world.submit(AUTHORS[who].submission(&review(3, "same")));
                    let answer = answer.map(|receipt| receipt.terms().publish_by).map_err(|error| error.code());
                    prop_assert_eq!(answer, reference.submit(who, now));
                }
            }
            // Published is what was due by then, and nothing else.
            let mut listed: Vec<ReviewId> =
                ["a", "b"].iter().flat_map(|name| world.listing(name)).map(|shown| shown.review_id).collect();
            let published = reference.boundaries.iter().filter(|(_, boundary)| **boundary <= reference.done);
            let mut expected: Vec<ReviewId> = published.map(|(who, _)| AUTHORS[*who].id()).collect();
            listed.sort_by_key(|id| *id.as_bytes());
            expected.sort_by_key(|id| *id.as_bytes());
            prop_assert_eq!(listed, expected);
            let ended = COHORTS.iter().filter(|(.., end)| day(end + OPENING_WINDOW_DAYS) <= reference.done);
            prop_assert_eq!(erased, ended.count());
        }
    }
}
