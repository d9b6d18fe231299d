//! A recovery is interrupted at every write, in every way.

use super::*;
use unjoin::review::DeskError;
use unjoin_test_util::{Failure, Faulty, dump, fill, own};

/// A copy of everything that a recovery has to do with, and the ledger beside it.
fn copied() -> (MemoryStore, Public, Arc<ManualClock>) {
    let (world, scopes) = (World::in_memory(), [scope("a", 1), scope("a", 2), scope("b", 3)]);
    let cohorts = [(scopes[0].clone(), 2, 30), (scopes[1].clone(), 2, 30), (scopes[2].clone(), 3, 30)];
    let public = Public::new(&world.clock, &cohorts);
    world.desk.admit(&manifest(&scopes[0], 2, 30)).unwrap();
    let send = |scope: &Scope, stars| {
        let author = Author::new(scope);
        let state = submitted(&world.submit(author.submission(&review(stars, "some words"))).unwrap());
        (author, state)
    };
    let [listed, edited, withdrawn] = [1, 2, 3].map(|stars| send(&scopes[0], stars));
    let _ = world.tick_at(2);
    let [held, taken_back, logged] = [1, 2, 3].map(|stars| send(&scopes[0], stars));
    world.act(&taken_back.0, &taken_back.0.withdrawal(&taken_back.1), None).unwrap();
    let new = review(5, "other words");
    world.act(&listed.0, &listed.0.edit(&listed.1, &new), Some(&new)).unwrap();
    let older = copy(&*world.store);
    world.desk.admit_all(&[manifest(&scopes[1], 3, 30), manifest(&scopes[2], 3, 30)]);
    world.act(&edited.0, &edited.0.edit(&edited.1, &new), Some(&new)).unwrap();
    world.act(&withdrawn.0, &withdrawn.0.withdrawal(&withdrawn.1), None).unwrap();
    let gone = send(&scopes[2], 2);
    world.act(&gone.0, &gone.0.withdrawal(&gone.1), None).unwrap();
    let _ = (send(&scopes[2], 4), held, logged);
    let _ = world.tick_at(21);
    public.publish(&*world.store);
    (older, public, world.clock)
}

/// All rows but the random marks, and the time at which the recovery was begun.
fn rows(store: &impl Store) -> Vec<(unjoin::store::Bucket, Vec<u8>, Vec<u8>)> {
    let rows = dump(store).into_iter().filter(|(_, row)| row.key != b"rm");
    rows.map(|(bucket, row)| (bucket, row.key, row.value)).collect()
}

#[test]
fn a_recovery_that_is_interrupted_at_any_write_ends_as_one_that_was_not() {
    let (older, public, clock) = copied();
    let whole = Faulty::new(copy(&older));
    let report = recover(&whole, &public, &clock).unwrap();
    assert_eq!((report.held, report.changes, report.cohorts), (2, 1, 2));
    assert_eq!(report.unlisted, 3, "two were edited, one is not in the copy");
    let expected = rows(&whole.rows);
    let writes = whole.writes();
    assert!(writes >= 6, "{writes}");
    for after in 0..writes {
        for failure in Failure::ALL {
            let store = Arc::new(Faulty::new(fill(MemoryStore::new(), &older)));
            store.fail(after, failure);
            let error = recover(&*store, &public, &clock).unwrap_err();
            assert!(error.is_retryable() && store.failed(), "{error}");
            // Nobody serves it half done; only before the first write, and after the last, it is whole.
            let opened = ReviewDesk::open(
                own(&store, Role::Reviews),
                Grid::Daily,
                config(),
                keys().ring.clone(),
                Arc::clone(&keys().platform),
                environment(&clock),
            );
            let is_begun = after > 0 || failure == Failure::Lost;
            let is_ended = after == writes - 1 && failure == Failure::Lost;
            match opened {
                Err(DeskError::Recovery(error)) => assert_eq!(error.code(), "recovery.unfinished"),
                opened => assert!((!is_begun || is_ended) && opened.is_ok(), "{after} {failure:?}"),
            }
            if !is_ended {
                recover(&*store, &public, &clock).unwrap();
            }
            assert_eq!(rows(&store.rows), expected, "{after} {failure:?}");
        }
    }
}
