//! Stores that were put back, copied or made anew, brought together again; interrupted at any commit.

use super::*;

impl World {
    /// What a recovery does, as far as the stores themselves go.
    fn recover(&self, put_back: &[Role], commits: usize) -> Result<Vec<Role>, StoreError> {
        self.machine.left.store(commits, Ordering::SeqCst);
        let stores = Stores::open_for_recovery(&self.roster, self.all(), put_back)?;
        let lost: Vec<Role> = stores.lost().iter().map(|(role, _)| *role).collect();
        for role in &lost {
            let own = stores.own(*role)?;
            assert!(matches!(own.is_for(*role), Err(StoreError::Copy(_))), "no service opens on it");
            identity::raise_era(&*own, identity::of(&*own)?.unwrap().era)?;
        }
        stores.end()?;
        Ok(lost)
    }

    /// Again and again, each time interrupted at one commit later; how often it was.
    fn recover_with_interruptions(&self, put_back: &[Role]) -> usize {
        for commits in 0.. {
            match self.recover(put_back, commits) {
                Ok(_) => return commits,
                // What is lost is not opened before the recovery has ended.
                Err(StoreError::Engine(_)) if commits > 0 => assert!(self.open(PLENTY).is_err()),
                Err(StoreError::Engine(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!()
    }

    fn eras(&self) -> Vec<u32> {
        self.stores.iter().map(|store| identity::of(&store.rows).unwrap().unwrap().era).collect()
    }

    fn are_together(&self) {
        drop(self.open(PLENTY).unwrap());
        let [lead, sisters @ ..] = self.marks();
        assert!(sisters.iter().all(|sister| sister.at == lead.at) && lead.next.is_none());
        let eras = self.eras();
        assert!(eras.iter().all(|era| *era == eras[0]), "{eras:?}");
    }
}

#[test]
fn a_store_that_is_older_is_found_and_brought_back_by_a_recovery_interrupted_anywhere() {
    for (place, role) in ROLES.into_iter().enumerate() {
        let world = World::new();
        let stores = world.create(PLENTY).unwrap();
        let older = world.image(place);
        stores.advance(&mut SystemRng::new()).unwrap();
        stores.advance(&mut SystemRng::new()).unwrap();
        world.put_back(place, &older);
        assert!(matches!(world.open(PLENTY), Err(StoreError::Older(found)) if found == role));
        // Before it was flagged, before it was raised, and before its sisters were.
        assert_eq!(world.recover_with_interruptions(&[]), 3, "{role}");
        assert_eq!(world.eras(), [2; 3]);
        world.are_together();
        assert_eq!(world.recover(&[], PLENTY).unwrap(), []);
        assert_eq!(world.eras(), [2; 3], "nothing was lost, and nothing is excused");
    }
}

#[test]
fn a_raw_copy_that_no_mark_tells_is_named() {
    let world = World::new();
    drop(world.create(PLENTY).unwrap());
    assert_eq!(world.recover(&[Role::Reviews], PLENTY).unwrap(), [Role::Reviews]);
    assert_eq!(world.eras(), [2; 3]);
    world.are_together();
}

#[test]
fn stores_of_two_pasts_are_not_taken_for_one_anothers() {
    let world = World::new();
    let stores = world.create(PLENTY).unwrap();
    let older: Vec<Image> = (0..3).map(|place| world.image(place)).collect();
    stores.advance(&mut SystemRng::new()).unwrap();
    let other = world.image(1);
    (0..3).for_each(|place| world.put_back(place, &older[place]));
    drop(world.open(PLENTY).unwrap());
    world.put_back(1, &other);
    assert!(matches!(world.recover(&[], PLENTY), Err(StoreError::Foreign(_))));
    assert_eq!(world.recover(&[Role::Reviews], PLENTY).unwrap(), [Role::Reviews]);
    world.are_together();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lives that end at any commit, then any of the stores put back to any earlier state: a recovery that is
    /// interrupted at every one of its commits brings them together, and does nothing to stores that open.
    #[test]
    fn whichever_stores_are_old_a_recovery_brings_all_together(
        ends in ends(6),
        back in chosen(),
    ) {
        let world = World::new();
        world.live_and_put_back(ends, back)?;
        let found: Vec<Image> = (0..3).map(|place| world.image(place)).collect();
        let opens = world.open(PLENTY).is_ok();
        (0..3).for_each(|place| world.put_back(place, &found[place]));
        let interruptions = world.recover_with_interruptions(&[]);
        prop_assert_eq!(opens, interruptions == 0);
        world.are_together();
    }
}
