//! A process is killed, with SIGKILL on Unix, at a random moment.

use crate::life::{Birth, live};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::Scenario;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unjoin::store::RedbStore;
use unjoin_test_util::{Directory, Seeded, kill};

/// The test below, by its full name.
const TEST: &str = "kill::what_was_acknowledged_survives_every_kill";
const SEED: u64 = 5;

fn stores(directory: &Path) -> [Arc<RedbStore>; 2] {
    ["orders", "reviews"].map(|name| Arc::new(unjoin_test_util::redb(directory.join(name)).unwrap()))
}

/// A child is told its directory, its first order, its day, and the orders that it is to ask for
/// again.
fn tell(directory: &Path, birth: &Birth) -> String {
    let numbers = [birth.first_order, birth.day].into_iter().chain(birth.late.iter().copied());
    numbers.fold(directory.to_str().unwrap().to_owned(), |told, n| format!("{told}|{n}"))
}

fn live_as_told(told: &str) -> ! {
    let mut words = told.split('|');
    let directory = Path::new(words.next().unwrap());
    let mut numbers = words.map(|number| number.parse().unwrap());
    let [first_order, day] = [(); 2].map(|()| numbers.next().unwrap());
    let birth = Birth { first_order, day, late: numbers.collect() };
    let say = |line: &Line| kill::say(&line.to_text());
    live(&Scenario::new(SEED), &stores(directory), birth, &say);
    panic!("a store failed");
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

#[test]
fn what_was_acknowledged_survives_every_kill() {
    if let Some(told) = kill::told() {
        live_as_told(&told);
    }
    let kills = kill::kills(25);
    let parent = Directory::new();
    let directory = parent.file("stores");
    fs::create_dir(&directory).unwrap();
    let scenario = Scenario::new(SEED);
    let (mut record, draw) = (Record::default(), &mut Seeded(SEED ^ 0xdead));
    let (mut in_ticks, mut in_rewrites) = (0, 0);
    drop(stores(&directory));
    for kill in 0..kills {
        let birth = Birth { first_order: record.next_order(), day: record.day() + 1, late: record.late() };
        let mut moment = Moment::draw(draw);
        let has_come = |line: &str| moment.has_come(&Line::from_text(line).unwrap()).then_some(moment.delay);
        let lines = kill::live_until_killed(TEST, tell(&directory, &birth), has_come);
        let lines: Vec<Line> = lines.iter().map(|line| Line::from_text(line).unwrap()).collect();
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
