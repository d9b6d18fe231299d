//! Bundles hold what a boundary brought, and their size tells no shard from another.

use super::keys::World;
use super::{END, NOW};
use crate::{BundlePiece, Bundles, DoorError};
use std::collections::BTreeSet;
use unjoin_core::entry::{DoorKeyEntry, PublishedEntry};
use unjoin_core::token::{AuthorKey, CohortManifest, DoorAnswer, PublicationDates, ReviewId, Scope};
use unjoin_core::wire::Message;
use unjoin_core::{DAY, Name, Timestamp};
use unjoin_log::CosignedEntry;

const BITS: u8 = 2;

fn merchant(at: u16) -> Name {
    Name::new(format!("shop-{at}.example")).unwrap()
}

/// Of a cohort that is first published at this boundary.
fn manifest(at: u16, first: Timestamp) -> Vec<u8> {
    let manifest = CohortManifest {
        scope: Scope::new([7; 32], merchant(at), 1),
        escrow_id: [8; 32],
        at_least: 20,
        publications: PublicationDates::starting(first).unwrap(),
    };
    manifest.to_bytes()
}

fn published(at: u16, boundary: Timestamp) -> Vec<u8> {
    let entry = PublishedEntry {
        scope: Scope::new([7; 32], merchant(at), 1),
        boundary,
        review_id: ReviewId([at as u8; 32]),
        review_digest: [1; 32],
        presentation_hash: [2; 32],
        author_key: AuthorKey([3; 32]),
    };
    entry.to_bytes()
}

/// All pieces of a shard.
fn fetch(bundles: &mut Bundles, world: &World, boundary: Timestamp, shard: u16) -> Vec<BundlePiece> {
    let mut piece = |at| bundles.piece(&world.log, BITS, boundary, shard, at).unwrap().unwrap();
    let first = piece(0);
    (0..first.of()).map(piece).collect()
}

#[test]
fn every_shard_has_what_is_its_own_in_as_many_pieces_as_any_other() {
    let (world, mut bundles) = (World::new(), Bundles::new(4));
    let key = world.entry(4, 0..2).to_bytes();
    world.publish(std::slice::from_ref(&key), NOW);
    assert_eq!(bundles.piece(&world.log, BITS, NOW, 0, 0).unwrap(), None, "nothing is published yet");
    let entries: Vec<_> =
        (0..40).flat_map(|at| [manifest(at, NOW), published(at, NOW), manifest(at, END)]).collect();
    world.publish(&entries, NOW);

    let mut seen: Vec<(u16, CosignedEntry)> = Vec::new();
    let mut sizes = BTreeSet::new();
    for shard in 0..4 {
        let pieces = fetch(&mut bundles, &world, NOW, shard);
        sizes.insert(pieces.len());
        for piece in &pieces {
            let bytes = piece.to_bytes();
            assert_eq!(bytes.len(), DoorAnswer::MAX_BODY);
            assert_eq!(BundlePiece::from_bytes(&bytes), Ok(piece.clone()));
        }
        assert!(!pieces.is_empty());
        seen.extend(BundlePiece::join(&pieces).unwrap().into_iter().map(|entry| (shard, entry)));
    }
    assert_eq!(sizes.len(), 1, "one number of pieces: {sizes:?}");
    assert_eq!(bundles.piece(&world.log, BITS, NOW, 4, 0).unwrap(), None);
    assert_eq!(bundles.piece(&world.log, BITS, NOW, 0, sizes.pop_first().unwrap() as u16).unwrap(), None);

    // The key is in every shard; each other entry in its merchant's alone, with evidence that holds.
    let mut keys = world.keys();
    for (_, entry) in &seen {
        let is_key = entry.claimed_entry() == key;
        let admitted = keys.admit(entry, NOW);
        assert_eq!(admitted, if is_key { Ok(()) } else { Err(DoorError::NoKeyEntry) });
    }
    assert_eq!(keys.newest(NOW).map(DoorKeyEntry::shard_bits), Some(BITS));
    let count = |wanted: &[u8]| seen.iter().filter(|(_, entry)| entry.claimed_entry() == wanted).count();
    assert_eq!((count(&key), seen.len()), (4, 84));
    for at in 0..40 {
        let shard = BundlePiece::shard_of_merchant(&merchant(at), BITS);
        for wanted in [manifest(at, NOW), published(at, NOW)] {
            let place = seen.iter().find(|(_, entry)| entry.claimed_entry() == wanted);
            assert_eq!(place.map(|(shard, _)| *shard), Some(shard));
        }
        assert_eq!(count(&manifest(at, END)), 0);
    }
}

#[test]
fn pieces_are_joined_whole_and_in_order_or_not_at_all() {
    let (world, mut bundles) = (World::new(), Bundles::new(4));
    let entries: Vec<_> = (0..200).flat_map(|at| [manifest(at, NOW), manifest(at, END)]).collect();
    world.publish(&entries, NOW);
    let pieces = fetch(&mut bundles, &world, NOW, 1);
    assert!(pieces.len() > 1 && BundlePiece::join(&pieces).is_ok());
    let of_another = fetch(&mut bundles, &world, END, 1);
    let refused = |pieces: &[BundlePiece]| assert_eq!(BundlePiece::join(pieces), Err(DoorError::Bundle));
    refused(&[]);
    refused(&pieces[1..]);
    refused(&pieces[..pieces.len() - 1]);
    let mut turned = pieces.clone();
    turned.swap(0, 1);
    refused(&turned);
    let mut mixed = pieces.clone();
    mixed[0] = of_another[0].clone();
    refused(&mixed);
    for at in 0..pieces[0].to_bytes().len() {
        let mut changed = pieces[0].to_bytes();
        changed[at] ^= 1;
        if let Ok(changed) = BundlePiece::from_bytes(&changed) {
            refused(&[&[changed], &pieces[1..]].concat());
        }
    }
}

/// Who fetches over hours gets one bundle, unless the boundary itself got more.
#[test]
fn a_bundle_stays_as_it_is_while_its_boundary_does() {
    let (world, mut bundles) = (World::new(), Bundles::new(4));
    world.publish(&[manifest(1, NOW)], NOW);
    let before = fetch(&mut bundles, &world, NOW, 1);
    world.publish(&[manifest(2, END), b"another entry".to_vec()], NOW.saturating_add(DAY));
    assert_eq!(fetch(&mut bundles, &world, NOW, 1), before);
    world.publish(&[manifest(3, NOW)], NOW.saturating_add(2 * DAY));
    assert_ne!(fetch(&mut bundles, &world, NOW, 1), before);
    // Another process that starts later has the same entries.
    let again = fetch(&mut Bundles::new(4), &world, NOW, 1);
    let entries = |pieces| {
        BundlePiece::join(pieces)
            .unwrap()
            .iter()
            .map(|entry| entry.claimed_entry().to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(entries(&again), entries(&fetch(&mut bundles, &world, NOW, 1)));
}
