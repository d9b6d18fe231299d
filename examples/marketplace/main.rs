//! The main job: real orders through the real roles, then the join attack on a naive platform
//! and on ours.
//!
//! `cargo run --release --example marketplace` replays 10,000 real orders (see
//! `examples/data/NOTICE.md`), prints how often an attacker who holds the order table and the
//! review table names the author of a review, and draws it. An extortion ring is among the
//! customers: a second act finds it, opens one of its reviews, and prints who learnt what.
//!
//! `--orders-per-day 10,30,100` shows what the rules come to at shops of that size. `--attack DIR` runs the attack alone on a host's own `orders.csv` and `published.csv`.

#![forbid(unsafe_code)]

mod by_date;
mod extortion;
mod policies;
#[path = "../shared/ratings.rs"]
#[allow(clippy::indexing_slicing, reason = "shared with the planner, which allows it")]
mod ratings;
mod report;
#[path = "../shared/table.rs"]
mod shared;
mod simulate;
mod telephony;
#[path = "../shared/words.rs"]
mod words;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::{Parser, ValueEnum};
use unjoin::{DAY, Grid};
use unjoin_linkage::{attack, calendar, data, dated, measures, publication, table};

use crate::{
    attack::Attack,
    data::Exports,
    dated::Knowledge,
    extortion::Cast,
    report::Shown,
    shared::{Made, Source, progress},
    simulate::Settings,
    words::At,
};

/// Replays real orders through unjoin and attacks the result.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    #[command(flatten)]
    source: Source,
    /// The fewest look-alike customers whose reviews appear together.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
    k: u32,
    /// How often cohorts are sealed and reviews appear.
    #[arg(long, value_enum, default_value_t = Batch::Day)]
    batch: Batch,
    /// Whether late or failed orders gather in cohorts of their own.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    classes: Switch,
    /// Where the services keep their state.
    #[arg(long, value_enum, default_value_t = Engine::Redb)]
    store: Engine,
    #[command(flatten)]
    made: Made,
    /// Show instead what the rules come to at shops of so many orders a day, made of the table's rows: durations in
    /// hours, one order in ten late, one customer in twenty reviewing.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    orders_per_day: Vec<f64>,
    /// Only attack the orders.csv and published.csv in DIR.
    #[arg(long, value_name = "DIR")]
    attack: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Batch {
    Day,
    Week,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Redb,
    Memory,
}

type Result<T> = words::Outcome<T>;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.attack {
        Some(dir) => attack_tables(dir, &options),
        None if !options.orders_per_day.is_empty() => shops(&options),
        None => main_job(&options),
    };
    words::end(outcome)
}

fn main_job(options: &Options) -> Result<()> {
    let started = Instant::now();
    let cast = Cast::choose(data::read_orders(&options.source.orders)?, options.k);
    let orders = cast.real();
    // The stores are scratch: only finished results go into the output directory.
    let scratch = options.made.out.join(".stores");
    let settings = Settings {
        k: options.k,
        grid: match options.batch {
            Batch::Day => Grid::Daily,
            Batch::Week => Grid::Weekly,
        },
        classes: options.classes == Switch::On,
        scratch: scratch.clone(),
        on_disk: matches!(options.store, Engine::Redb),
        seed: options.made.seed,
    };
    let bar = progress("replaying the orders", "days", 0);
    let outcome = simulate::run(&cast, &settings, &|done, days| {
        bar.set_length(days);
        bar.set_position(done);
    });
    bar.finish();
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch).at(&scratch)?;
    }
    let outcome = outcome?;
    let replayed = started.elapsed();

    let k = options.k as usize;
    let bar = progress("attacking three platforms", "steps", 3 * attack::STEPS + dated::STEPS);
    let knowledge = Knowledge::learn(orders, orders, options.made.seed, &|| bar.inc(1));
    let attacked = |name: &str, exports: &Exports| {
        let attack = attack::attack(exports, options.made.seed, &|steps| bar.inc(steps));
        let measured = |attack: &Attack| attack::measure(exports, Some(attack), Some(orders), k);
        let measures = match &attack {
            // Of a naive platform the first attack knows the very time.
            Ok(first) if exports.published.iter().any(|review| review.cohort.is_some()) => {
                let second = by_date::attack(&knowledge, orders, exports, first, options.made.seed);
                measured(first).or_stronger(&measured(&second))
            }
            Ok(first) => measured(first),
            Err(_) => attack::measure(exports, None, Some(orders), k),
        };
        report::Platform::new(name, attack.map(|attack| attack.learnt), measures)
    };
    let platforms = [
        attacked("naive, exact review time", &Exports::naive(orders, |time| time)),
        attacked("naive, day only", &Exports::naive(orders, |time| time - time.rem_euclid(DAY as i64))),
        attacked(&ours(options), &outcome.exports),
    ];
    bar.finish();

    data::write_exports(&options.made.out, &outcome.exports, options.made.seed)?;
    let source = if options.source.orders == Path::new(data::BUNDLED) {
        report::Source::Olist
    } else {
        report::Source::Own
    };
    let picture = options.made.out.join("report.svg");
    // Of the naive platforms the first: to show the day alone changes little.
    let [naive, _, ours] = &platforms;
    let (compared, former) = policies::report(orders, &knowledge, k, options.made.seed);
    let shown =
        [Shown::at_once(naive), Shown::played("the former rules, weekly", &former), Shown::priced(ours)];
    report::draw(&picture, &shown, source, k).at(picture)?;
    println!("{}", report::table(&platforms, source, k));
    println!("{}\n", by_date::STRONGER);
    println!("{compared}");
    println!("{}\n\n{}", outcome.figures.summary(&cast), outcome.calls);
    match &outcome.act {
        Some(act) => println!("\n{act}"),
        None => println!("\nFewer than five busy shops: no extortion ring among them."),
    }
    println!(
        "replayed in {:.1} s, attacked in {:.1} s; report.svg, orders.csv and published.csv are in {}",
        replayed.as_secs_f64(),
        (started.elapsed() - replayed).as_secs_f64(),
        options.made.out.display()
    );
    Ok(())
}

/// What the rules come to at shops of a given size.
fn shops(options: &Options) -> Result<()> {
    let source = data::read_orders(&options.source.orders)?;
    let bar = progress("learning", "models", dated::STEPS * options.orders_per_day.len() as u64);
    let mut text = String::new();
    for &rate in &options.orders_per_day {
        let shown = policies::of_shops(&source, rate, options.k as usize, options.made.seed, &|| bar.inc(1))?;
        text.push_str(&shown);
        text.push('\n');
    }
    bar.finish_and_clear();
    println!("{text}");
    Ok(())
}

/// The attack alone, on a host's own tables.
fn attack_tables(dir: &Path, options: &Options) -> Result<()> {
    println!("{}", attack_report(dir, options.made.seed, options.k as usize)?);
    Ok(())
}

fn attack_report(dir: &Path, seed: u64, k: usize) -> Result<String> {
    let exports = data::read_exports(dir)?;
    let orders = by_date::orders(&exports);
    let bar = progress("attacking", "steps", attack::STEPS + orders.as_ref().map_or(0, |_| dated::STEPS));
    let attack = attack::attack(&exports, seed, &|steps| bar.inc(steps)).map_err(|refused| {
        bar.finish_and_clear();
        format!("{}: {refused}", dir.display())
    })?;
    let measured = |attack: &Attack| attack::measure(&exports, Some(attack), None, k);
    let (measures, said) = match orders {
        Ok(orders) => {
            let knowledge = Knowledge::learn(&orders, &orders, seed, &|| bar.inc(1));
            let second = by_date::attack(&knowledge, &orders, &exports, &attack, seed);
            (measured(&attack).or_stronger(&measured(&second)), by_date::STRONGER.to_owned())
        }
        Err(lacking) => (measured(&attack), format!("By pairs alone: {lacking}.")),
    };
    bar.finish_and_clear();
    let platforms = [report::Platform::new("these tables", Ok(attack.learnt), measures)];
    Ok(format!("{}\n{said}\n", report::table(&platforms, report::Source::Own, k)))
}

fn ours(options: &Options) -> String {
    let batch = match options.batch {
        Batch::Day => "daily",
        Batch::Week => "weekly",
    };
    let classes =
        if options.classes == Switch::On { "look-alike cohorts" } else { "cohorts without classes" };
    format!("unjoin, {classes}, k = {}, {batch}", options.k)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The report on these shops' orders on a naive platform, by way of the files that a host would give.
    fn report(name: &str, merchants: &[&str], keep: impl Fn(usize) -> bool) -> Result<String> {
        let dir = std::env::temp_dir().join(format!("marketplace-{}-{name}", std::process::id()));
        let mut orders = data::read_orders(Path::new(data::BUNDLED))?;
        orders.retain(|order| merchants.contains(&order.merchant.as_str()));
        orders.truncate(150);
        let mut exports = Exports::naive(&orders, |time| time);
        let mut place = 0..;
        exports.published.retain(|_| place.next().is_some_and(&keep));
        data::write_exports(&dir, &exports, 1)?;
        let report = attack_report(&dir, 1, 10);
        fs::remove_dir_all(&dir)?;
        report
    }

    #[test]
    fn a_host_reads_whose_links_the_attacker_knew_and_no_error_that_nobody_knows() {
        for (name, merchants) in [("one", &["d0000"][..]), ("two", &["d0000", "d0001"])] {
            let text = report(name, merchants, |_| true).unwrap();
            assert!(text.contains("true links of the same merchants' other reviews"), "{text}");
            assert!(text.contains("Take these figures as the least"), "{text}");
            for wrong in ["± 0.0 ", "0.00 /k", "Olist", "all other merchants"] {
                assert!(!text.contains(wrong), "{wrong}: {text}");
            }
        }
    }

    #[test]
    fn nothing_to_attack_and_too_little_to_learn_from_are_errors() {
        let error = |name, kept| report(name, &["d0000"], move |place| place < kept).unwrap_err().to_string();
        assert!(error("empty", 0).ends_with(
            "no review is published, so there is nothing to attack: give at least 100; a share would mean nothing"
        ));
        assert!(error("few", 99).contains("99 published reviews are too few to learn from"));
    }
}
