//! The attack in numbers, and what the platform pays for them.

use std::collections::HashMap;

use super::Link;
use crate::{
    calendar::DAY,
    data::{Exports, Order, PortalOrder},
};

/// Whose reviews are counted. A one-star review of a late order is the one that a gang goes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    All,
    Bad,
    BadOfLateOrFailed,
}

impl Group {
    pub(crate) const EACH: [Self; 3] = [Self::All, Self::Bad, Self::BadOfLateOrFailed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all reviews",
            Self::Bad => "1-2 stars",
            Self::BadOfLateOrFailed => "1-2 stars, late or failed order",
        }
    }

    fn holds(self, stars: u8, late_or_failed: bool) -> bool {
        match self {
            Self::All => true,
            Self::Bad => stars <= 2,
            Self::BadOfLateOrFailed => stars <= 2 && late_or_failed,
        }
    }
}

/// A share with its standard error. Reviews of one merchant are attacked together, so the error is that of a ratio
/// over merchants, not of so many independent reviews.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub share: f64,
    pub standard_error: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GroupMeasures {
    pub published: usize,
    /// The customer named first is the author.
    pub top_one: Rate,
    /// The customer whom the best one-to-one assignment names is the author.
    pub assigned: Rate,
    /// `top_one` as a multiple of 1/k.
    pub multiple: Rate,
    /// Reviews for which the attacker's own chance is above nine in ten, and how many of these he has right.
    pub linked: f64,
    pub linked_precision: Option<f64>,
    /// Effective number of equally likely authors: median, and the value below which the worst tenth lies.
    pub anonymity_median: f64,
    pub anonymity_tenth: f64,
    /// Share of the written reviews that never appear; `None` if only the exports are known.
    pub unpublished: Option<f64>,
}

/// From the writing of a review to its publication, in days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Delay {
    pub median: f64,
    pub ninetieth: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measures {
    /// In the order of [`Group::EACH`].
    pub groups: [GroupMeasures; 3],
    pub delay: Option<Delay>,
}

/// Above this chance a review counts as linked.
const LINKED: f64 = 0.9;

/// `links` are those of `attack(exports, ..)`; `written` are the orders with all reviews that customers wrote, where
/// they are known; k is the cohort floor, of the platform or of the one it is compared with.
pub(crate) fn measure(exports: &Exports, links: &[Link], written: Option<&[Order]>, k: usize) -> Measures {
    let order_of: HashMap<&str, &PortalOrder> =
        exports.orders.iter().map(|order| (order.order_id.as_str(), order)).collect();
    let attacked: Vec<Attacked<'_>> = exports
        .published
        .iter()
        .zip(links)
        .map(|(review, link)| Attacked {
            merchant: &review.merchant,
            stars: review.stars,
            late_or_failed: order_of
                .get(review.truth_order_id.as_str())
                .is_some_and(|order| order.late_or_failed()),
            link,
        })
        .collect();
    Measures {
        groups: Group::EACH.map(|group| measure_group(group, &attacked, written, k)),
        delay: written.and_then(|written| delay(exports, written)),
    }
}

struct Attacked<'a> {
    merchant: &'a str,
    stars: u8,
    late_or_failed: bool,
    link: &'a Link,
}

fn measure_group(
    group: Group,
    attacked: &[Attacked<'_>],
    written: Option<&[Order]>,
    k: usize,
) -> GroupMeasures {
    let members: Vec<&Attacked<'_>> =
        attacked.iter().filter(|review| group.holds(review.stars, review.late_or_failed)).collect();
    let top_one = clustered_rate(members.iter().map(|review| (review.merchant, review.link.correct)));
    let assigned =
        clustered_rate(members.iter().map(|review| (review.merchant, review.link.assigned_correct)));
    let linked: Vec<bool> = members
        .iter()
        .filter(|review| review.link.confidence > LINKED)
        .map(|review| review.link.correct)
        .collect();
    let anonymity = sorted(members.iter().map(|review| review.link.anonymity_set));
    let unpublished = written.map(|written| {
        let of_group =
            |order: &&Order| order.stars.is_some_and(|stars| group.holds(stars, order.late_or_failed()));
        let all = written.iter().filter(of_group).count();
        ratio(all.saturating_sub(members.len()), all)
    });
    GroupMeasures {
        published: members.len(),
        top_one,
        assigned,
        multiple: Rate { share: top_one.share * k as f64, standard_error: top_one.standard_error * k as f64 },
        linked: ratio(linked.len(), members.len()),
        linked_precision: (!linked.is_empty())
            .then(|| ratio(linked.iter().filter(|&&correct| correct).count(), linked.len())),
        anonymity_median: quantile(&anonymity, 0.5),
        anonymity_tenth: quantile(&anonymity, 0.1),
        unpublished,
    }
}

/// The share of hits, with the linearised standard error of a ratio whose clusters are the merchants.
fn clustered_rate<'a>(reviews: impl Iterator<Item = (&'a str, bool)>) -> Rate {
    let mut of_merchant: HashMap<&str, (f64, f64)> = HashMap::new();
    for (merchant, hit) in reviews {
        let (hits, count) = of_merchant.entry(merchant).or_default();
        *hits += f64::from(u8::from(hit));
        *count += 1.0;
    }
    let mut clusters: Vec<(f64, f64)> = of_merchant.into_values().collect();
    // Sums of floating-point numbers depend on their order, and a map has none.
    clusters.sort_by(|left, right| left.1.total_cmp(&right.1).then(left.0.total_cmp(&right.0)));
    let hits: f64 = clusters.iter().map(|cluster| cluster.0).sum();
    let count: f64 = clusters.iter().map(|cluster| cluster.1).sum();
    if count == 0.0 {
        return Rate { share: 0.0, standard_error: 0.0 };
    }
    let share = hits / count;
    let squares: f64 = clusters.iter().map(|(hits, count)| (hits - share * count).powi(2)).sum();
    let merchants = clusters.len() as f64;
    let correction = if merchants > 1.0 { merchants / (merchants - 1.0) } else { 1.0 };
    Rate { share, standard_error: (correction * squares).sqrt() / count }
}

fn delay(exports: &Exports, written: &[Order]) -> Option<Delay> {
    let written_at: HashMap<&str, i64> = written
        .iter()
        .filter_map(|order| order.reviewed_at.map(|reviewed| (order.order_id.as_str(), reviewed)))
        .collect();
    let days = sorted(exports.published.iter().filter_map(|review| {
        let written = written_at.get(review.truth_order_id.as_str())?;
        // A platform that shows only the day shows a review on the day it was written.
        Some((review.published_at - written).max(0) as f64 / DAY as f64)
    }));
    (!days.is_empty()).then(|| Delay { median: quantile(&days, 0.5), ninetieth: quantile(&days, 0.9) })
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Linear between the two nearest ranks; nothing has the quantile 0.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part * sorted.len().saturating_sub(1) as f64;
    let at = |rank: f64| sorted.get(rank as usize).copied().unwrap_or_default();
    let (low, high) = (at(position.floor()), at(position.ceil()));
    low + (high - low) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_their_ranks() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[3.0], 0.1), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 0.5), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 1.0), 8.0);
    }

    #[test]
    fn the_error_grows_when_hits_come_in_clusters() {
        let names: Vec<String> = (0..50).map(|merchant| merchant.to_string()).collect();
        let reviews = || (0..1_000).map(|review| (names[review % 50].as_str(), review));
        let spread = clustered_rate(reviews().map(|(merchant, review)| (merchant, (review / 50) % 2 == 0)));
        let clustered = clustered_rate(reviews().map(|(merchant, review)| (merchant, review % 2 == 0)));
        assert_eq!((spread.share, clustered.share), (0.5, 0.5));
        assert!(spread.standard_error < 1e-9);
        assert!((clustered.standard_error - 0.5 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_published_is_no_share_and_no_error() {
        assert_eq!(clustered_rate(std::iter::empty()), Rate { share: 0.0, standard_error: 0.0 });
    }
}
