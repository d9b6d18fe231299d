//! The shops' ratings: what the review service tells of each cohort, weighed by the orders of each class.
//!
//! The order service knows which class a cohort was of, and the review service must not: so the sums come here,
//! and nothing goes back. All of it is worked out anew at every boundary from rows that a crash leaves
//! as they are.

use super::cohorts::{PAGE, WRITES};
use super::rows::{
    CLASSES, ClassRow, ORDER_COUNTS, OrderCountRow, OrderRow, RatedRow, RatingRow, UNCOUNTED, class_key,
    class_of, cohort_of, merchant_of, order_count_key, order_key, rated_key, rating_key, tick_key,
    uncounted_of,
};
use super::{Core, Decision, IssuerError};
use crate::rating::{ClassRecord, Market, Rating, StarSums};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use unjoin_core::token::{OrderHandle, Scope};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Found, Key, Present, Record, Store, StoreError, decide, read};

/// What is known of each shop.
type Shops = BTreeMap<Name, Vec<ClassRecord>>;

impl<S: Store> Core<S> {
    /// Counts the orders whose class is frozen since the last boundary. An order is counted once: its row here
    /// goes in the commit that counts it. The shops share their durable commits.
    pub(super) fn count_orders(
        &self,
        boundary: Timestamp,
        failed: &mut Vec<IssuerError>,
    ) -> Result<(), IssuerError> {
        let mut decisions = Vec::new();
        let mut waiting = 0;
        let mut pages = self.pages_of_all::<Present>(UNCOUNTED);
        while let Some(page) = pages.next()? {
            let orders: Vec<(Name, OrderHandle)> =
                page.iter().map(|found| uncounted_of(&found.key)).collect::<Result<_, StoreError>>()?;
            let found: Vec<_> = page.iter().map(|found| &found.key).zip(orders).collect();
            for of_merchant in found.chunk_by(|(_, (a, _)), (_, (b, _))| a == b) {
                match self.count_orders_of(of_merchant, boundary) {
                    Err(error) => error.noted_in(failed)?,
                    Ok(counted) => decisions.extend(counted.map(Ok)),
                }
            }
            waiting += page.len();
            if waiting >= WRITES {
                waiting = 0;
                self.count_together(std::mem::take(&mut decisions), failed)?;
            }
        }
        self.count_together(decisions, failed)
    }

    fn count_together(
        &self,
        decisions: Vec<Result<Decision<'_, ()>, IssuerError>>,
        failed: &mut Vec<IssuerError>,
    ) -> Result<(), IssuerError> {
        let counted = self.decide(decisions.into_iter());
        counted.into_iter().filter_map(Result::err).try_for_each(|error| error.noted_in(failed))
    }

    /// The orders are one merchant's. None, if nothing of them is to be counted.
    fn count_orders_of(
        &self,
        found: &[(&Key<Present>, (Name, OrderHandle))],
        boundary: Timestamp,
    ) -> Result<Option<Decision<'static, ()>>, IssuerError> {
        let Some((_, (merchant, _))) = found.first() else { return Ok(None) };
        let orders: Vec<_> = found.iter().map(|(_, (_, handle))| order_key(merchant, *handle)).collect();
        let mut frozen: Vec<(Key<Present>, u8)> = Vec::new();
        for ((key, _), order) in found.iter().zip(read(&*self.store, &orders)?) {
            let order = order.ok_or(StoreError::Corrupt(OrderRow::NAME))?;
            if order.is_eligible(boundary) {
                frozen.push(((*key).clone(), order.class));
            }
        }
        if frozen.is_empty() {
            return Ok(None);
        }
        let classes: BTreeSet<u8> = frozen.iter().map(|(_, class)| *class).collect();
        let counts: Vec<_> = classes.iter().map(|class| order_count_key(merchant, *class)).collect();
        let uncounted: Vec<_> = frozen.iter().map(|(key, _)| key.clone()).collect();
        let reads = (uncounted, counts.clone());
        Ok(Some(Decision::new(reads, move |(there, rows), change| {
            let mut added: BTreeMap<u8, u64> = BTreeMap::new();
            // An absent row: another tick was faster.
            for ((key, class), _) in frozen.iter().zip(there).filter(|(_, there)| there.is_some()) {
                change.delete(key);
                *added.entry(*class).or_default() += 1;
            }
            for ((key, class), row) in counts.iter().zip(&classes).zip(rows) {
                if let Some(added) = added.get(class) {
                    let before = row.map_or(0, |row: OrderCountRow| row.orders);
                    change.put(key, &OrderCountRow { orders: before.saturating_add(*added) });
                }
            }
            Ok(())
        })))
    }

    pub(super) fn rate<E: From<IssuerError>>(
        &self,
        published: impl IntoIterator<Item = Result<(Scope, StarSums), E>>,
    ) -> Result<bool, E> {
        let rows = read(&*self.store, &(tick_key(), rated_key())).map_err(IssuerError::from)?;
        let (Some(boundary), rated) = (rows.0.map(|row| row.boundary), rows.1) else { return Ok(false) };
        if rated.is_some_and(|rated| rated.boundary == boundary) {
            return Ok(false);
        }
        let mut shops = self.order_counts()?;
        // By their numbers, which are random.
        let mut listed = HashSet::new();
        let mut chunk = Vec::new();
        for sums in published {
            let sums = sums?;
            listed.insert(sums.0.cohort());
            chunk.push(sums);
            if chunk.len() >= PAGE {
                self.add_published(&std::mem::take(&mut chunk), &mut shops)?;
            }
        }
        self.add_published(&chunk, &mut shops)?;
        let market = Market::new(shops.values().map(Vec::as_slice));
        self.put_ratings(&market, &shops)?;
        self.forget_classes(boundary, &listed)?;
        let rating = RatingRow::of(&market.rating(&[]));
        decide(&*self.store, rated_key(), |_, change| {
            change.put(&rated_key(), &RatedRow { boundary, rating });
            Ok::<_, IssuerError>(())
        })?;
        Ok(true)
    }

    pub(super) fn rating(&self, merchant: &Name) -> Result<Rating, IssuerError> {
        if let Some(row) = read(&*self.store, &rating_key(merchant))? {
            return Ok(row.rating());
        }
        let unknown = read(&*self.store, &rated_key())?.map(|rated| rated.rating);
        Ok(unknown.unwrap_or_else(|| RatingRow::of(&Market::default().rating(&[]))).rating())
    }

    /// Every row of a namespace.
    fn each<R: Record>(
        &self,
        namespace: &[u8; 2],
        mut each: impl FnMut(&Found<R>) -> Result<(), IssuerError>,
    ) -> Result<(), IssuerError> {
        let mut pages = self.pages_of_all::<R>(namespace);
        while let Some(page) = pages.next()? {
            page.iter().try_for_each(&mut each)?;
        }
        Ok(())
    }

    pub(super) fn order_counts(&self) -> Result<Shops, IssuerError> {
        let mut shops = Shops::new();
        self.each(ORDER_COUNTS, |found: &Found<OrderCountRow>| {
            let (merchant, class) = (merchant_of(&found.key)?, class_of(&found.key)?);
            let record = ClassRecord { class, orders: found.row()?.orders, ..ClassRecord::default() };
            shops.entry(merchant).or_default().push(record);
            Ok(())
        })?;
        Ok(shops)
    }

    /// A cohort whose class is not known any more, after a recovery, tells nothing.
    fn add_published(&self, published: &[(Scope, StarSums)], shops: &mut Shops) -> Result<(), IssuerError> {
        let keys = published.iter().map(|(scope, _)| class_key(scope.merchant(), scope.cohort()));
        let classes = read(&*self.store, &keys.collect::<Vec<_>>())?;
        for ((scope, sums), class) in published.iter().zip(classes) {
            let Some(ClassRow { class, .. }) = class else { continue };
            let record = ClassRecord { class, published: *sums, ..ClassRecord::default() };
            shops.entry(scope.merchant().clone()).or_default().push(record);
        }
        Ok(())
    }

    fn put_ratings(&self, market: &Market, shops: &Shops) -> Result<(), IssuerError> {
        let puts = shops.iter().map(|(merchant, records)| {
            let (key, rating) = (rating_key(merchant), RatingRow::of(&market.rating(records)));
            Ok(Decision::new(key.clone(), move |row, change| {
                if row != Some(rating) {
                    change.put(&key, &rating);
                }
                Ok(())
            }))
        });
        let mut puts = puts.peekable();
        while puts.peek().is_some() {
            self.decide(puts.by_ref().take(PAGE)).into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Which class a cohort was of is kept while a review of it is listed, or may still be.
    fn forget_classes(&self, boundary: Timestamp, listed: &HashSet<u64>) -> Result<(), IssuerError> {
        let mut over = Vec::new();
        self.each(CLASSES, |found: &Found<ClassRow>| {
            if found.row()?.until < boundary && !listed.contains(&cohort_of(&found.key)?) {
                over.push(found.key.clone());
            }
            Ok(())
        })?;
        let deletes = over.into_iter().map(|key| {
            Ok(Decision::new(key.clone(), move |row: Option<ClassRow>, change| {
                if row.is_some() {
                    change.delete(&key);
                }
                Ok(())
            }))
        });
        self.decide(deletes).into_iter().collect()
    }
}
