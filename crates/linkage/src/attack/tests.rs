use std::{collections::HashMap, path::Path};

use crate::{
    attack::*,
    calendar::DAY,
    data::{self, Exports, PortalOrder, PublishedReview, Purchase},
    random::SplitMix64,
};

fn attacked(exports: &Exports) -> Vec<Link> {
    attack(exports, 1, &|_| {}).unwrap().links
}

/// Ten merchants with thirty orders each, one a day, reviewed some days after delivery.
fn naive_platform() -> Exports {
    let mut generator = SplitMix64::new(5);
    let mut exports = Exports::default();
    for merchant in 0..10 {
        for day in 0..30 {
            let purchased_at = (17_000 + day) * DAY + generator.below(80_000) as i64;
            let delivered_at = purchased_at + (3 + generator.below(9) as i64) * DAY;
            let purchase = Purchase {
                order_id: format!("{merchant}-{day}"),
                merchant: merchant.to_string(),
                customer: format!("customer {merchant}-{day}"),
                purchased_at,
                delivered_at: Some(delivered_at),
                estimated_at: (17_009 + day) * DAY,
                status: "delivered".to_owned(),
                category: "books".to_owned(),
                price: 20.0,
                freight: 5.0,
                items: 1,
            };
            let order = PortalOrder { purchase, cohort: None };
            exports.published.push(PublishedReview {
                merchant: order.merchant.clone(),
                cohort: None,
                published_at: delivered_at + DAY + generator.below(DAY as usize) as i64,
                stars: if order.late_or_failed() { 1 } else { 5 },
                truth_order_id: order.order_id.clone(),
                truth_written_at: None,
            });
            exports.orders.push(order);
        }
    }
    exports
}

#[test]
fn a_platform_that_shows_times_and_stars_gives_its_authors_away() {
    let links = attacked(&naive_platform());
    assert!(links.iter().filter(|link| link.correct).count() > links.len() / 3);
}

#[test]
fn the_truth_of_an_attacked_merchant_changes_nothing_but_its_score() {
    let mut exports = naive_platform();
    let before = attacked(&exports);
    // Merchant 4 gets false links, all to orders that were purchased in time.
    let own: Vec<usize> = (0..300).filter(|&index| exports.published[index].merchant == "4").collect();
    for pair in own.chunks(2) {
        let first = exports.orders[pair[0]].order_id.clone();
        exports.published[pair[1]].truth_order_id = first;
    }
    let after = attacked(&exports);
    for &review in &own {
        // Sums run in the order of the hashed names, so the last bits may differ.
        assert!((before[review].confidence - after[review].confidence).abs() < 1e-9);
        assert!((before[review].anonymity_set - after[review].anonymity_set).abs() < 1e-9);
    }
    let hits = |links: &[Link]| own.iter().filter(|&&review| links[review].correct).count();
    assert!(hits(&after) < hits(&before));
}

#[test]
fn the_same_seed_gives_the_same_links_in_whatever_order_reviews_come() {
    let mut exports = naive_platform();
    let links = attacked(&exports);
    exports.published.reverse();
    let mut reversed = attacked(&exports);
    reversed.reverse();
    for (link, same) in links.iter().zip(&reversed) {
        assert_eq!(format!("{link:?}"), format!("{same:?}"));
    }
}

/// The bundled orders of the busiest merchants, at most so many of each, on a platform that shows every review at once.
fn busiest(merchants: usize, most: usize) -> Exports {
    let orders = data::read_orders(Path::new(data::BUNDLED)).unwrap();
    let mut count: HashMap<String, usize> = HashMap::new();
    orders.iter().for_each(|order| *count.entry(order.merchant.clone()).or_default() += 1);
    let mut names: Vec<&String> = count.keys().collect();
    names.sort_by_key(|&name| (std::cmp::Reverse(count[name]), name));
    names.truncate(merchants);
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<data::Order> =
        orders.iter().filter(|order| names.contains(&&order.merchant)).cloned().collect();
    kept.retain(|order| {
        let taken = taken.entry(order.merchant.clone()).or_default();
        *taken += 1;
        *taken <= most
    });
    Exports::naive(&kept, |time| time)
}

fn hits(links: &[Link]) -> f64 {
    links.iter().filter(|link| link.correct).count() as f64 / links.len() as f64
}

/// Attacked by someone who has learnt from many others, this shop's authors are named in about three cases of ten. By
/// someone who has learnt nothing it would be one in ten, and look safe.
#[test]
fn a_shop_that_is_alone_is_attacked_by_someone_who_has_learnt() {
    let exports = busiest(1, 350);
    let attack = attack(&exports, 1, &|_| {}).unwrap();
    assert_eq!(attack.learnt.known, Known::OtherReviews);
    assert!(attack.learnt.links > 150, "{:?}", attack.learnt);
    let hits = hits(&attack.links);
    assert!((0.22..0.45).contains(&hits), "{hits}");
    let sure = attack.links.iter().map(|link| link.confidence).sum::<f64>() / attack.links.len() as f64;
    assert!((sure - hits).abs() < 0.08, "surer than right: {sure}, {hits}");
}

/// Reviews that have nothing to do with their orders cannot be attributed, unless a model has seen their links.
#[test]
fn no_model_has_seen_the_link_that_it_is_asked_for() {
    let mut exports = busiest(1, 200);
    let mut generator = SplitMix64::new(3);
    let latest = exports.orders.iter().map(|order| order.purchased_at).max().unwrap();
    for review in &mut exports.published {
        review.published_at = latest + generator.below(60 * DAY as usize) as i64;
        review.stars = 1 + generator.below(5) as u8;
    }
    let hits = hits(&attacked(&exports));
    assert!(hits < 0.03, "{hits}");
}

#[test]
fn two_shops_and_few_small_shops_are_learnt_from_each_other_and_from_themselves() {
    for (merchants, most, known) in
        [(2, 80, Known::OtherReviews), (5, 30, Known::OtherReviews), (10, 20, Known::OtherMerchants)]
    {
        let attack = attack(&busiest(merchants, most), 1, &|_| {}).unwrap();
        assert_eq!(attack.learnt.known, known, "{merchants}");
        assert!(attack.learnt.links > 80, "{merchants}: {:?}", attack.learnt);
        let hits = hits(&attack.links);
        assert!((0.3..0.75).contains(&hits), "{merchants}: {hits}");
    }
}

#[test]
fn one_shop_among_ten_that_has_most_of_the_reviews_is_not_attacked_from_the_rest_alone() {
    let mut exports = busiest(10, 12);
    let large = exports.published[0].merchant.clone();
    for number in 0..300 {
        let mut order = exports.orders[0].clone();
        order.purchase.order_id = format!("more-{number}");
        order.purchase.merchant = large.clone();
        exports
            .published
            .push(PublishedReview { truth_order_id: order.order_id.clone(), ..exports.published[0].clone() });
        exports.orders.push(order);
    }
    assert_eq!(attack(&exports, 1, &|_| {}).unwrap().learnt.known, Known::OtherReviews);
}

#[test]
fn too_few_reviews_are_refused() {
    let mut exports = busiest(1, 300);
    exports.published.truncate(TooFew::LEAST - 1);
    assert_eq!(attack(&exports, 1, &|_| {}).err(), Some(TooFew { published: TooFew::LEAST - 1 }));
    assert_eq!(attack(&Exports::default(), 1, &|_| {}).err(), Some(TooFew { published: 0 }));
}
