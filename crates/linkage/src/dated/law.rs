//! How long after its order is due a review is written.

use crate::{calendar::DAY, data::Order};

/// Delays of writing, sorted, for each kind of order.
pub(super) struct Law {
    delays: Vec<Vec<i64>>,
}

/// No interval is less likely than this: an attacker who learnt from some thousand reviews knows no better.
const FLOOR: f64 = 1.0 / 500.0;
/// Days late that part the kinds of late orders.
const LATENESS: [i64; 3] = [2, 6, 14];
const KINDS: usize = LATENESS.len() + 3;

/// On time, by how late, never delivered.
fn kind(order: &Order) -> usize {
    match order.delivered_at {
        None => KINDS - 1,
        Some(_) if !order.late_or_failed() => 0,
        Some(delivered) => {
            let late = delivered - order.estimated_at;
            1 + LATENESS.iter().filter(|&&days| late >= days * DAY).count()
        }
    }
}

impl Law {
    pub(super) fn learn(training: &[&Order]) -> Self {
        let mut delays = vec![Vec::new(); KINDS];
        for order in training {
            if let Some(written) = order.reviewed_at {
                delays[kind(order)].push(written - order.due_at());
            }
        }
        delays.iter_mut().for_each(|delays| delays.sort_unstable());
        Self { delays }
    }

    /// The chance that the review of the order is written before `until`, and not before `from`.
    pub(super) fn chance(&self, order: &Order, from: Option<i64>, until: i64) -> f64 {
        let due = order.due_at();
        let delays = &self.delays[kind(order)];
        let before = |moment: i64| delays.partition_point(|&delay| delay < moment - due);
        let within = before(until) - from.map_or(0, before);
        (within as f64 / delays.len().max(1) as f64).max(FLOOR)
    }
}
