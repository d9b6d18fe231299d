//! The main job's attack, which weighs a review and an order as a pair, on what a policy publishes.

use std::collections::HashMap;

use crate::{
    attack,
    data::{Exports, Order, PortalOrder, PublishedReview},
    dated::Named,
    publication::Cohort,
};

/// What it says of each published review.
pub fn attack(
    orders: &[Order],
    cohorts: &[Cohort],
    seed: u64,
    step: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Named>, String> {
    let (exports, authors) = exports(orders, cohorts);
    let links = attack::attack(&exports, seed, step).map_err(|error| error.to_string())?.links;
    let named = authors.into_iter().zip(links).map(|(order, link)| Named {
        order,
        correct: link.correct,
        confidence: link.confidence,
        anonymity_set: link.anonymity_set,
    });
    Ok(named.collect())
}

/// The attacker's tables, and the order that each published review is of.
pub fn exports(orders: &[Order], cohorts: &[Cohort]) -> (Exports, Vec<usize>) {
    let members = |(number, cohort): (usize, &Cohort)| -> Vec<(usize, String)> {
        cohort.members.iter().map(|&order| (order, number.to_string())).collect()
    };
    let cohort_of: HashMap<usize, String> = cohorts.iter().enumerate().flat_map(members).collect();
    let (mut published, mut authors) = (Vec::new(), Vec::new());
    for cohort in cohorts {
        for &(author, boundary) in &cohort.published {
            let order = &orders[author];
            published.push(PublishedReview {
                merchant: order.merchant.clone(),
                cohort: cohort_of.get(&author).cloned(),
                published_at: cohort.boundaries[boundary],
                stars: order.stars.unwrap_or(1),
                truth_order_id: order.order_id.clone(),
                truth_written_at: order.reviewed_at,
            });
            authors.push(author);
        }
    }
    let portal = orders.iter().enumerate();
    let exports = Exports {
        orders: portal
            .map(|(index, order)| PortalOrder::new(order, cohort_of.get(&index).cloned()))
            .collect(),
        published,
    };
    (exports, authors)
}
