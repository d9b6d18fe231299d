//! The rating beside the published average, against what all customers think.

use std::collections::BTreeMap;

use unjoin::rating::{ClassRecord, Estimate, Market, StarSums};

use crate::{
    calendar::format_date,
    data::Order,
    publication::{self, Cohort, Policy},
    table::aligned,
};

/// Errors over the shops of a size at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Accuracy {
    pub shops: usize,
    /// The published average less the mean of all opinions: mean and root mean square, over the shops that
    /// have published reviews.
    pub published: [f64; 2],
    /// The same of the rating.
    pub rating: [f64; 2],
    /// How often the rating's interval holds that mean.
    pub covered: f64,
    /// The same for the share of one and two stars.
    pub bad_published: [f64; 2],
    pub bad_rating: [f64; 2],
    pub bad_covered: f64,
}

/// Opinions on a shop, from and below.
pub(crate) const SIZES: [(u64, u64); 3] = [(5, 20), (20, 100), (100, u64::MAX)];

pub(crate) fn report(orders: &[Order], opinions: &[Order], policy: &Policy, seed: u64) -> String {
    let cohorts = publication::play(orders, policy, seed);
    let first = orders.iter().map(|order| order.purchased_at).min().unwrap_or_default();
    let last = orders.iter().filter_map(|order| order.reviewed_at).max().unwrap_or(first);
    let mut rows = Vec::new();
    for part in [5, 7, 9] {
        let now = first + (last - first) / 10 * part;
        for (size, accuracy) in SIZES.iter().zip(accuracy(orders, opinions, policy, &cohorts, now)) {
            if accuracy.shops == 0 {
                continue;
            }
            let pair = |[bias, root]: [f64; 2]| format!("{bias:+.3} / {root:.3}");
            rows.push(vec![
                match size.1 {
                    u64::MAX => format!("{}, from {} orders", format_date(now), size.0),
                    below => format!("{}, {} to {} orders", format_date(now), size.0, below - 1),
                },
                accuracy.shops.to_string(),
                pair(accuracy.published),
                pair(accuracy.rating),
                format!("{:.0} %", accuracy.covered * 100.0),
                pair(accuracy.bad_published),
                pair(accuracy.bad_rating),
                format!("{:.0} %", accuracy.bad_covered * 100.0),
            ]);
        }
    }
    let title = "The rating against what all customers think: bias / root mean square, and how often its 90 % interval holds it";
    let header = [
        "shops of",
        "shops",
        "stars: published",
        "rating",
        "covers",
        "share of 1-2: published",
        "rating",
        "covers",
    ];
    aligned(title, &header, rows)
}

/// How near the ratings of a day come to what all customers think by then: `opinions` are the orders as if each
/// of them reviewed, the same as `orders` where each does.
pub(crate) fn accuracy(
    orders: &[Order],
    opinions: &[Order],
    policy: &Policy,
    cohorts: &[Cohort],
    now: i64,
) -> [Accuracy; 3] {
    let mut shops: BTreeMap<&str, (StarSums, BTreeMap<u8, ClassRecord>)> = BTreeMap::new();
    let record = |order: &Order| ClassRecord { class: policy.classes.of(order), ..ClassRecord::default() };
    for (order, opinion) in orders.iter().zip(opinions) {
        let (submitted, records) = shops.entry(&order.merchant).or_default();
        if policy.eligible_at(order) <= now {
            let record = records.entry(policy.classes.of(order)).or_insert_with(|| record(order));
            record.orders += 1;
        }
        if let (Some(stars), Some(written)) = (opinion.stars, opinion.reviewed_at)
            && written <= now
        {
            *submitted = submitted.with(stars);
        }
    }
    for cohort in cohorts {
        for &(order, boundary) in &cohort.published {
            let order = &orders[order];
            if cohort.boundaries[boundary] <= now
                && let (Some(stars), Some((_, records))) =
                    (order.stars, shops.get_mut(order.merchant.as_str()))
            {
                let record = records.entry(cohort.class).or_insert_with(|| record(order));
                record.published = record.published.with(stars);
            }
        }
    }
    let shops: Vec<(StarSums, Vec<ClassRecord>)> =
        shops.into_values().map(|(all, records)| (all, records.into_values().collect())).collect();
    let market = Market::new(shops.iter().map(|(_, records)| &records[..]));
    SIZES.map(|(from, below)| {
        let of_size = |shop: &&(StarSums, Vec<ClassRecord>)| (from..below).contains(&shop.0.count);
        accuracy_of(&market, &shops.iter().filter(of_size).collect::<Vec<_>>())
    })
}

fn accuracy_of(market: &Market, shops: &[&(StarSums, Vec<ClassRecord>)]) -> Accuracy {
    let mean = |sums: StarSums| sums.sum as f64 / sums.count as f64;
    let bad = |sums: StarSums| sums.bad as f64 / sums.count as f64;
    let published = |records: &[ClassRecord]| {
        let sums = records.iter().fold(StarSums::default(), |sums, record| sums.merged(record.published));
        (sums.count > 0).then_some(sums)
    };
    let over = |error: &dyn Fn(StarSums, &[ClassRecord]) -> Option<f64>| {
        let errors: Vec<f64> = shops.iter().filter_map(|(all, records)| error(*all, records)).collect();
        let count = errors.len().max(1) as f64;
        let squares: f64 = errors.iter().map(|error| error * error).sum();
        [errors.iter().sum::<f64>() / count, (squares / count).sqrt()]
    };
    let holds = |estimate: Estimate, truth: f64| {
        Some(f64::from(u8::from(estimate.low <= truth && truth <= estimate.high)))
    };
    Accuracy {
        shops: shops.len(),
        published: over(&|all, records| published(records).map(|sums| mean(sums) - mean(all))),
        rating: over(&|all, records| Some(market.rating(records).stars.value - mean(all))),
        covered: over(&|all, records| holds(market.rating(records).stars, mean(all)))[0],
        bad_published: over(&|all, records| published(records).map(|sums| bad(sums) - bad(all))),
        bad_rating: over(&|all, records| Some(market.rating(records).bad_share.value - bad(all))),
        bad_covered: over(&|all, records| holds(market.rating(records).bad_share, bad(all)))[0],
    }
}
