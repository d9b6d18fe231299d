//! What a gang has that holds the shop's portal and copies of the platform's databases, and what it makes of them: the
//! rows are read as they lie in the stores, and joined.

use super::shop::{Naive, Order};
use crate::hex::hex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use unjoin::review::PublishedReview;
use unjoin::store::{Bucket, MemoryStore, Row, Store, StoreError};

/// So long a value that stands in two databases joins them.
const WINDOW: usize = 16;
/// Whoever has so many bytes of a name has the name.
const PART: usize = 12;

/// The databases, copied.
pub(super) struct Dump {
    orders: Vec<Row>,
    reviews: Vec<Row>,
    phones: Vec<Row>,
}

impl Dump {
    pub(super) fn of([orders, reviews, phones]: [&Arc<MemoryStore>; 3]) -> Result<Self, StoreError> {
        Ok(Self { orders: rows(orders)?, reviews: rows(reviews)?, phones: rows(phones)? })
    }

    /// Of each cohort that is remembered the handles of its members' orders: issuer's rows `ib`, whose key is merchant,
    /// cohort and a tag, and whose value a format byte, the handle, and whether they counted.
    fn members(&self) -> BTreeMap<u64, Vec<String>> {
        let mut members: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for row in &self.orders {
            let member = || {
                let rest = row.key.strip_prefix(b"ib")?;
                let (length, rest) = rest.split_first_chunk()?;
                let (cohort, _) =
                    rest.get(usize::from(u16::from_le_bytes(*length))..)?.split_first_chunk()?;
                Some((u64::from_le_bytes(*cohort), hex(row.value.get(1..17)?)))
            };
            if let Some((cohort, handle)) = member() {
                members.entry(cohort).or_default().push(handle);
            }
        }
        members
    }

    /// How many values both databases have, beside what names a shop and a cohort, which is public, and
    /// the time of the last tick.
    fn in_both(&self, listed: &[PublishedReview]) -> usize {
        let windows =
            |bytes: &[u8], long: usize| bytes.windows(long).map(<[u8]>::to_vec).collect::<HashSet<_>>();
        let of_rows = |rows: &[Row]| {
            let parts = rows
                .iter()
                .filter(|row| ![&b"s"[..], b"ik", b"rb"].iter().any(|common| row.key.starts_with(common)))
                .flat_map(|row| [&row.key, &row.value]);
            parts.flat_map(|part| windows(part, WINDOW)).collect::<HashSet<_>>()
        };
        let public: HashSet<_> = self
            .orders
            .iter()
            .filter(|row| row.key.starts_with(b"im"))
            .map(|row| row.value.clone())
            .chain(listed.iter().map(|review| review.scope.to_bytes()))
            .flat_map(|value| windows(&value, PART))
            .collect();
        let zeros = |window: &[u8]| window.iter().filter(|byte| **byte == 0).count();
        let names = |window: &[u8]| window.windows(PART).any(|part| public.contains(part));
        let (orders, reviews) = (of_rows(&self.orders), of_rows(&self.reviews));
        let both = orders.intersection(&reviews);
        both.filter(|window| !names(window) && zeros(window) < WINDOW / 2).count()
    }

    /// The join: of each review the customers who can have written it.
    pub(super) fn joined(&self, orders: &[Order], naive: &[Naive], listed: &[PublishedReview]) -> Value {
        let members = self.members();
        let of_handle = |handle: &String| orders.iter().find(|order| order.handle.as_ref() == Some(handle));
        // How many of each crowd were guessed already.
        let mut guessed: BTreeMap<u64, usize> = BTreeMap::new();
        let reviews = listed.iter().map(|review| {
            let handles = members.get(&review.scope.cohort());
            let mut candidates: Vec<&Order> = handles.into_iter().flatten().filter_map(of_handle).collect();
            candidates.sort_by_key(|order| &order.id);
            // Each order of a cohort was granted one token, the tokens look alike, and all reviews of a cohort appear
            // together: nothing that was kept prefers one. So any guess is as good as another, but that nobody has two.
            let count = handles.map_or(0, Vec::len);
            let (stars, text) = (u64::from(review.review.stars()), review.review.text());
            let wrote = naive.iter().rfind(|row| row.stars == stars && row.text == text);
            let truth = wrote.and_then(|row| orders.iter().find(|order| order.id == row.order));
            let place = guessed.entry(review.scope.cohort()).or_default();
            let guess = candidates.get(*place).copied();
            *place += 1;
            let shown = |order: &Order| json!({ "order": order.id, "customer": order.customer });
            json!({
                "id": review.review_id,
                "stars": stars,
                "text": text,
                "candidates": candidates.iter().map(|order| shown(order)).collect::<Vec<_>>(),
                "chance": if count == 0 { Value::Null } else { json!(1.0 / count as f64) },
                "guess": guess.map(shown),
                "is_right": guess.zip(truth).map(|(guess, truth)| guess.id == truth.id),
                "naive": truth.map(shown),
                "written": wrote.map(|row| row.written.as_unix_seconds()),
            })
        });
        json!({
            "reviews": reviews.collect::<Vec<_>>(),
            "rows": { "orders": self.orders.len(), "reviews": self.reviews.len(), "phones": self.phones.len() },
            "bindings": self.phones.iter().filter(|row| row.key.starts_with(b"pi")).count(),
            "in_both": self.in_both(listed),
        })
    }
}

fn rows(store: &Arc<MemoryStore>) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for bucket in Bucket::all() {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(bucket, &[], after.as_deref(), 1_000)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            rows.extend(page);
        }
    }
    Ok(rows)
}
