//! Eight processes on one database: four platforms, three switchboards and a sequencer, all busy with the
//! same orders at the same time, with clocks that differ.

use crate::ledger_world::{checked_entries, entry, log_key};
use crate::life::tick;
use crate::line::Line;
use crate::record::Record;
use crate::scenario::{Scenario, day};
use crate::server::{PASSWORD, Server, fresh_schema};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::{env, thread};
use unjoin::ledger::{Ledger, Log, waiting_entries};
use unjoin::phone::{Binding, SlotKeyError, SlotKeyWindow, SlotKeys, Switchboard, SwitchboardConfig};
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::postgres::{PostgresConfig, PostgresStore};
use unjoin::store::{Bucket, Store};
use unjoin::{DAY, Environment, ManualClock, Timestamp};
use unjoin_phone::test_util::{courier, keeper, order, parties, pool, pool_config};
use unjoin_test_util::own;
use unjoin_test_util::{Seeded, hex, shuffled};

/// What a child is: its role and number, the server's address and the schemas' beginning, and for a
/// switchboard the slot keys' window.
const CHILD: &str = "UNJOIN_POSTGRES_CHILD";
const TEST: &str = "processes::eight_processes_decide_everything_once";
const PLATFORMS: usize = 4;
const BOARDS: usize = 3;
const ORDERS: u64 = 24;
const BINDINGS: u64 = 60;
const HUBS: u64 = 3;
const SEED: u64 = 11;
const LIFE: u64 = DAY / 2;

fn store(address: &str, prefix: &str, name: &str) -> Arc<PostgresStore> {
    let mut config = PostgresConfig::new(address);
    config.schema = format!("{prefix}_{name}");
    config.connections = 4;
    Arc::new(unjoin_test_util::postgres::store_of(config).unwrap())
}

fn stores(address: &str, prefix: &str) -> [Arc<PostgresStore>; 2] {
    ["orders", "reviews"].map(|name| store(address, prefix, name))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
}

/// Every order asked for; a day later, reviewed in one of two wordings; then the days on which reviews appear. Three
/// others do the same.
fn platform(child: u64, address: &str, prefix: &str) {
    // Alike until every order is eligible by all clocks; then they differ.
    let (scenario, clock) = (Scenario::new(SEED), Arc::new(ManualClock::new(day(0))));
    let platform = scenario.open(&stores(address, prefix), &clock);
    scenario.begin(&platform).unwrap();
    let begin = |today| {
        clock.set(day(today).saturating_add(child * 200));
        say(&Line::Day(today).to_text());
        say(&Line::Ticked(tick(&platform).unwrap()).to_text());
    };
    let mut tokens = Vec::new();
    for number in shuffled(ORDERS, child) {
        say(&Line::Asking(number).to_text());
        let granted = scenario.obtain(&platform, number).unwrap();
        say(&Line::Granted(number, granted.pair).to_text());
        tokens.push((number, granted.token));
    }
    wait();
    begin(1);
    for (number, token) in tokens {
        let wording = ((number + child) % 2) as u8;
        say(&Line::Sending(number, wording).to_text());
        match scenario.send(&platform, number, &token, wording).wait() {
            Ok(receipt) => say(&Line::Accepted(number, wording, receipt).to_text()),
            Err(error) => say(&Line::Refused(number, wording, error.code().into()).to_text()),
        }
    }
    wait();
    (2..6).for_each(begin);
}

/// For all others to come as far.
fn wait() {
    say("waiting");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// The keeper's window, as another process hands it over.
struct Handed(Vec<u8>);

impl SlotKeys for Handed {
    fn window(&self, _: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        SlotKeyWindow::import(&self.0).map(Arc::new)
    }
}

/// Every order bound to the courier that its number says.
fn switchboard(child: u64, address: &str, prefix: &str, window: &str) {
    let bytes: Vec<u8> =
        (0..window.len()).step_by(2).map(|at| u8::from_str_radix(&window[at..at + 2], 16).unwrap()).collect();
    let keys = Arc::new(Handed(bytes));
    let environment = Environment::new(Arc::new(ManualClock::new(day(0))), || Box::new(SystemRng::new()));
    let store = store(address, prefix, "phones");
    let (config, pool) = (
        SwitchboardConfig {
            calls_at_once: usize::MAX,
            calls_per_hour: u32::MAX,
            ..SwitchboardConfig::new(LIFE)
        },
        pool(pool_config(4, 1000, LIFE)),
    );
    let board = Switchboard::open(own(&store, Role::Telephony), config, pool, keys, environment).unwrap();
    for number in shuffled(BINDINGS, child) {
        let hub = number % HUBS;
        let (order, end) = (order("m", &number.to_string()), day(0).saturating_add(LIFE));
        let binding = Binding::courier(order, courier(hub), parties(hub, 1000 + number), end);
        let bound = board.bind(binding).wait().unwrap();
        say(&format!("bound {number} {hub} {}", bound.number.to_e164()));
    }
}

/// Takes up what waits and appends entries, some of which the test's own process appends too.
fn sequencer(address: &str, prefix: &str) {
    let [orders, _] = stores(address, prefix);
    let (openings, reviews) = logs(&store(address, prefix, "ledgers"));
    for round in 0..30u64 {
        openings.sequence(&[&*orders]).unwrap();
        let entries: Vec<Vec<u8>> = (round * 7..round * 7 + 9).map(entry).collect();
        reviews.append(&entries).unwrap();
    }
}

fn logs(store: &Arc<PostgresStore>) -> (Log<PostgresStore>, Log<PostgresStore>) {
    let open = |ledger| {
        Log::open(
            unjoin_test_util::own(store, unjoin::store::identity::Role::Ledgers),
            ledger,
            log_key(),
            None,
        )
        .unwrap()
    };
    (open(Ledger::Openings), open(Ledger::Reviews))
}

fn be_a_child(told: &str) -> ! {
    let words: Vec<&str> = told.split('|').collect();
    let child = words[1].parse().unwrap();
    match words[0] {
        "platform" => platform(child, words[2], words[3]),
        "board" => switchboard(child, words[2], words[3], words[4]),
        _ => sequencer(words[2], words[3]),
    }
    say("done");
    // Nobody reads what the test's frame has to say.
    std::process::exit(0);
}

/// A child that does not outlive the test.
struct Process(Child);

impl Process {
    fn start(role: &str, number: usize, rest: &[&str]) -> Self {
        let told = format!("{role}|{number}|{}", rest.join("|"));
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(CHILD, told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All that a child says until it waits, or is done.
fn listen(said: &mut impl Iterator<Item = String>) -> Vec<String> {
    let mut lines = Vec::new();
    for line in said {
        if line == "waiting" || line == "done" {
            return lines;
        }
        lines.push(line);
    }
    panic!("a child ended by itself: its fault stands above");
}

#[test]
fn eight_processes_decide_everything_once() {
    if let Ok(told) = env::var(CHILD) {
        be_a_child(&told);
    }
    let server = Server::shared();
    let (address, prefix) = (format!("{} dbname=postgres", server.address()), fresh_schema());
    assert!(address.contains(PASSWORD));
    let directory = server.temporary("keys");
    let environment = Environment::new(Arc::new(ManualClock::new(day(0))), || Box::new(SystemRng::new()));
    let keeper = keeper(directory, LIFE, &environment);
    let window = hex(&keeper.window(day(0)).unwrap().export());

    let rest = [address.as_str(), prefix.as_str()];
    let with_window = [address.as_str(), prefix.as_str(), window.as_str()];
    // Made before anybody opens them.
    drop(Scenario::new(SEED).open(&stores(&address, &prefix), &Arc::new(ManualClock::new(day(0)))));
    own(&store(&address, &prefix, "phones"), Role::Telephony);
    own(&store(&address, &prefix, "ledgers"), Role::Ledgers);
    let mut platforms: Vec<Process> = (0..PLATFORMS).map(|n| Process::start("platform", n, &rest)).collect();
    let boards: Vec<Process> = (0..BOARDS).map(|n| Process::start("board", n, &with_window)).collect();
    let sequencers = vec![Process::start("sequencer", 0, &rest)];
    let lines = |mut process: Process| {
        let said = BufReader::new(process.0.stdout.take().unwrap());
        listen(&mut said.lines().map(Result::unwrap))
    };

    // Another sequencer on the same ledger: it is fenced by the head's row alone.
    let (_, reviews_log) = logs(&store(&address, &prefix, "ledgers"));
    let mut record = Record::default();
    let numbers = thread::scope(|threads| {
        let numbers: Vec<_> = boards.into_iter().map(|board| threads.spawn(|| lines(board))).collect();
        let sequenced: Vec<_> = sequencers.into_iter().map(|one| threads.spawn(|| lines(one))).collect();
        let fenced = threads.spawn(|| {
            for round in 0..30u64 {
                let entries: Vec<Vec<u8>> = (round * 5..round * 5 + 11).map(entry).collect();
                reviews_log.append(&entries).unwrap();
            }
        });
        // All orders first, by all platforms; then all reviews; then the days, by all at once.
        let mut going: Vec<(_, ChildStdin)> = platforms
            .iter_mut()
            .map(|process| {
                let said = BufReader::new(process.0.stdout.take().unwrap());
                (said.lines().map(Result::unwrap), process.0.stdin.take().unwrap())
            })
            .collect();
        for part in 0..3 {
            let told: Vec<Vec<String>> = thread::scope(|inner| {
                let heard: Vec<_> =
                    going.iter_mut().map(|(said, _)| inner.spawn(move || listen(said))).collect();
                heard.into_iter().map(|heard| heard.join().unwrap()).collect()
            });
            for line in told.iter().flatten().filter_map(|line| Line::from_text(line)) {
                record.note(line);
            }
            if part < 2 {
                going.iter_mut().for_each(|(_, stdin)| writeln!(stdin).unwrap());
            }
        }
        fenced.join().unwrap();
        sequenced.into_iter().for_each(|one| drop(one.join().unwrap()));
        numbers.into_iter().flat_map(|board| board.join().unwrap()).collect::<Vec<String>>()
    });

    // One pair and one review an order, each published once: told by all, and by what is stored.
    let stores = stores(&address, &prefix);
    record.check_all(&Scenario::new(SEED), &stores, &mut Seeded(1));

    // One number an order, whichever process was asked, and no number twice.
    let mut bound = BTreeMap::<String, BTreeSet<String>>::new();
    for line in numbers.iter().filter(|line| line.starts_with("bound ")) {
        let words: Vec<&str> = line.split(' ').collect();
        bound.entry(format!("{} {}", words[1], words[2])).or_default().insert(words[3].to_owned());
    }
    assert_eq!(bound.len() as u64, BINDINGS);
    let mut per_hub = BTreeMap::<&str, BTreeSet<&String>>::new();
    for (of, own) in &bound {
        assert_eq!(own.len(), 1, "an order has two numbers");
        let (_, hub) = of.split_once(' ').unwrap();
        assert!(per_hub.entry(hub).or_default().insert(own.first().unwrap()), "a number was given twice");
    }

    // The ledger has everything once and no gap, and what waits is taken up.
    let (openings, reviews) = logs(&store(&address, &prefix, "ledgers"));
    let entries = checked_entries(&reviews);
    assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len());
    assert_eq!(
        entries.iter().collect::<BTreeSet<_>>(),
        (0..29 * 7 + 9).map(entry).collect::<Vec<_>>().iter().collect()
    );
    let waiting: usize = Bucket::all()
        .map(|bucket| waiting_entries(&*stores[1], bucket, Ledger::Reviews, usize::MAX).unwrap().len())
        .sum();
    assert!(waiting > 0);
    let [orders, reviews_store] = stores.each_ref().map(|store| &**store as &dyn Store);
    assert_eq!(reviews.sequence(&[reviews_store]).unwrap(), waiting as u64);
    openings.sequence(&[orders]).unwrap();
    assert_eq!(checked_entries(&reviews).len(), entries.len() + waiting);
    assert_eq!(openings.size().unwrap(), ORDERS, "one binding a customer, who has one order");
}
