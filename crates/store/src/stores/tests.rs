//! What opening notices: stores that are empty, exchanged, strange, copies, or older than their
//! sisters, after a crash at any commit too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod recovery;

use super::*;
use crate::Record as _;
use crate::{MemoryStore, Write};
use proptest::prelude::*;
use std::sync::atomic::AtomicUsize;
use unjoin_core::secret::SystemRng;

const ROLES: [Role; 3] = [Role::Orders, Role::Reviews, Role::Telephony];

/// A machine whose stores all end after so many commits.
#[derive(Default)]
struct Machine {
    left: AtomicUsize,
}

struct Ends {
    rows: Arc<dyn Store>,
    machine: Arc<Machine>,
}

impl Store for Ends {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.rows.read(keys)
    }
    fn scan(&self, b: Bucket, p: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(b, p, after, limit)
    }
    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let left =
            self.machine.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| StoreError::engine("the machine ended"))?;
        self.rows.commit(commits)
    }
    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.rows.snapshot(see)
    }
    fn rewrite(&self) -> Result<(), StoreError> {
        self.rows.rewrite()
    }
}

struct World {
    roster: Roster,
    stores: [Arc<Ends>; 3],
    machine: Arc<Machine>,
}

type Image = Vec<Row>;

impl World {
    fn new() -> Self {
        Self::on([(); 3].map(|()| Arc::new(MemoryStore::new()) as Arc<dyn Store>))
    }

    fn on(engines: [Arc<dyn Store>; 3]) -> Self {
        let machine = Arc::new(Machine::default());
        let store = |rows| Arc::new(Ends { rows, machine: Arc::clone(&machine) });
        let stores = engines.map(store);
        Self { roster: Roster::generate(&mut SystemRng::new()), stores, machine }
    }

    fn all(&self) -> impl Iterator<Item = (Role, Arc<Ends>)> + '_ {
        ROLES.into_iter().zip(self.stores.iter().cloned())
    }

    fn create(&self, commits: usize) -> Result<Stores<Ends>, StoreError> {
        self.machine.left.store(commits, Ordering::SeqCst);
        Stores::create(&self.roster, self.all(), &mut SystemRng::new())
    }

    fn open(&self, commits: usize) -> Result<Stores<Ends>, StoreError> {
        self.machine.left.store(commits, Ordering::SeqCst);
        Stores::open(&self.roster, self.all(), &mut SystemRng::new())
    }

    fn image(&self, place: usize) -> Image {
        self.stores[place].rows.scan(own_bucket(), b"", None, 100).unwrap()
    }

    fn put_back(&self, place: usize, image: &Image) {
        let gone = self.image(place).into_iter().map(|row| Write::Delete(row.key));
        let back = image.iter().map(|row| Write::Put(row.key.clone(), row.value.clone()));
        let mut commit = Commit::new(own_bucket());
        commit.writes = gone.chain(back).collect();
        self.stores[place].rows.commit(&[commit]).unwrap();
    }

    fn marks(&self) -> [MarkRow; 3] {
        self.stores.each_ref().map(|store| read(&store.rows, &mark_key()).unwrap().unwrap())
    }
}

const PLENTY: usize = 1000;

#[test]
fn creating_is_resumed_after_a_crash_at_any_commit_and_opening_makes_nothing() {
    let mut crashes = 0;
    for commits in 0.. {
        let world = World::new();
        let empty = world.open(PLENTY).map(drop).unwrap_err();
        assert!(matches!(empty, StoreError::Nobodys(Role::Orders)), "{empty}");
        assert!((0..3).all(|place| world.image(place).is_empty()));
        let created = world.create(commits);
        drop(world.create(PLENTY).unwrap());
        let opened = world.open(PLENTY).unwrap();
        assert!(ROLES.iter().all(|role| opened.own(*role).is_ok()));
        if created.is_ok() {
            break;
        }
        crashes += 1;
    }
    // Three identities, and the first step of three stores.
    assert_eq!(crashes, 3 + 4);
}

#[test]
fn an_exchanged_strange_or_copied_store_is_named() {
    let (world, other) = (World::new(), World::new());
    drop((world.create(PLENTY).unwrap(), other.create(PLENTY).unwrap()));
    let rng = &mut SystemRng::new();
    let open = |orders: &Arc<Ends>, reviews: &Arc<Ends>, rng: &mut SystemRng| {
        let stores = [(Role::Orders, Arc::clone(orders)), (Role::Reviews, Arc::clone(reviews))];
        Stores::open(&world.roster, stores, rng).map(|stores| stores.own(Role::Orders).map(drop))
    };
    let [orders, reviews, _] = &world.stores;
    let swapped = StoreError::Swapped { expected: Role::Orders, found: Role::Reviews };
    assert_eq!(open(reviews, orders, rng).unwrap_err().to_string(), swapped.to_string());
    assert!(matches!(open(orders, &other.stores[1], rng), Err(StoreError::Foreign(Role::Reviews))));
    let fresh = Arc::new(Ends { rows: Arc::new(MemoryStore::new()), machine: Arc::clone(&world.machine) });
    assert!(matches!(open(orders, &fresh, rng), Err(StoreError::Nobodys(Role::Reviews))));
    // A sister that was opened once is not left out unsaid.
    assert!(matches!(open(orders, reviews, rng), Ok(Err(StoreError::Unmarked(Role::Orders)))));
    // Made anew with the same roster, it is older than its sisters.
    world.machine.left.store(PLENTY, Ordering::SeqCst);
    OwnStore::make(&*fresh, &world.roster.identity(Role::Reviews, 0).unwrap()).unwrap();
    assert!(matches!(open(orders, &fresh, rng), Err(StoreError::Older(Role::Reviews))));
    let copy = Identity { is_copy: true, ..world.roster.identity(Role::Reviews, 0).unwrap() };
    let commit = Commit::new(own_bucket()).put(identity_key().bytes().to_vec(), copy.to_value());
    reviews.rows.commit(&[commit]).unwrap();
    assert!(matches!(open(orders, reviews, rng), Err(StoreError::Copy(Role::Reviews))));
    let rows = Commit::new(Bucket::of(b"somebody")).put(b"row".to_vec(), b"value".to_vec());
    orders.rows.commit(&[rows]).unwrap();
    assert!(matches!(world.create(PLENTY), Err(StoreError::Exists)));
}

#[test]
fn a_store_belongs_to_its_secrets() {
    let world = World::new();
    let stores = world.create(PLENTY).unwrap();
    let (orders, reviews) = (stores.own(Role::Orders).unwrap(), stores.own(Role::Reviews).unwrap());
    for _ in 0..2 {
        orders.bind("order handles", &[1; 32]).unwrap();
        reviews.bind("order handles", &[1; 32]).unwrap();
    }
    let refused = orders.bind("order handles", &[2; 32]).unwrap_err();
    assert!(refused.to_string().contains("the orders store belongs to another secret (order handles)"));
    // What is kept is another in every store, and does not hold the secret.
    let kept = [0, 1].map(|place| {
        let rows = world.image(place);
        rows.into_iter().find(|row| row.key.starts_with(b"sc")).unwrap().value
    });
    assert!(kept[0] != kept[1] && !kept.iter().any(|value| value.windows(8).any(|part| part == [1; 8])));
}

#[test]
fn separate_processes_send_the_mark() {
    let world = World::new();
    drop(world.create(PLENTY).unwrap());
    let rng = &mut SystemRng::new();
    let lead = Stores::open(&world.roster, world.all().take(1), rng).unwrap();
    let sisters = Stores::open(&world.roster, world.all().skip(1), rng).unwrap();
    assert!(matches!(lead.own(Role::Orders), Err(StoreError::Unmarked(_))));
    assert!(matches!(sisters.own(Role::Reviews), Err(StoreError::Unmarked(_))));
    let step = lead.begin(rng).unwrap();
    let sent = Step::from_bytes(&step.to_bytes()).unwrap();
    for _ in 0..2 {
        sisters.follow(&sent).unwrap();
        lead.finish(&step).unwrap();
    }
    assert!(lead.own(Role::Orders).is_ok() && sisters.own(Role::Telephony).is_ok());
    let bytes = step.to_bytes();
    assert_eq!(bytes.len(), 41);
    assert!((0..bytes.len()).all(|length| Step::from_bytes(&bytes[..length]).is_err()));
}

#[test]
fn a_process_whose_store_is_put_back_serves_nothing_any_more() {
    for (place, role) in ROLES.into_iter().enumerate() {
        let world = World::new();
        let stores = world.create(PLENTY).unwrap();
        let before = world.image(place);
        stores.advance(&mut SystemRng::new()).unwrap();
        let own = stores.own(role).unwrap();
        stores.check().unwrap();
        // Another process on the same stores goes on, and this one with it.
        let beside = world.open(PLENTY).unwrap();
        stores.check().unwrap();
        stores.advance(&mut SystemRng::new()).unwrap();
        beside.check().unwrap();
        world.put_back(place, &before);
        assert!(stores.check().is_err());
        assert!(matches!(own.scan(own_bucket(), b"", None, 1), Err(StoreError::Replaced(_))));
        assert!(matches!(own.commit(&[]), Err(StoreError::Replaced(_))));
    }
}

/// Which of its earlier states each store is put back to, if to any.
type Chosen = [Option<prop::sample::Index>; 3];

fn chosen() -> impl Strategy<Value = Chosen> {
    prop::array::uniform3(prop::option::of(any::<prop::sample::Index>()))
}

/// After how many commits each of fewer than `most` lives ends.
fn ends(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..9, 1..most)
}

impl World {
    /// Lives that end after so many commits, and then some stores are put back.
    fn live_and_put_back(&self, ends: Vec<usize>, back: Chosen) -> Result<(), TestCaseError> {
        drop(self.create(PLENTY).unwrap());
        let mut past: [Vec<Image>; 3] = [0, 1, 2].map(|place| vec![self.image(place)]);
        for commits in ends {
            // Never refused as long as nobody puts anything back.
            match self.open(commits) {
                Ok(_) | Err(StoreError::Engine(_)) => {}
                Err(error) => prop_assert!(false, "{}", error),
            }
            (0..3).for_each(|place| past[place].push(self.image(place)));
        }
        for (place, chosen) in back.iter().enumerate() {
            if let Some(chosen) = chosen {
                self.put_back(place, &past[place][chosen.index(past[place].len())]);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lives that end at any commit of an opening or an advance, then any of the stores put back to
    /// any earlier state: opened is exactly what marks cannot tell from the truth.
    #[test]
    fn what_is_put_back_is_noticed_and_nothing_else_refused(
        ends in ends(6),
        back in chosen(),
    ) {
        put_back_at_random(&World::new(), ends, back)?;
    }
}

/// The same on a file: the decisions over marks are each engine's own.
#[cfg(feature = "redb")]
mod on_redb {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_put_back_is_noticed_and_nothing_else_refused(
            ends in ends(4),
            back in chosen(),
        ) {
            let directory = unjoin_test_util::Directory::new();
            let file = |name: &str| crate::RedbStore::create(directory.file(name)).unwrap();
            let engines = ["orders", "reviews", "telephony"].map(|name| Arc::new(file(name)) as Arc<dyn Store>);
            put_back_at_random(&World::on(engines), ends, back)?;
        }
    }
}

/// And on a server.
#[cfg(feature = "postgres")]
mod on_postgres {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_put_back_is_noticed_and_nothing_else_refused(
            ends in ends(4),
            back in chosen(),
        ) {
            let server = unjoin_test_util::postgres::Server::shared();
            let store = || {
                let mut config = crate::postgres::PostgresConfig::new(format!("{} dbname=postgres", server.address()));
                config.schema = unjoin_test_util::postgres::fresh_schema();
                crate::postgres::PostgresStore::create(config).unwrap()
            };
            let engines = [(); 3].map(|()| Arc::new(store()) as Arc<dyn Store>);
            put_back_at_random(&World::on(engines), ends, back)?;
        }
    }
}

fn put_back_at_random(world: &World, ends: Vec<usize>, back: Chosen) -> Result<(), TestCaseError> {
    world.live_and_put_back(ends, back)?;
    let [lead, sisters @ ..] = world.marks();
    let next = Step::of(&lead).map(|step| step.to);
    let fits = |sister: &MarkRow| sister.at == lead.at || Some(sister.at) == next;
    match world.open(PLENTY) {
        Ok(stores) => {
            prop_assert!(sisters.iter().all(fits));
            prop_assert!(stores.own(Role::Reviews).is_ok());
            let [lead, sisters @ ..] = world.marks();
            prop_assert!(sisters.iter().all(|sister| sister.at == lead.at) && lead.next.is_none());
        }
        Err(StoreError::Older(role)) => {
            prop_assert!(!sisters.iter().all(fits));
            let newest = sisters.iter().map(|sister| sister.at.number).max().unwrap_or(0);
            prop_assert_eq!(
                role == Role::Orders,
                newest > next.unwrap_or(lead.at).number
                    && sisters
                        .iter()
                        .find(|sister| !fits(sister))
                        .is_some_and(|first| first.at.number > lead.at.number)
            );
        }
        Err(error) => prop_assert!(false, "{}", error),
    }
    Ok(())
}
