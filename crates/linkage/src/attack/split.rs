//! Which links the attacker learns from when he attacks a review: never its own.

use std::{error::Error, fmt};

use super::features::Facts;
use crate::data::Exports;

const FOLDS: usize = 5;
pub(super) const MOST_MODELS: usize = FOLDS * FOLDS;

/// Whose true links the attacker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Those of all merchants of other folds.
    OtherMerchants,
    /// Those of all reviews of other folds, of the attacked merchant too.
    OtherReviews,
}

/// What the attacker's models were trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// Whose links were known.
    pub known: Known,
    /// The links that the model with the fewest was trained on.
    pub links: usize,
}

/// There are too few published reviews to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// How many reviews there are.
    pub published: usize,
}

impl TooFew {
    /// With fewer reviews the models stay near what they start from, and the attack finds little whether or not
    /// there is something to find.
    pub const LEAST: usize = 100;

    pub(super) fn check(exports: &Exports) -> Result<(), Self> {
        let published = exports.published.len();
        if published < Self::LEAST { Err(Self { published }) } else { Ok(()) }
    }
}

impl fmt::Display for TooFew {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.published {
            0 => write!(formatter, "no review is published, so there is nothing to attack")?,
            few => write!(formatter, "{few} published reviews are too few to learn from")?,
        }
        write!(formatter, ": give at least {}; a share would mean nothing", Self::LEAST)
    }
}

impl Error for TooFew {}

/// The folds, and which model may learn what.
///
/// Where merchants are split, a model has seen nothing of the merchants that it weighs. Where reviews are split, orders
/// are too, by themselves: the orders of one merchant stand against each other in the training as in the attack, and a
/// model that has seen one of them taken by another review, or by none, would know too much of it. So there is a model
/// for every fold of reviews and every fold of orders, which has seen neither.
pub(super) struct Split {
    review_fold: Vec<usize>,
    order_fold: Option<Vec<usize>>,
    /// Per review, 0 or 1: within the training, stars are learnt from the other half.
    pub half_of: Vec<usize>,
    pub learnt: Learnt,
}

/// With fewer merchants than this, or with half of all reviews in one fold, what other merchants tell is too little:
/// a shop that is alone would be attacked by someone who has learnt nothing, and look safe.
const FEWEST_MERCHANTS: usize = 10;

impl Split {
    /// `shuffled` are the reviews in an order that does not depend on that of the table.
    pub(super) fn new(facts: &Facts, shuffled: &[usize], order_hash: impl Fn(usize) -> usize) -> Self {
        let reviews = facts.reviews.len();
        let mut split = match merchants(facts) {
            Some(fold_of) => Self {
                review_fold: facts.reviews.iter().map(|review| fold_of[review.merchant]).collect(),
                order_fold: None,
                half_of: facts.reviews.iter().map(|review| review.merchant % 2).collect(),
                learnt: Learnt { known: Known::OtherMerchants, links: 0 },
            },
            None => {
                let (mut review_fold, mut half_of) = (vec![0; reviews], vec![0; reviews]);
                for (place, &review) in shuffled.iter().enumerate() {
                    (review_fold[review], half_of[review]) = (place % FOLDS, place / FOLDS % 2);
                }
                let order_fold = (0..facts.orders.len()).map(|order| order_hash(order) % FOLDS).collect();
                let learnt = Learnt { known: Known::OtherReviews, links: 0 };
                Self { review_fold, order_fold: Some(order_fold), half_of, learnt }
            }
        };
        let links = |model: usize| {
            (0..reviews).filter(|&review| split.may_train(model, review, facts.reviews[review].order)).count()
        };
        split.learnt.links = (0..split.models()).map(links).min().unwrap_or_default();
        split
    }

    pub(super) fn models(&self) -> usize {
        if self.order_fold.is_some() { MOST_MODELS } else { FOLDS }
    }

    /// The model that has seen neither this review's link nor, where orders are split, this order.
    pub(super) fn model_for(&self, review: usize, order: usize) -> usize {
        self.review_fold[review] + FOLDS * self.order_fold.as_ref().map_or(0, |fold| fold[order])
    }

    /// Whether the model may see that this order is there.
    pub(super) fn may_see(&self, model: usize, order: usize) -> bool {
        self.order_fold.as_ref().is_none_or(|fold| fold[order] != model / FOLDS)
    }

    /// Whether the model may learn from the link of this review to this order.
    pub(super) fn may_train(&self, model: usize, review: usize, order: usize) -> bool {
        self.review_fold[review] != model % FOLDS && self.may_see(model, order)
    }
}

/// Merchants dealt out so that folds hold about equally many reviews: the largest first, each to the emptiest fold.
fn merchants(facts: &Facts) -> Option<Vec<usize>> {
    let merchant_of: Vec<usize> = facts.reviews.iter().map(|review| review.merchant).collect();
    let sizes = sizes(&merchant_of, facts.merchants);
    let mut merchants: Vec<usize> = (0..facts.merchants).collect();
    merchants.sort_by_key(|&merchant| (std::cmp::Reverse(sizes[merchant]), merchant));
    let mut load: Vec<(usize, usize)> = (0..FOLDS).map(|fold| (0, fold)).collect();
    let mut fold_of = vec![0; facts.merchants];
    for merchant in merchants {
        if let Some(emptiest) = load.iter_mut().min() {
            emptiest.0 += sizes[merchant];
            fold_of[merchant] = emptiest.1;
        }
    }
    let fullest = load.iter().map(|&(reviews, _)| reviews).max().unwrap_or_default();
    (facts.merchants >= FEWEST_MERCHANTS && 2 * fullest <= facts.reviews.len()).then_some(fold_of)
}

fn sizes(group_of: &[usize], groups: usize) -> Vec<usize> {
    let mut sizes = vec![0; groups];
    group_of.iter().for_each(|&group| sizes[group] += 1);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_for_a_pair_has_seen_neither_the_link_of_the_review_nor_the_order() {
        let split = Split {
            review_fold: (0..40).map(|review| review % FOLDS).collect(),
            order_fold: Some((0..40).map(|order| order / 3 % FOLDS).collect()),
            half_of: Vec::new(),
            learnt: Learnt { known: Known::OtherReviews, links: 0 },
        };
        for (review, order) in (0..40).flat_map(|review| (0..40).map(move |order| (review, order))) {
            let model = split.model_for(review, order);
            assert!(model < split.models());
            assert!(!split.may_see(model, order));
            assert!((0..40).all(|of| !split.may_train(model, review, of)));
            assert!((0..40).all(|by| !split.may_train(model, by, order)));
        }
    }
}
