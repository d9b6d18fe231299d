//! The attack in numbers, and what the platform pays for them.

use std::{collections::HashMap, hash::Hash};

use super::{Attack, Known, Link};
use crate::{
    calendar::DAY,
    data::{Exports, Order, PortalOrder},
};

/// Whose reviews are counted. A one-star review of a late order is the one that a gang goes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Every review.
    All,
    /// One or two stars.
    Bad,
    /// One or two stars, of an order that came late or failed.
    BadOfLateOrFailed,
}

impl Group {
    /// All groups, the largest first.
    pub const EACH: [Self; 3] = [Self::All, Self::Bad, Self::BadOfLateOrFailed];

    /// As reports call it.
    pub fn name(self) -> &'static str {
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

/// A share with its standard error. Reviews that compete are attacked together, so the error is that of a ratio over
/// clusters, not of so many independent reviews: merchants, or four weeks of a merchant where there are few merchants.
/// The error is `None` where the data say nothing of it: with fewer than `FEWEST_CLUSTERS`, or where all hit or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// From 0 to 1.
    pub share: f64,
    /// Clustered by pool; `None` where the data say nothing of it.
    pub standard_error: Option<f64>,
}

impl Rate {
    /// Share and error in units of 1/`factor`.
    pub fn times(self, factor: f64) -> Self {
        Self { share: self.share * factor, standard_error: self.standard_error.map(|error| error * factor) }
    }
}

const FEWEST_CLUSTERS: usize = 5;

/// What an attack reached on one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupMeasures {
    /// `None` if no review of the group was attacked.
    pub found: Option<Found>,
    /// Share of the written reviews that never appear; `None` if only the exports are known.
    pub unpublished: Option<f64>,
}

/// What the attack found among the published reviews of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The customer named first is the author.
    pub top_one: Rate,
    /// The customer whom the best one-to-one assignment names is the author.
    pub assigned: Rate,
    /// `top_one` as a multiple of 1/k.
    pub multiple: Rate,
    /// Reviews for which the attacker's own chance is above nine in ten, and how many of these he has right.
    pub linked: f64,
    /// How often the attack is right of those that it is sure of.
    pub linked_precision: Option<f64>,
    /// Effective number of equally likely authors: median, and the value below which the worst tenth lies.
    pub anonymity_median: f64,
    /// Nine of ten reviews hide among at least so many.
    pub anonymity_tenth: f64,
}

/// From the writing of a review to its publication, in days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    pub median: f64,
    pub ninetieth: f64,
}

/// What an attack reached on all groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures {
    /// In the order of [`Group::EACH`].
    pub groups: [GroupMeasures; 3],
    /// From writing to publication, where the times of writing are known.
    pub delay: Option<Delay>,
}

impl Measures {
    /// Of the same reviews, under two attacks: for each group what the stronger one finds.
    pub fn or_stronger(mut self, other: &Self) -> Self {
        for (own, other) in self.groups.iter_mut().zip(&other.groups) {
            if let (Some(own), Some(other)) = (&mut own.found, &other.found) {
                own.take_stronger(other);
            }
        }
        self
    }
}

impl Found {
    fn take_stronger(&mut self, other: &Self) {
        if other.top_one.share > self.top_one.share {
            (self.top_one, self.multiple) = (other.top_one, other.multiple);
        }
        if other.linked > self.linked {
            (self.linked, self.linked_precision) = (other.linked, other.linked_precision);
        }
        self.anonymity_median = self.anonymity_median.min(other.anonymity_median);
        self.anonymity_tenth = self.anonymity_tenth.min(other.anonymity_tenth);
    }
}

/// Above this chance a review counts as linked.
const LINKED: f64 = 0.9;

/// `attack` is that on these exports, if there were enough reviews for one; `written` are the orders with all reviews
/// that customers wrote, where they are known; k is the cohort floor, of the platform or of the one it is compared
/// with.
pub fn measure(exports: &Exports, attack: Option<&Attack>, written: Option<&[Order]>, k: usize) -> Measures {
    let order_of: HashMap<&str, &PortalOrder> =
        exports.orders.iter().map(|order| (order.order_id.as_str(), order)).collect();
    let weeks = attack.is_some_and(|attack| attack.learnt.known == Known::OtherReviews);
    let mut links = attack.map(|attack| attack.links.iter());
    let published: Vec<Published<'_>> = exports
        .published
        .iter()
        .map(|review| Published {
            cluster: (&review.merchant, if weeks { review.published_at.div_euclid(28 * DAY) } else { 0 }),
            stars: review.stars,
            late_or_failed: order_of
                .get(review.truth_order_id.as_str())
                .is_some_and(|order| order.late_or_failed()),
            link: links.as_mut().and_then(Iterator::next),
        })
        .collect();
    Measures {
        groups: Group::EACH.map(|group| measure_group(group, &published, written, k)),
        delay: written.and_then(|written| delay(exports, written)),
    }
}

type Cluster<'a> = (&'a str, i64);

struct Published<'a> {
    cluster: Cluster<'a>,
    stars: u8,
    late_or_failed: bool,
    link: Option<&'a Link>,
}

fn measure_group(
    group: Group,
    published: &[Published<'_>],
    written: Option<&[Order]>,
    k: usize,
) -> GroupMeasures {
    let members: Vec<&Published<'_>> =
        published.iter().filter(|review| group.holds(review.stars, review.late_or_failed)).collect();
    let attacked: Vec<(Cluster<'_>, &Link)> =
        members.iter().filter_map(|review| review.link.map(|link| (review.cluster, link))).collect();
    let unpublished = written.map(|written| {
        let of_group =
            |order: &&Order| order.stars.is_some_and(|stars| group.holds(stars, order.late_or_failed()));
        let all = written.iter().filter(of_group).count();
        ratio(all.saturating_sub(members.len()), all)
    });
    GroupMeasures { found: (!attacked.is_empty()).then(|| found(&attacked, k)), unpublished }
}

fn found(attacked: &[(Cluster<'_>, &Link)], k: usize) -> Found {
    let rate =
        |hit: fn(&Link) -> bool| clustered_rate(attacked.iter().map(|&(cluster, link)| (cluster, hit(link))));
    let top_one = rate(|link| link.correct);
    let linked: Vec<bool> =
        attacked.iter().filter(|(_, link)| link.confidence > LINKED).map(|(_, link)| link.correct).collect();
    let anonymity = sorted(attacked.iter().map(|(_, link)| link.anonymity_set));
    Found {
        top_one,
        assigned: rate(|link| link.assigned_correct),
        multiple: top_one.times(k as f64),
        linked: ratio(linked.len(), attacked.len()),
        linked_precision: (!linked.is_empty())
            .then(|| ratio(linked.iter().filter(|&&correct| correct).count(), linked.len())),
        anonymity_median: quantile(&anonymity, 0.5),
        anonymity_tenth: quantile(&anonymity, 0.1),
    }
}

/// The share of hits, with the linearised standard error of a ratio.
fn clustered_rate<C: Eq + Hash>(reviews: impl Iterator<Item = (C, bool)>) -> Rate {
    let mut of_cluster: HashMap<C, (f64, f64)> = HashMap::new();
    for (cluster, hit) in reviews {
        let (hits, count) = of_cluster.entry(cluster).or_default();
        *hits += f64::from(u8::from(hit));
        *count += 1.0;
    }
    let mut clusters: Vec<(f64, f64)> = of_cluster.into_values().collect();
    // Sums of floating-point numbers depend on their order, and a map has none.
    clusters.sort_by(|left, right| left.1.total_cmp(&right.1).then(left.0.total_cmp(&right.0)));
    let hits: f64 = clusters.iter().map(|cluster| cluster.0).sum();
    let count: f64 = clusters.iter().map(|cluster| cluster.1).sum();
    let share = if count == 0.0 { 0.0 } else { hits / count };
    let is_known = clusters.len() >= FEWEST_CLUSTERS && hits > 0.0 && hits < count;
    let squares: f64 = clusters.iter().map(|(hits, count)| (hits - share * count).powi(2)).sum();
    let number = clusters.len() as f64;
    let standard_error = is_known.then(|| (number / (number - 1.0) * squares).sqrt() / count);
    Rate { share, standard_error }
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
        let reviews = || (0..1_000).map(|review| (review % 50, review));
        let spread = clustered_rate(reviews().map(|(merchant, review)| (merchant, (review / 50) % 2 == 0)));
        let clustered = clustered_rate(reviews().map(|(merchant, review)| (merchant, review % 2 == 0)));
        assert_eq!((spread.share, clustered.share), (0.5, 0.5));
        assert!(spread.standard_error.unwrap() < 1e-9);
        assert!((clustered.standard_error.unwrap() - 0.5 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn an_error_of_which_the_data_say_nothing_is_none_and_not_zero() {
        let rate = |clusters: usize, hit: fn(usize) -> bool| {
            clustered_rate((0..100).map(move |review| (review % clusters, hit(review))))
        };
        for clusters in [1, 2, FEWEST_CLUSTERS - 1] {
            assert_eq!(rate(clusters, |review| review < 30), Rate { share: 0.3, standard_error: None });
        }
        assert!(rate(FEWEST_CLUSTERS, |review| review < 33).standard_error.is_some_and(|error| error > 0.0));
        assert_eq!(rate(20, |_| false), Rate { share: 0.0, standard_error: None });
        assert_eq!(rate(20, |_| true), Rate { share: 1.0, standard_error: None });
    }
}
