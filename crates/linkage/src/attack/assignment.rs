//! One review per order: what the competition between the reviews of a pool tells beyond each review by itself.
//!
//! A pool is a bipartite graph: rows are published reviews, columns are orders, an edge carries the log-likelihood of
//! "this review came from this order". Every review has an order, every order has at most one review.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Edges of each row, as (column, log weight).
pub(super) type Edges = Vec<Vec<(usize, f64)>>;

/// Rounds of the approximations.
pub const ROUNDS: usize = 40;

/// The chance of each edge under all one-to-one matchings at once, each weighted by the product of its edges. Orders
/// without a review are matched with dummy reviews that prefer no order. Rows of the result sum to one, edge by edge
/// as in `edges`.
///
/// Exact chances need permanents, which pools of at most `MOST_EXACT` orders allow. In larger ones belief propagation
/// makes too much of the competition, down to certainty, and Sinkhorn's scaling makes too little of it; the exact
/// value lies between (Chertkov and Yedidia, "Approximating the permanent with fractional belief propagation"). There
/// this takes the middle.
pub fn posteriors(edges: &Edges, columns: usize, rounds: usize) -> Vec<Vec<f64>> {
    let weights: Vec<Vec<f64>> = edges.iter().map(|row| exponentiate(row)).collect();
    if columns <= MOST_EXACT
        && let Some(exact) = marginals(edges, &weights, columns)
    {
        return exact;
    }
    let propagated = propagate(edges, &weights, columns, rounds);
    let scaled = scale(edges, &weights, columns, rounds);
    let middle = |(high, low): (&f64, &f64)| (high + low) / 2.0;
    propagated.iter().zip(&scaled).map(|(high, low)| high.iter().zip(low).map(middle).collect()).collect()
}

/// The sets of so many orders are counted in a millisecond.
const MOST_EXACT: usize = 16;

/// The chances themselves, by sums over all sets of columns: the first rows take a set, the others take what is left.
/// `None`: there is no matching of all rows.
fn marginals(edges: &Edges, weights: &[Vec<f64>], columns: usize) -> Option<Vec<Vec<f64>>> {
    let sets = 1usize << columns;
    let row_after = |set: usize| set.count_ones() as usize;
    // Of a set: the weight of all ways in which the first rows take it.
    let mut taken = vec![0.0f64; sets];
    taken[0] = 1.0;
    for set in 0..sets {
        let Some(row) = edges.get(row_after(set)) else { continue };
        for (&(column, _), weight) in row.iter().zip(&weights[row_after(set)]) {
            if set >> column & 1 == 0 {
                taken[set | 1 << column] += taken[set] * weight;
            }
        }
    }
    // Of a set: the weight of all ways in which the rows that are left take columns outside.
    let mut left = vec![0.0f64; sets];
    let mut chances: Vec<Vec<f64>> = edges.iter().map(|row| vec![0.0; row.len()]).collect();
    for set in (0..sets).rev() {
        let number = row_after(set);
        if number == edges.len() {
            left[set] = 1.0;
        }
        let (Some(row), Some(chances)) = (edges.get(number), chances.get_mut(number)) else { continue };
        for ((&(column, _), weight), chance) in row.iter().zip(&weights[number]).zip(chances) {
            if set >> column & 1 == 0 {
                let ways = weight * left[set | 1 << column];
                left[set] += ways;
                *chance += taken[set] * ways;
            }
        }
    }
    (left[0] > 0.0).then(|| chances.into_iter().map(|row| normalize(row.into_iter())).collect())
}

/// Belief propagation: the Bethe approximation of the permanent.
fn propagate(edges: &Edges, weights: &[Vec<f64>], columns: usize, rounds: usize) -> Vec<Vec<f64>> {
    let dummies = columns.saturating_sub(edges.len()) as f64;
    // to_column: how strongly a row wants the column, given what its other columns answer. to_row: how free a column
    // is, given what its other rows want. All dummies say the same, so one message stands for them.
    let mut to_row: Vec<Vec<f64>> = edges.iter().map(|row| vec![1.0; row.len()]).collect();
    let mut to_dummy = vec![1.0f64; columns];
    for _ in 0..rounds {
        let mut wanted = vec![0.0f64; columns];
        let mut to_column: Vec<Vec<f64>> = Vec::with_capacity(edges.len());
        for ((row, weights), free) in edges.iter().zip(weights).zip(&to_row) {
            let strength: Vec<f64> = weights.iter().zip(free).map(|(weight, free)| weight * free).collect();
            let total: f64 = strength.iter().sum();
            let message: Vec<f64> = weights
                .iter()
                .zip(&strength)
                .map(|(weight, strength)| (weight / (total - strength).max(SMALLEST)).min(LARGEST))
                .collect();
            for (&(column, _), message) in row.iter().zip(&message) {
                wanted[column] += message;
            }
            to_column.push(message);
        }
        let free_for_dummies: f64 = to_dummy.iter().sum();
        let from_dummy: Vec<f64> = to_dummy
            .iter()
            .map(|free| (1.0 / (free_for_dummies - free).max(SMALLEST)).min(LARGEST))
            .collect();
        for ((row, free), message) in edges.iter().zip(&mut to_row).zip(&to_column) {
            for ((&(column, _), free), message) in row.iter().zip(free).zip(message) {
                let others = (wanted[column] - message).max(0.0) + dummies * from_dummy[column];
                *free = damp(*free, 1.0 / others.max(SMALLEST));
            }
        }
        for (column, free) in to_dummy.iter_mut().enumerate() {
            let others = wanted[column] + (dummies - 1.0).max(0.0) * from_dummy[column];
            *free = damp(*free, 1.0 / others.max(SMALLEST));
        }
    }
    weights
        .iter()
        .zip(&to_row)
        .map(|(weights, free)| normalize(weights.iter().zip(free).map(|(w, f)| w * f)))
        .collect()
}

/// Sinkhorn's scaling: the matrix nearest to the weights in which every review has chances of one in all, and every
/// order is taken once.
fn scale(edges: &Edges, weights: &[Vec<f64>], columns: usize, rounds: usize) -> Vec<Vec<f64>> {
    let dummies = columns.saturating_sub(edges.len()) as f64;
    let mut free = vec![1.0f64; columns];
    for _ in 0..rounds {
        // All dummies are alike, so one sum stands for them.
        let mut taken = vec![dummies / free.iter().sum::<f64>().max(SMALLEST); columns];
        for (row, weights) in edges.iter().zip(weights) {
            let total: f64 =
                row.iter().zip(weights).map(|(&(column, _), weight)| weight * free[column]).sum();
            for (&(column, _), weight) in row.iter().zip(weights) {
                taken[column] += weight / total.max(SMALLEST);
            }
        }
        for (free, taken) in free.iter_mut().zip(&taken) {
            *free = 1.0 / taken.clamp(SMALLEST, LARGEST);
        }
    }
    edges
        .iter()
        .zip(weights)
        .map(|(row, weights)| {
            normalize(row.iter().zip(weights).map(|(&(column, _), weight)| weight * free[column]))
        })
        .collect()
}

const SMALLEST: f64 = 1e-30;
const LARGEST: f64 = 1e30;

/// The geometric middle of the old and the new message keeps tight cycles from swinging.
fn damp(old: f64, new: f64) -> f64 {
    (old * new.min(LARGEST)).sqrt()
}

/// Weights relative to the row's best edge; a row's scale does not matter.
fn exponentiate(row: &[(usize, f64)]) -> Vec<f64> {
    let best = row.iter().map(|&(_, log_weight)| log_weight).fold(f64::NEG_INFINITY, f64::max);
    row.iter().map(|&(_, log_weight)| (log_weight - best).exp().max(SMALLEST)).collect()
}

fn normalize(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let total: f64 = values.iter().sum();
    values.into_iter().map(|value| value / total).collect()
}

/// The column chosen for each row so that no column is taken twice and the sum of the log weights is the largest
/// possible, by shortest augmenting paths. A row for which no column is left gets `None`.
pub(super) fn best_matching(edges: &Edges, columns: usize) -> Vec<Option<usize>> {
    // Every row also has a column of its own, so dear that it is used only where there is no other way.
    let costs: Vec<f64> = edges.iter().flatten().map(|&(_, log_weight)| -log_weight).collect();
    let spread = costs.iter().copied().fold(0.0, f64::max) - costs.iter().copied().fold(0.0, f64::min);
    let last_resort = (spread + 1.0) * (edges.len() as f64 + 1.0);
    let mut matching = Matching {
        row_of: vec![None; columns + edges.len()],
        column_of: vec![None; edges.len()],
        potential: vec![0.0; columns + edges.len()],
    };
    for row in 0..edges.len() {
        matching.augment(row, |row| {
            let own = (columns + row, last_resort);
            edges[row].iter().map(|&(column, log_weight)| (column, -log_weight)).chain([own])
        });
    }
    matching.column_of.into_iter().map(|column| column.filter(|&column| column < columns)).collect()
}

struct Matching {
    row_of: Vec<Option<usize>>,
    column_of: Vec<Option<usize>>,
    /// Duals of the columns: cost - potential is smallest, in each matched row, on its own column.
    potential: Vec<f64>,
}

impl Matching {
    /// Dijkstra from an unmatched row over alternating paths to the nearest free column, then flips that path.
    fn augment<Row: Iterator<Item = (usize, f64)>>(&mut self, start: usize, edges: impl Fn(usize) -> Row) {
        let mut distance = vec![f64::INFINITY; self.potential.len()];
        let mut entered_from = vec![start; self.potential.len()];
        // A settled column is never entered again, even if rounding makes a detour look shorter.
        let mut is_settled = vec![false; self.potential.len()];
        let mut settled = Vec::new();
        let mut queue = BinaryHeap::new();
        let (mut row, mut row_distance, mut row_dual) = (start, 0.0, 0.0);
        let (free_column, shortest) = loop {
            for (column, cost) in edges(row) {
                let reached = row_distance + (cost - self.potential[column] - row_dual);
                if reached < distance[column] && !is_settled[column] {
                    distance[column] = reached;
                    entered_from[column] = row;
                    queue.push(Nearest { distance: reached, column });
                }
            }
            // The row's own last resort is always reachable, so the queue cannot run dry before a free column.
            let (column, nearest) = loop {
                let Some(Nearest { distance: reached, column }) = queue.pop() else { return };
                if !is_settled[column] {
                    break (column, reached);
                }
            };
            match self.row_of[column] {
                None => break (column, nearest),
                Some(holder) => {
                    settled.push(column);
                    is_settled[column] = true;
                    let own_cost = edges(holder).find(|&(candidate, _)| candidate == column);
                    row_dual = own_cost.map_or(0.0, |(_, cost)| cost - self.potential[column]);
                    (row, row_distance) = (holder, nearest);
                }
            }
        };
        for column in settled {
            self.potential[column] += distance[column] - shortest;
        }
        let mut column = free_column;
        loop {
            let row = entered_from[column];
            self.row_of[column] = Some(row);
            match self.column_of[row].replace(column) {
                Some(previous) if row != start => column = previous,
                _ => break,
            }
        }
    }
}

struct Nearest {
    distance: f64,
    column: usize,
}

impl Ord for Nearest {
    /// Reversed, since the heap gives the greatest first; equal distances by column, so that runs repeat exactly.
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then(other.column.cmp(&self.column))
    }
}

impl PartialOrd for Nearest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Nearest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Nearest {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn random_pool(generator: &mut SplitMix64, rows: usize, columns: usize) -> Edges {
        (0..rows)
            .map(|_| (0..columns).map(|column| (column, generator.unit() * 4.0 - 2.0)).collect())
            .collect()
    }

    /// Every one-to-one matching of all rows, as columns per row.
    fn every_matching(rows: usize, columns: usize) -> Vec<Vec<usize>> {
        let mut partial: Vec<Vec<usize>> = vec![Vec::new()];
        for _ in 0..rows {
            partial = partial
                .iter()
                .flat_map(|taken| {
                    (0..columns).filter(|column| !taken.contains(column)).map(|column| {
                        let mut longer = taken.clone();
                        longer.push(column);
                        longer
                    })
                })
                .collect();
        }
        partial
    }

    fn weight(edges: &Edges, matching: &[usize]) -> f64 {
        matching.iter().zip(edges).map(|(&column, row)| row[column].1).sum()
    }

    #[test]
    fn the_best_matching_is_that_of_trying_them_all() {
        let mut generator = SplitMix64::new(11);
        for (rows, columns) in [(1, 1), (2, 3), (4, 4), (5, 5), (5, 7), (6, 6)] {
            for _ in 0..60 {
                let edges = random_pool(&mut generator, rows, columns);
                let found: Vec<usize> =
                    best_matching(&edges, columns).into_iter().map(Option::unwrap).collect();
                let best = every_matching(rows, columns)
                    .iter()
                    .map(|all| weight(&edges, all))
                    .fold(f64::MIN, f64::max);
                assert!((weight(&edges, &found) - best).abs() < 1e-9, "{edges:?}");
            }
        }
    }

    #[test]
    fn a_row_without_a_column_left_stays_alone() {
        let edges = vec![vec![(0, -1.0)], vec![(0, -0.5)], vec![]];
        assert_eq!(best_matching(&edges, 1), [None, Some(0), None]);
    }

    /// The chances of each row's columns under all matchings.
    fn tried(edges: &Edges, columns: usize) -> Vec<Vec<f64>> {
        let all = every_matching(edges.len(), columns);
        let total: f64 = all.iter().map(|matching| weight(edges, matching).exp()).sum();
        let chance = |row: usize, column: usize| {
            let with = all.iter().filter(|matching| matching[row] == column);
            with.map(|matching| weight(edges, matching).exp()).sum::<f64>() / total
        };
        (0..edges.len()).map(|row| (0..columns).map(|column| chance(row, column)).collect()).collect()
    }

    fn farthest(found: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
        let apart = found.iter().flatten().zip(expected.iter().flatten());
        apart.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn posteriors_of_small_pools_are_those_of_trying_all_matchings() {
        let mut generator = SplitMix64::new(12);
        for (rows, columns) in [(3, 3), (5, 5), (4, 6), (1, 4), (6, 7)] {
            let edges = random_pool(&mut generator, rows, columns);
            let (found, expected) = (posteriors(&edges, columns, 100), tried(&edges, columns));
            assert!(farthest(&found, &expected) < 1e-9, "{rows}x{columns}: {found:?} {expected:?}");
        }
        // What no edge joins is no matching; the second row has one column only.
        let edges = vec![vec![(0, 0.3), (1, -0.2)], vec![(1, 0.0)]];
        assert_eq!(posteriors(&edges, 3, 100), [[1.0, 0.0].to_vec(), [1.0].to_vec()]);
    }

    #[test]
    fn posteriors_of_large_pools_sum_to_one_and_lie_near_the_exact_ones() {
        let mut generator = SplitMix64::new(12);
        for (rows, columns) in [(3, 3), (5, 5), (4, 6), (1, 4)] {
            let edges = random_pool(&mut generator, rows, columns);
            // Columns that nobody wants make the pool large.
            let wide: Edges = edges
                .iter()
                .map(|row| {
                    row.iter().copied().chain((columns..MOST_EXACT + 1).map(|far| (far, -40.0))).collect()
                })
                .collect();
            let found = posteriors(&wide, MOST_EXACT + 1, 100);
            assert!(found.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-9));
            let found: Vec<Vec<f64>> = found.into_iter().map(|row| row[..columns].to_vec()).collect();
            assert!(farthest(&found, &tried(&edges, columns)) < 0.15, "{rows}x{columns}: {found:?}");
        }
    }
}
