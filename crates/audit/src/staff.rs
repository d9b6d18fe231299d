//! Who removed what.

use super::{History, kind};
use std::collections::BTreeMap;
use unjoin_core::Name;
use unjoin_core::entry::{RecoveredEntry, RemovedEntry, StaffKeyEntry};
use unjoin_core::token::PlatformPublicKey;
use unjoin_core::wire::Message;

/// The keys of the platform's staff and of courts that are in a reviews ledger, each in an entry
/// that the platform's key signed.
pub(crate) struct StaffKeys(BTreeMap<[u8; 32], Name>);

impl StaffKeys {
    pub(crate) fn of(history: &History, platform: &PlatformPublicKey) -> Self {
        let origin = &history.newer().0.checkpoint().origin;
        let mut keys = BTreeMap::new();
        for entry in history.entries().iter().filter(|entry| kind(entry) == Some(StaffKeyEntry::KIND)) {
            if let Ok(entry) = StaffKeyEntry::from_bytes(entry)
                && entry.verify(platform, origin).is_ok()
            {
                keys.entry(*entry.staff_key()).or_insert_with(|| entry.who().clone());
            }
        }
        Self(keys)
    }

    /// Who signed a removal for the ledger with this origin; `None` if it is signed by no key of
    /// the staff's.
    pub(crate) fn signed(&self, removed: &RemovedEntry, origin: &str) -> Option<&Name> {
        self.0.get(removed.claimed_key()).filter(|_| removed.verify(origin).is_ok())
    }

    /// Who signed a recovery.
    pub(crate) fn recovered(&self, entry: &RecoveredEntry, origin: &str) -> Option<&Name> {
        self.0.get(entry.claimed_key()).filter(|_| entry.verify(origin).is_ok())
    }
}

/// The removals that a ledger holds, by the name of who signed them: a thousand in one colleague's
/// name are seen at a glance. Those with an invalid signature are findings of
/// [`audit_reviews`](super::audit_reviews), and not listed.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::{SEALED, Shop}};
/// # use unjoin_core::entry::{RemovedEntry, StaffKeyEntry};
/// # use unjoin_core::{Name, secret::SystemRng, token::{ReviewId, StaffKey}, wire::Message};
/// use unjoin_audit::removals;
/// # let (shop, judge, court) = (Shop::open(), StaffKey::generate(&mut SystemRng::new()), Name::new("court of trade")?);
/// # let origin = "shop.example/reviews";
/// # let staff = StaffKeyEntry::sign(&shop.platform_key, origin, &judge.public(), court.clone())?;
/// # let removed = RemovedEntry::sign(&judge, origin, ReviewId([1; 32]), [2; 32], "order 17/23")?;
/// # let history = SmallLedger::of_reviews(&[staff.to_bytes(), removed.to_bytes()], SEALED).history();
/// let by = removals(&history, &shop.platform_key.public());
/// assert_eq!((by[&court].len(), by[&court][0].grounds()), (1, "order 17/23"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn removals(history: &History, platform: &PlatformPublicKey) -> BTreeMap<Name, Vec<RemovedEntry>> {
    let (staff, origin) = (StaffKeys::of(history, platform), &history.newer().0.checkpoint().origin);
    let mut removals: BTreeMap<Name, Vec<RemovedEntry>> = BTreeMap::new();
    for entry in history.entries().iter().filter(|entry| kind(entry) == Some(RemovedEntry::KIND)) {
        if let Ok(removed) = RemovedEntry::from_bytes(entry)
            && let Some(who) = staff.signed(&removed, origin)
        {
            removals.entry(who.clone()).or_default().push(removed);
        }
    }
    removals
}
