//! Instances whose clocks differ by hours and days, on one database: past boundaries, past whole windows, and back.
//! Each has connections of its own; they share nothing but the rows. The clocks are simulated, so that the services'
//! guard holds none of them: it is the rows alone that decide.

use crate::ledger_world::{checked_entries, entry, log_key, name};
use crate::life::NO_MANIFEST;
use crate::line::Line;
use crate::record::Record;
use crate::scenario::{Scenario, day, merchants};
use crate::server::{Server, fresh_schema};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use unjoin::ledger::{
    Ledger, Log, LogView, PolicyError, PublishedEntry, Witness, WitnessPolicy, WitnessService,
    waiting_entries,
};
use unjoin::phone::{
    Binding, Keeper, PoolConfig, SlotKeyError, SlotKeyWindow, SlotKeys, Switchboard, SwitchboardConfig,
};
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::postgres::PostgresStore;
use unjoin::store::{Bucket, Store};
use unjoin::token::{CohortManifest, ReviewId, Scope};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, ManualClock, Name, Platform, PlatformError, Timestamp};
use unjoin_phone::test_util::{courier, keeper, order, parties, pool, pool_config};
use unjoin_test_util::{Seeded, shifted};

const HOUR: i64 = 3600;
const SEED: u64 = 31;
const ORDERS: u64 = 30;
/// So many steps of seven hours: boundaries are met from all sides.
const STEPS: u64 = 30;
const STEP: u64 = 7 * HOUR as u64;

/// By how much each instance's clock is wrong at a step: hours either way; past a boundary; past the windows and the
/// openings' end; and one that jumps, forth and back.
fn skews(step: u64) -> [i64; 6] {
    let jumping = if step.is_multiple_of(2) { 50 * HOUR } else { -40 * HOUR };
    [-2 * HOUR, 0, 2 * HOUR, 26 * HOUR, 8 * DAY as i64, jumping]
}

fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(Arc::clone(clock) as Arc<dyn Clock>, || Box::new(SystemRng::new()))
}

fn store(server: &Server, schema: &str) -> Arc<PostgresStore> {
    let mut config = server.config(schema);
    config.connections = 3;
    Arc::new(unjoin_test_util::postgres::store_of(config).unwrap())
}

/// An order whose token is kept back until its window is over by every clock.
const KEPT: u64 = ORDERS + STEPS;

/// The codes that a clock may be answered with.
const MAY_BE_TOLD: [&str; 6] = [
    "issuer.not_due",
    "issuer.not_eligible",
    "issuer.window_over",
    NO_MANIFEST,
    "desk.spent",
    "desk.window_over",
];

/// What came of a call: an answer, or the code of an error that a clock may be answered with.
fn told<T>(result: Result<T, impl Into<PlatformError>>) -> Result<T, &'static str> {
    result.map_err(Into::into).map_err(|error| {
        assert!(MAY_BE_TOLD.contains(&error.code()), "{}: {error}", error.code());
        error.code()
    })
}

/// What was said at a step, by all instances.
#[derive(Default)]
struct Said {
    lines: Vec<Line>,
    /// Of each batch that a tick told of: cohort, boundary, how many reviews.
    batches: Vec<(Scope, Timestamp, usize)>,
    refused: BTreeSet<&'static str>,
}

struct Instance {
    number: usize,
    clock: Arc<ManualClock>,
    platform: Platform<Arc<PostgresStore>>,
}

impl Instance {
    /// The step's own order and some earlier ones, which others are asked for at the same time; then a tick.
    fn work(&self, scenario: &Scenario, step: u64, said: &Mutex<Said>) {
        let note = |line| said.lock().unwrap_or_else(PoisonError::into_inner).lines.push(line);
        let refused = |code| said.lock().unwrap_or_else(PoisonError::into_inner).refused.insert(code);
        let mut draw = Seeded(step << 8 | self.number as u64);
        if self.clock.now() < day(0) {
            // An order that nobody else reports.
            refused(told(scenario.obtain(&self.platform, ORDERS + step)).map(|_| ()).unwrap_err());
        }
        let earlier = (0..2).map(|_| draw.below(ORDERS.min(step + 1))).collect::<Vec<_>>();
        for number in [step % ORDERS].into_iter().chain(earlier) {
            note(Line::Asking(number));
            let granted = match told(scenario.obtain(&self.platform, number)) {
                Ok(granted) => granted,
                Err(code) => {
                    refused(code);
                    continue;
                }
            };
            note(Line::Granted(number, granted.pair));
            // Some are sent when four days have passed.
            if number % 5 == 4 && step < number + 14 {
                continue;
            }
            let wording = draw.below(2) as u8;
            let sent = scenario.send(&self.platform, number, &granted.token, wording);
            let answer = match told(sent.wait()) {
                Ok(receipt) => Line::Accepted(number, wording, receipt),
                Err(code) => {
                    refused(code);
                    // Nothing was taken in: it is sent again when the order comes up again.
                    if code == NO_MANIFEST {
                        continue;
                    }
                    Line::Refused(number, wording, code.to_owned())
                }
            };
            note(Line::Sending(number, wording));
            note(answer);
        }
        let report = self.platform.tick().unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in report.batches {
            let ids: Vec<ReviewId> = batch.reviews.iter().map(|review| review.review_id).collect();
            said.batches.push((batch.scope, batch.boundary, ids.len()));
            said.lines.push(Line::Ticked(ids));
        }
    }
}

/// In an order in which a record can take them: an early receipt may have overtaken a later one on its way here.
fn rank(line: &Line) -> (u8, u64) {
    match line {
        Line::Asking(_) => (0, 0),
        Line::Granted(..) => (1, 0),
        Line::Sending(..) => (2, 0),
        Line::Refused(..) => (3, 0),
        Line::Accepted(_, _, receipt) => (4, receipt.terms().publish_by.as_unix_seconds()),
        Line::Day(_) => (5, 0),
        Line::Ticked(_) => (6, 0),
    }
}

/// The issuer's rows of one kind, keys without it.
fn cohorts(orders: &PostgresStore, kind: &[u8; 2]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let of = |merchant: Name| Bucket::of(&[b"im", merchant.as_bytes()].concat());
    let buckets = merchants().map(of).collect::<BTreeSet<_>>();
    let rows = buckets.into_iter().flat_map(|bucket| orders.scan(bucket, kind, None, usize::MAX).unwrap());
    rows.map(|row| (row.key[2..].to_vec(), row.value)).collect()
}

/// What must hold of the cohorts after every step.
#[derive(Default)]
struct Cohorts {
    manifests: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many members each sealed cohort had when it was first seen sealed.
    sealed: BTreeMap<Vec<u8>, usize>,
}

impl Cohorts {
    /// Nothing that was sealed takes a member or opens again, and it is logged once.
    fn check(&mut self, orders: &PostgresStore) {
        let (open, sealed) = (cohorts(orders, b"ic"), cohorts(orders, b"im"));
        let members = cohorts(orders, b"ib");
        for (cohort, manifest) in &self.manifests {
            assert_eq!(sealed.get(cohort), Some(manifest), "a manifest changed, or is gone");
        }
        for cohort in sealed.keys() {
            let number = &cohort[cohort.len() - 8..];
            let is_open = open.values().any(|row| row.windows(8).any(|part| part == number));
            assert!(!is_open, "a cohort opened again");
            let count = members.keys().filter(|member| member.starts_with(cohort)).count();
            // None is left once its last boundary is over.
            let as_sealed = *self.sealed.entry(cohort.clone()).or_insert(count) == count || count == 0;
            assert!(as_sealed, "a sealed cohort got a member");
        }
        let buckets = Bucket::all();
        let entries =
            buckets.flat_map(|at| waiting_entries(orders, at, Ledger::Reviews, usize::MAX).unwrap());
        // Beside manifests the marks of the stores wait here.
        let logged: Vec<(Name, u64)> = entries
            .filter(|entry| entry.get(1) == Some(&CohortManifest::KIND))
            .map(|entry| CohortManifest::from_bytes(&entry).unwrap().scope)
            .map(|scope| (scope.merchant().clone(), scope.cohort()))
            .collect();
        let different = logged.iter().collect::<BTreeSet<_>>().len();
        assert_eq!((different, logged.len()), (sealed.len(), sealed.len()), "a cohort was sealed twice");
        self.manifests = sealed;
    }
}

#[test]
fn clocks_that_differ_by_hours_and_days_decide_everything_once() {
    let (server, prefix) = (Server::shared(), fresh_schema());
    let scenario = Scenario::new(SEED);
    let open = || ["orders", "reviews"].map(|name| store(&server, &format!("{prefix}_{name}")));
    let instances: Vec<Instance> = (0..skews(0).len())
        .map(|number| {
            let clock = Arc::new(ManualClock::new(day(0)));
            Instance { number, platform: scenario.open(&open(), &clock), clock }
        })
        .collect();
    scenario.begin(&instances[1].platform).unwrap();
    let stores = open();
    let (mut lines, mut batches, mut refused) = (Vec::new(), HashMap::new(), BTreeSet::new());
    let (mut held, mut latest) = (Cohorts::default(), day(0));
    instances[1].clock.set(day(1));
    let kept = scenario.obtain(&instances[1].platform, KEPT).unwrap();
    lines.extend([Line::Asking(KEPT), Line::Granted(KEPT, kept.pair)]);
    // No tick has come yet: no cohort is sealed by any clock.
    for instance in &instances {
        let sent = scenario.send(&instance.platform, KEPT, &kept.token, 0);
        refused.insert(told(sent.wait()).unwrap_err());
    }
    for step in 0..STEPS {
        let now = day(1).saturating_add(step * STEP);
        for (instance, skew) in instances.iter().zip(skews(step)) {
            instance.clock.set(shifted(now, skew));
            latest = latest.max(shifted(now, skew));
        }
        let said = Mutex::<Said>::default();
        thread::scope(|threads| {
            for instance in &instances {
                threads.spawn(|| instance.work(&scenario, step, &said));
            }
        });
        let said = said.into_inner().unwrap();
        for (scope, boundary, count) in said.batches.into_iter().filter(|(_, _, count)| *count > 0) {
            let key = (scope.merchant().clone(), scope.cohort(), boundary.as_unix_seconds());
            assert_eq!(batches.insert(key, count), None, "a boundary of a cohort was published twice");
        }
        lines.extend(said.lines);
        refused.extend(said.refused);
        held.check(&stores[0]);
    }
    // The last boundary of every cohort that is sealed by now is over, by every clock.
    let over = day(1).saturating_add(STEPS * STEP + 80 * DAY);
    for (instance, skew) in instances.iter().zip(skews(STEPS)) {
        instance.clock.set(shifted(over, skew));
        latest = latest.max(shifted(over, skew));
        lines.push(Line::Sending(KEPT, 0));
        let sent = scenario.send(&instance.platform, KEPT, &kept.token, 0);
        let code = told(sent.wait()).unwrap_err();
        assert_eq!(code, "desk.window_over", "instance {}", instance.number);
        lines.push(Line::Refused(KEPT, 0, code.to_owned()));
        refused.insert(code);
    }
    // Whose wording came first is the threads' affair; the other one is refused by every clock.
    let accepted = lines.iter().find_map(|line| match line {
        Line::Accepted(number, wording, _) => Some((*number, 1 - wording)),
        _ => None,
    });
    let (number, wording) = accepted.unwrap();
    // By some clock the window is over, and the issuer has forgotten what it granted.
    let granted = lines.iter().find_map(|line| match line {
        Line::Granted(of, pair) if *of == number => Some(pair),
        _ => None,
    });
    instances[1].platform.issuer().tick().unwrap();
    refused.insert(told(scenario.obtain(&instances[1].platform, number)).map(drop).unwrap_err());
    let token = scenario.token_of(&instances[1].platform, number, granted.unwrap()).unwrap();
    for instance in &instances {
        lines.push(Line::Sending(number, wording));
        let sent = scenario.send(&instance.platform, number, &token, wording);
        let code = told(sent.wait()).unwrap_err();
        lines.push(Line::Refused(number, wording, code.to_owned()));
        refused.insert(code);
    }
    // The skews are felt: each refusal that they can cause was met, and the rest went on.
    assert_eq!(refused, BTreeSet::from(MAY_BE_TOLD));
    assert!(held.manifests.len() > 2 && batches.len() > 2, "{} cohorts", held.manifests.len());

    // One pair and one review an order, each published once at the boundary that its receipt names.
    lines.push(Line::Day((latest.as_unix_seconds() - day(0).as_unix_seconds()) / DAY));
    lines.sort_by_key(rank);
    let mut record = Record::default();
    lines.into_iter().for_each(|line| record.note(line));
    record.check_all(&scenario, &stores, &mut Seeded(1));
    held.check(&stores[0]);

    // The ledger takes it all up, without a gap; and nothing in it is dated after the last clock's boundary.
    let log = Log::open(
        unjoin_test_util::own(
            &store(&server, &format!("{prefix}_ledgers")),
            unjoin::store::identity::Role::Ledgers,
        ),
        Ledger::Reviews,
        log_key(),
        None,
    )
    .unwrap();
    let sources = stores.each_ref().map(|store| &**store as &dyn Store);
    let taken_up = log.sequence(&sources).unwrap();
    assert_eq!(log.sequence(&sources).unwrap(), 0);
    let entries = checked_entries(&log);
    assert_eq!(entries.len() as u64, taken_up);
    let mut published = entries.iter().filter_map(|entry| PublishedEntry::from_bytes(entry).ok());
    assert!(published.all(|entry| entry.boundary <= latest));
}

// --- numbers ----------------------------------------------------------------------------------

/// Its slots of five hours end at other times than the epochs.
const LIFE: u64 = 15 * 3600;
const SLICES: u64 = 5;
const HUBS: u64 = 2;

/// A process that asks the keeper for a window now and then, and uses the last one between.
struct Remote {
    keeper: Arc<Keeper>,
    /// The keeper's clock.
    time: Arc<ManualClock>,
    /// How old a window may be, in seconds.
    age: u64,
    last: Mutex<Option<(Timestamp, Vec<u8>)>>,
}

impl SlotKeys for Remote {
    fn window(&self, _own_clock: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        let (mut last, now) = (self.last.lock().unwrap(), self.time.now());
        if last.as_ref().is_none_or(|(received, _)| now.saturating_since(*received) > self.age) {
            *last = Some((now, self.keeper.window(now)?.export().to_vec()));
        }
        let (_, bytes) = last.as_ref().ok_or(SlotKeyError::Unreachable)?;
        SlotKeyWindow::import(bytes).map(Arc::new)
    }
}

/// Around midnight, when an epoch ends, and for as many epochs as the quarantine has: some processes have the old epoch's
/// window still.
#[test]
fn switchboards_whose_clocks_differ_give_no_number_twice() {
    let (server, schema) = (Server::shared(), fresh_schema());
    let time = Arc::new(ManualClock::new(day(10).saturating_sub(40)));
    let directory = server.temporary(&format!("keys-{schema}"));
    let keeper = keeper(directory, LIFE, &environment(&time));
    let pool = pool(PoolConfig { quarantine: 2 * DAY, ..pool_config(SLICES, 1000, LIFE) });
    let boards: Vec<_> = [(-2 * HOUR, 50), (0, 0), (2 * HOUR, 25), (30 * HOUR, 0)]
        .into_iter()
        .map(|(skew, age)| {
            let own = Arc::new(ManualClock::new(shifted(time.now(), skew)));
            let (keeper, time, last) = (Arc::clone(&keeper), Arc::clone(&time), Mutex::new(None));
            let keys = Arc::new(Remote { keeper, time, age, last });
            let config = SwitchboardConfig {
                calls_at_once: usize::MAX,
                calls_per_hour: u32::MAX,
                ..SwitchboardConfig::new(LIFE)
            };
            let store = store(&server, &schema);
            Switchboard::open(
                unjoin_test_util::own(&store, Role::Telephony),
                config,
                pool.clone(),
                keys,
                environment(&own),
            )
            .unwrap()
        })
        .collect();
    let mut given = BTreeMap::<(u64, String), u64>::new();
    let mut next = 0;
    for midnight in 0..SLICES - 1 {
        for step in 0..8u64 {
            time.set(day(10 + midnight).saturating_add(step * 12).saturating_sub(40));
            let orders: Vec<u64> = (next..next + 6).collect();
            next += 6;
            let end = time.now().saturating_add(LIFE / 2);
            let bind = |board: &Switchboard<PostgresStore>, number: u64| {
                let (order, hub) = (order("m", &number.to_string()), number % HUBS);
                let binding = Binding::courier(order, courier(hub), parties(hub, 1000 + number), end);
                board.bind(binding).wait().unwrap().number.to_e164()
            };
            // All bind the same orders at the same time.
            let (bind, orders) = (&bind, &orders);
            let numbers: Vec<Vec<String>> = thread::scope(|threads| {
                let asked: Vec<_> = boards
                    .iter()
                    .map(|board| {
                        threads.spawn(move || orders.iter().map(|order| bind(board, *order)).collect())
                    })
                    .collect();
                asked.into_iter().map(|asked| asked.join().unwrap()).collect()
            });
            for of_board in &numbers {
                assert_eq!(of_board, &numbers[0], "an order has two numbers");
            }
            for (order, number) in orders.iter().zip(&numbers[0]) {
                let before = given.insert((order % HUBS, number.clone()), *order);
                assert_eq!(before, None, "a business was given a number again within the quarantine");
            }
        }
        boards.iter().for_each(|board| drop(board.tick().unwrap()));
        // The keeper is called while the day goes by.
        for hours in 1..24 {
            let now = day(10 + midnight).saturating_add(hours * HOUR as u64);
            time.set(now);
            keeper.rotate(now).unwrap();
        }
    }
    assert_eq!(given.len() as u64, next);
}

// --- the ledger -------------------------------------------------------------------------------

/// Witnesses' clocks: two that are right, one hours ahead, one hours behind, one that goes back and forth.
#[test]
fn sequencers_and_witnesses_whose_clocks_differ_publish_one_history_of_honest_time() {
    const ROUNDS: u64 = 12;
    let (server, prefix) = (Server::shared(), fresh_schema());
    let clocks: Vec<Arc<ManualClock>> = (0..5).map(|_| Arc::new(ManualClock::new(day(0)))).collect();
    let witnesses: Vec<Arc<dyn Witness>> = clocks
        .iter()
        .enumerate()
        .map(|(number, clock)| {
            let name = name(&format!("witness.example/{number}"));
            let store = store(&server, &format!("{prefix}_w{number}"));
            let logs = vec![log_key().public().clone()];
            let witness = WitnessService::create(store, name, logs, environment(clock)).unwrap();
            Arc::new(witness) as Arc<dyn Witness>
        })
        .collect();
    let keys = witnesses.iter().map(|witness| witness.public_key().clone()).collect();
    // Two clocks are wrong where the policy allows for one faulty witness: time still holds, freshness does not.
    let policy = WitnessPolicy::new(log_key().public().clone(), keys, 4, 1, 300).unwrap();
    let open = || {
        let store = store(&server, &format!("{prefix}_ledgers"));
        Log::open(
            unjoin_test_util::own(&store, unjoin::store::identity::Role::Ledgers),
            Ledger::Reviews,
            log_key(),
            Some(policy.clone()),
        )
        .unwrap()
    };
    let sequencers = [open(), open(), open()];
    let (mut size, mut time, mut stale) = (0, Timestamp::ZERO, 0);
    for round in 0..ROUNDS {
        let now = day(5).saturating_add(round * 600);
        let jumping = if round.is_multiple_of(2) { 3 * HOUR } else { -3 * HOUR };
        for (clock, skew) in clocks.iter().zip([0, 20, -20, 2 * HOUR, jumping]) {
            clock.set(shifted(now, skew));
        }
        thread::scope(|threads| {
            for (number, log) in sequencers.iter().enumerate() {
                let witnesses = &witnesses;
                threads.spawn(move || {
                    let entries: Vec<Vec<u8>> =
                        (0..7).map(|at| entry(round * 10 + number as u64 + at)).collect();
                    log.append(&entries).unwrap();
                    // Whoever is overtaken is told so by the witnesses, and is published with the others.
                    let _ = log.publish(witnesses).unwrap();
                });
            }
        });
        assert!(sequencers[0].publish(&witnesses).unwrap().published);
        let note = sequencers[1].checkpoint().unwrap().unwrap();
        let (checkpoint, quorum) = policy.read(&note).unwrap();
        assert!(checkpoint.size() >= size, "what is published went back");
        assert!(quorum.median_time >= time, "the quorum's time went back");
        assert!(
            quorum.median_time.saturating_since(now) <= 20 && now.saturating_since(quorum.median_time) <= 20
        );
        (size, time) = (checkpoint.size(), quorum.median_time);
        match policy.read_fresh(&note, now) {
            // Only three witnesses stand within five minutes of a reader whose clock is right.
            Err(PolicyError::Stale) => stale += 1,
            fresh => drop(fresh.unwrap()),
        }
    }
    assert_eq!(stale, ROUNDS, "a quorum of four needs four clocks that are right");
    let entries = checked_entries(&sequencers[2]);
    let expected: BTreeSet<Vec<u8>> =
        (0..ROUNDS).flat_map(|round| (0..9).map(move |at| entry(round * 10 + at))).collect();
    assert_eq!(entries.len(), expected.len(), "an entry twice, or a gap");
    assert_eq!(entries.into_iter().collect::<BTreeSet<_>>(), expected);
}
