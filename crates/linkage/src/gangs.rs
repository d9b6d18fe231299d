//! Gangs that do not guess by stars and dates: they buy orders, press suspects and watch, or count on regulars.

use std::collections::BTreeMap;

use crate::{
    calendar::DAY,
    data::Order,
    publication::{self, Density, Entry, Policy},
    random::SplitMix64,
    table::aligned,
};

/// Honest orders a day of the class.
const RATES: [f64; 3] = [0.025, 0.1, 0.5];
/// Orders of the gang's own that it puts into a cohort.
const BOUGHT: [usize; 3] = [9, 40, 100];
const VICTIMS: usize = 4_000;

/// The tables of all gangs, as text; for cohorts of `k` customers.
pub fn report(source: &[Order], k: usize, seed: u64) -> String {
    let rules = Policy::protocol(k);
    let mut text = floods(
        &[
            ("weekly", Policy::weekly(k)),
            ("daily, no age", Policy::daily_without_hold(k)),
            ("the rules", rules),
        ],
        seed,
    );
    text.push('\n');
    text.push_str(&pressers(k));
    text.push('\n');
    text.push_str(&regulars(source, k, seed));
    text.push('\n');
    text.push_str(&late_askers(k, seed));
    text
}

/// Honest orders of one class: when they join.
fn arrivals(rate: f64, random: &mut SplitMix64) -> Vec<i64> {
    let mut at = 20_000.0 * DAY as f64;
    let next = |_| {
        at += -(1.0 - random.unit()).ln() / rate * DAY as f64;
        at as i64
    };
    (0..VICTIMS).map(next).collect()
}

/// The age of a cohort at a boundary, as the policy counts it.
fn age(policy: &Policy, since: i64, boundary: i64) -> f64 {
    match policy.entry {
        Entry::Due { .. } => (boundary - since) as f64 / DAY as f64,
        Entry::Dead { .. } => ((boundary - since) as f64 / policy.period as f64).ceil(),
    }
}

/// The first boundary at or after `from` at which a cohort of so many is sealed, if that is before `until`.
fn sealed_at(policy: &Policy, accounts: usize, rate: f64, since: i64, from: i64, until: i64) -> Option<i64> {
    let mut boundary = policy.boundary_after(from);
    while boundary < until {
        if policy.seals(accounts, age(policy, since, boundary), Some(rate)) {
            return Some(boundary);
        }
        boundary += policy.period;
    }
    None
}

/// How often the victim is the only honest customer of its cohort, if the gang's orders come at once: they open an
/// empty cohort at the boundary before the victim joins.
pub fn alone_at_once(policy: &Policy, rate: f64, bought: usize, seed: u64) -> f64 {
    let joins = arrivals(rate, &mut SplitMix64::new(seed));
    let alone = joins.windows(3).filter(|near| {
        let opened = policy.boundary_after(near[1]) - policy.period;
        near[0] < opened && sealed_at(policy, bought + 1, rate, opened, near[1], near[2]).is_some()
    });
    alone.count() as f64 / (joins.len() - 2) as f64
}

/// The same for a gang that knows all honest joining times ahead. It fills the open cohort right after the customer
/// before the victim, opens the next one with the same accounts, lets it age, and fills it when the victim has joined.
pub fn alone_by_calendar(policy: &Policy, rate: f64, bought: usize, seed: u64) -> f64 {
    let joins = arrivals(rate, &mut SplitMix64::new(seed));
    // The open cohort of honest customers: since when, and how many.
    let mut open: Option<(i64, usize)> = None;
    let mut alone = 0;
    for near in joins.windows(3) {
        let (before, victim, after) = (near[0], near[1], near[2]);
        let (since, honest) = open.map_or((before, 1), |(since, honest)| (since, honest + 1));
        let flushed = sealed_at(policy, honest + bought, rate, since, before, victim);
        let seals = |opened| sealed_at(policy, bought + 1, rate, opened, victim, after).is_some();
        alone += usize::from(flushed.is_some_and(seals));
        // What would have been without the gang.
        open = match sealed_at(policy, honest, rate, since, before, victim) {
            Some(_) => None,
            None => Some((since, honest)),
        };
    }
    alone as f64 / (joins.len() - 2) as f64
}

fn floods(policies: &[(&str, Policy)], seed: u64) -> String {
    let mut rows = Vec::new();
    for (name, policy) in policies {
        for bought in BOUGHT {
            let mut row = vec![(*name).to_owned(), bought.to_string()];
            for alone in [alone_at_once, alone_by_calendar] {
                row.extend(RATES.map(|rate| format!("{:.2}", alone(policy, rate, bought, seed))));
            }
            rows.push(row);
        }
    }
    let title = "Bought orders: how often the victim is the only honest customer of its cohort";
    let header = [
        "policy",
        "bought",
        "at once: .025 a day",
        ".1 a day",
        ".5 a day",
        "by calendar: .025 a day",
        ".1 a day",
        ".5 a day",
    ];
    aligned(title, &header, rows)
}

/// When an author's withdrawal takes effect: on which days, and how likely each.
type Effect = fn(pressed: i64) -> Vec<(i64, f64)>;

/// The device sends it within a day of the pressing, which is at noon: half of the times before midnight.
pub fn at_midnight(pressed: i64) -> Vec<(i64, f64)> {
    vec![(pressed + 1, 0.5), (pressed + 2, 0.5)]
}

/// At one of the three Mondays after the sending; day 0 is a Monday.
pub fn on_a_monday(pressed: i64) -> Vec<(i64, f64)> {
    let monday = |sent: i64| sent - sent.rem_euclid(7) + 7;
    let sent = [pressed, pressed + 1];
    sent.iter().flat_map(|&sent| (0..3).map(move |week| (monday(sent) + 7 * week, 1.0 / 6.0))).collect()
}

/// How often the presser is right who presses one suspect after the other and names the likeliest when the review
/// vanishes, on average over the weekday on which he begins.
pub fn presser(effect: Effect, suspects: i64, days_between: i64) -> f64 {
    let mut right = 0.0;
    for start in 0..7 {
        let mut best: BTreeMap<i64, f64> = BTreeMap::new();
        for suspect in 0..suspects {
            let mut chances: BTreeMap<i64, f64> = BTreeMap::new();
            for (day, chance) in effect(start + suspect * days_between) {
                *chances.entry(day).or_default() += chance / suspects as f64;
            }
            for (day, chance) in chances {
                let most = best.entry(day).or_default();
                *most = most.max(chance);
            }
        }
        right += best.values().sum::<f64>() / 7.0;
    }
    right
}

fn pressers(k: usize) -> String {
    let suspects = k as i64;
    let row = |name: &str, days_between| {
        vec![
            name.to_owned(),
            format!("{:.2}", presser(at_midnight, suspects, days_between)),
            format!("{:.2}", presser(on_a_monday, suspects, days_between)),
        ]
    };
    let title =
        format!("A presser of {k} suspects who watches the listing: how often his best guess is right");
    let rows = vec![row("one suspect a day", 1), row("one every other day", 2), row("one a week", 7)];
    aligned(&title, &["policy", "effect at midnight", "on one of three Mondays"], rows)
}

/// One order in two is by a regular: somebody of so many, the first of whom come most often.
const REGULARS: f64 = 40.0;

/// "It was the regular": right how often, as a multiple of one in so many customers of the cohort.
pub fn guess_the_regular(orders: &[Order], policy: &Policy, seed: u64) -> f64 {
    let (mut right, mut blind) = (0.0, 0.0);
    for cohort in publication::play(orders, policy, seed) {
        let mut of_customer: BTreeMap<&str, usize> = BTreeMap::new();
        for &order in &cohort.members {
            *of_customer.entry(&orders[order].customer).or_default() += 1;
        }
        let Some(most) = of_customer.values().max().copied() else { continue };
        let named: Vec<&str> =
            of_customer.iter().filter(|(_, count)| **count == most).map(|(&customer, _)| customer).collect();
        for &(author, _) in &cohort.published {
            blind += 1.0 / of_customer.len() as f64;
            if named.contains(&orders[author].customer.as_str()) {
                right += 1.0 / named.len() as f64;
            }
        }
    }
    if blind == 0.0 { 0.0 } else { right / blind }
}

/// Shops of ten orders a day with regulars; `None` if the table has too few rows for them.
pub fn shops_with_regulars(source: &[Order], seed: u64) -> Option<Vec<Order>> {
    let mut orders =
        publication::resample(source, Density { orders_per_day: 10.0, review_share: 0.05 }, seed)?.orders;
    let mut random = SplitMix64::new(!seed);
    for order in &mut orders {
        if random.unit() < 0.5 {
            order.purchase.customer = format!("{} {}", order.merchant, REGULARS.powf(random.unit()) as usize);
        }
    }
    Some(orders)
}

fn regulars(source: &[Order], k: usize, seed: u64) -> String {
    let Some(orders) = shops_with_regulars(source, seed) else { return String::new() };
    let row = |name: &str, once_per_account| {
        let policy = Policy { once_per_account, ..Policy::fast(k) };
        vec![name.to_owned(), format!("{:.2}", guess_the_regular(&orders, &policy, seed))]
    };
    let title = "Naming the customer with the most orders in the cohort: how often right, in units of one in all its customers";
    let rows =
        vec![row("every order of an account", false), row("one order of an account in a cohort", true)];
    aligned(title, &["policy", "right"], rows)
}

const COHORTS: usize = 20_000;
const REVIEW_SHARE: f64 = 0.05;

/// Wallets that were not woken in time, and when they ask for their token.
#[derive(Clone, Copy, PartialEq)]
pub enum Late {
    /// When their owner begins a review. Whoever never writes has no token.
    ToWrite,
    /// At a random time, whether their owner writes or not.
    AtRandom,
}

/// How often whoever knows which of the n customers of a cohort asked late names the author, as a multiple of 1/n, if
/// one customer in twenty reviews: he names somebody who asked late, if there is one.
pub fn guess_who_asked_late(late: Late, share: f64, n: usize, seed: u64) -> f64 {
    let mut random = SplitMix64::new(seed);
    // Of the customers of a cohort.
    let asked_late = match late {
        Late::ToWrite => share * REVIEW_SHARE / (1.0 - share + share * REVIEW_SHARE),
        Late::AtRandom => share,
    };
    let (mut right, mut reviews) = (0.0, 0.0);
    for _ in 0..COHORTS {
        let (mut lates, mut authors, mut late_authors) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let is_late = random.unit() < asked_late;
            let writes = is_late && late == Late::ToWrite || random.unit() < REVIEW_SHARE;
            lates += f64::from(u8::from(is_late));
            authors += f64::from(u8::from(writes));
            late_authors += f64::from(u8::from(is_late && writes));
        }
        reviews += authors;
        // For each review one of those that he would name, each as likely as another.
        right += if lates > 0.0 { late_authors / lates } else { authors / n as f64 };
    }
    right / reviews * n as f64
}

fn late_askers(k: usize, seed: u64) -> String {
    let row = |name: &str, late| {
        let right =
            [0.05, 0.2, 0.5].map(|share| format!("{:.2}", guess_who_asked_late(late, share, k, seed)));
        std::iter::once(name.to_owned()).chain(right).collect()
    };
    let title = format!(
        "Naming a customer who asked late for his token: how often right, in units of 1/{k}, of a cohort of {k}, one in \
         twenty reviewing"
    );
    let rows = vec![
        row("they ask when a review is begun", Late::ToWrite),
        row("they ask at a random time, written or not", Late::AtRandom),
    ];
    aligned(&title, &["policy", "5 % late", "20 %", "50 %"], rows)
}
