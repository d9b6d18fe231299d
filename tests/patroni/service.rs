//! A service process: issuer, desk, switchboard and ledger, each asked again until it answers.

use crate::ledger_world::{entry, log_key};
use crate::life::tick;
use crate::line::Line;
use crate::scenario::{Scenario, day};
use std::fmt::Display;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};
use unjoin::ledger::{Ledger, Log};
use unjoin::phone::{
    Binding, Keeper, LocalKey, NumberRange, OrderRef, Parties, PhoneNumber, Pool, PoolConfig, PoolRange,
    SlotConfig, Switchboard, SwitchboardConfig, VirtualNumber,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::postgres::{PostgresConfig, PostgresStore};
use unjoin::{DAY, Environment, ManualClock, Name};
use unjoin_test_util::{Directory, own};

pub(crate) const CHILD: &str = "UNJOIN_PATRONI_CHILD";
pub(crate) const TEST: &str = "acknowledged_is_never_lost_and_nothing_is_decided_twice";
pub(crate) const SEED: u64 = 31;
/// Orders that have a token before the first fault, to be reviewed during them.
const BEFORE: u64 = 120;
const LIFE: u64 = DAY / 2;
/// Between two rounds of decisions: what the figures can tell apart, and no more load than that.
pub(crate) const PACE: Duration = Duration::from_millis(100);

pub(crate) fn store(address: &str, name: &str, new: bool) -> Arc<PostgresStore> {
    let mut config = PostgresConfig::new(address);
    name.clone_into(&mut config.schema);
    config.connections = 4;
    let store = if new { PostgresStore::create(config) } else { PostgresStore::open(config) };
    Arc::new(store.unwrap())
}

pub(crate) fn stores(address: &str, new: bool) -> [Arc<PostgresStore>; 2] {
    ["orders", "reviews"].map(|name| store(address, name, new))
}

pub(crate) fn phones(address: &str, new: bool) -> Arc<PostgresStore> {
    store(address, "phones", new)
}

pub(crate) fn ledger(address: &str, new: bool) -> Log<PostgresStore> {
    Log::open(own(&store(address, "ledgers", new), Role::Ledgers), Ledger::Openings, log_key(), None).unwrap()
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
}

/// The same again until it is answered; what fails on the way must say that this is right.
fn insist<T, E: Display>(
    fault: impl Fn(&E) -> (bool, &'static str),
    mut ask: impl FnMut() -> Result<T, E>,
) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => {
                say(&format!("took {}", began.elapsed().as_micros()));
                return answer;
            }
            Err(error) => {
                let (retryable, code) = fault(&error);
                assert!(retryable, "{error}");
                say(&format!("failed {code}"));
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

pub(crate) fn be_a_child(address: &str) -> ! {
    static STOP: AtomicBool = AtomicBool::new(false);
    let first = env::var("UNJOIN_PATRONI_FIRST").is_ok();
    let (scenario, clock) = (Scenario::new(SEED), Arc::new(ManualClock::new(day(0))));
    let platform = scenario.open(&stores(address, false), &clock);
    let log = ledger(address, false);
    let directory = Directory::new();
    let environment = Environment::new(Arc::new(ManualClock::new(day(0))), || Box::new(SystemRng::new()));
    let slots = SlotConfig::new(LIFE, 4, 30).unwrap();
    let key = LocalKey::new(SecretBytes::new([9; 32]));
    let keeper = Arc::new(Keeper::create_or_open(directory.file("keys"), key, slots, &environment).unwrap());
    let config = SwitchboardConfig {
        calls_at_once: usize::MAX,
        calls_per_hour: u32::MAX,
        ..SwitchboardConfig::new(LIFE)
    };
    let board =
        Switchboard::open(own(&phones(address, false), Role::Telephony), config, pool(), keeper, environment)
            .unwrap();

    scenario.begin(&platform).unwrap();
    let obtain = |number| {
        say(&Line::Asking(number).to_text());
        let granted = insist(
            |error: &unjoin::PlatformError| (error.is_retryable(), error.code()),
            || scenario.obtain(&platform, number),
        );
        say(&Line::Granted(number, granted.pair).to_text());
        granted.token
    };
    let tokens: Vec<_> = (0..BEFORE).map(obtain).collect();
    clock.set(day(1));
    say(&Line::Day(1).to_text());
    say(&Line::Ticked(tick(&platform).unwrap()).to_text());
    thread::spawn(|| {
        io::stdin().read_line(&mut String::new()).unwrap();
        STOP.store(true, Ordering::SeqCst);
    });
    say("busy");
    // The two take the same orders at the same time, in two wordings.
    for (round, number) in (0..BEFORE).cycle().enumerate() {
        if STOP.load(Ordering::SeqCst) {
            break;
        }
        let wording = u8::from(first) ^ (number % 2) as u8;
        say(&Line::Sending(number, wording).to_text());
        let answer = insist(
            |error: &unjoin::review::DeskError| (error.is_retryable(), error.code()),
            || match scenario.send(&platform, number, &tokens[number as usize], wording).wait() {
                Err(error) if error.code() == "desk.spent" => Ok(Err(error.code().to_owned())),
                other => other.map(Ok),
            },
        );
        match answer {
            Ok(receipt) => say(&Line::Accepted(number, wording, receipt).to_text()),
            Err(code) => say(&Line::Refused(number, wording, code).to_text()),
        }
        let next = BEFORE + round as u64;
        obtain(next);
        insist(
            |error: &unjoin::ledger::LogError| (error.is_retryable(), error.code()),
            || log.append(&[entry(next)]),
        );
        say(&format!("appended {next}"));
        if first {
            let bound = insist(
                |error: &unjoin::phone::SwitchboardError| (error.is_retryable(), error.code()),
                || board.bind(binding(next)).wait(),
            );
            say(&format!("bound {next} {}", bound.number.to_e164()));
        }
        thread::sleep(PACE);
    }
    say("done");
    std::process::exit(0);
}

fn binding(number: u64) -> Binding {
    let phone = |number: u64| PhoneNumber::new(&format!("+86138{number:08}")).unwrap();
    let order = OrderRef { merchant: Name::new("m").unwrap(), order: Name::new(number.to_string()).unwrap() };
    let parties = Parties { hub: phone(number % 8), customer: phone(1000 + number) };
    let courier = Name::new(format!("courier {}", number % 8)).unwrap();
    Binding::courier(order, courier, parties, day(0).saturating_add(LIFE))
}

fn pool() -> Arc<Pool> {
    let slice = |slice: u64| {
        let first = VirtualNumber::new(&format!("+86700{:012}", slice * 1000)).unwrap();
        vec![PoolRange::in_service(NumberRange::new(first, 1000).unwrap())]
    };
    let config = PoolConfig {
        epoch_seconds: DAY,
        max_life: LIFE,
        quarantine: DAY,
        spare_recoveries: 0,
        largest_hub: 1000,
        slices: (0..4).map(slice).collect(),
        withdrawn: vec![],
        resting: vec![],
    };
    Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap())
}

/// A service process, which does not outlive the test.
pub(crate) struct Process(Child, Option<ChildStdin>);

impl Process {
    pub(crate) fn start(address: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", TEST, "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, address).stdin(Stdio::piped()).stdout(Stdio::piped());
        if address.contains(',') {
            command.env("UNJOIN_PATRONI_FIRST", "1");
        }
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        Self(child, input)
    }

    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let lines: Lines<BufReader<ChildStdout>> = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines.map_while(Result::ok)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut input) = self.1.take() {
            writeln!(input).unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
