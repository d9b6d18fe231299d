//! What was asked of the trustees, whether it was told in the end, and whether they kept to the
//! rules.

use crate::SignedCommittee;
use crate::service::TrusteePolicy;
use crate::warrant::{Excess, Known, OpeningsRegister, RegisterTrust};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use unjoin_audit::{History, kind};
use unjoin_core::entry::{
    BindingEntry, BlindEntry, ComparedEntry, RoundEntry, ShareReleasedEntry, WarrantEntry,
};
use unjoin_core::token::Trustees;
use unjoin_core::wire::Message;

/// So many entries are folded at a time: their signatures are checked on all processors.
const PAGE: usize = 8_192;

/// Something that the openings ledger shows to be wrong. A trustee is named only for what they signed.
///
/// ```
/// # use unjoin_trustee::test_util::{history_of, world::{World, budgets, stolen_key}};
/// # use unjoin_core::{DAY, entry::ShareReleasedEntry, wire::Message};
/// use unjoin_trustee::audit::{OpeningFinding, audit_openings};
/// # let world = World::new(1, 1, 0, budgets(9, 9, 9));
/// # let release = ShareReleasedEntry::sign(&stolen_key(1), "openings.example", 1, 1, [1; 32], [2; 32]).unwrap();
/// # let committee = world.secrets(1).committee().unwrap().to_bytes();
/// # let history = history_of(&[committee, release.to_bytes()]);
/// // A trustee has announced a share for a warrant that nobody has seen.
/// let found = audit_openings(&history, &world.trustees, &world.policy, 90 * DAY);
/// assert_eq!(found, [OpeningFinding::WithoutWarrant { index: 1, trustee: 1 }]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpeningFinding {
    /// A warrant whose embargo is over and whose blind was not disclosed.
    Overdue {
        /// The warrant's commitment.
        commitment: [u8; 32],
        /// The index of its entry.
        index: u64,
    },
    /// A trustee announced a release for a warrant that was not logged before it.
    WithoutWarrant {
        /// The index of the release.
        index: u64,
        /// The trustee.
        trustee: u16,
    },
    /// A trustee announced a release for which nothing may be released. Two trustees who decide at
    /// the same moment can meet this honestly; anybody who has the share was given it against the rules.
    Void {
        /// The index of the release.
        index: u64,
        /// The trustee.
        trustee: u16,
        /// The rule.
        excess: Excess,
    },
    /// A trustee signed two different entries where there is place for one. These are two releases of one number, two
    /// commitments to their blind of a round, or two ids of it. Somebody else signs with their key, or an old
    /// copy of their store was put back.
    Repeated {
        /// The index of the later entry.
        index: u64,
        /// The trustee.
        trustee: u16,
    },
    /// A wallet key that was bound before is bound otherwise.
    SecondBinding {
        /// The index of the later entry.
        index: u64,
    },
    /// An entry that counts for nothing, since it is not signed by whom it must be. That is a warrant or a
    /// round by an officer, a release or a commitment by its trustee, a committee by those whom it follows.
    Unsigned {
        /// The index of the entry.
        index: u64,
    },
}

/// Folds the whole ledger as each trustee does, and names what is wrong with it, by rising index.
///
/// `trustees` and `policy` are what the trustees have published: by whom they are asked, and their
/// budgets. `embargo` is the number of seconds within which a warrant must be disclosed.
///
/// A warrant is overdue if it was logged by the older checkpoint and is not disclosed. From that
/// checkpoint's time to the newer one's at least `embargo` seconds must have passed. It is named no
/// earlier than that; with checkpoints that are kept often, hardly later. A budget is held against the
/// releases between the two checkpoints, and only if these are at most a window apart. What exceeds it
/// then exceeds it by every clock.
///
/// ```
/// # use unjoin_trustee::test_util::{history_of, world::{World, budgets}};
/// # use unjoin_core::{DAY, wire::Message};
/// use unjoin_trustee::audit::audit_openings;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let committee = world.secrets(1).committee().unwrap().to_bytes();
/// # let history = history_of(&[committee, world.entry(&world.warrant(&[0]))]);
/// // A warrant was logged, and its embargo is not over.
/// assert!(audit_openings(&history, &world.trustees, &world.policy, 90 * DAY).is_empty());
/// ```
pub fn audit_openings(
    history: &History,
    trustees: &Trustees,
    policy: &TrusteePolicy,
    embargo: u64,
) -> Vec<OpeningFinding> {
    let origin = policy.openings.log().name().clone();
    let trust = RegisterTrust { trustees: trustees.clone(), requesters: policy.warrants.clone(), origin };
    let passed = history.newer().1.median_time.saturating_since(history.older_time());
    // Behind the older checkpoint everything is in one window, if the two are no further apart.
    let recent = history.under_older().len() as u64;
    let recent = (passed <= policy.budgets.window).then_some(recent);
    let mut seen = Seen::default();
    let mut register = OpeningsRegister::new(trust);
    for page in history.entries().chunks(PAGE) {
        register.extend_and_show(page, |register, index, known| {
            let entry = usize::try_from(index).ok().and_then(|index| history.entries().get(index));
            let entry = entry.map_or(&[][..], Vec::as_slice);
            match known {
                Some(known) => seen.known(register, index, entry, known, &|release| {
                    register.judge_from(recent, &policy.budgets, index, release)
                }),
                None => seen.other(index, entry),
            }
        });
    }
    let due = passed >= embargo;
    let under_older = history.under_older().len() as u64;
    let overdue = seen
        .warrants
        .into_iter()
        .filter(|(commitment, index)| due && *index < under_older && !seen.disclosed.contains(commitment));
    let mut findings = seen.findings;
    let overdue = overdue.map(|(commitment, index)| (index, OpeningFinding::Overdue { commitment, index }));
    findings.extend(overdue);
    findings.sort_by_key(|(index, _)| *index);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// What was read so far, and found.
#[derive(Default)]
struct Seen {
    findings: Vec<(u64, OpeningFinding)>,
    /// Where each warrant stands first.
    warrants: BTreeMap<[u8; 32], u64>,
    disclosed: BTreeSet<[u8; 32]>,
    /// What each trustee signed in each place where there is place for one entry.
    signed: HashMap<Place, Vec<u8>>,
    /// The commitment of each wallet key's hash.
    bindings: HashMap<[u8; 32], [u8; 32]>,
}

/// A kind, a trustee, a warrant's commitment and a number.
type Place = (u8, u16, [u8; 32], u64);

impl Seen {
    fn known(
        &mut self,
        register: &OpeningsRegister,
        index: u64,
        entry: &[u8],
        known: &Known,
        judge: &dyn Fn(&ShareReleasedEntry) -> Result<(), Excess>,
    ) {
        match known {
            Known::Warrant(warrant) => {
                self.warrants.entry(*warrant.commitment()).or_insert(index);
            }
            Known::Disclosed(disclosed) => {
                self.disclosed.insert(disclosed.commitment());
            }
            Known::Release(release) => {
                let trustee = release.trustee();
                let found = if register.warrant(release.commitment()).is_none() {
                    Some(OpeningFinding::WithoutWarrant { index, trustee })
                } else {
                    let excess = judge(release).err();
                    excess.map(|excess| OpeningFinding::Void { index, trustee, excess })
                };
                self.findings.extend(found.map(|found| (index, found)));
                let place = (ShareReleasedEntry::KIND, trustee, [0; 32], release.sequence());
                self.once(place, index, entry);
            }
            Known::Blind(blind) => {
                let number = u64::from(blind.round());
                self.once((BlindEntry::KIND, blind.trustee(), *blind.commitment(), number), index, entry);
            }
            Known::Compared(compared) => {
                let (trustee, number) = (compared.trustee(), u64::from(compared.round()));
                self.once((ComparedEntry::KIND, trustee, *compared.commitment(), number), index, entry);
            }
            Known::Round(_) | Known::Committee(_) => {}
        }
    }

    fn once(&mut self, place: Place, index: u64, entry: &[u8]) {
        let first = self.signed.entry(place).or_insert_with(|| entry.to_vec());
        if first != entry {
            self.findings.push((index, OpeningFinding::Repeated { index, trustee: place.1 }));
        }
    }

    /// What the register does not count.
    fn other(&mut self, index: u64, entry: &[u8]) {
        if let Ok(binding) = BindingEntry::from_bytes(entry) {
            let first = self.bindings.entry(binding.wallet_key_hash).or_insert(binding.commitment);
            if *first != binding.commitment {
                self.findings.push((index, OpeningFinding::SecondBinding { index }));
            }
            return;
        }
        const SIGNED: [u8; 6] = [
            WarrantEntry::KIND,
            ShareReleasedEntry::KIND,
            RoundEntry::KIND,
            BlindEntry::KIND,
            ComparedEntry::KIND,
            SignedCommittee::KIND,
        ];
        if kind(entry).is_some_and(|kind| SIGNED.contains(&kind)) {
            self.findings.push((index, OpeningFinding::Unsigned { index }));
        }
    }
}
