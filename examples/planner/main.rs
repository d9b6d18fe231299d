//! How a marketplace should set its publication: what k, C, hold and classes cost *its* shops, and what they hide.
//!
//! ```text
//! cargo run --release --example planner
//! cargo run --release --example planner -- --orders orders.csv --k 10,15,20 --hold 1,2,4
//! cargo run --release --example planner -- --orders-per-day 30
//! cargo run --release --example planner -- --gangs
//! ```
//!
//! It plays policies of publication over a table of orders with their reviews (the bundled one is described in
//! `examples/data/NOTICE.md`), attacks each as somebody would who holds the order table and knows the policy, and
//! prints linkage, delay and loss. The manual's chapter `publication` says how to read it.

#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "every index is made here, from a table that the reader has checked"
)]

mod picture;
#[path = "../shared/ratings.rs"]
mod ratings;
#[path = "../shared/table.rs"]
mod shared;
#[cfg(test)]
mod tests;
mod warnings;
#[path = "../shared/words.rs"]
mod words;

use std::{fs, process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use unjoin_linkage::{attack, calendar, data, dated, gangs, measures, pairs, publication, table};

use crate::{
    calendar::DAY,
    data::Order,
    dated::Knowledge,
    publication::{Classes, Density, Entry, Policy, Resampled, Sealing},
    shared::{Made, Source, progress},
    table::Row,
    words::At,
};

/// Plays policies of publication over a table of orders, attacks them, and recommends one.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// The fewest customers of a cohort.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 20], value_parser = clap::value_parser!(u16).range(2..=1000))]
    k: Vec<u16>,
    /// C: customers times days until a cohort is sealed, at most.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 300], value_parser = clap::value_parser!(u16).range(0..=10_000))]
    order_days: Vec<u16>,
    /// Days from the death of an order's numbers to its token. With `--orders-per-day` the default is 1.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(0..=60))]
    hold: Vec<u16>,
    /// Which orders gather apart.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Class::Late])]
    classes: Vec<Class>,
    /// Make shops of so many orders a day of the table's rows: durations in hours, one order in ten late.
    #[arg(long, value_name = "N")]
    orders_per_day: Option<f64>,
    /// With `--orders-per-day`: how many customers review.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    review_share: f64,
    /// A row is recommended only if the attack names the author first in at most this share of all reviews.
    #[arg(long, value_name = "SHARE", default_value_t = 0.11)]
    linked_at_most: f64,
    /// The same for reviews of one or two stars.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    bad_linked_at_most: f64,
    /// Run the main job's attack, too, on the policies that the rules are compared with and on the recommended row, and
    /// report the stronger of both for each group. It takes minutes.
    #[arg(long)]
    both: bool,
    /// Show instead what gangs reach that buy orders, press suspects, or count on regulars; for the first k.
    #[arg(long)]
    gangs: bool,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    made: Made,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Class {
    /// All of a shop's orders gather together.
    None,
    /// Late or failed orders apart.
    Late,
    /// The same, and orders of several items apart.
    Items,
}

type Result<T> = words::Outcome<T>;

fn main() -> ExitCode {
    words::end(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let source = data::read_orders(&options.source.orders)?;
    if options.gangs {
        println!("{}", gangs::report(&source, first_k(options), options.made.seed));
        return Ok(());
    }
    let Resampled { orders, opinions, known } = table_of(source, options)?;
    let [opinions, known] = [&opinions, &known].map(|made| if made.is_empty() { &orders } else { made });

    let bar = progress("learning", "models", dated::STEPS);
    let knowledge = Knowledge::learn(known, &orders, options.made.seed, &|| bar.inc(1));
    bar.finish_and_clear();

    let compared = compared(options);
    let grid = grid(options);
    let bar = progress("playing and attacking", "policies", (compared.len() + grid.len()) as u64);
    let play = |(name, policy): (String, Policy)| {
        let cohorts = publication::play(&orders, &policy, options.made.seed);
        let named = knowledge.attack(&orders, &cohorts, options.made.seed);
        bar.inc(1);
        Row { name, policy, outcome: measures::measure(&orders, &cohorts, &named) }
    };
    let mut compared: Vec<Row> = compared.into_iter().map(play).collect();
    let mut grid: Vec<Row> = grid.into_iter().map(play).collect();
    bar.finish_and_clear();

    let recommended = table::recommended(&grid, [options.linked_at_most, options.bad_linked_at_most]);
    if options.both {
        let bar = progress("attacking by pairs", "steps", attack::STEPS * (compared.len() as u64 + 1));
        let rows = compared.iter_mut().chain(recommended.and_then(|row| grid.get_mut(row)));
        for row in rows {
            let cohorts = publication::play(&orders, &row.policy, options.made.seed);
            let named = pairs::attack(&orders, &cohorts, options.made.seed, &|steps| bar.inc(steps))?;
            row.outcome = row.outcome.clone().or_stronger(&measures::measure(&orders, &cohorts, &named));
        }
        bar.finish_and_clear();
    }
    println!("{}", table::head(&orders, options.orders_per_day));
    println!("{}", table::policies("What the rules buy", &compared, None));
    println!("{}", table::policies("Settings of the rules", &grid, recommended));
    match recommended.and_then(|row| grid.get(row)) {
        Some(row) => {
            println!("{}", table::by_size(row));
            for warning in warnings::of(&orders, &row.policy, &knowledge) {
                println!("warning: {warning}");
            }
            println!("\n{}", ratings::report(&orders, opinions, &row.policy, options.made.seed));
        }
        None => println!(
            "No row hides enough: each names the author of more than {:.0} % of all reviews or of more than {:.0} % of the \
             bad ones, or is sure of one. Try a larger k or C, a longer hold, or more classes.",
            options.linked_at_most * 100.0,
            options.bad_linked_at_most * 100.0
        ),
    }
    fs::create_dir_all(&options.made.out).at(&options.made.out)?;
    picture::draw(&options.made.out, &grid, recommended)?;
    println!(
        "played in {:.1} s; planner-light.svg and planner-dark.svg are in {}",
        started.elapsed().as_secs_f64(),
        options.made.out.display()
    );
    Ok(())
}

/// The table as it is, or shops of the wanted size made of its rows.
fn table_of(source: Vec<Order>, options: &Options) -> Result<Resampled> {
    let path = options.source.orders.display();
    if !source.iter().any(|order| order.reviewed_at.is_some()) {
        return Err(format!("{path}: no order has a review, so nothing can be learnt from it").into());
    }
    let Some(orders_per_day) = options.orders_per_day else {
        return Ok(Resampled { orders: source, opinions: Vec::new(), known: Vec::new() });
    };
    if !(0.1..=1_000.0).contains(&orders_per_day) {
        return Err(format!("--orders-per-day is not between 0.1 and 1000: {orders_per_day}").into());
    }
    if !(options.review_share > 0.0 && options.review_share <= 1.0) {
        return Err(format!("--review-share is not above 0 and at most 1: {}", options.review_share).into());
    }
    let density = Density { orders_per_day, review_share: options.review_share };
    publication::resample(&source, density, options.made.seed)
        .ok_or_else(|| format!("{path}: too few reviewed orders, on time and late, to make shops of").into())
}

/// The protocol's rules for this table: fast orders are held shorter.
fn rules(options: &Options, k: usize) -> Policy {
    if options.orders_per_day.is_some() { Policy::fast(k) } else { Policy::protocol(k) }
}

fn first_k(options: &Options) -> usize {
    options.k.first().copied().map_or(10, usize::from)
}

/// What the rules are compared with.
fn compared(options: &Options) -> Vec<(String, Policy)> {
    let k = first_k(options);
    let rules = rules(options, k);
    let daily = Policy::daily_without_hold(k);
    let daily = match (daily.entry, rules.entry) {
        (Entry::Dead { hold, draw, .. }, Entry::Dead { embargo, .. }) => {
            Policy { entry: Entry::Dead { embargo, hold, draw }, ..daily }
        }
        _ => daily,
    };
    vec![
        ("weekly, cohorts wait for their last number".to_owned(), Policy::weekly(k)),
        ("daily, no hold, no age".to_owned(), daily),
        ("the rules".to_owned(), rules),
    ]
}

fn grid(options: &Options) -> Vec<(String, Policy)> {
    let holds: &[u16] = match (&options.hold[..], options.orders_per_day) {
        ([], None) => &[1, 2, 4],
        ([], Some(_)) => &[1],
        (stated, _) => stated,
    };
    let mut policies = Vec::new();
    for &class in &options.classes {
        for &k in &options.k {
            for &c in &options.order_days {
                for &hold in holds {
                    let rules = rules(options, usize::from(k));
                    let entry = match rules.entry {
                        Entry::Dead { embargo, draw, .. } => {
                            Entry::Dead { embargo, hold: i64::from(hold) * DAY, draw }
                        }
                        due => due,
                    };
                    let classes = match class {
                        Class::None => Classes::One,
                        Class::Late => Classes::Late,
                        Class::Items => Classes::LateAndItems,
                    };
                    let name = format!("k {k}, C {c}, hold {hold}, classes {}", classes.name());
                    let sealing = Sealing::ByRate { c: f64::from(c) };
                    policies.push((name, Policy { classes, entry, sealing, ..rules }));
                }
            }
        }
    }
    policies
}
