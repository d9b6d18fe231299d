//! What a policy costs and what it hides: how often the attack names the author, what never appears, how long it takes.

use std::collections::{BTreeMap, HashMap};

use crate::{calendar::DAY, data::Order, dated::Named, publication::Cohort};

/// Whose reviews are counted. A one-star review of a late order is the one that a gang goes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Every review.
    All,
    /// One or two stars.
    Bad,
    /// One or two stars, of an order that came late or failed.
    BadLate,
}

impl Group {
    /// All groups, the largest first.
    pub const EACH: [Self; 3] = [Self::All, Self::Bad, Self::BadLate];

    fn holds(self, order: &Order) -> bool {
        let is_bad = order.stars.is_some_and(|stars| stars <= 2);
        match self {
            Self::All => true,
            Self::Bad => is_bad,
            Self::BadLate => is_bad && order.late_or_failed(),
        }
    }
}

/// Sizes of shops, by their orders in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// Under 60 orders.
    Small,
    /// 60 to 300 orders.
    Middling,
    /// Over 300 orders.
    Large,
}

impl Size {
    /// All sizes, the smallest first.
    pub const EACH: [Self; 3] = [Self::Small, Self::Middling, Self::Large];

    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "under 60 orders",
            Self::Middling => "60 to 300 orders",
            Self::Large => "over 300 orders",
        }
    }

    fn of(orders: usize) -> Self {
        match orders {
            0..60 => Self::Small,
            60..=300 => Self::Middling,
            _ => Self::Large,
        }
    }
}

/// A share and its standard error. Reviews of one merchant are attacked together, so it is that of a ratio over
/// merchants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// From 0 to 1, or in units of 1/k.
    pub share: f64,
    /// Its standard error.
    pub error: f64,
}

/// What a policy costs a group of reviews, and what it hides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measures {
    /// Reviews that customers wrote.
    pub written: usize,
    /// Reviews that appeared.
    pub published: usize,
    /// Of the published, whose author the attack names first.
    pub linked: Rate,
    /// Of the published, those of whose author the attacker is more than nine tenths sure.
    pub sure: f64,
    /// The worst tenth has no more than so many equally likely authors.
    pub anonymity_tenth: f64,
    /// Days from writing to publication: median and 90th percentile.
    pub delay: [f64; 2],
}

impl Measures {
    /// The share that never appeared.
    pub fn unpublished(&self) -> f64 {
        if self.written == 0 { 0.0 } else { 1.0 - self.published as f64 / self.written as f64 }
    }
}

/// What one policy comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// In the order of the groups.
    pub groups: [Measures; 3],
    /// The same for shops of each size.
    pub by_size: [[Measures; 3]; 3],
    /// How many were sealed.
    pub cohorts: usize,
    /// Customers of the median cohort.
    pub median_cohort: f64,
}

impl Outcome {
    /// The same policy under two attacks: for each group what the stronger one sees.
    pub fn or_stronger(mut self, other: &Self) -> Self {
        let own = self.groups.iter_mut().chain(self.by_size.iter_mut().flatten());
        for (own, other) in own.zip(other.groups.iter().chain(other.by_size.iter().flatten())) {
            if other.linked.share > own.linked.share {
                own.linked = other.linked;
            }
            own.sure = own.sure.max(other.sure);
            own.anonymity_tenth = own.anonymity_tenth.min(other.anonymity_tenth);
        }
        self
    }
}

const SURE: f64 = 0.9;

/// `named` is what the attack says of the published reviews of the cohorts, in any order.
pub fn measure(orders: &[Order], cohorts: &[Cohort], named: &[Named]) -> Outcome {
    let mut of_shop: HashMap<&str, usize> = HashMap::new();
    orders.iter().for_each(|order| *of_shop.entry(&order.merchant).or_default() += 1);
    let size = |order: &Order| Size::of(of_shop[order.merchant.as_str()]);
    let appeared: HashMap<usize, i64> = cohorts
        .iter()
        .flat_map(|cohort| cohort.published.iter().map(|&(order, at)| (order, cohort.boundaries[at])))
        .collect();
    let of = |group: Group, only: Option<Size>| {
        let counts = |order: &Order| group.holds(order) && only.is_none_or(|only| size(order) == only);
        measures(orders, &appeared, named, &counts)
    };
    let members = sorted(cohorts.iter().map(|cohort| cohort.members.len() as f64));
    Outcome {
        groups: Group::EACH.map(|group| of(group, None)),
        by_size: Size::EACH.map(|size| Group::EACH.map(|group| of(group, Some(size)))),
        cohorts: cohorts.len(),
        median_cohort: quantile(&members, 0.5),
    }
}

fn measures(
    orders: &[Order],
    appeared: &HashMap<usize, i64>,
    named: &[Named],
    counts: &dyn Fn(&Order) -> bool,
) -> Measures {
    let mut written = 0;
    let mut delays = Vec::new();
    for (index, order) in orders.iter().enumerate().filter(|(_, order)| counts(order)) {
        let Some(written_at) = order.stars.and(order.reviewed_at) else { continue };
        written += 1;
        if let Some(at) = appeared.get(&index) {
            delays.push((at - written_at).max(0) as f64 / DAY as f64);
        }
    }
    let named: Vec<&Named> = named.iter().filter(|named| counts(&orders[named.order])).collect();
    let sure = named.iter().filter(|named| named.confidence > SURE).count();
    let sets = sorted(named.iter().map(|named| named.anonymity_set));
    let published = delays.len();
    let delays = sorted(delays.into_iter());
    Measures {
        written,
        published,
        linked: clustered(named.iter().map(|named| (orders[named.order].merchant.as_str(), named.correct))),
        sure: sure as f64 / named.len().max(1) as f64,
        anonymity_tenth: quantile(&sets, 0.1),
        delay: [quantile(&delays, 0.5), quantile(&delays, 0.9)],
    }
}

/// The share of hits, with the linearised standard error of a ratio whose clusters are the merchants.
fn clustered<'a>(reviews: impl Iterator<Item = (&'a str, bool)>) -> Rate {
    let mut merchants: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (merchant, hit) in reviews {
        let (hits, count) = merchants.entry(merchant).or_default();
        *hits += f64::from(u8::from(hit));
        *count += 1.0;
    }
    let hits: f64 = merchants.values().map(|merchant| merchant.0).sum();
    let count: f64 = merchants.values().map(|merchant| merchant.1).sum();
    if count == 0.0 {
        return Rate::default();
    }
    let share = hits / count;
    let squares: f64 =
        merchants.values().map(|(hits, count)| (hits - share * count) * (hits - share * count)).sum();
    let clusters = merchants.len() as f64;
    let correction = if clusters > 1.0 { clusters / (clusters - 1.0) } else { 1.0 };
    Rate { share, error: (correction * squares).sqrt() / count }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Linear between the two nearest ranks; nothing has the quantile 0.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part * sorted.len().saturating_sub(1) as f64;
    let at = |rank: f64| sorted.get(rank as usize).copied().unwrap_or_default();
    let (low, high) = (at(position.floor()), at(position.ceil()));
    low + (high - low) * position.fract()
}
