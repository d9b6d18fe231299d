//! The simulator's figures on the bundled orders, the attack's on a small table, and what the program refuses.

use std::{collections::HashSet, path::PathBuf, sync::OnceLock};

use clap::Parser;

use super::*;
use crate::{measures::quantile, publication::Cohort};

fn bundled() -> &'static [Order] {
    static ORDERS: OnceLock<Vec<Order>> = OnceLock::new();
    ORDERS.get_or_init(|| data::read_orders(&Options::parse_from(["planner"]).source.orders).unwrap())
}

/// Unpublished of all, bad, and bad reviews of late orders; median and 90th percentile of the delay of all.
fn price(orders: &[Order], policy: &Policy) -> ([f64; 3], [f64; 2]) {
    let outcome = measures::measure(orders, &publication::play(orders, policy, 1), &[]);
    (outcome.groups.map(|group| group.unpublished()), outcome.groups[0].delay)
}

fn near(seen: &[f64], expected: &[f64], off_by: f64) {
    let is_near = seen.iter().zip(expected).all(|(seen, expected)| (seen - expected).abs() <= off_by);
    assert!(is_near, "{seen:?} is not near {expected:?}");
}

#[test]
fn the_bundled_orders_cost_what_was_measured() {
    let (weekly, delay) = price(bundled(), &Policy::weekly(10));
    near(&weekly, &[0.133, 0.263, 0.512], 0.003);
    near(&delay, &[23.2, 98.4], 1.0);
    let (daily, delay) = price(bundled(), &Policy::daily_without_hold(10));
    near(&daily, &[0.134, 0.270, 0.528], 0.003);
    near(&delay, &[8.5, 84.1], 1.0);
    let (patient, delay) = price(bundled(), &Policy { open_at_most: None, ..Policy::protocol(10) });
    near(&patient, &[0.133, 0.266, 0.526], 0.01);
    near(&delay, &[15.2, 87.1], 1.5);
    // Ending cohorts after 400 days costs two points, and takes the longest delays with it.
    let (ended, delay) = price(bundled(), &Policy::protocol(10));
    near(&ended, &[0.153, 0.286, 0.535], 0.01);
    near(&delay, &[15.0, 75.0], 1.5);
}

#[test]
fn dense_shops_lose_nothing_and_wait_days() {
    let density = Density { orders_per_day: 30.0, review_share: 0.05 };
    let made = publication::resample(bundled(), density, 1).unwrap();
    let (unpublished, delay) = price(&made.orders, &Policy::fast(10));
    assert!(unpublished[0] < 0.01, "{unpublished:?}");
    assert!(delay[0] <= 3.5 && delay[1] <= 5.0, "{delay:?}");
    let rows: HashSet<&str> = made.known.iter().map(|order| order.order_id.as_str()).collect();
    assert_eq!(rows.len(), made.known.len(), "a row stands in two shops");
}

fn accounts(orders: &[Order], cohort: &Cohort) -> usize {
    cohort.members.iter().map(|&order| &orders[order].customer).collect::<HashSet<_>>().len()
}

#[test]
fn every_cohort_keeps_the_rules() {
    let mut orders = bundled().to_vec();
    // Regulars: one order in four is by one of three customers.
    for (index, order) in orders.iter_mut().enumerate().filter(|(index, _)| index % 4 == 0) {
        order.purchase.customer = format!("regular {}", index / 4 % 3);
    }
    for k in [2, 10, 25] {
        for policy in [Policy::protocol(k), Policy::fast(k), Policy::weekly(k), Policy::daily_without_hold(k)]
        {
            let cohorts = publication::play(&orders, &policy, 1);
            assert!(!cohorts.is_empty());
            let mut seen = HashSet::new();
            for cohort in &cohorts {
                assert!(accounts(&orders, cohort) >= k);
                if policy.once_per_account {
                    assert_eq!(accounts(&orders, cohort), cohort.members.len());
                }
                for &order in &cohort.members {
                    assert!(seen.insert(order), "an order is in two cohorts");
                    assert!(policy.numbers_die_at(&orders[order]) < cohort.boundaries[0]);
                    assert_eq!(policy.classes.of(&orders[order]), cohort.class);
                    assert_eq!(orders[order].merchant, orders[cohort.members[0]].merchant);
                }
                for &(order, boundary) in &cohort.published {
                    let written = orders[order].reviewed_at.unwrap();
                    assert!(cohort.members.contains(&order) && written < cohort.boundaries[boundary]);
                    assert!(boundary == 0 || written >= cohort.boundaries[boundary - 1]);
                }
            }
        }
    }
}

#[test]
fn a_cohort_is_sealed_by_its_customers_times_its_days() {
    let rules = Policy::protocol(10);
    // Without a past: 30 days and 300 order-days.
    assert!(!rules.seals(9, 400.0, None));
    assert!(!rules.seals(10, 29.0, None));
    assert!(rules.seals(10, 30.0, None));
    // 0.5 a day: 10 days, 300. 30 a day: a sixth of a day, 30.
    assert!(!rules.seals(10, 29.0, Some(0.5)) && rules.seals(30, 10.0, Some(0.5)));
    assert!(!rules.seals(31, 9.0, Some(0.5)));
    assert!(rules.seals(30, 1.0, Some(30.0)) && !rules.seals(29, 1.0, Some(30.0)));
}

#[test]
fn the_rating_comes_near_what_was_submitted_and_its_interval_holds_it() {
    let policy = Policy::protocol(10);
    let cohorts = publication::play(bundled(), &policy, 1);
    for (date, shops) in [("2017-10-12", 28), ("2018-03-11", 43), ("2018-08-08", 55)] {
        let now = calendar::parse_moment(date).unwrap();
        let [_, middling, large] = ratings::accuracy(bundled(), bundled(), &policy, &cohorts, now);
        let named = format!("{date}: {middling:?} {large:?}");
        assert_eq!(middling.shops, shops, "{named}");
        assert!(middling.rating[0].abs() <= 0.03 && middling.rating[1] <= 0.11, "{named}");
        assert!(middling.published[1] > 1.3 * middling.rating[1], "{named}");
        assert!(middling.covered >= 0.86 && large.covered >= 0.78, "{named}");
        assert!(large.rating[0].abs() <= 0.04 && large.rating[1] <= 0.05, "{named}");
        assert!(middling.bad_rating[1] < 0.7 * middling.bad_published[1], "{named}");
    }
    let [_, middling, large] = ratings::accuracy(
        bundled(),
        bundled(),
        &policy,
        &cohorts,
        calendar::parse_moment("2018-08-08").unwrap(),
    );
    assert!(middling.published[0] > 0.15, "the published average flatters: {middling:?}");
    assert!(middling.covered <= 0.97 && large.rating[0].abs() <= 0.03, "{middling:?} {large:?}");
}

/// Where one customer in five reviews, what was submitted is itself a sample: the interval is for all customers.
#[test]
fn the_interval_holds_what_the_silent_customers_think_too() {
    let policy = Policy::protocol(10);
    let now = calendar::parse_moment("2018-08-08").unwrap();
    let mut random = unjoin_linkage::random::SplitMix64::new(5);
    let samples: Vec<[ratings::Accuracy; 3]> = (0..12)
        .map(|_| {
            let mut orders = bundled().to_vec();
            for order in orders.iter_mut().filter(|_| random.unit() >= 0.2) {
                (order.stars, order.reviewed_at) = (None, None);
            }
            let cohorts = publication::play(&orders, &policy, 1);
            ratings::accuracy(&orders, bundled(), &policy, &cohorts, now)
        })
        .collect();
    for size in [1, 2] {
        let mean = |of: fn(&ratings::Accuracy) -> f64| {
            samples.iter().map(|sample| of(&sample[size])).sum::<f64>() / samples.len() as f64
        };
        let covered = mean(|sample| sample.covered);
        let errors = [mean(|sample| sample.rating[0]), mean(|sample| sample.published[0])];
        let squares = [mean(|sample| sample.rating[1]), mean(|sample| sample.published[1])];
        assert!((0.84..=0.97).contains(&covered), "{size}: {covered} {errors:?} {squares:?}");
        assert!(
            errors[0].abs() <= 0.03 && squares[0] < 0.75 * squares[1],
            "{size}: {covered} {errors:?} {squares:?}"
        );
    }
}

/// Ten shops of some hundred orders each.
fn small_table() -> Vec<Order> {
    let shops: HashSet<String> = (40..50).map(|shop| format!("d{shop:04}")).collect();
    bundled().iter().filter(|order| shops.contains(&order.merchant)).cloned().collect()
}

#[test]
fn the_truth_of_an_attacked_shop_is_not_learnt_from() {
    let orders = small_table();
    let shop = orders[0].merchant.clone();
    let mut other_truth = orders.clone();
    for order in other_truth.iter_mut().filter(|order| order.merchant == shop) {
        order.stars = order.stars.map(|stars| 6 - stars);
        order.reviewed_at = order.reviewed_at.map(|written| written + 5 * DAY);
    }
    let learn = |orders: &[Order]| Knowledge::learn(orders, orders, 1, &|| {});
    let (before, after) = (learn(&orders), learn(&other_truth));
    let mut others_differ = false;
    for (number, order) in orders.iter().enumerate() {
        let same = before.chance_of_bad(number) == after.chance_of_bad(number);
        assert!(same || order.merchant != shop);
        others_differ |= !same;
    }
    assert!(others_differ);
}

#[test]
fn the_attack_beats_guessing_and_the_quick_policy_is_the_weakest() {
    let orders = small_table();
    let knowledge = Knowledge::learn(&orders, &orders, 1, &|| {});
    let linked = |policy: &Policy| {
        let cohorts = publication::play(&orders, policy, 1);
        let named = knowledge.attack(&orders, &cohorts, 1);
        measures::measure(&orders, &cohorts, &named)
    };
    let quick = linked(&Policy::daily_without_hold(10));
    let ours = linked(&Policy::protocol(10));
    let size = quantile(&[quick.median_cohort], 0.5);
    assert!(quick.groups[0].linked.share > 1.2 / size, "{quick:?}");
    assert!(quick.groups[0].linked.share > 1.2 * ours.groups[0].linked.share, "{quick:?} {ours:?}");
    assert!(ours.groups[0].sure < 0.5 * quick.groups[0].sure, "{quick:?} {ours:?}");
}

/// A weak attack proves nothing: it must see the old policies as they were seen when the rules were chosen. There an
/// order was late from the start of the promised day on, not from its end.
#[test]
fn the_attack_is_as_strong_as_it_was_when_the_rules_were_chosen() {
    let orders: Vec<Order> = bundled()
        .iter()
        .cloned()
        .map(|mut order| {
            order.purchase.estimated_at -= DAY;
            order
        })
        .collect();
    let knowledge = Knowledge::learn(&orders, &orders, 1, &|| {});
    let [weekly, daily] = [Policy::weekly(10), Policy::daily_without_hold(10)]
        .map(|policy| linked(&orders, &knowledge, &policy).0);
    assert!(weekly[0] >= 0.95 && weekly[1] >= 1.5 && weekly[2] >= 1.2, "{weekly:?}");
    assert!(daily[0] >= 1.45 && daily[1] >= 1.9 && daily[2] >= 1.5, "{daily:?}");
}

#[test]
fn the_rules_hide_more_than_a_daily_grid_without_hold() {
    let knowledge = Knowledge::learn(bundled(), bundled(), 1, &|| {});
    let linked = |policy: &Policy| linked(bundled(), &knowledge, policy);
    let (weekly, _) = linked(&Policy::weekly(10));
    assert!(weekly[0] >= 0.95 && weekly[1] >= 1.4 && weekly[2] >= 1.0, "{weekly:?}");
    let (daily, sure) = linked(&Policy::daily_without_hold(10));
    assert!(daily[0] >= 1.45 && daily[1] >= 1.9 && daily[2] >= 1.1 && sure > 0.005, "{daily:?}");
    // Of 8,443 reviews one is named with a chance of more than nine tenths: of .906.
    let rules = Policy::protocol(10);
    let (hidden, sure) = linked(&rules);
    assert!(
        hidden[0] <= 1.15 && hidden[1] <= 1.85 && hidden[2] <= 1.4 && sure < 0.000_5,
        "{hidden:?} {sure}"
    );
    let Entry::Dead { embargo, draw, .. } = rules.entry else { panic!("{rules:?}") };
    let patient = Policy { entry: Entry::Dead { embargo, hold: 4 * DAY, draw }, ..rules };
    let (hidden, sure) = linked(&patient);
    assert!(hidden[0] <= 1.1 && hidden[1] <= 1.8 && hidden[2] <= 1.4 && sure == 0.0, "{hidden:?} {sure}");
}

/// In units of 1/k, and the share of those that are named with more than nine tenths.
fn linked(orders: &[Order], knowledge: &Knowledge, policy: &Policy) -> ([f64; 3], f64) {
    let cohorts = publication::play(orders, policy, 1);
    let named = knowledge.attack(orders, &cohorts, 1);
    let groups = measures::measure(orders, &cohorts, &named).groups;
    assert_eq!(named.len(), groups[0].published);
    (groups.map(|group| group.linked.share * policy.k as f64), groups[0].sure)
}

#[test]
fn a_gang_that_buys_orders_seldom_finds_its_victim_alone() {
    let (rules, daily) = (Policy::protocol(10), Policy::daily_without_hold(10));
    for bought in [9, 40, 100] {
        assert!(gangs::alone_by_calendar(&rules, 0.1, bought, 1) <= 0.2);
        assert!(gangs::alone_by_calendar(&rules, 0.5, bought, 1) <= 0.05);
        assert!(gangs::alone_at_once(&rules, 0.1, bought, 1) <= 0.1);
        // The gang is able: without an age the victim is alone nine times in ten.
        assert!(gangs::alone_by_calendar(&daily, 0.1, bought, 1) >= 0.85);
        // And where orders are very few, nothing is promised.
        assert!(gangs::alone_by_calendar(&rules, 0.025, bought, 1) >= 0.5);
    }
}

#[test]
fn a_presser_who_watches_learns_little_from_mondays() {
    assert!(gangs::presser(gangs::on_a_monday, 10, 1) <= 0.15);
    assert!(gangs::presser(gangs::at_midnight, 10, 1) >= 0.4);
    // Who takes ten weeks over ten suspects learns more: it is the number of Mondays that tells.
    assert!((gangs::presser(gangs::on_a_monday, 10, 7) - 0.4).abs() < 0.02);
}

#[test]
fn a_regular_is_no_likelier_the_author_than_anybody() {
    let orders = gangs::shops_with_regulars(bundled(), 1).unwrap();
    let right = |once_per_account| {
        gangs::guess_the_regular(&orders, &Policy { once_per_account, ..Policy::fast(10) }, 1)
    };
    assert!(right(false) > 1.4 && (right(true) - 1.0).abs() < 0.1);
    assert!(warnings::regulars(&orders) > 0.2 && warnings::regulars(bundled()) < 0.05);
}

#[test]
fn who_asked_late_is_no_likelier_the_author_if_wallets_ask_whether_their_owners_write_or_not() {
    for share in [0.05, 0.2, 0.5] {
        let right = |late| gangs::guess_who_asked_late(late, share, 10, 1);
        assert!((right(gangs::Late::AtRandom) - 1.0).abs() < 0.1, "{share}");
        assert!(right(gangs::Late::ToWrite) > 1.2, "{share}");
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("planner-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn run(&self, arguments: &[&str]) -> std::result::Result<(), String> {
        let (orders, out) = (self.0.join("orders.csv"), self.0.join("out"));
        let paths = ["planner", "--orders", orders.to_str().unwrap(), "--out", out.to_str().unwrap()];
        run(&Options::parse_from(paths.iter().chain(arguments))).map_err(|error| error.to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HEADER: &str = "order_id,merchant,customer,purchased_at,delivered_at,estimated_at,status,category,price,freight,items,\
                      state,stars,reviewed_at\n";
const ROW: &str = "a,m,c,2017-01-10 16:31:22,2017-01-20 15:44:38,2017-02-20,delivered,books,48.9,15.56,1,RJ,";

#[test]
fn a_table_that_cannot_be_used_is_refused_in_a_sentence() {
    let scratch = Scratch::new("refused");
    let refused = |table: &str, arguments: &[&str]| {
        fs::write(scratch.0.join("orders.csv"), format!("{HEADER}{table}")).unwrap();
        scratch.run(arguments).unwrap_err()
    };
    assert!(refused(&format!("{ROW},\n"), &[]).contains("orders.csv: no order has a review"));
    assert!(refused(&format!("{ROW}7,2017-01-26\n"), &[]).contains("line 2"));
    let good = format!("{ROW}5,2017-01-26\n");
    assert!(refused(&good, &["--orders-per-day", "30"]).contains("too few reviewed orders"));
    assert!(refused(&good, &["--orders-per-day", "0"]).contains("between 0.1 and 1000"));
    assert!(refused(&good, &["--orders-per-day", "9", "--review-share", "2"]).contains("--review-share"));
    fs::remove_file(scratch.0.join("orders.csv")).unwrap();
    assert!(scratch.run(&[]).unwrap_err().contains("orders.csv"));
}

#[test]
fn one_review_of_one_shop_is_enough_to_run() {
    let scratch = Scratch::new("one");
    fs::write(scratch.0.join("orders.csv"), format!("{HEADER}{ROW}5,2017-01-26\n")).unwrap();
    scratch.run(&["--k", "2"]).unwrap();
    for file in ["planner-light.svg", "planner-dark.svg"] {
        let picture = fs::read_to_string(scratch.0.join("out").join(file)).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    }
}
