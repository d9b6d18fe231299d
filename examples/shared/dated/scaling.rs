//! Sinkhorn's scaling: reviews compete for orders.

const ROUNDS: usize = 30;
const SMALLEST: f64 = 1e-30;

/// The matrix nearest to the weights in which every review has chances of one in all, and every order is taken once:
/// by a review, or by one of the customers who wrote nothing, who are all alike.
pub(crate) fn scale(mut weights: Vec<Vec<f64>>, columns: usize) -> Vec<Vec<f64>> {
    let silent = columns.saturating_sub(weights.len()) as f64;
    let mut free = vec![1.0f64; columns];
    for _ in 0..ROUNDS {
        let mut taken = vec![silent / free.iter().sum::<f64>().max(SMALLEST); columns];
        for row in &weights {
            let total: f64 = row.iter().zip(&free).map(|(weight, free)| weight * free).sum();
            for (taken, weight) in taken.iter_mut().zip(row) {
                *taken += weight / total.max(SMALLEST);
            }
        }
        for (free, taken) in free.iter_mut().zip(&taken) {
            *free = 1.0 / taken.max(SMALLEST);
        }
    }
    for row in &mut weights {
        row.iter_mut().zip(&free).for_each(|(weight, free)| *weight *= free);
        let total: f64 = row.iter().sum::<f64>().max(SMALLEST);
        row.iter_mut().for_each(|chance| *chance /= total);
    }
    weights
}
