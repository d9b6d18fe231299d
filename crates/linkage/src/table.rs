//! The answer as plain text.

use std::{collections::BTreeSet, fmt::Write};

use crate::{
    calendar::DAY,
    data::Order,
    measures::{Measures, Outcome, Size},
    publication::Policy,
};

/// A policy and what it comes to.
pub struct Row {
    /// As the table calls the policy.
    pub name: String,
    /// What was played.
    pub policy: Policy,
    /// What came out.
    pub outcome: Outcome,
}

/// The row with the least loss among those that hide enough, and of those the one whose reviews appear soonest.
/// `at_most` are the shares of all reviews and of the bad ones whose authors may be named first.
pub fn recommended(rows: &[Row], at_most: [f64; 2]) -> Option<usize> {
    let hides = |row: &&Row| {
        let [all, bad, _] = &row.outcome.groups;
        all.published > 0
            && all.linked.share <= at_most[0]
            && bad.linked.share <= at_most[1]
            && all.sure == 0.0
    };
    let price = |row: &Row| {
        let [all, bad, _] = &row.outcome.groups;
        // Losses that differ by less than two points of a hundred are alike.
        ((bad.unpublished() * 50.0).round(), all.delay[0])
    };
    (0..rows.len()).filter(|&row| rows.get(row).as_ref().is_some_and(hides)).min_by(|&left, &right| {
        price(&rows[left]).partial_cmp(&price(&rows[right])).unwrap_or(std::cmp::Ordering::Equal)
    })
}

/// What the figures are of.
pub fn head(orders: &[Order], orders_per_day: Option<f64>) -> String {
    let shops: BTreeSet<&str> = orders.iter().map(|order| order.merchant.as_str()).collect();
    let reviews = orders.iter().filter(|order| order.reviewed_at.is_some()).count();
    let first = orders.iter().map(|order| order.purchased_at).min().unwrap_or_default();
    let last = orders.iter().map(|order| order.purchased_at).max().unwrap_or_default();
    let made = match orders_per_day {
        Some(rate) => format!(", made of the table's rows: {rate} orders a day and shop, durations in hours"),
        None => String::new(),
    };
    format!(
        "{} orders of {} shops in {} days, {reviews} of them reviewed{made}.\n\
         Linked: the attack by the date names the author first; as a multiple of 1/k, with standard errors by shop.\n\
         Everybody is taken to be of standing. 1/k is no bound for a single review.\n",
        orders.len(),
        shops.len(),
        (last - first) / DAY + 1,
    )
}

/// One line a policy; the recommended one is marked.
pub fn policies(title: &str, rows: &[Row], recommended: Option<usize>) -> String {
    let header = [
        "",
        "policy",
        "linked: all",
        "1-2 stars",
        "1-2, late",
        "> 90 %",
        "never shown: all",
        "1-2 stars",
        "1-2, late",
        "days to appear: all",
        "1-2, late",
        "cohort",
    ];
    let row = |(number, row): (usize, &Row)| {
        let k = row.policy.k as f64;
        let [all, bad, late] = &row.outcome.groups;
        let days = |measures: &Measures| format!("{:.1} / {:.0}", measures.delay[0], measures.delay[1]);
        let lost = |measures: &Measures| format!("{:.1} %", measures.unpublished() * 100.0);
        vec![
            if recommended == Some(number) { "->".to_owned() } else { String::new() },
            row.name.clone(),
            linked(all, k),
            linked(bad, k),
            linked(late, k),
            if all.sure == 0.0 { "none".to_owned() } else { format!("{:.2} %", all.sure * 100.0) },
            lost(all),
            lost(bad),
            lost(late),
            days(all),
            days(late),
            format!("{:.0}", row.outcome.median_cohort),
        ]
    };
    aligned(title, &header, rows.iter().enumerate().map(row).collect())
}

/// The recommended row, for small and large shops.
pub fn by_size(row: &Row) -> String {
    let header = [
        "shops of",
        "reviews",
        "linked: all",
        "1-2 stars",
        "never shown: all",
        "1-2 stars",
        "days to appear",
    ];
    let sizes = Size::EACH.iter().zip(&row.outcome.by_size).filter(|(_, [all, ..])| all.written > 0);
    let cells = sizes.map(|(size, [all, bad, _])| {
        vec![
            size.name().to_owned(),
            all.written.to_string(),
            linked(all, row.policy.k as f64),
            linked(bad, row.policy.k as f64),
            format!("{:.1} %", all.unpublished() * 100.0),
            format!("{:.1} %", bad.unpublished() * 100.0),
            format!("{:.1} / {:.0}", all.delay[0], all.delay[1]),
        ]
    });
    aligned(&format!("Recommended: {}. By size of shop", row.name), &header, cells.collect())
}

fn linked(measures: &Measures, k: f64) -> String {
    if measures.published == 0 {
        return "-".to_owned();
    }
    format!("{:.2} ± {:.2}", measures.linked.share * k, measures.linked.error * k)
}

/// A title, a header and rows; names are set left, figures right.
pub fn aligned(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let mut text = format!("{title}\n");
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(&rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let is_name = |column: usize| {
        header.get(column).is_some_and(|name| name.is_empty() || name == "policy" || name == "shops of")
    };
    for row in std::iter::once(&header).chain(&rows) {
        for (column, cell) in row.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = if is_name(column) {
                write!(text, "  {cell:<width$}", width = width(column))
            } else {
                write!(text, "   {cell:>width$}", width = width(column))
            };
        }
        text.push('\n');
    }
    text
}
