//! The second act: an extortion ring and a lone complainer, hidden among honest bad reviews.
//!
//! Three wallets of one gang order once at each of five real, busy shops, and write bad reviews
//! of all of them. Somebody else has three bad deliveries in one week, and one customer takes a review
//! back before it appears, while the gang watches. Their orders and names are made up and are replayed among the real ones; then the shops complain.

mod act;
mod court;
mod gang;
mod insider;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
};

use unjoin::DAY;

pub(crate) use self::{
    act::{Scene, play},
    court::Court,
    gang::{Gang, TakenBack},
};
use crate::data::{Order, Purchase};

/// How many shops the ring blackmails.
const SHOPS: usize = 5;
/// The accounts of the ring.
const RING: [&str; 3] = ["gang-1", "gang-2", "gang-3"];
/// The account of the lone complainer.
const COMPLAINER: &str = "complainer";
/// How many bad deliveries the complainer has.
const COMPLAINTS: usize = 3;
/// The account of the customer who writes a review and withdraws it before it appears.
const PRESSED: &str = "pressed";
/// The shops' crowds have so many seconds to fill the cohorts of the story.
const FILLING: i64 = 70 * DAY as i64;

/// The real orders, and behind them those of the story.
pub(crate) struct Cast {
    orders: Vec<Order>,
    real: usize,
    shops: Vec<String>,
}

impl Cast {
    /// Chooses the five shops with the largest crowds in the last weeks of the set; without
    /// five shops of at least k customers there is no story.
    pub(crate) fn choose(mut orders: Vec<Order>, k: u32) -> Self {
        let real = orders.len();
        let on_time = || orders.iter().filter(|order| !order.late_or_failed());
        let begins = on_time().map(Order::due_at).max().unwrap_or_default() - FILLING;
        let mut crowds: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for order in on_time().filter(|order| order.due_at() >= begins) {
            crowds.entry(&order.merchant).or_default().insert(&order.customer);
        }
        crowds.retain(|_, customers| customers.len() >= k as usize);
        let mut largest: Vec<_> = crowds.iter().map(|(shop, crowd)| (Reverse(crowd.len()), *shop)).collect();
        largest.sort_unstable();
        let shops: Vec<String> = largest.iter().take(SHOPS).map(|(_, shop)| (*shop).to_owned()).collect();
        if shops.len() < SHOPS {
            return Self { orders, real, shops: Vec::new() };
        }
        let begins = begins - begins.rem_euclid(DAY as i64);
        for (day, shop) in (1i64..).zip(&shops) {
            for (hour, member) in (9i64..).zip(RING) {
                orders.push(bad_order(shop, member, begins + day * DAY as i64 + hour * 3600));
            }
        }
        for (day, shop) in (8i64..).step_by(2).zip(shops.iter().take(COMPLAINTS)) {
            orders.push(bad_order(shop, COMPLAINER, begins + day * DAY as i64 + 15 * 3600));
        }
        if let Some(shop) = shops.first() {
            orders.push(bad_order(shop, PRESSED, begins + 6 * DAY as i64 + 12 * 3600));
        }
        Self { orders, real, shops }
    }

    /// All orders.
    pub(crate) fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// The real ones, which come first.
    pub(crate) fn real(&self) -> &[Order] {
        self.orders.get(..self.real).unwrap_or_default()
    }

    /// How many customers the real orders have.
    pub(crate) fn customers(&self) -> usize {
        self.real().iter().map(|order| order.customer.as_str()).collect::<HashSet<_>>().len()
    }

    /// Whether the story has this shop.
    pub(crate) fn has_shop(&self, shop: &str) -> bool {
        self.shops.iter().any(|of_story| of_story == shop)
    }

    /// Whether this is the order whose review is withdrawn before it appears.
    pub(crate) fn is_pressed(&self, order: usize) -> bool {
        !self.is_real(order) && self.orders.get(order).is_some_and(|order| order.customer == PRESSED)
    }

    /// Whether the order with this index is a real one.
    pub(crate) fn is_real(&self, order: usize) -> bool {
        order < self.real
    }
}

/// An order that came on the day it was promised for or before, and a bad review two days later.
fn bad_order(shop: &str, customer: &str, due: i64) -> Order {
    let day = DAY as i64;
    let purchase = Purchase {
        order_id: format!("{shop}-{customer}"),
        merchant: shop.to_owned(),
        customer: customer.to_owned(),
        purchased_at: due - 9 * day,
        delivered_at: Some(due),
        estimated_at: due - due.rem_euclid(day) + 10 * day,
        status: "delivered".to_owned(),
        category: String::new(),
        price: 49.9,
        freight: 15.0,
        items: 1,
    };
    Order { purchase, state: String::new(), stars: Some(1), reviewed_at: Some(due + 2 * day) }
}

#[cfg(test)]
mod tests {
    use unjoin::Grid;

    use super::*;
    use crate::{
        data::PublishedReview,
        simulate::{self, Settings},
    };

    /// Five shops with six honest customers each, one of whom is not content; all in some weeks.
    fn five_shops() -> Vec<Order> {
        let day = DAY as i64;
        let honest = |shop: i64, customer: i64| {
            let due = 1_500_000_000 + (shop + 2 * customer) * day;
            let name = format!("customer-{shop}-{customer}");
            let stars = if customer == 0 { Some(2) } else { Some(5) };
            Order { stars, ..bad_order(&format!("shop-{shop}"), &name, due) }
        };
        let mut orders: Vec<Order> =
            (0..5).flat_map(|shop| (0..6).map(move |customer| honest(shop, customer))).collect();
        orders.push(bad_order("shop-9", "the last", 1_500_000_000 + FILLING - day));
        orders
    }

    #[test]
    fn the_ring_is_found_and_one_review_opened_and_the_complainer_is_kept_safe_by_the_budget() {
        let cast = Cast::choose(five_shops(), 3);
        assert_eq!(cast.orders().len() - cast.real().len(), SHOPS * RING.len() + COMPLAINTS + 1);
        let scratch = std::env::temp_dir().join(format!("marketplace-extortion-{}", std::process::id()));
        let settings = Settings {
            k: 3,
            grid: Grid::Weekly,
            classes: true,
            scratch: scratch.clone(),
            on_disk: false,
            seed: 1,
        };
        // A run that was interrupted left files that are no use to this one.
        std::fs::create_dir_all(&scratch).unwrap();
        std::fs::write(scratch.join("slot-keys"), "sealed under other keys").unwrap();
        let outcome = simulate::run(&cast, &settings, &|_, _| ());
        let _ = std::fs::remove_dir_all(&scratch);
        let outcome = outcome.unwrap();
        let is_made_up = |review: &PublishedReview| review.truth_order_id.contains("gang-");
        assert!(!outcome.exports.published.iter().any(is_made_up));
        // Whatever is not as the simulation knows it is an error of the run.
        let told = outcome.act.unwrap();
        println!("{told}");
        for step in [
            "15 of them are by three",
            "groups of 5, 5, 5 reviews with one author each, and 5 reviews",
            "the author is the account `gang-",
            "groups of 3 reviews with one author each, and 3 reviews",
            "trustee.budget: ",
            "review may be opened in 30 days, and was. All 5 trustees",
            "25 questions at the door, before and after: the same bytes",
            "deletes 3: each dropped",
            "unkept; and late, says the audit",
            "and no other, as overdue",
        ] {
            assert!(told.contains(step), "{step}");
        }
    }

    #[test]
    fn without_busy_shops_there_is_no_story() {
        let cast = Cast::choose(five_shops(), 7);
        assert_eq!(cast.orders(), cast.real());
    }
}
