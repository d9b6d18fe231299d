//! What a recovery excuses, and what it does not.

use crate::world::{
    Author, BOUNDARY, ORIGIN, World, action_receipt, keys, logged, manifest, scope, staff_key,
};
use unjoin::audit::{Finding, PublishedSet, ReceiptVerdict, action_verdict, receipt_verdict, recoveries};
use unjoin::ledger::{Ledger, RecoveredEntry, RecoveredStore};
use unjoin::secret::SystemRng;
use unjoin::token::StaffKey;
use unjoin::wire::Message;
use unjoin::{DAY, WEEK};

const GRACE: u64 = DAY;

/// A ledger with a manifest and a key of the staff's, at the boundary.
fn world() -> (World, Vec<u8>) {
    let world = World::new(Ledger::Reviews);
    world.clock.set(BOUNDARY);
    let older =
        world.publish(&[manifest(scope("lamps.example", 1)).to_bytes(), staff_key(&keys().staff[0], "ann")]);
    (world, older)
}

fn recovered(store: RecoveredStore, era: u32) -> Vec<u8> {
    recovered_by(&keys().staff[0], ORIGIN, store, era)
}

fn recovered_by(key: &StaffKey, origin: &str, store: RecoveredStore, era: u32) -> Vec<u8> {
    RecoveredEntry::sign(key, origin, store, era, 41, "the volume was lost").unwrap().to_bytes()
}

fn verdict(world: &World, author: &Author, older: Option<&[u8]>) -> ReceiptVerdict {
    let history = world.history(older);
    receipt_verdict(&history, &author.receipt(), &author.scope, &keys().platform.public(), GRACE).unwrap()
}

/// A receipt of an ended era is lost, with the recovery's entry; it is kept all the same where the
/// ledger has what was promised.
#[test]
fn a_receipt_of_an_ended_era_is_lost_unless_it_is_kept() {
    let (world, _) = world();
    let [dropped, kept] = [1, 2].map(Author::new);
    world.publish(&[kept.published().to_bytes()]);
    assert_eq!(verdict(&world, &dropped, None), ReceiptVerdict::NotYetDue);
    world.publish(&[recovered(RecoveredStore::Reviews, 2)]);
    let lost = ReceiptVerdict::Lost { recovery: 3 };
    assert_eq!(verdict(&world, &dropped, None), lost, "before it is due: it can be sent again");
    world.clock.set(BOUNDARY.saturating_add(GRACE + 1));
    world.publish(&[]);
    assert_eq!((verdict(&world, &dropped, None), verdict(&world, &kept, None)), (lost, ReceiptVerdict::Kept));
    let history = world.history(None);
    let platform = keys().platform.public();
    let action = dropped.withdraw(1);
    let verdict = action_verdict(&history, &action_receipt(&action), &action, &platform, GRACE);
    assert_eq!(verdict.unwrap(), lost);
    let listed = recoveries(&history, &platform);
    let (who, entry) = &listed[&3];
    assert_eq!((who.as_bytes(), entry.era(), entry.last_mark()), (&b"ann"[..], 2, 41));
}

/// Nor does the order service's recovery, one that nobody of the staff signed for this ledger, an era
/// that has begun before, or one that comes after what was due.
#[test]
fn nothing_else_excuses_a_receipt() {
    let author = Author::new(1);
    let stranger = StaffKey::generate(&mut SystemRng::new());
    let staff = &keys().staff[0];
    for (entries, found) in [
        (vec![recovered(RecoveredStore::Orders, 2)], vec![]),
        (
            vec![recovered_by(&stranger, ORIGIN, RecoveredStore::Reviews, 2)],
            vec![Finding::Unsigned { index: 2 }],
        ),
        (
            vec![recovered_by(staff, "another", RecoveredStore::Reviews, 2)],
            vec![Finding::Unsigned { index: 2 }],
        ),
        (
            vec![recovered(RecoveredStore::Orders, 3), recovered(RecoveredStore::Reviews, 2)],
            vec![Finding::Entry { index: 3 }],
        ),
    ] {
        let (world, older) = world();
        // One by one: a group has no order.
        entries.iter().for_each(|entry| drop(world.publish(std::slice::from_ref(entry))));
        world.clock.set(BOUNDARY.saturating_add(GRACE + 1));
        world.publish(&[]);
        assert_eq!(verdict(&world, &author, None), ReceiptVerdict::Unkept);
        assert_eq!(world.findings(&older, &PublishedSet::new()), found);
    }
    // Overdue before the copy was put back.
    let (world, _) = world();
    world.clock.set(BOUNDARY.saturating_add(GRACE + 1));
    let overdue = world.publish(&[]);
    world.clock.set(BOUNDARY.saturating_add(WEEK));
    world.publish(&[recovered(RecoveredStore::Reviews, 2)]);
    assert_eq!(verdict(&world, &author, Some(&overdue)), ReceiptVerdict::Unkept);
}

/// What is not shown since a recovery is named as lost, and what was published after it as dropped.
#[test]
fn a_recovery_does_not_hide_what_is_not_shown() {
    let (world, _) = world();
    let [before, changed, after] = [1, 2, 3].map(Author::new);
    world.publish(&[before.published().to_bytes(), changed.published().to_bytes()]);
    world.publish(&[recovered(RecoveredStore::Reviews, 2)]);
    let older = world.publish(&[after.published().to_bytes(), logged(changed.edit(1))]);
    let mut found = world.findings(&older, &PublishedSet::new());
    found.sort();
    let dropped = |author: &Author| Finding::Dropped { review_id: author.id() };
    let mut expected =
        vec![Finding::Lost { review_id: before.id(), recovery: 4 }, dropped(&changed), dropped(&after)];
    expected.sort();
    assert_eq!(found, expected);
    let shown = PublishedSet::from([before.shown(0), changed.shown(1), after.shown(0)]);
    assert_eq!(world.findings(&older, &shown), []);
}
