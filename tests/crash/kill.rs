//! A process is killed, with SIGKILL on Unix, at a random moment.

use crate::life::{Birth, live};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::Scenario;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use unjoin::store::RedbStore;
use unjoin_test_util::{Directory, Seeded};

/// The number of kills, if it is not the usual.
const KILLS: &str = "UNJOIN_KILLS";
/// Names a child's directory, which makes it a child: its first order, its day, and the orders
/// that it is to ask for again follow.
const CHILD: &str = "UNJOIN_CRASH_CHILD";
/// The test below, by its full name.
const TEST: &str = "kill::what_was_acknowledged_survives_every_kill";
const SEED: u64 = 5;

/// The process that the test kills: this very test, told by its environment to live instead.
fn child() -> Option<(PathBuf, Birth)> {
    let told = env::var(CHILD).ok()?;
    let mut words = told.split('|');
    let directory = PathBuf::from(words.next()?);
    let mut number = || words.next()?.parse().ok();
    let (first_order, day) = (number()?, number()?);
    Some((directory, Birth { first_order, day, late: std::iter::from_fn(number).collect() }))
}

fn stores(directory: &Path) -> [Arc<RedbStore>; 2] {
    ["orders", "reviews"].map(|name| Arc::new(unjoin_test_util::redb(directory.join(name)).unwrap()))
}

fn live_until_killed(directory: &Path, birth: Birth) -> ! {
    let say = |line: &Line| {
        let mut out = std::io::stdout().lock();
        // Nobody listens any more: there is nothing left to live for.
        if writeln!(out, "\n{}", line.to_text()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    };
    live(&Scenario::new(SEED), &stores(directory), birth, &say);
    panic!("a store failed");
}

const ENDED: &str = "a child ended by itself: its fault stands above";

/// A child that does not outlive the test.
struct Victim(Child);

impl Victim {
    fn give_birth(directory: &Path, birth: &Birth) -> Self {
        let numbers = [birth.first_order, birth.day].into_iter().chain(birth.late.iter().copied());
        let told = numbers.fold(directory.to_str().unwrap().to_owned(), |told, n| format!("{told}|{n}"));
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(CHILD, told)
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When a child is to die: so long after a tick has begun, or after so many lines outside one.
struct Moment {
    of_a_tick: bool,
    lines: u64,
    delay: Duration,
    /// How many of a day's two ticks have ended.
    ticked: usize,
}

impl Moment {
    fn draw(draw: &mut Seeded) -> Self {
        let of_a_tick = draw.below(2) == 0;
        let (lines, delay) =
            if of_a_tick { (1 + draw.below(2), 100_000) } else { (1 + draw.below(40), 5_000) };
        Self { of_a_tick, lines, delay: Duration::from_micros(draw.below(delay)), ticked: 0 }
    }

    fn has_come(&mut self, line: &Line) -> bool {
        match line {
            Line::Day(_) => self.ticked = 0,
            Line::Ticked(_) => self.ticked += 1,
            _ => {}
        }
        let counts = if self.of_a_tick { matches!(line, Line::Day(_)) } else { self.ticked == 2 };
        self.lines -= u64::from(counts);
        counts && self.lines == 0
    }
}

/// Lets one life begin and kills it: what it said.
fn kill_one(directory: &Path, birth: &Birth, mut moment: Moment) -> Vec<Line> {
    let mut victim = Victim::give_birth(directory, birth);
    let said = BufReader::new(victim.0.stdout.take().unwrap());
    let mut lines = Vec::new();
    thread::scope(|threads| {
        let mut waiting = Some(victim);
        // What a killed process wrote before stays in the pipe: it was acknowledged.
        for line in said.lines().map(Result::unwrap) {
            let Some(line) = Line::from_text(&line) else { continue };
            if waiting.is_some() && moment.has_come(&line) {
                let (mut victim, delay) = (waiting.take().unwrap(), moment.delay);
                // Reading goes on meanwhile, so that a full pipe does not choose the moment. The
                // delay waits for nothing: it is what is random.
                threads.spawn(move || {
                    thread::sleep(delay);
                    assert!(victim.0.try_wait().unwrap().is_none(), "{ENDED}");
                });
            }
            lines.push(line);
        }
        assert!(waiting.is_none(), "{ENDED}");
    });
    lines
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    if let Some((directory, birth)) = child() {
        live_until_killed(&directory, birth);
    }
    let kills = env::var(KILLS).map_or(25, |kills| kills.parse().unwrap());
    let parent = Directory::new();
    let directory = parent.file("stores");
    fs::create_dir(&directory).unwrap();
    let scenario = Scenario::new(SEED);
    let (mut record, draw) = (Record::default(), &mut Seeded(SEED ^ 0xdead));
    let (mut in_ticks, mut in_rewrites) = (0, 0);
    drop(stores(&directory));
    for kill in 0..kills {
        let birth = Birth { first_order: record.next_order(), day: record.day() + 1, late: record.late() };
        let lines = kill_one(&directory, &birth, Moment::draw(draw));
        in_ticks += usize::from(is_in_tick(&lines));
        in_rewrites += usize::from(directory.join("reviews.rewrite").exists());
        record.begin_life();
        lines.into_iter().for_each(|line| record.note(line));
        record.check(&scenario, &stores(&directory), draw);
        if kill % 100 == 99 {
            eprintln!("{} kills: {}", kill + 1, record.counts());
        }
    }
    record.check_all(&scenario, &stores(&directory), draw);
    eprintln!("{kills} kills, {in_ticks} in ticks, {in_rewrites} of these in rewrites: {}", record.counts());
    assert!(in_ticks > 0 && record.unanswered > 0, "the kills have missed what they were to hit");
}

/// Whether the last of two ticks that a day began has not been told of.
fn is_in_tick(lines: &[Line]) -> bool {
    let last = lines.iter().rposition(|line| matches!(line, Line::Day(_)));
    let ticked = |day: usize| lines[day..].iter().filter(|line| matches!(line, Line::Ticked(_))).count();
    last.is_some_and(|day| ticked(day) < 2)
}
