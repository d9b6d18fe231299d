//! Who may ask the trustees for what, and how many of a requester's officers must sign.

use super::{Warrant, WarrantError, WarrantTerms};
use unjoin_core::entry::WarrantAction;
use unjoin_core::{Name, Timestamp};
use unjoin_log::NotePublicKey;

/// One requester: a court, an authority, the platform's own ombudsman.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(1, 1, 0, budgets(9, 9, 9));
/// let court = &world.policy.warrants.requesters()[0];
/// assert_eq!(court.name.as_str(), Some("court of trade"));
/// // Both of its officers must sign.
/// assert_eq!((court.keys.len(), court.needed), (2, 2));
/// ```
#[derive(Clone, Debug)]
pub struct Requester {
    /// The name in its warrants and in the openings ledger.
    pub name: Name,
    /// The keys of its officers, 1 to [`Requester::MAX_KEYS`]. A key that is taken out takes with it, from what is
    /// counted, the warrants that it announced. Take it out a budget's window after its last one.
    pub keys: Vec<NotePublicKey>,
    /// How many of them must sign.
    pub needed: usize,
    /// What it may ask for.
    pub actions: Vec<WarrantAction>,
    /// On which grounds.
    pub grounds: Vec<u16>,
}

impl Requester {
    /// The most keys of one requester.
    pub const MAX_KEYS: usize = 16;
}

/// The requesters that trustees answer.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::{Clock, entry::WarrantAction};
/// use unjoin_trustee::warrant::{Warrant, WarrantError};
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (policy, now) = (&world.policy.warrants, world.clock.now());
/// # let terms = world.terms(WarrantAction::Open, &[0]);
/// let unsigned = Warrant::draft(terms.clone())?;
/// assert_eq!(policy.check(&unsigned, now), Err(WarrantError::TooFewSignatures { signed: 0, needed: 2 }));
/// let signed = world.sign(terms);
/// assert_eq!(policy.check(signed.warrant(), now), Ok(()));
/// # Ok::<(), WarrantError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WarrantPolicy {
    requesters: Vec<Requester>,
}

impl WarrantPolicy {
    /// Takes the requesters.
    ///
    /// # Errors
    /// [`WarrantError`] names the first rule that they break.
    pub fn new(requesters: Vec<Requester>) -> Result<Self, WarrantError> {
        for (at, requester) in requesters.iter().enumerate() {
            let Requester { name, keys, needed, actions, grounds } = requester;
            if !(1..=Requester::MAX_KEYS).contains(&keys.len()) || !(1..=keys.len()).contains(needed) {
                return Err(WarrantError::Quorum);
            }
            if actions.is_empty() || grounds.is_empty() {
                return Err(WarrantError::Scope);
            }
            if requesters.iter().skip(at + 1).any(|other| other.name == *name) {
                return Err(WarrantError::Names);
            }
        }
        let keys: Vec<&NotePublicKey> = requesters.iter().flat_map(|requester| &requester.keys).collect();
        let alike = |(at, key): (usize, &&NotePublicKey)| {
            let mut others = keys.iter().skip(at + 1);
            others.any(|other| other.as_bytes() == key.as_bytes() || other.name() == key.name())
        };
        if keys.iter().enumerate().any(alike) {
            return Err(WarrantError::Keys);
        }
        Ok(Self { requesters })
    }

    /// The requesters.
    pub fn requesters(&self) -> &[Requester] {
        &self.requesters
    }

    /// Whether one of the keys of the requester with this name passes.
    pub(crate) fn any_key(&self, requester: &[u8], passes: impl Fn(&NotePublicKey) -> bool) -> bool {
        let requester = self.requesters.iter().find(|known| known.name.as_bytes() == requester);
        requester.is_some_and(|requester| requester.keys.iter().any(passes))
    }

    /// Whether trustees may answer this warrant at this time.
    ///
    /// # Errors
    /// [`WarrantError`] names the first rule that it breaks.
    pub fn check(&self, warrant: &Warrant, now: Timestamp) -> Result<(), WarrantError> {
        let terms = warrant.terms();
        let known = self.requesters.iter().find(|requester| requester.name == *terms.requester());
        let requester = known.ok_or(WarrantError::Requester)?;
        let mut signed = 0;
        for key in &requester.keys {
            let signs = warrant.note().is_signed_by(key).map_err(|_| WarrantError::Signature)?;
            signed += usize::from(signs);
        }
        if signed < requester.needed {
            return Err(WarrantError::TooFewSignatures { signed, needed: requester.needed });
        }
        requester.allows(terms)?;
        if now < terms.not_before() {
            return Err(WarrantError::NotYetValid { not_before: terms.not_before() });
        }
        if now > terms.not_after() {
            return Err(WarrantError::NoLongerValid { not_after: terms.not_after() });
        }
        Ok(())
    }
}

impl Requester {
    fn allows(&self, terms: &WarrantTerms) -> Result<(), WarrantError> {
        if !self.actions.contains(&terms.action()) {
            return Err(WarrantError::Action);
        }
        if !self.grounds.contains(&terms.grounds()) {
            return Err(WarrantError::Grounds);
        }
        Ok(())
    }
}
