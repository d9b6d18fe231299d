//! What the attacker compares: a review with an order that may be behind it.

use std::collections::{BTreeSet, HashMap};

use crate::{
    calendar::DAY,
    data::{Exports, PortalOrder, PublishedReview},
};

const HOUR: f64 = 3_600.0;
const DAYS: f64 = DAY as f64;

/// How precisely the platform tells when a review appeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    Exact,
    Day,
}

impl Precision {
    pub(super) fn of(published: &[PublishedReview]) -> Self {
        if published.iter().all(|review| review.published_at.rem_euclid(DAY) == 0) {
            Self::Day
        } else {
            Self::Exact
        }
    }
}

/// An order in the attacker's terms.
pub(super) struct OrderFacts {
    pub customer: usize,
    pub late_or_failed: bool,
    pub purchased_at: f64,
    pub delivered_at: Option<f64>,
    pub estimated_at: f64,
    /// Midnight of the day of delivery, or of the promised day if that comes first: shops ask for the review from
    /// then on.
    pub anchor: f64,
    pub due_at: f64,
    pub category: usize,
    /// What does not depend on the review.
    pub values: [f32; ORDER_WIDTH],
}

pub(super) struct ReviewFacts {
    pub merchant: usize,
    pub stars: u8,
    pub seen_at: f64,
    /// No order purchased after this can be behind the review.
    pub latest_purchase: f64,
    pub order: usize,
}

/// Both tables with names replaced by indices.
pub(super) struct Facts {
    pub orders: Vec<OrderFacts>,
    pub reviews: Vec<ReviewFacts>,
    pub merchants: usize,
    pub categories: usize,
}

impl Facts {
    pub(super) fn new(exports: &Exports) -> Self {
        // In the order of their names, so that the order of the rows does not matter.
        let mut merchants = Index::default();
        let names: BTreeSet<&str> = exports.published.iter().map(|review| review.merchant.as_str()).collect();
        names.into_iter().for_each(|name| {
            merchants.of(name);
        });
        let mut customers = Index::default();
        let mut categories = Index::default();
        let mut purchases: HashMap<(&str, &str), u32> = HashMap::new();
        for order in &exports.orders {
            *purchases.entry((&order.merchant, &order.customer)).or_default() += 1;
        }
        let orders: Vec<OrderFacts> = exports
            .orders
            .iter()
            .map(|order| OrderFacts {
                customer: customers.of(&order.customer),
                category: categories.of(&order.category),
                ..order_facts(order, purchases[&(order.merchant.as_str(), order.customer.as_str())])
            })
            .collect();
        let precision = Precision::of(&exports.published);
        let position: HashMap<&str, usize> = exports
            .orders
            .iter()
            .enumerate()
            .map(|(index, order)| (order.order_id.as_str(), index))
            .collect();
        let reviews = exports
            .published
            .iter()
            .map(|review| {
                let minute = to_the_minute(review.published_at);
                ReviewFacts {
                    merchant: merchants.of(&review.merchant),
                    stars: review.stars,
                    seen_at: if precision == Precision::Day { minute + DAYS / 2.0 } else { minute },
                    latest_purchase: if precision == Precision::Day { minute + DAYS } else { minute },
                    order: position[review.truth_order_id.as_str()],
                }
            })
            .collect();
        Self { orders, reviews, merchants: merchants.len(), categories: categories.len() }
    }
}

#[derive(Default)]
struct Index<'a>(HashMap<&'a str, usize>);

impl<'a> Index<'a> {
    fn of(&mut self, name: &'a str) -> usize {
        let next = self.0.len();
        *self.0.entry(name).or_insert(next)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Half of the rows of the public set have lost the seconds of all their times, those of the order together with
/// those of its review. That would tell order and review apart by an accident of the set, so no seconds are used.
fn to_the_minute(moment: i64) -> f64 {
    (moment - moment.rem_euclid(60)) as f64
}

pub(super) const ORDER_WIDTH: usize = 11;

fn order_facts(order: &PortalOrder, purchases: u32) -> OrderFacts {
    let purchased_at = to_the_minute(order.purchased_at);
    let delivered_at = order.delivered_at.map(to_the_minute);
    let estimated_at = order.estimated_at as f64;
    let midnight = |moment: f64| (moment / DAYS).floor() * DAYS;
    let promised = estimated_at - DAYS;
    let anchor = delivered_at.map_or(promised, |delivered| midnight(delivered).min(promised));
    let days = |from: f64, to: Option<f64>| to.map_or(f32::NAN, |to| ((to - from) / DAYS) as f32);
    OrderFacts {
        customer: 0,
        category: 0,
        late_or_failed: order.late_or_failed(),
        purchased_at,
        delivered_at,
        estimated_at,
        anchor,
        due_at: delivered_at.map_or(estimated_at, |delivered| delivered.min(estimated_at)).max(purchased_at),
        values: [
            days(estimated_at, delivered_at),
            days(purchased_at, delivered_at),
            days(purchased_at, Some(estimated_at)),
            (order.price as f32).ln_1p(),
            (order.freight as f32).ln_1p(),
            (order.freight / (order.price + 1.0)) as f32,
            order.items as f32,
            purchases as f32,
            match order.status.as_str() {
                "delivered" => 0.0,
                "shipped" => 1.0,
                "canceled" => 3.0,
                _ => 2.0,
            },
            delivered_at.map_or(f32::NAN, |delivered| (delivered.rem_euclid(DAYS) / HOUR) as f32),
            weekday(anchor),
        ],
    }
}

/// Days since Thursday, the weekday of 1970-01-01.
fn weekday(moment: f64) -> f32 {
    (moment / DAYS).floor().rem_euclid(7.0) as f32
}

pub(super) const PAIR_WIDTH: usize = ORDER_WIDTH + 13;

/// What a model trained on other merchants adds to a pair: how likely the delay, how likely the stars, and how
/// content customers of the order's category are.
#[derive(Clone, Copy)]
pub(super) struct Prior {
    pub delay: f32,
    pub stars: f32,
    pub category: f32,
}

/// Where the order stands among the candidates of the review.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub candidates: usize,
    /// The part of the candidates that were due before this order.
    pub rank: f32,
}

pub(super) fn pair(
    review: &ReviewFacts,
    order: &OrderFacts,
    prior: Prior,
    standing: Standing,
    row: &mut Vec<f32>,
) {
    let hours = |since: f64| ((review.seen_at - since) / HOUR) as f32;
    let hour = |moment: f64| (moment.rem_euclid(DAYS) / HOUR) as f32;
    let apart = (hour(review.seen_at) - hour(order.purchased_at)).abs();
    row.extend(order.values);
    row.extend([
        f32::from(review.stars),
        hours(order.anchor),
        order.delivered_at.map_or(f32::NAN, hours),
        hours(order.estimated_at),
        hours(order.purchased_at) / 24.0,
        hour(review.seen_at),
        weekday(review.seen_at),
        apart.min(24.0 - apart),
        prior.delay,
        prior.stars,
        prior.category,
        (standing.candidates as f32).ln(),
        standing.rank,
    ]);
}
