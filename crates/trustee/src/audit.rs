//! What was asked of the trustees, and whether it was told in the end.

use std::collections::BTreeSet;
use unjoin_audit::{History, kind};
use unjoin_core::entry::{DisclosedEntry, ShareReleasedEntry, WarrantEntry};
use unjoin_core::wire::Message;

/// Something that the openings ledger shows to be wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OpeningFinding {
    /// A warrant whose embargo is over and whose blind was not disclosed.
    Overdue {
        /// The warrant's commitment.
        commitment: [u8; 32],
        /// The index of its entry.
        index: u64,
    },
    /// A trustee's release for a warrant that was not logged before it.
    WithoutWarrant {
        /// The index of the release.
        index: u64,
        /// The trustee.
        trustee: u16,
    },
}

/// Names every warrant that was logged by the older checkpoint, has had `embargo` seconds from
/// that checkpoint's time to the newer one's, and is not disclosed; and every release without a
/// warrant. What is overdue is named no earlier than that; with checkpoints that are kept often,
/// hardly later.
pub fn audit_openings(history: &History, embargo: u64) -> Vec<OpeningFinding> {
    let disclosed: BTreeSet<[u8; 32]> = of_kind(history.entries(), DisclosedEntry::KIND)
        .filter_map(|(_, entry)| Some(DisclosedEntry::from_bytes(entry).ok()?.commitment()))
        .collect();
    let mut findings = Vec::new();
    let due = history.older_time().saturating_add(embargo) <= history.newer().1.median_time;
    if due {
        for (index, entry) in of_kind(history.under_older(), WarrantEntry::KIND) {
            let warrant = WarrantEntry::from_bytes(entry).ok();
            let overdue = warrant.filter(|warrant| !disclosed.contains(warrant.commitment()));
            findings.extend(
                overdue.map(|warrant| OpeningFinding::Overdue { commitment: *warrant.commitment(), index }),
            );
        }
    }
    let mut warrants = BTreeSet::new();
    for (entry, index) in history.entries().iter().zip(0u64..) {
        if let Ok(warrant) = WarrantEntry::from_bytes(entry) {
            warrants.insert(*warrant.commitment());
        } else if let Ok(release) = ShareReleasedEntry::from_bytes(entry)
            && !warrants.contains(release.commitment())
        {
            findings.push(OpeningFinding::WithoutWarrant { index, trustee: release.trustee() });
        }
    }
    findings
}

fn of_kind(entries: &[Vec<u8>], wanted: u8) -> impl Iterator<Item = (u64, &[u8])> {
    let indexed = (0u64..).zip(entries.iter().map(Vec::as_slice));
    indexed.filter(move |(_, entry)| kind(entry) == Some(wanted))
}
