//! When a device acts by itself: times drawn from what everybody knows, never from when something was written,
//! delivered or opened. Each is drawn once, stored, and kept over restarts.

use rand_core::CryptoRng;
use unjoin_core::secret::below;
use unjoin_core::token::{ActionKind, PublicationDates};
use unjoin_core::{DAY, Timestamp};

/// Seconds of an hour.
const HOUR: u64 = 3_600;
/// Seconds before a publication boundary in which no sending time is chosen: room for a slow
/// network and for a clock that is a little wrong.
pub const SENDING_MARGIN: u64 = 600;
/// Reviews are sent within this many seconds before the first publication of their cohort.
const BEFORE_THE_FIRST: u64 = 20 * HOUR;
/// And within this many before a later one.
const BEFORE_A_LATER: u64 = 5 * DAY;

/// When to ask for an order's token: uniform over the 24 hours from when the order is eligible. The host
/// wakes the device silently; every order is asked for, whether there will be a review or not.
///
/// Ask again at such a time, from the manifest's appearance, when the answer was `issuer.later`.
///
/// ```
/// use unjoin_core::{DAY, Timestamp, secret::SystemRng};
/// let eligible_at = Timestamp::from_unix_seconds(1_700_000_000);
/// let asks_at = unjoin_wallet::asking_time(eligible_at, &mut SystemRng::new());
/// assert!(asks_at >= eligible_at && asks_at < eligible_at.saturating_add(DAY));
/// ```
pub fn asking_time(eligible_at: Timestamp, rng: &mut (impl CryptoRng + ?Sized)) -> Timestamp {
    eligible_at.saturating_add(below(DAY, rng))
}

/// When to ask for what was missed, since the device was off: uniform over the seven days from `now`. Never
/// because a review is begun or the app was opened: that would tell who writes.
///
/// ```
/// use unjoin_core::{Timestamp, WEEK, secret::SystemRng};
/// let woke = Timestamp::from_unix_seconds(1_700_000_000);
/// let asks_at = unjoin_wallet::making_up_time(woke, &mut SystemRng::new());
/// assert!(woke <= asks_at && asks_at.saturating_since(woke) < WEEK);
/// ```
pub fn making_up_time(now: Timestamp, rng: &mut (impl CryptoRng + ?Sized)) -> Timestamp {
    now.saturating_add(below(7 * DAY, rng))
}

/// When to fetch the manifests of a boundary: uniform over the ten hours after it. Once a day at
/// most, and those of all merchants or of a large part of them. Anybody who asks for one shop's was its
/// customer.
///
/// ```
/// use unjoin_core::{Grid, Timestamp, secret::SystemRng};
/// let boundary = Grid::Daily.next_after(Timestamp::from_unix_seconds(1_700_000_000));
/// let fetches_at = unjoin_wallet::fetching_time(boundary, &mut SystemRng::new());
/// assert!(fetches_at.saturating_since(boundary) < 10 * 3_600);
/// ```
pub fn fetching_time(boundary: Timestamp, rng: &mut (impl CryptoRng + ?Sized)) -> Timestamp {
    boundary.saturating_add(below(10 * HOUR, rng))
}

/// The boundary to aim at, and a time uniform over what is left of its span at `now`: the last 20 hours
/// before the first publication, or the last five days before a later one, up to [`SENDING_MARGIN`] before
/// it. `None` if nothing is left of the last.
pub(super) fn sending_time(
    now: Timestamp,
    boundaries: &PublicationDates,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Option<(Timestamp, Timestamp)> {
    let spans = [BEFORE_THE_FIRST, BEFORE_A_LATER, BEFORE_A_LATER, BEFORE_A_LATER];
    boundaries.as_slice().iter().zip(spans).find_map(|(boundary, span)| {
        let from = now.max(boundary.saturating_sub(span));
        let left = boundary.saturating_sub(SENDING_MARGIN).saturating_since(from);
        (left > 0).then(|| (*boundary, from.saturating_add(below(left, rng))))
    })
}

/// When to send an author's action that may be sent from `from` on, and whether that is before the boundary
/// of a review that is still held: uniform over a day. A withdrawal of a held review comes before its boundary where
/// that is far enough; whatever else is asked of a held review comes after.
pub(super) fn acting_time(
    from: Timestamp,
    published_at: Timestamp,
    kind: ActionKind,
    rng: &mut (impl CryptoRng + ?Sized),
) -> (Timestamp, bool) {
    let span = published_at.saturating_since(from).saturating_sub(SENDING_MARGIN).min(DAY);
    let in_time = kind == ActionKind::Withdraw && span > 0;
    let (from, span) = if in_time { (from, span) } else { (from.max(published_at), DAY) };
    (from.saturating_add(below(span, rng)), in_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unjoin_test_util::Seeded;

    /// A day in the middle of time.
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    proptest! {
        #[test]
        fn a_sending_time_lies_in_what_is_left_of_its_span(
            seed in any::<u64>(), now in 0..70 * DAY, count in 1..=PublicationDates::MAX,
        ) {
            let first = NOW.saturating_add(10 * DAY);
            let dates = PublicationDates::starting(first).unwrap();
            let dates = PublicationDates::new(&dates.as_slice()[..count]).unwrap();
            let now = NOW.saturating_add(now);
            match sending_time(now, &dates, &mut Seeded(seed)) {
                None => prop_assert!(dates.last().saturating_since(now) <= SENDING_MARGIN),
                Some((boundary, send_at)) => {
                    let span = if boundary == first { 20 * HOUR } else { 5 * DAY };
                    prop_assert!(now <= send_at && boundary.saturating_sub(span) <= send_at);
                    prop_assert!(send_at < boundary.saturating_sub(SENDING_MARGIN));
                    // The next one that can still be reached.
                    let before = dates.as_slice().iter().rev().find(|date| **date < boundary);
                    prop_assert!(before.is_none_or(|date| date.saturating_since(now) <= SENDING_MARGIN));
                }
            }
        }

        #[test]
        fn a_draw_is_below_its_bound(seed in any::<u64>(), bound in 1u64..) {
            prop_assert!(below(bound, &mut Seeded(seed)) < bound);
        }
    }

    /// Chi-square over 16 equal parts: 15 degrees of freedom, 44.3 is the 0.01 % point.
    fn is_even(from: Timestamp, span: u64, mut draw: impl FnMut(&mut Seeded) -> Timestamp) {
        let rng = &mut Seeded(16);
        let (draws, parts) = (16_000, 16);
        let mut counts = vec![0u32; parts];
        for _ in 0..draws {
            let time = draw(rng);
            assert!(from <= time && time < from.saturating_add(span));
            counts[(time.saturating_since(from) * parts as u64 / span) as usize] += 1;
        }
        let expected = f64::from(draws) / parts as f64;
        let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi_square < 44.3, "{chi_square}: {counts:?}");
    }

    #[test]
    fn times_are_spread_evenly() {
        is_even(NOW, DAY, |rng| asking_time(NOW, rng));
        is_even(NOW, 7 * DAY, |rng| making_up_time(NOW, rng));
        is_even(NOW, 10 * HOUR, |rng| fetching_time(NOW, rng));
        let first = NOW.saturating_add(9 * DAY);
        let dates = PublicationDates::starting(first).unwrap();
        let early = first.saturating_sub(20 * HOUR);
        is_even(early, 20 * HOUR - SENDING_MARGIN, |rng| sending_time(NOW, &dates, rng).unwrap().1);
        let second = first.saturating_add(7 * DAY);
        is_even(second.saturating_sub(5 * DAY), 5 * DAY - SENDING_MARGIN, |rng| {
            sending_time(first, &dates, rng).unwrap().1
        });
    }

    /// A bound of 3/4 of the range: taking the remainder alone would hit the first third twice
    /// as often.
    #[test]
    fn a_large_bound_is_not_biased() {
        let rng = &mut Seeded(17);
        let bound = 3 << 62;
        let low = (0..9_000).filter(|_| below(bound, rng) < bound / 3).count();
        assert!((2_700..3_300).contains(&low), "{low}");
    }
}
