//! Which older copies were put back, and what that excuses.

use super::{History, StaffKeys, kind};
use std::collections::BTreeMap;
use unjoin_core::entry::{RecoveredEntry, RecoveredStore};
use unjoin_core::token::PlatformPublicKey;
use unjoin_core::wire::Message;
use unjoin_core::{Name, Timestamp};

/// The recoveries that a reviews ledger holds, by the index of their entries, each with the name of who
/// signed it. **Look at every one**: it excuses what the review service had promised and not logged
/// before ([`ReceiptVerdict::Lost`](super::ReceiptVerdict::Lost)). It also excuses a review that is no
/// longer shown ([`Finding::Lost`](super::Finding::Lost)).
///
/// Eras rise. One with an invalid signature, or with an era that is not later than all before it,
/// counts for nothing and is not listed. It is a finding of [`audit_reviews`](super::audit_reviews).
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_trustee::test_util::SmallLedger;
/// # use unjoin_core::entry::{RecoveredEntry, RecoveredStore, StaffKeyEntry};
/// # use unjoin_core::{Name, secret::SystemRng, token::StaffKey, wire::Message};
/// use unjoin_audit::recoveries;
/// # let (shop, operator, who) = (Shop::open(), StaffKey::generate(&mut SystemRng::new()), Name::new("operations")?);
/// # let origin = "shop.example/reviews";
/// # let staff = StaffKeyEntry::sign(&shop.platform_key, origin, &operator.public(), who.clone())?;
/// # let recovered = RecoveredEntry::sign(&operator, origin, RecoveredStore::Reviews, 2, 0, "disk lost")?;
/// # let history = SmallLedger::of_reviews(&[staff.to_bytes(), recovered.to_bytes()], SEALED).history();
/// let found = recoveries(&history, &shop.platform_key.public());
/// let (by, entry) = &found[&1]; // the second entry of the ledger
/// assert_eq!((by, entry.grounds(), entry.era()), (&who, "disk lost", 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recoveries(history: &History, platform: &PlatformPublicKey) -> BTreeMap<u64, (Name, RecoveredEntry)> {
    let (staff, origin) = (StaffKeys::of(history, platform), &history.newer().0.checkpoint().origin);
    let (mut recoveries, mut latest) = (BTreeMap::new(), 1);
    for (entry, index) in history.entries().iter().zip(0..) {
        if kind(entry) == Some(RecoveredEntry::KIND)
            && let Ok(entry) = RecoveredEntry::from_bytes(entry)
            && let Some(who) = staff.recovered(&entry, origin)
            && entry.era() > latest
        {
            latest = entry.era();
            recoveries.insert(index, (who.clone(), entry));
        }
    }
    recoveries
}

/// The recovery of the reviews' store that ended an era. One that is logged only when what was due at
/// the boundary should have been there excuses nothing.
pub(crate) fn end_of(
    history: &History,
    platform: &PlatformPublicKey,
    era: u32,
    boundary: Timestamp,
    grace: u64,
) -> Option<u64> {
    let in_time = history.in_time(boundary, grace).len() as u64;
    let ended = recoveries(history, platform).into_iter().find(|(index, (_, entry))| {
        *index < in_time && entry.store() == RecoveredStore::Reviews && entry.era() > era
    });
    ended.map(|(index, _)| index)
}
