//! The second attack, by stars and date, on the tables that the platform's portal and listing give.

#![allow(
    clippy::indexing_slicing,
    reason = "every index is made here, from tables that the reader has checked"
)]

use std::collections::{BTreeMap, HashMap};

use crate::{
    attack::{Attack, Link, TooFew},
    data::{Exports, Order, PortalOrder, PublishedReview},
    dated::{Knowledge, Named},
    publication::Cohort,
};

/// What it says of each published review, beside what the first attack says of it.
pub(crate) fn attack(
    knowledge: &Knowledge,
    orders: &[Order],
    exports: &Exports,
    first: &Attack,
    seed: u64,
) -> Attack {
    let named = knowledge.attack(orders, &cohorts(orders, exports), seed);
    let named: HashMap<&str, &Named> =
        named.iter().map(|named| (orders[named.order].order_id.as_str(), named)).collect();
    let link = |(review, first): (&PublishedReview, &Link)| {
        named.get(review.truth_order_id.as_str()).map_or_else(
            || first.clone(),
            |named| Link {
                correct: named.correct,
                confidence: named.confidence,
                anonymity_set: named.anonymity_set,
                assigned_correct: first.assigned_correct,
            },
        )
    };
    Attack { links: exports.published.iter().zip(&first.links).map(link).collect(), learnt: first.learnt }
}

/// What a report of both attacks says.
pub(crate) const STRONGER: &str =
    "Of each group the stronger of two attacks: by pairs, and by stars and date. One-to-one: by pairs.";

/// A host's orders with what is known of their reviews. `Err` says what the attack lacks.
pub(crate) fn orders(exports: &Exports) -> Result<Vec<Order>, String> {
    if exports.published.iter().all(|review| review.cohort.is_none()) {
        return Err("the reviews name no cohort, so the attack by stars and date has no boundaries to go by"
            .to_owned());
    }
    let written = exports.published.iter().filter(|review| review.truth_written_at.is_some()).count();
    if written < TooFew::LEAST {
        return Err(format!(
            "the attack by stars and date learns how long customers take from when reviews were written: the column \
             truth_written_at of published.csv, of at least {} reviews, where this table has {written}",
            TooFew::LEAST
        ));
    }
    let reviews: HashMap<&str, &PublishedReview> =
        exports.published.iter().map(|review| (review.truth_order_id.as_str(), review)).collect();
    let order = |order: &PortalOrder| {
        let review = reviews.get(order.order_id.as_str());
        Order {
            purchase: order.purchase.clone(),
            // A portal shows none, and neither attack asks.
            state: String::new(),
            stars: review.map(|review| review.stars),
            reviewed_at: review.and_then(|review| review.truth_written_at),
        }
    };
    Ok(exports.orders.iter().map(order).collect())
}

/// The cohorts as everybody sees them: their orders, the dates at which reviews of them appeared, and the reviews.
fn cohorts(orders: &[Order], exports: &Exports) -> Vec<Cohort> {
    let place: HashMap<&str, usize> =
        orders.iter().enumerate().map(|(place, order)| (order.order_id.as_str(), place)).collect();
    let mut members: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for order in &exports.orders {
        if let (Some(cohort), Some(&place)) = (&order.cohort, place.get(order.order_id.as_str())) {
            members.entry((&order.merchant, cohort)).or_default().push(place);
        }
    }
    let mut reviews: BTreeMap<(&str, &str), Vec<(usize, i64)>> = BTreeMap::new();
    for review in &exports.published {
        if let (Some(cohort), Some(&place)) = (&review.cohort, place.get(review.truth_order_id.as_str())) {
            reviews.entry((&review.merchant, cohort)).or_default().push((place, review.published_at));
        }
    }
    let cohort = |(name, reviews): (_, Vec<(usize, i64)>)| {
        let mut boundaries: Vec<i64> = reviews.iter().map(|(_, at)| *at).collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        let published =
            reviews.into_iter().map(|(order, at)| (order, boundaries.partition_point(|known| *known < at)));
        let published = published.collect();
        // The attack asks for no class: cohorts are of one already.
        Cohort { class: 0, members: members.remove(&name).unwrap_or_default(), published, boundaries }
    };
    reviews.into_iter().map(cohort).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use unjoin_linkage::pairs;

    use super::*;
    use crate::{
        attack,
        publication::{self, Policy},
    };

    fn sorted(cohorts: Vec<Cohort>) -> Vec<Cohort> {
        let mut cohorts: Vec<Cohort> = cohorts
            .into_iter()
            .filter(|cohort| !cohort.published.is_empty())
            .map(|mut cohort| {
                // A boundary at which nothing appeared is seen by nobody.
                let seen: Vec<i64> =
                    cohort.published.iter().map(|&(_, boundary)| cohort.boundaries[boundary]).collect();
                let mut boundaries = seen.clone();
                boundaries.sort_unstable();
                boundaries.dedup();
                for ((_, boundary), seen) in cohort.published.iter_mut().zip(seen) {
                    *boundary = boundaries.partition_point(|known| *known < seen);
                }
                cohort.members.sort_unstable();
                cohort.published.sort_unstable();
                Cohort { class: 0, boundaries, ..cohort }
            })
            .collect();
        cohorts.sort_by_key(|cohort| cohort.members.first().copied());
        cohorts
    }

    #[test]
    fn both_attacks_see_the_same_tables_and_the_stronger_one_is_reported() {
        let mut orders = crate::data::read_orders(Path::new(crate::data::BUNDLED)).unwrap();
        // Eight merchants of middling size.
        let orders: Vec<Order> = orders.drain(4_578..5_739).collect();
        let seen = publication::play(&orders, &Policy::daily_without_hold(10), 1);
        let (exports, _) = pairs::exports(&orders, &seen);
        assert_eq!(sorted(cohorts(&orders, &exports)), sorted(seen.clone()));
        let first = attack::attack(&exports, 1, &|_| ()).unwrap();
        let knowledge = Knowledge::learn(&orders, &orders, 1, &|| ());
        let second = super::attack(&knowledge, &orders, &exports, &first, 1);
        let [pairs, dates] =
            [&first, &second].map(|attack| attack::measure(&exports, Some(attack), Some(&orders), 10));
        let both = pairs.clone().or_stronger(&dates);
        for ((both, pairs), dates) in both.groups.iter().zip(&pairs.groups).zip(&dates.groups) {
            let [both, pairs, dates] = [both, pairs, dates].map(|group| group.found.unwrap());
            assert_eq!(both.top_one.share, pairs.top_one.share.max(dates.top_one.share));
            assert_eq!(both.linked, pairs.linked.max(dates.linked));
        }
        // Where reviews appear the day after they may be written, dates tell much.
        let blind: f64 =
            seen.iter().map(|cohort| cohort.published.len() as f64 / cohort.members.len() as f64).sum();
        let right = dates.groups[0].found.unwrap().top_one.share;
        assert!(right > 1.2 * blind / exports.published.len() as f64, "{dates:?}");
        assert_eq!(second.links.len(), exports.published.len());
    }

    #[test]
    fn a_host_reads_of_both_attacks_or_what_the_second_lacks() {
        let dir = std::env::temp_dir().join(format!("marketplace-{}-both", std::process::id()));
        let mut orders = crate::data::read_orders(Path::new(crate::data::BUNDLED)).unwrap();
        let orders: Vec<Order> = orders.drain(4_578..5_739).collect();
        let seen = publication::play(&orders, &Policy::daily_without_hold(10), 1);
        let (exports, _) = pairs::exports(&orders, &seen);
        let report = |exports: &Exports| {
            crate::data::write_exports(&dir, exports, 1).unwrap();
            crate::attack_report(&dir, 1, 10).unwrap()
        };
        let both = report(&exports);
        assert!(both.contains(STRONGER) && !both.contains("By pairs alone"), "{both}");
        // A host's table without the column is attacked by pairs alone.
        let mut silent = exports.clone();
        silent.published.iter_mut().for_each(|review| review.truth_written_at = None);
        let pairs = report(&silent);
        assert!(
            pairs.contains("By pairs alone") && pairs.contains("truth_written_at of published.csv"),
            "{pairs}"
        );
        assert!(both.lines().nth(2) != pairs.lines().nth(2), "{both}");
        let mut whole = exports.clone();
        whole.published.iter_mut().for_each(|review| review.cohort = None);
        assert!(report(&whole).contains("name no cohort"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
