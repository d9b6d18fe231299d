//! What an insider can log who has the desk, its ledger and its signing keys, and who finds it:
//! anybody with the ledger, or the author's device with its receipt.

use crate::world::{
    Author, BOUNDARY, ORIGIN, World, action_receipt, keys, logged, manifest, scope, staff_key,
};
use unjoin::audit::{
    Finding, PublishedSet, ReceiptError, ReceiptVerdict, action_verdict, receipt_verdict, removals,
};
use unjoin::ledger::{ActionEntry, HeldWithdrawalEntry, Ledger, PublishedEntry, StaffKeyEntry};
use unjoin::secret::SystemRng;
use unjoin::token::{ActionKind, AuthorAction, PlatformKey, Scope, StaffKey};
use unjoin::wire::Message;
use unjoin::{DAY, Name, WEEK};

const GRACE: u64 = DAY;

/// A ledger with a manifest and two keys of the staff's, at the boundary.
fn world() -> (World, Vec<u8>) {
    let world = World::new(Ledger::Reviews);
    world.clock.set(BOUNDARY);
    let older = world.publish(&[
        manifest(scope("lamps.example", 1)).to_bytes(),
        manifest(scope("chairs.example", 1)).to_bytes(),
        staff_key(&keys().staff[0], "ann"),
        staff_key(&keys().staff[1], "ben"),
    ]);
    (world, older)
}

/// Logs these, lets the grace pass and publishes.
fn log(world: &World, entries: &[Vec<u8>]) {
    world.publish(entries);
    world.clock.set(BOUNDARY.saturating_add(GRACE + 1));
    world.publish(&[]);
}

fn verdict(world: &World, author: &Author) -> ReceiptVerdict {
    let history = world.history(None);
    receipt_verdict(&history, &author.receipt(), &author.scope, &keys().platform.public(), GRACE).unwrap()
}

fn action(world: &World, action: &AuthorAction) -> ReceiptVerdict {
    let history = world.history(None);
    action_verdict(&history, &action_receipt(action), action, &keys().platform.public(), GRACE).unwrap()
}

#[test]
fn a_published_entry_with_another_author_key_is_caught_with_the_receipt() {
    let (world, older) = world();
    let (author, insider) = (Author::new(1), Author::new(666));
    let false_entry = PublishedEntry { author_key: insider.key(), ..author.published() };
    log(&world, &[false_entry.to_bytes()]);
    assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
    // With the ledger alone nobody sees it, nor what the insider goes on to do.
    assert_eq!(world.findings(&older, &PublishedSet::from([author.shown(0)])), []);
    world.publish(&[logged(author.forged(&insider, ActionKind::Withdraw))]);
    assert_eq!(world.findings(&older, &PublishedSet::new()), []);
    assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
    // Beside the true entry, a second one contradicts.
    let (honest, older) = self::world();
    log(&honest, &[author.published().to_bytes()]);
    honest.publish(&[PublishedEntry { author_key: insider.key(), ..author.published() }.to_bytes()]);
    assert_eq!(verdict(&honest, &author), ReceiptVerdict::Kept);
    let shown = PublishedSet::from([author.shown(0)]);
    assert_eq!(honest.findings(&older, &shown), [Finding::Entry { index: 5 }]);
}

#[test]
fn a_false_withdrawal_of_a_held_review_is_caught_with_the_receipt() {
    let (author, insider) = (Author::new(1), Author::new(666));
    let own_key = HeldWithdrawalEntry {
        action: author.forged(&insider, ActionKind::Withdraw),
        author_key: insider.key(),
        ..author.taken_back()
    };
    let (world, older) = world();
    log(&world, &[own_key.to_bytes()]);
    assert_eq!(world.findings(&older, &PublishedSet::new()), []);
    assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
    // Under the author's key anybody sees that they did not sign.
    let (world, older) = self::world();
    log(&world, &[HeldWithdrawalEntry { author_key: author.key(), ..own_key }.to_bytes()]);
    assert_eq!(world.findings(&older, &PublishedSet::new()), [Finding::Unsigned { index: 4 }]);
    assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
    // The withdrawal of another presentation, or later than the promised boundary.
    for entry in [
        HeldWithdrawalEntry { presentation_hash: [9; 32], ..author.taken_back() },
        HeldWithdrawalEntry { boundary: BOUNDARY.saturating_add(WEEK), ..author.taken_back() },
    ] {
        let (world, _) = self::world();
        log(&world, &[entry.to_bytes()]);
        assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
    }
    let (world, older) = self::world();
    log(&world, &[author.taken_back().to_bytes()]);
    assert_eq!(verdict(&world, &author), ReceiptVerdict::Kept);
    assert_eq!(world.findings(&older, &PublishedSet::new()), []);
}

#[test]
fn a_review_shown_under_another_merchant_is_named() {
    let (world, older) = world();
    let author = Author::new(1);
    log(&world, &[author.published().to_bytes()]);
    let chairs = Name::new("chairs.example").unwrap();
    let shown = PublishedSet::from([(author.id(), (chairs.clone(), author.digest(0)))]);
    let moved =
        Finding::Moved { review_id: author.id(), logged: author.scope.merchant().clone(), shown: chairs };
    assert_eq!(world.findings(&older, &shown), [moved]);
}

#[test]
fn a_review_published_in_another_cohort_is_caught_with_the_receipt() {
    let author = Author::new(1);
    for other in [scope("chairs.example", 1), scope("lamps.example", 2)] {
        let (world, older) = world();
        world.publish(&[manifest(scope("lamps.example", 2)).to_bytes()]);
        log(&world, &[PublishedEntry { scope: other.clone(), ..author.published() }.to_bytes()]);
        let shown = PublishedSet::from([(author.id(), (other.merchant().clone(), author.digest(0)))]);
        assert_eq!(world.findings(&older, &shown), []);
        assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
    }
}

#[test]
fn a_review_published_without_its_manifest_before_it_is_named() {
    let author = Author::new(1);
    let without: Scope = scope("lamps.example", 3);
    let shown = PublishedSet::from([author.shown(0)]);
    let (world, older) = world();
    let entry = PublishedEntry { scope: without.clone(), ..author.published() }.to_bytes();
    log(&world, &[entry, manifest(without).to_bytes()]);
    assert_eq!(world.findings(&older, &shown), [Finding::WithoutManifest { index: 4 }]);
    // Off its manifest's boundaries.
    let (world, older) = self::world();
    log(
        &world,
        &[PublishedEntry { boundary: BOUNDARY.saturating_add(DAY), ..author.published() }.to_bytes()],
    );
    assert_eq!(world.findings(&older, &shown), [Finding::WithoutManifest { index: 4 }]);
    assert_eq!(verdict(&world, &author), ReceiptVerdict::Unkept);
}

#[test]
fn an_overtaken_action_that_is_missing_leaves_a_gap() {
    let (world, older) = world();
    let author = Author::new(1);
    log(&world, &[author.published().to_bytes(), logged(author.edit(2))]);
    let gap = Finding::Gap { review_id: author.id(), sequence: 1 };
    let shown = PublishedSet::from([author.shown(0)]);
    assert_eq!(world.findings(&older, &shown), std::slice::from_ref(&gap));
    // What nobody can follow does not change what is to be shown.
    let altered =
        Finding::Altered { review_id: author.id(), logged: author.digest(0), shown: author.digest(2) };
    assert_eq!(world.findings(&older, &PublishedSet::from([author.shown(2)])), [gap, altered]);
    world.publish(&[logged(author.edit(1))]);
    assert_eq!(world.findings(&older, &PublishedSet::from([author.shown(2)])), []);
}

#[test]
fn a_change_that_the_author_did_not_sign_is_named_and_does_not_count() {
    for kind in [ActionKind::Withdraw, ActionKind::Edit] {
        let (world, _) = world();
        let (author, insider) = (Author::new(1), Author::new(666));
        let older = world.publish(&[author.published().to_bytes()]);
        log(&world, &[logged(author.forged(&insider, kind))]);
        let unsigned = Finding::Unsigned { index: 5 };
        let shown = PublishedSet::from([author.shown(0)]);
        assert_eq!(world.findings(&older, &shown), std::slice::from_ref(&unsigned));
        let dropped = Finding::Dropped { review_id: author.id() };
        assert_eq!(world.findings(&older, &PublishedSet::new()), [unsigned.clone(), dropped]);
        let words = PublishedSet::from([(author.id(), (author.scope.merchant().clone(), [77; 32]))]);
        let altered = Finding::Altered { review_id: author.id(), logged: author.digest(0), shown: [77; 32] };
        assert_eq!(world.findings(&older, &words), [unsigned, altered]);
        // The author's own action takes the number all the same.
        world.publish(&[logged(author.edit(1))]);
        let shown = PublishedSet::from([author.shown(1)]);
        assert_eq!(world.findings(&older, &shown), [Finding::Unsigned { index: 5 }]);
    }
}

#[test]
fn a_withheld_action_is_proved_with_its_receipt() {
    let (world, _) = world();
    let author = Author::new(1);
    let withdrawal = author.withdraw(1);
    world.publish(&[author.published().to_bytes()]);
    assert_eq!(action(&world, &withdrawal), ReceiptVerdict::NotYetDue);
    log(&world, &[]);
    assert_eq!(action(&world, &withdrawal), ReceiptVerdict::Unkept);
    // Another action in its place does not settle it.
    world.publish(&[logged(author.edit(1))]);
    assert_eq!(action(&world, &withdrawal), ReceiptVerdict::Unkept);
    // Nor does anybody prove anything with a receipt of something else, or by somebody else.
    let (history, platform) = (world.history(None), keys().platform.public());
    let receipt = action_receipt(&withdrawal);
    let other = action_verdict(&history, &receipt, &author.edit(1), &platform, GRACE);
    assert_eq!(other, Err(ReceiptError));
    let stranger = PlatformKey::generate(&mut SystemRng::new()).public();
    assert_eq!(action_verdict(&history, &receipt, &withdrawal, &stranger, GRACE), Err(ReceiptError));
    let forged = receipt_verdict(&history, &author.receipt(), &author.scope, &stranger, GRACE);
    assert_eq!(forged, Err(ReceiptError));
}

#[test]
fn an_action_is_settled_by_itself_or_by_a_removal_that_somebody_signed() {
    let author = Author::new(1);
    let (published, edit) = (author.published().to_bytes(), author.edit(1));
    let (world, _) = world();
    log(&world, &[published.clone(), logged(edit.clone())]);
    assert_eq!(action(&world, &edit), ReceiptVerdict::Kept);
    let taken_back = author.taken_back();
    log(&world, &[taken_back.to_bytes()]);
    assert_eq!(action(&world, &taken_back.action), ReceiptVerdict::Kept);
    let (world, _) = self::world();
    log(&world, &[published.clone(), author.removed(&keys().staff[0], ORIGIN).to_bytes()]);
    assert_eq!(action(&world, &edit), ReceiptVerdict::Kept);
    let (world, _) = self::world();
    let stranger = StaffKey::generate(&mut SystemRng::new());
    log(&world, &[published, author.removed(&stranger, ORIGIN).to_bytes()]);
    assert_eq!(action(&world, &edit), ReceiptVerdict::Unkept);
}

#[test]
fn an_action_that_the_next_one_overtook_is_due_with_that_one() {
    let (world, older) = world();
    let (author, later) = (Author::new(1), BOUNDARY.saturating_add(WEEK));
    let [first, second] = [1, 2].map(|sequence| author.edit(sequence));
    world.publish(&[author.published().to_bytes()]);
    world.clock.set(later);
    let entry = |action: &AuthorAction| ActionEntry { action: action.clone(), boundary: later }.to_bytes();
    world.publish(&[entry(&second), entry(&first)]);
    world.clock.set(later.saturating_add(GRACE + 1));
    world.publish(&[]);
    assert_eq!(action(&world, &first), ReceiptVerdict::Kept);
    assert_eq!(world.findings(&older, &PublishedSet::from([author.shown(2)])), []);
    // By itself at a later boundary it is not kept; nor beside one that the author did not sign.
    let (world, _) = self::world();
    world.publish(&[author.published().to_bytes(), entry(&first)]);
    world.clock.set(later.saturating_add(GRACE + 1));
    world.publish(&[]);
    assert_eq!(action(&world, &first), ReceiptVerdict::Unkept);
}

#[test]
fn removals_are_listed_by_who_signed_them() {
    let (world, older) = world();
    let authors = [1, 2, 3].map(Author::new);
    let [ann, ben] = &keys().staff;
    let mut entries: Vec<_> = authors.iter().map(|author| author.published().to_bytes()).collect();
    entries.extend([
        authors[0].removed(ann, ORIGIN).to_bytes(),
        authors[1].removed(ann, ORIGIN).to_bytes(),
        authors[2].removed(ben, ORIGIN).to_bytes(),
    ]);
    log(&world, &entries);
    assert_eq!(world.findings(&older, &PublishedSet::new()), []);
    let listed = removals(&world.history(None), &keys().platform.public());
    let counted: Vec<_> = listed.iter().map(|(who, removed)| (who.as_bytes(), removed.len())).collect();
    assert_eq!(counted, [(&b"ann"[..], 2), (b"ben", 1)]);
}

#[test]
fn a_removal_in_a_colleagues_name_is_named_and_does_not_count() {
    let (author, stranger) = (Author::new(1), StaffKey::generate(&mut SystemRng::new()));
    let [ann, _] = &keys().staff;
    // The entry names ann's key: signed by another, or altered.
    let mut colleagues = author.removed(&stranger, ORIGIN).to_bytes();
    let at = colleagues.len() - 64 - 32;
    colleagues[at..at + 32].copy_from_slice(ann.public().as_bytes());
    let mut grounds = author.removed(ann, ORIGIN).to_bytes();
    grounds[70] ^= 1;
    // Ann's own signature, but for the ledger of another platform.
    let elsewhere = author.removed(ann, "other.example/reviews").to_bytes();
    // A key that stands nowhere in the ledger, or in an entry that the platform did not sign.
    let unknown = author.removed(&stranger, ORIGIN).to_bytes();
    for removal in [colleagues, grounds, elsewhere, unknown.clone()] {
        let (world, _) = world();
        let older = world.publish(&[author.published().to_bytes()]);
        log(&world, &[removal]);
        let shown = PublishedSet::from([author.shown(0)]);
        assert_eq!(world.findings(&older, &shown), [Finding::Unsigned { index: 5 }]);
        let dropped = Finding::Dropped { review_id: author.id() };
        assert_eq!(world.findings(&older, &PublishedSet::new()), [Finding::Unsigned { index: 5 }, dropped]);
        assert!(removals(&world.history(None), &keys().platform.public()).is_empty());
    }
    let (world, older) = world();
    let (own, who) = (PlatformKey::generate(&mut SystemRng::new()), Name::new("ann").unwrap());
    let staff = StaffKeyEntry::sign(&own, ORIGIN, &stranger.public(), who).unwrap().to_bytes();
    log(&world, &[author.published().to_bytes(), staff, unknown]);
    let shown = PublishedSet::from([author.shown(0)]);
    assert_eq!(world.findings(&older, &shown), [5, 6].map(|index| Finding::Unsigned { index }));
}

#[test]
fn what_is_logged_late_is_named_whatever_its_boundary_says() {
    let authors = [1, 2, 3].map(Author::new);
    let edit = authors[1].edit(1);
    let (world, _) = world();
    world.publish(&[authors[1].published().to_bytes()]);
    // A checkpoint that should have covered all three.
    world.clock.set(BOUNDARY.saturating_add(GRACE + 1));
    let older = world.publish(&[]);
    world.publish(&[
        authors[0].published().to_bytes(),
        logged(edit.clone()),
        authors[2].taken_back().to_bytes(),
    ]);
    let shown = PublishedSet::from([authors[0].shown(0), authors[1].shown(1)]);
    assert_eq!(world.findings(&older, &shown), [5, 6, 7].map(|index| Finding::Late { index }));
    // The verdicts stay what they were.
    let history = world.history(Some(&older));
    let platform = keys().platform.public();
    for author in [&authors[0], &authors[2]] {
        let verdict = receipt_verdict(&history, &author.receipt(), &author.scope, &platform, GRACE);
        assert_eq!(verdict, Ok(ReceiptVerdict::Unkept));
    }
    let verdict = action_verdict(&history, &action_receipt(&edit), &edit, &platform, GRACE);
    assert_eq!(verdict, Ok(ReceiptVerdict::Unkept));
    // One second earlier the older checkpoint need not have covered them.
    let (world, _) = self::world();
    world.clock.set(BOUNDARY.saturating_add(GRACE));
    let older = world.publish(&[authors[1].published().to_bytes()]);
    world.publish(&[authors[0].published().to_bytes(), logged(edit)]);
    assert_eq!(world.findings(&older, &shown), []);
}

#[test]
fn an_honest_history_has_no_findings() {
    let (world, older) = world();
    let [edited, voided, removed, withdrawn, held] = [1, 2, 3, 4, 5].map(Author::new);
    log(
        &world,
        &[
            edited.published().to_bytes(),
            voided.published().to_bytes(),
            removed.published().to_bytes(),
            withdrawn.published().to_bytes(),
            // In one group, in any order: an overtaken edit after the one that overtook it.
            logged(edited.edit(2)),
            logged(edited.edit(1)),
            // Cancelled: an edit back to the words before it.
            logged(voided.edit_from(2, 1, 0)),
            logged(voided.edit(1)),
            // By the same digest.
            logged(voided.edit_from(3, 0, 0)),
            // What waited with it was ended by the removal and is not logged.
            removed.removed(&keys().staff[1], ORIGIN).to_bytes(),
            logged(withdrawn.withdraw(1)),
            held.taken_back().to_bytes(),
        ],
    );
    let shown = PublishedSet::from([edited.shown(2), voided.shown(0)]);
    assert_eq!(world.findings(&older, &shown), []);
    for author in [&edited, &voided, &removed, &withdrawn, &held] {
        assert_eq!(verdict(&world, author), ReceiptVerdict::Kept);
    }
    assert_eq!(action(&world, &removed.edit(1)), ReceiptVerdict::Kept);
}
