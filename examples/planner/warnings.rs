//! Where a table breaks what the rules rest on.

use std::collections::{BTreeMap, HashMap};

use crate::{calendar::DAY, data::Order, dated::Knowledge, publication::Policy};

/// The tenth of a class's orders that is likeliest to be bad holds at most this share of the bad reviews to expect.
const UNEVEN: f64 = 0.3;
/// At most this share of orders may come from somebody whose last order at the shop was not long ago.
const REGULAR: f64 = 0.05;
/// Orders of one customer at a shop are near each other if so many seconds lie between them.
const NEAR: i64 = 60 * DAY;
/// Below so many orders a day of a class nothing is promised against bought orders.
const SPARSE: f64 = 0.05;

/// Sentences for the host.
pub(crate) fn of(orders: &[Order], policy: &Policy, knowledge: &Knowledge) -> Vec<String> {
    let mut warnings = Vec::new();
    for &(class, name) in policy.classes.each() {
        let members: Vec<usize> =
            (0..orders.len()).filter(|&order| policy.classes.of(&orders[order]) == class).collect();
        if let Some(share) = uneven(&members, knowledge)
            && share > UNEVEN
        {
            warnings.push(format!(
                "the class \"{name}\" differs within: a tenth of its orders can be expected to bring {:.0} % of its bad \
                 reviews. Split it by what tells them apart, or take a larger k for it.",
                share * 100.0
            ));
        }
    }
    let regulars = regulars(orders);
    if regulars > REGULAR {
        warnings.push(format!(
            "{:.0} % of orders come from customers who ordered at the same shop within the {} days before. Of each, only one \
             order is in a cohort; the others wait for the next.",
            regulars * 100.0,
            NEAR / DAY
        ));
    }
    warnings.extend(sparse(orders, policy));
    warnings
}

/// The share of the bad reviews to expect that the likeliest tenth of the orders holds.
fn uneven(members: &[usize], knowledge: &Knowledge) -> Option<f64> {
    let mut chances: Vec<f64> = members.iter().map(|&order| knowledge.chance_of_bad(order)).collect();
    chances.sort_unstable_by(|left, right| right.total_cmp(left));
    let sum: f64 = chances.iter().sum();
    let tenth: f64 = chances.iter().take(chances.len() / 10).sum();
    (sum > 0.0 && chances.len() >= 100).then_some(tenth / sum)
}

/// The share of orders whose customer had another one at the same shop not long before.
pub(crate) fn regulars(orders: &[Order]) -> f64 {
    let mut of_customer: HashMap<(&str, &str), Vec<i64>> = HashMap::new();
    for order in orders {
        of_customer.entry((&order.merchant, &order.customer)).or_default().push(order.purchased_at);
    }
    let mut near = 0;
    for times in of_customer.values_mut() {
        times.sort_unstable();
        near += times.windows(2).filter(|pair| pair[1] - pair[0] <= NEAR).count();
    }
    near as f64 / orders.len().max(1) as f64
}

/// Shops with too few orders of a class, from the shop's first order to the table's last.
fn sparse(orders: &[Order], policy: &Policy) -> Vec<String> {
    let last = orders.iter().map(|order| order.purchased_at).max().unwrap_or_default();
    let mut first: BTreeMap<&str, i64> = BTreeMap::new();
    let mut counts: BTreeMap<(&str, u8), usize> = BTreeMap::new();
    for order in orders {
        let since = first.entry(&order.merchant).or_insert(order.purchased_at);
        *since = (*since).min(order.purchased_at);
        *counts.entry((&order.merchant, policy.classes.of(order))).or_default() += 1;
    }
    let of_class = |&(class, name): &(u8, &str)| {
        let streams = || counts.iter().filter(|((_, of), _)| *of == class);
        let is_sparse = |((shop, _), count): &(&(&str, u8), &usize)| {
            let days = (last - first[shop]).max(DAY) as f64 / DAY as f64;
            (**count as f64) / days < SPARSE
        };
        let sparse = streams().filter(is_sparse).count();
        let orders: usize = streams().filter(is_sparse).map(|(_, count)| count).sum();
        let all: usize = streams().map(|(_, count)| count).sum();
        (sparse > 0).then(|| {
            format!(
                "{sparse} of {} shops have fewer than {SPARSE} orders a day of the class \"{name}\" ({:.0} % of its orders): \
                 nothing is promised there against bought orders.",
                streams().count(),
                100.0 * orders as f64 / all.max(1) as f64
            )
        })
    };
    policy.classes.each().iter().filter_map(of_class).collect()
}
