//! One store over several.

use unjoin_store::{Bucket, Commit, Outcome, Row, RowKey, See, Store, StoreError, commit_in_parts};

/// Buckets spread over several stores, each on a server of its own: every commit is one bucket's, and so one
/// server's. As the manual shows it under "Shards".
pub struct Spread<S>(pub Vec<S>);

impl<S: Store> Spread<S> {
    /// Which of them has this bucket.
    pub fn of(&self, bucket: Bucket) -> usize {
        usize::from(bucket.number()) % self.0.len()
    }

    /// Each server's share, answered in the order of the call.
    fn each<T: Clone, A>(
        &self,
        asked: &[T],
        bucket: impl Fn(&T) -> Bucket,
        ask: impl Fn(&S, &[T]) -> Result<Vec<A>, StoreError>,
    ) -> Result<Vec<A>, StoreError> {
        let mut answers: Vec<Option<A>> = asked.iter().map(|_| None).collect();
        for (number, store) in self.0.iter().enumerate() {
            let places: Vec<usize> =
                (0..asked.len()).filter(|at| self.of(bucket(&asked[*at])) == number).collect();
            if places.is_empty() {
                continue;
            }
            let share: Vec<T> = places.iter().map(|at| asked[*at].clone()).collect();
            for (at, answer) in places.into_iter().zip(ask(store, &share)?) {
                answers[at] = Some(answer);
            }
        }
        Ok(answers.into_iter().map(Option::unwrap).collect())
    }
}

impl<S: Store> Store for Spread<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.each(keys, |key| key.bucket, |store, keys| store.read(keys))
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.0[self.of(bucket)].scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        commit_in_parts(commits, |bucket| self.of(bucket), |part, commits| self.0[part].commit(commits))
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for store in &self.0 {
            store.snapshot(&mut |bucket, key, value| {
                rows.push((bucket, key.to_vec(), value.to_vec()));
                Ok(())
            })?;
        }
        rows.sort();
        rows.iter().try_for_each(|(bucket, key, value)| see(*bucket, key, value))
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.0.iter().try_for_each(Store::rewrite)
    }
}
