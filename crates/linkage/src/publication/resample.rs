//! Shops of a given size, made of a table's rows: what a marketplace of fast orders looks like.
//!
//! Rows are drawn with replacement, each shop from rows of its own, so that nobody who learns from one shop meets the
//! rows of another. What took days takes hours, one order in ten is late or failed, reviews are written four times as
//! fast, and one customer in twenty reviews.

use crate::{calendar::DAY, data::Order, random::SplitMix64};

const LATE: f64 = 0.1;
const DAYS_TO_HOURS: i64 = 24;
const WRITTEN_FASTER: i64 = 4;
/// Orders that a table has about.
const ORDERS: f64 = 30_000.0;

/// How busy the shops are that are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Density {
    /// Orders a day and shop.
    pub orders_per_day: f64,
    /// How many customers review.
    pub review_share: f64,
}

/// Shops that were made of the rows of others.
pub struct Resampled {
    /// The orders of all of them.
    pub orders: Vec<Order>,
    /// The same orders, as if every customer reviewed.
    pub opinions: Vec<Order>,
    /// All rows that the shops are made of, with all their reviews: what an attacker can have learnt from.
    pub known: Vec<Order>,
}

/// `None`: the table has no reviewed order of one of the two kinds for each of three shops.
pub fn resample(source: &[Order], density: Density, seed: u64) -> Option<Resampled> {
    let mut random = SplitMix64::new(seed);
    let shops = (ORDERS / (100.0 * density.orders_per_day)).round().clamp(3.0, 16.0) as usize;
    let days = (ORDERS / (shops as f64 * density.orders_per_day)).ceil().clamp(60.0, 365.0) as usize;
    let first = source.iter().map(|order| order.purchased_at.div_euclid(DAY)).min()? * DAY;
    let mut known = Vec::new();
    let (mut orders, mut opinions) = (Vec::new(), Vec::new());
    let mut rows: Vec<Vec<&Order>> = [false, true]
        .map(|late| {
            let kind = |order: &&Order| order.reviewed_at.is_some() && order.late_or_failed() == late;
            source.iter().filter(kind).collect()
        })
        .into();
    rows.iter_mut().for_each(|rows| random.shuffle(rows));
    for shop in 0..shops {
        let own: Vec<Vec<Order>> = rows
            .iter()
            .map(|rows| rows.iter().skip(shop).step_by(shops).map(|order| faster(order, shop)).collect())
            .collect();
        if own.iter().any(Vec::is_empty) {
            return None;
        }
        for number in 0..(days as f64 * density.orders_per_day) as usize {
            let of_kind = &own[usize::from(random.unit() < LATE)];
            let row = &of_kind[random.below(of_kind.len())];
            let shift = first + random.below(days) as i64 * DAY - row.purchased_at.div_euclid(DAY) * DAY;
            let mut order = shifted(row, shift);
            order.purchase.order_id = format!("{shop}-{number}");
            order.purchase.customer = order.order_id.clone();
            opinions.push(order.clone());
            if random.unit() >= density.review_share {
                (order.stars, order.reviewed_at) = (None, None);
            }
            orders.push(order);
        }
        known.extend(own.into_iter().flatten());
    }
    Some(Resampled { orders, opinions, known })
}

/// The order as a shop of fast orders would have had it.
fn faster(order: &Order, shop: usize) -> Order {
    let start = order.purchased_at;
    let hours = |moment: i64| start + (moment - start) / DAYS_TO_HOURS;
    let mut fast = order.clone();
    fast.purchase.merchant = format!("shop {shop}");
    fast.purchase.delivered_at = order.delivered_at.map(hours);
    fast.purchase.estimated_at = hours(order.estimated_at);
    let wrote = |written: i64| (fast.due_at() + (written - order.due_at()) / WRITTEN_FASTER).max(start);
    fast.reviewed_at = order.reviewed_at.map(wrote);
    fast
}

fn shifted(order: &Order, seconds: i64) -> Order {
    let later = |moment: i64| moment + seconds;
    let mut moved = order.clone();
    moved.purchase.purchased_at = later(order.purchased_at);
    moved.purchase.delivered_at = order.delivered_at.map(later);
    moved.purchase.estimated_at = later(order.estimated_at);
    moved.reviewed_at = order.reviewed_at.map(later);
    moved
}
