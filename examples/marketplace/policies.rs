//! What the rules buy: the former ones beside those of today, played without cryptography, and the rating beside the
//! published average.

use crate::{
    Result,
    data::Order,
    dated::Knowledge,
    measures::{self, Outcome},
    publication::{self, Density, Policy, Resampled},
    ratings,
    table::{self, Row},
};

/// On the orders as they are; and what the former rules came to.
pub(crate) fn report(orders: &[Order], knowledge: &Knowledge, k: usize, seed: u64) -> (String, Outcome) {
    compared(orders, orders, knowledge, Policy::protocol(k), seed)
}

/// On shops of so many orders a day, made of the orders' rows.
pub(crate) fn of_shops(
    source: &[Order],
    orders_per_day: f64,
    k: usize,
    seed: u64,
    step: &(dyn Fn() + Sync),
) -> Result<String> {
    if !(0.1..=1_000.0).contains(&orders_per_day) {
        return Err(format!("--orders-per-day is not between 0.1 and 1000: {orders_per_day}").into());
    }
    let density = Density { orders_per_day, review_share: 0.05 };
    let Resampled { orders, opinions, known } = publication::resample(source, density, seed)
        .ok_or("too few reviewed orders, on time and late, to make shops of")?;
    let knowledge = Knowledge::learn(&known, &orders, seed, step);
    let head = table::head(&orders, Some(orders_per_day));
    Ok(format!("{head}\n{}", compared(&orders, &opinions, &knowledge, Policy::fast(k), seed).0))
}

fn compared(
    orders: &[Order],
    opinions: &[Order],
    knowledge: &Knowledge,
    rules: Policy,
    seed: u64,
) -> (String, Outcome) {
    let policies =
        [("weekly, cohorts wait for their last number", Policy::weekly(rules.k)), ("the rules", rules)];
    let rows = policies.map(|(name, policy)| {
        let cohorts = publication::play(orders, &policy, seed);
        let named = knowledge.attack(orders, &cohorts, seed);
        Row { name: name.to_owned(), policy, outcome: measures::measure(orders, &cohorts, &named) }
    });
    let title = "The former rules beside those of today, played without cryptography; linked by stars and date, in units of 1/k";
    let text = format!(
        "{}\n{}",
        table::policies(title, &rows, None),
        ratings::report(orders, opinions, &rules, seed)
    );
    let [former, _] = rows;
    (text, former.outcome)
}
