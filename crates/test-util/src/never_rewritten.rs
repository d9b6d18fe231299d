//! A store without a rewrite, for what is to be seen, or cannot be done, with it.

use unjoin_store::{Bucket, Commit, Outcome, Row, RowKey, Store, StoreError};

/// A store whose file is never rewritten.
pub struct NeverRewritten<S>(pub S);

impl<S: Store> Store for NeverRewritten<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.0.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.0.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.0.commit(commits)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
