//! Which stars an order earns, whoever reviews it.

use std::collections::HashMap;

use crate::{
    boost::{self, Choices, Forest, Settings},
    calendar::DAY,
    data::Order,
    random::SplitMix64,
};

/// Models that are averaged: one alone depends on how its categories happen to be coded.
pub(super) const MODELS: usize = 8;

const ORDER_WIDTH: usize = 11;
const WIDTH: usize = ORDER_WIDTH + 2;
/// Reviews' worth of belief that a category is like all others.
const PULL: f32 = 20.0;

pub(super) struct StarModel {
    forest: Option<Forest>,
    category_mean: HashMap<String, f32>,
    mean: f32,
    frequency: [f32; 5],
}

impl StarModel {
    /// Each model codes categories by the stars of another half of the reviews.
    pub(super) fn train(training: &[&Order], seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let mut sums: HashMap<&str, (f32, f32)> = HashMap::new();
        let mut frequency = [1.0f32; 5];
        let (mut count, mut sum) = (0.0, 0.0);
        for order in training {
            let stars = order.stars.unwrap_or(1);
            frequency[usize::from(stars) - 1] += 1.0;
            if random.unit() < 0.5 {
                let category = sums.entry(&order.category).or_default();
                *category = (category.0 + 1.0, category.1 + f32::from(stars));
                (count, sum) = (count + 1.0, sum + f32::from(stars));
            }
        }
        let mean = if count > 0.0 { sum / count } else { 3.0 };
        let category_mean = sums
            .into_iter()
            .map(|(category, (count, sum))| (category.to_owned(), (sum + PULL * mean) / (count + PULL)))
            .collect();
        let mut model = Self { forest: None, category_mean, mean, frequency };
        // The five stars of an order are five alternatives, one of which was chosen.
        let mut choices = Choices::new(WIDTH);
        for order in training {
            let first = choices.offset.len();
            for (stars, count) in frequency.iter().enumerate() {
                model.push(order, stars, &mut choices.values);
                choices.offset.push(count.ln());
            }
            choices.close_group(first + usize::from(order.stars.unwrap_or(1)) - 1);
        }
        model.forest = Some(boost::fit(&choices, Settings::STARS, random.next_u64()));
        model
    }

    fn push(&self, order: &Order, stars: usize, row: &mut Vec<f32>) {
        row.extend(values(order));
        row.extend([self.category_mean.get(&order.category).copied().unwrap_or(self.mean), stars as f32]);
    }

    fn chances(&self, order: &Order) -> [f32; 5] {
        let mut row = Vec::with_capacity(WIDTH);
        let mut scores = [0.0f32; 5];
        for (stars, (score, count)) in scores.iter_mut().zip(self.frequency).enumerate() {
            row.clear();
            self.push(order, stars, &mut row);
            *score = (count.ln() + self.forest.as_ref().map_or(0.0, |forest| forest.score(&row))).exp();
        }
        let sum: f32 = scores.iter().sum();
        scores.map(|score| score / sum)
    }
}

/// The log of the mean of all models' chances.
pub(super) fn average(models: &[StarModel], order: &Order) -> [f32; 5] {
    let mut mean = [0.0f32; 5];
    for model in models {
        for (mean, chance) in mean.iter_mut().zip(model.chances(order)) {
            *mean += chance / models.len() as f32;
        }
    }
    mean.map(f32::ln)
}

fn values(order: &Order) -> [f32; ORDER_WIDTH] {
    let days = |from: i64, to: Option<i64>| to.map_or(f32::NAN, |to| (to - from) as f32 / DAY as f32);
    let hour = |moment: i64| moment.rem_euclid(DAY) as f32 / 3_600.0;
    [
        days(order.estimated_at, order.delivered_at),
        days(order.purchased_at, order.delivered_at),
        days(order.purchased_at, Some(order.estimated_at)),
        (order.price as f32).ln_1p(),
        (order.freight as f32).ln_1p(),
        (order.freight / (order.price + 1.0)) as f32,
        order.items as f32,
        match order.status.as_str() {
            "delivered" => 0.0,
            "shipped" => 1.0,
            "canceled" => 3.0,
            _ => 2.0,
        },
        order.delivered_at.map_or(f32::NAN, hour),
        hour(order.purchased_at),
        order.due_at().div_euclid(DAY).rem_euclid(7) as f32,
    ]
}
