//! Stores that fail at any step, and disks that are put back.

use super::*;
use crate::service::tests::rows;
use rand_core::{TryCryptoRng, TryRng};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use unjoin_core::Environment;
use unjoin_store::{Bucket, Commit, Outcome, Record, Row, RowKey, Write};

/// A store that remembers every byte it was ever given, and fails once: before the commit of this
/// number is applied, or after.
struct Remembering {
    rows: MemoryStore,
    written: Mutex<Vec<u8>>,
    left: AtomicI64,
    applies: bool,
}

impl Store for Remembering {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.rows.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        for write in commits.iter().flat_map(|commit| &commit.writes) {
            if let Write::Put(key, value) = write {
                self.written.lock().unwrap().extend([key.as_slice(), value].concat());
            }
        }
        let fails = self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        if fails && !self.applies {
            return Err(StoreError::engine("told to fail"));
        }
        let outcomes = self.rows.commit(commits)?;
        if fails { Err(StoreError::engine("told to fail")) } else { Ok(outcomes) }
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.rows.rewrite()
    }
}

/// A generator that notes what it gave out.
struct Noting(SystemRng, Arc<Mutex<Vec<Vec<u8>>>>);

impl TryRng for Noting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)?;
        self.1.lock().unwrap().push(bytes.to_vec());
        Ok(())
    }
}

impl TryCryptoRng for Noting {}

/// A generator that says these bytes.
struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

#[test]
fn a_generator_that_repeats_itself_gives_no_two_factors_alike() {
    let panel = Panel::new(2, 2, &[0, 1, 2]);
    let (request, rng) = (panel.request(1), &mut Fixed(vec![3; 32]));
    let all = reviews(&request);
    let of =
        |review: &crate::ReviewEvidence| (review.presentation.review_id(), *review.presentation.escrow());
    let two = ComparedReviews::new(request.reviews[1..].iter().map(of).collect()).unwrap();
    let mut factors = BTreeSet::new();
    for (index, digest, round, reviews) in
        [(1, 1, 1, &all), (2, 1, 1, &all), (1, 2, 1, &all), (1, 1, 2, &all), (1, 1, 1, &two)]
    {
        let secrets = panel.world.secrets(index);
        let factor = BlindingFactor::derive(secrets.share().unwrap(), &[digest; 32], round, reviews, rng);
        factors.insert(factor.expose().to_bytes());
    }
    assert_eq!(factors.len(), 5);
}

#[test]
fn whichever_commit_fails_a_round_gives_one_share_and_its_factor_is_nowhere() {
    let mut struck = BTreeSet::new();
    for (number, applies) in (0..12).flat_map(|number| [(number, false), (number, true)]) {
        let world = World::new(1, 1, 2, budgets(9, 9, 9));
        let presented = warrant(&world, &[0, 1]);
        let (rows, written) = (MemoryStore::new(), Mutex::new(Vec::new()));
        let store = Arc::new(Remembering { rows, written, left: AtomicI64::new(number), applies });
        let noted = Arc::new(Mutex::new(Vec::new()));
        let notes = noted.clone();
        let environment =
            Environment::new(world.clock.clone(), move || Box::new(Noting(SystemRng::new(), notes.clone())));
        let start = || {
            let (store, policy) = (store.clone(), world.policy.clone());
            Trustee::open(store, world.secrets(1), policy, environment.clone()).unwrap()
        };
        log_round(&world, &presented, 1, [1]);
        let request = request(&world, &presented, 1);
        let (mut committed, mut compared, mut shares) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut trustee = start();
        let mut run = |trustee: &Trustee<Remembering>| -> Result<(), TrusteeError> {
            try_charge(&world, trustee, &presented)?;
            if let RoundAnswer::Append(entry) = trustee.blind(&request, &world.openings)? {
                committed.insert(entry.clone());
                world.log(&[entry]);
            }
            let blinds = [revealed(Ok(trustee.blind(&request, &world.openings)?))];
            // A share may be lost on its way, and is asked for again.
            let mut last = Ok(());
            for _ in 0..3 {
                match trustee.compare(&request, &blinds, &world.openings) {
                    Ok(RoundAnswer::Released(sealed)) => {
                        let share = world.recipient.open_comparison(&sealed, presented.terms()).unwrap();
                        shares.insert(share.to_bytes()[10..74].to_vec());
                        last = Ok(());
                    }
                    Ok(RoundAnswer::Append(entry)) => {
                        compared.insert(entry.clone());
                        world.log(&[entry]);
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => last = Err(error),
                }
            }
            last
        };
        for attempt in 0..4 {
            match run(&trustee) {
                Ok(()) => break,
                Err(TrusteeError::Store(_)) => {
                    struck.insert((number, applies));
                    if number % 2 == 0 {
                        trustee = start();
                    }
                }
                Err(TrusteeError::Round(SameAuthorError::Used)) => break,
                Err(error) => panic!("{attempt}: {error}"),
            }
        }
        assert_eq!((committed.len(), compared.len(), shares.len()), (1, 1, 1), "{number} {applies}");
        let written = store.written.lock().unwrap();
        // Neither a factor nor the fresh bytes that it was made of.
        let (secrets, reviews, digest) = (world.secrets(1), reviews(&request), presented.warrant().digest());
        let noted: Vec<Vec<u8>> = noted.lock().unwrap().iter().filter(|b| b.len() == 32).cloned().collect();
        assert!(!noted.is_empty());
        for fresh in noted {
            let rng = &mut Fixed(fresh.clone());
            let factor = BlindingFactor::derive(secrets.share().unwrap(), &digest, 1, &reviews, rng);
            let factor = factor.expose().to_bytes();
            assert!(!written.windows(32).any(|window| window == factor || window == fresh));
        }
    }
    // Following, two intents, two verdicts, the blind, the mark of the round: before and after.
    assert!(struck.len() >= 14, "{struck:?}");
}

fn copy(store: &MemoryStore) -> Arc<MemoryStore> {
    let copy = MemoryStore::new();
    for (bucket, row) in rows(store) {
        let bucket = Bucket::all().find(|other| other.number() == bucket).unwrap();
        copy.commit(&[Commit::new(bucket).put(row.key, row.value)]).unwrap();
    }
    Arc::new(copy)
}

#[test]
fn a_disk_that_was_put_back_gives_no_second_share() {
    let panel = Panel::new(2, 2, &[0, 1]);
    panel.log_round(1, [1, 2]);
    let request = panel.request(1);
    let before = copy(&panel.stores[0]);
    let late = copy(&panel.stores[0]);
    appended(panel.ask(1, &request));
    let between = copy(&panel.stores[0]);
    panel.commit(&request, &[1, 2]);
    let blinds = panel.reveal(&request, &[1, 2]);
    let first = panel.share(1, &request, &blinds);

    // Back to before the blind: the ledger's commitment is not known.
    let back = panel.world.trustee(1, &before);
    assert_eq!(refusal(back.blind(&request, &panel.world.openings)), SameAuthorError::Foreign);
    assert_eq!(refusal(back.compare(&request, &blinds, &panel.world.openings)), SameAuthorError::Foreign);
    // Back to before the share: it is the same share again, and no other.
    let back = panel.world.trustee(1, &between);
    let mut others = blinds.clone();
    others[1] = panel.corrupt(2, &request).0;
    assert_eq!(
        refusal(back.compare(&request, &others, &panel.world.openings)),
        SameAuthorError::Uncommitted(vec![2])
    );
    let again = released(&panel.world, &back, &request, &blinds);
    assert_eq!((panel.elements(&again), again.subject()), (panel.elements(&first), first.subject()));
    // Another round is a new one, with a fresh factor.
    panel.log_round(2, [1, 2]);
    let second = panel.request(2);
    let back = panel.world.trustee(1, &late);
    let entry = appended(back.blind(&second, &panel.world.openings));
    assert_ne!(entry, appended(panel.ask(1, &second)));
}

#[test]
fn the_rows_of_a_round_name_no_review_and_keep_no_blind_after_it() {
    let panel = Panel::new(1, 1, &[0, 1]);
    panel.log_round(1, [1]);
    let request = panel.request(1);
    let all = || rows(&panel.stores[0]).into_iter().flat_map(|(_, row)| [row.key, row.value].concat());
    let holds =
        |secret: &[u8]| all().collect::<Vec<_>>().windows(secret.len()).any(|window| window == secret);
    let (digest, blind) = (panel.digest(), *panel.presented.blind());
    let ids = [panel.world.id(0), panel.world.id(1)];
    let names_nothing = || {
        let hidden: [&[u8]; 4] = [ids[0].as_bytes(), ids[1].as_bytes(), &digest, &blind];
        assert!(hidden.iter().all(|secret| !holds(secret)));
    };
    panel.commit(&request, &[1]);
    names_nothing();
    let own = panel.reveal(&request, &[1]).remove(0);
    assert!(holds(&own.to_bytes()));
    panel.share(1, &request, std::slice::from_ref(&own));
    names_nothing();
    assert!(!holds(&own.to_bytes()[8..40]));
}

#[test]
fn rows_of_rounds_are_read_strictly() {
    let panel = Panel::new(1, 1, &[0, 1]);
    let (blind, _) = panel.corrupt(1, &panel.request(1));
    for part in [Part::Blinded(blind), Part::Used([7; 32])] {
        let value = part.to_value();
        assert_eq!(Part::from_value(&value).unwrap().to_value(), value);
        for length in 0..value.len() {
            assert!(Part::from_value(&value[..length]).is_err());
        }
        assert!(Part::from_value(&[value.as_slice(), &[0]].concat()).is_err());
        assert!(Part::from_value(&[&[2], &value[1..]].concat()).is_err());
        assert!(Part::from_value(&[&[1, 3], &value[2..]].concat()).is_err());
    }
}
