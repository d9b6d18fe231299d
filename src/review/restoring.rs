//! After a restore: what a copy of the store holds, and its author may have taken back since.

use super::rows::{held_in, spent_of_held};
use super::spent::{HeldRow, SpentRow, State};
use super::{Core, DeskError};
use unjoin_store::{Bucket, Key, Store, StoreError, decide};

impl<S: Store> Core<S> {
    /// Page by page; a crash leaves the rest, and the next call goes on with it.
    pub(super) fn drop_held(&self) -> Result<usize, DeskError> {
        let mut dropped = 0;
        for bucket in Bucket::all() {
            let mut pages = held_in(&*self.store, bucket);
            while let Some(page) = pages.next()? {
                let pair = |held: Key<HeldRow>| Ok((spent_of_held(&held)?, held));
                let keys =
                    page.into_iter().map(|found| pair(found.key)).collect::<Result<Vec<_>, StoreError>>()?;
                dropped += self.drop_page(&keys)?;
            }
        }
        Ok(dropped)
    }

    fn drop_page(&self, keys: &[(Key<SpentRow>, Key<HeldRow>)]) -> Result<usize, DeskError> {
        decide(&*self.store, keys.to_vec(), |rows, change| {
            let mut dropped = 0;
            for ((spent_at, held_at), (spent, _)) in keys.iter().zip(&rows) {
                if spent.as_ref().is_some_and(|spent| spent.state == State::Held) {
                    change.delete(spent_at);
                    change.delete(held_at);
                    dropped += 1;
                }
            }
            if dropped > 0 {
                self.mark(change);
            }
            Ok(dropped)
        })
    }
}
