//! A power loss at any write: whatever was answered is there, and no decision is there by half.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use proptest::prelude::*;
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use unjoin::store::{Bucket, Commit, Outcome, RedbStore, RowKey, Store};

/// A disk that loses its power at a chosen operation.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What programs see.
    seen: Vec<u8>,
    /// What a power loss leaves at least. Lengths are journalled: a change of length is kept.
    safe: Vec<u8>,
    /// Since the last sync, in order; a power loss keeps any of them, each in whole sectors.
    unsynced: Vec<(usize, Vec<u8>)>,
    operations: u64,
    fails_at: Option<u64>,
}

const SECTOR: usize = 512;

impl Disk {
    fn holding(image: Vec<u8>, fails_at: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(State { seen: image.clone(), safe: image, fails_at, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The state, if there is power for one more operation.
    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.fails_at == Some(state.operations) {
            return Err(io::Error::other("no power"));
        }
        state.operations += 1;
        Ok(state)
    }

    /// What is found when the power is back; `keeps` decides over each unsynced sector.
    fn after_power_loss(&self, mut keeps: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let mut image = state.safe.clone();
        for (offset, data) in &state.unsynced {
            let mut at = *offset;
            for sector in data.chunks(SECTOR) {
                if keeps() && at + sector.len() <= image.len() {
                    image[at..at + sector.len()].copy_from_slice(sector);
                }
                at += sector.len();
            }
        }
        image
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, at) = (self.state(), offset as usize);
        out.copy_from_slice(&state.seen[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.powered()?;
        state.seen.resize(len as usize, 0);
        state.safe.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.powered()?;
        state.safe = state.seen.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut state, at) = (self.powered()?, offset as usize);
        state.seen[at..at + data.len()].copy_from_slice(data);
        state.unsynced.push((at, data.to_vec()));
        Ok(())
    }
}

const CALLS: u32 = 25;
const COMMITS: u32 = 4;

fn bucket() -> Bucket {
    Bucket::of(b"merchant")
}

/// The two rows that one decision writes.
fn keys(call: u32, number: u32) -> [Vec<u8>; 2] {
    let place = call.wrapping_mul(0x9e37_79b9) ^ number;
    [b"a", b"b"].map(|half| [half.as_slice(), &place.to_be_bytes()].concat())
}

fn decision(call: u32, number: u32) -> Commit {
    let [one, other] = keys(call, number);
    let commit = Commit::new(bucket()).expect(&one, None);
    commit.put(one, b"one half".repeat(60)).put(other, b"the other half".repeat(30))
}

/// Commits call after call until one fails; how many were answered.
fn run(disk: &Disk) -> u32 {
    let Ok(store) = RedbStore::with_backend(disk.clone()) else { return 0 };
    for call in 0..CALLS {
        let commits: Vec<_> = (0..COMMITS).map(|number| decision(call, number)).collect();
        match store.commit(&commits) {
            Ok(outcomes) => assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Committed)),
            Err(_) => return call,
        }
    }
    CALLS
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_answered_decision_survives_a_power_loss_and_none_is_there_by_half(
        when in 0.0..1.0f64,
        choices in prop::collection::vec(any::<bool>(), 1..97),
    ) {
        let whole = Disk::default();
        prop_assert_eq!(run(&whole), CALLS);
        let operations = whole.state().operations;

        let disk = Disk::holding(Vec::new(), Some((operations as f64 * when) as u64));
        let answered = run(&disk);
        let mut choices = choices.iter().cycle();
        let image = disk.after_power_loss(|| *choices.next().unwrap());
        let store = match RedbStore::with_backend(Disk::holding(image, None)) {
            Ok(store) => store,
            // The creation did not finish: there is nothing to lose yet.
            Err(_) if answered == 0 => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{answered} calls were answered: {error}"))),
        };
        for call in 0..CALLS {
            for number in 0..COMMITS {
                let rows = keys(call, number).map(|key| RowKey { bucket: bucket(), key });
                let found = store.read(&rows).unwrap();
                prop_assert_eq!(found[0].is_some(), found[1].is_some(), "half of a decision");
                prop_assert!(found[0].is_some() || call >= answered, "an answered decision is lost");
                prop_assert!(found[0].is_none() || call <= answered, "a decision nobody asked for");
                // Asked again, a decision takes effect or finds its own effect.
                let again = store.commit(&[decision(call, number)]).unwrap();
                prop_assert_eq!(again == [Outcome::Committed], found[0].is_none());
            }
        }
    }
}
