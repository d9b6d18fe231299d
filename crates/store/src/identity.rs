//! Whose a store is: rows that every store of a platform holds about itself.
//!
//! ```text
//! bucket OWN   "si"         -> Identity
//!              "sm"         -> the mark: see `Stores`
//!              "sc" || name -> 32 bytes, the check value of a secret
//!              "sk"         -> 32 bytes, the id of the newest issuing key that was seen
//! ```
//!
//! A platform draws the ids of all its stores first, in a [`Roster`] that lies with its secrets. Each
//! store is then made with an [`Identity`] out of it: whose it is, what it is for, and which its
//! sisters are. So an exchanged, foreign or empty store differs from the right one by what it holds,
//! whatever file, schema or server it came from. Nothing here counts or dates rows.

use super::decision::decide;
use super::record::{Key, Record, read};
use super::stores::{adopted_key, mark_key};
use super::{Bucket, Store, StoreError};
use core::fmt;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use unjoin_core::wire::{DecodeError, Field, Reader, Writer};
use unjoin_core::{fields, one_byte};

/// What a store is for.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_store::{MemoryStore, StoreError, Stores, identity::{Role, Roster}};
/// # use std::sync::Arc;
/// # let rng = &mut SystemRng::new();
/// # let (roster, [orders, reviews]) = (Roster::generate(rng), [(); 2].map(|()| Arc::new(MemoryStore::new())));
/// Stores::create(&roster, [(Role::Orders, orders.clone()), (Role::Reviews, reviews.clone())], rng)?;
/// // Two paths of the configuration were exchanged.
/// let error = Stores::open(&roster, [(Role::Orders, reviews), (Role::Reviews, orders)], rng).unwrap_err();
/// assert!(matches!(error, StoreError::Swapped { .. }));
/// # Ok::<(), StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The order service's: the lead store of a platform, which its marks go out from.
    Orders = 1,
    /// The review service's.
    Reviews,
    /// The switchboard's.
    Telephony,
    /// Both ledgers'.
    Ledgers,
    /// A trustee's. It has no sisters.
    Trustee,
    /// A witness's. It has no sisters.
    Witness,
}

/// The stores of a platform, the lead store first.
const PLATFORM: [Role; 4] = [Role::Orders, Role::Reviews, Role::Telephony, Role::Ledgers];

one_byte!(Role: Orders, Reviews, Telephony, Ledgers, Trustee, Witness);

/// As it is called in errors: "the orders store".
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orders => "orders",
            Self::Reviews => "reviews",
            Self::Telephony => "telephony",
            Self::Ledgers => "ledgers'",
            Self::Trustee => "trustee's",
            Self::Witness => "witness's",
        })
    }
}

/// One of the stores that belong together.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// # use unjoin_store::{MemoryStore, Stores, identity::{self, Role, Roster}};
/// # use std::sync::Arc;
/// # let (rng, store) = (&mut SystemRng::new(), Arc::new(MemoryStore::new()));
/// # Stores::create(&Roster::generate(rng), [(Role::Orders, store.clone())], rng)?;
/// let identity = identity::of(&*store)?.ok_or("nobody's")?;
/// assert_eq!((identity.own.role, identity.own.part), (Role::Orders, 0));
/// // Its sisters, made or not: reviews, telephony, ledgers.
/// assert!(identity.sisters.iter().all(|sister| sister.id != identity.own.id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// What it is for.
    pub role: Role,
    /// Which of those that share the role's buckets it is, from 0.
    pub part: u8,
    /// Drawn at random.
    pub id: [u8; 16],
}

fields!(Member: role as "role", part as "part", id as "store id");

/// The stores that belong together, drawn before any of them is made, and kept with the secrets. It is
/// no secret itself.
///
/// ```
/// use unjoin_core::secret::SystemRng;
/// use unjoin_store::identity::Roster;
/// let roster = Roster::generate(&mut SystemRng::new());
/// assert_eq!(Roster::from_bytes(&roster.to_bytes()), Some(roster));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    platform: [u8; 32],
    members: Vec<Member>,
}

impl Roster {
    /// For a new platform: one store for each of its services and ledgers, made or not.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::with_parts(1, rng)
    }

    /// As [`generate`](Self::generate), for a platform whose buckets lie in this many stores a role.
    pub fn with_parts(parts: u8, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let members = PLATFORM.iter().flat_map(|role| (0..parts).map(|part| (*role, part)));
        Self::of(members.collect(), rng)
    }

    /// For one store without sisters: a trustee's, a witness's, or a service that is run by itself.
    pub fn alone(role: Role, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::of(vec![(role, 0)], rng)
    }

    /// As [`alone`](Self::alone), for the store of anybody who has this public key: made of it alone, so there is nothing to
    /// keep.
    pub fn of_key(role: Role, key: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        let digest = Sha256::new_with_prefix(b"unjoin store of a key").chain_update(key).finalize();
        id.iter_mut().zip(digest).for_each(|(kept, byte)| *kept = byte);
        Self { platform: *key, members: vec![Member { role, part: 0, id }] }
    }

    fn of(members: Vec<(Role, u8)>, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut platform = [0; 32];
        rng.fill_bytes(&mut platform);
        let drawn = |(role, part)| {
            let mut id = [0; 16];
            rng.fill_bytes(&mut id);
            Member { role, part, id }
        };
        Self { platform, members: members.into_iter().map(drawn).collect() }
    }

    /// The store that the others' marks follow: the first.
    #[must_use]
    pub fn lead(&self) -> Option<&Member> {
        self.members.first()
    }

    /// The id of the platform.
    pub fn platform(&self) -> &[u8; 32] {
        &self.platform
    }

    /// All of them.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The store of this role, and this part of it.
    pub fn member(&self, role: Role, part: u8) -> Option<&Member> {
        self.members.iter().find(|member| (member.role, member.part) == (role, part))
    }

    /// What a store is told about itself when it is made. `None`: the roster has no such store.
    pub fn identity(&self, role: Role, part: u8) -> Option<Identity> {
        let own = *self.member(role, part)?;
        let sisters = self.members.iter().copied().filter(|member| *member != own).collect();
        Some(Identity { platform: self.platform, own, sisters, era: 1, is_copy: false })
    }

    /// To be kept: 34 bytes and 18 for each store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&self.platform);
        encode_members(&self.members, &mut out);
        out.finish()
    }

    /// As it was kept.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes, "roster");
        let platform = from.array("platform id").ok()?;
        let members = decode_members(&mut from).ok()?;
        from.end().ok()?;
        Some(Self { platform, members })
    }
}

fn encode_members(members: &[Member], out: &mut Writer) {
    out.le16(u16::try_from(members.len()).unwrap_or(u16::MAX));
    members.iter().for_each(|member| member.put(out));
}

fn decode_members(from: &mut Reader<'_>) -> Result<Vec<Member>, DecodeError> {
    let count = from.le16("stores")?;
    (0..count).map(|_| Field::get(from, "store")).collect()
}

/// What a store says about itself.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// # use unjoin_store::{MemoryStore, Stores, identity::{self, Role, Roster}};
/// # use std::sync::Arc;
/// # let (rng, store) = (&mut SystemRng::new(), Arc::new(MemoryStore::new()));
/// # Stores::create(&Roster::alone(Role::Trustee, rng), [(Role::Trustee, store.clone())], rng)?;
/// let identity = identity::of(&*store)?.ok_or("nobody's")?;
/// assert_eq!((identity.own.role, identity.era, identity.is_copy), (Role::Trustee, 1, false));
/// assert!(identity.sisters.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The platform's id.
    pub platform: [u8; 32],
    /// This store.
    pub own: Member,
    /// The platform's others, whether they were made or not.
    pub sisters: Vec<Member>,
    /// 1 when the store was made; each recovery raises it by one.
    pub era: u32,
    /// It is a backup's: it opens through a recovery only.
    pub is_copy: bool,
}

impl Record for Identity {
    const NAME: &'static str = "identity";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.platform);
        self.own.put(out);
        out.le32(self.era);
        out.u8(u8::from(self.is_copy));
        encode_members(&self.sisters, out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (platform, own) = (from.array("platform id")?, Field::get(from, "store")?);
        let (era, is_copy) = (from.le32("era")?, from.bool("copy")?);
        Ok(Self { platform, own, sisters: decode_members(from)?, era, is_copy })
    }
}

/// Where the rows about the store itself lie: one bucket, a namespace of their own.
pub(crate) const NAMESPACE: &str = "s";

pub(crate) fn own_bucket() -> Bucket {
    Bucket::of(b"the store itself")
}

pub(crate) fn identity_key() -> Key<Identity> {
    Key::new(own_bucket(), b"si".to_vec())
}

/// What the store says about itself; `None` when it says nothing, and is nobody's.
///
/// # Errors
/// The engine's; [`StoreError::Corrupt`].
///
/// ```
/// use unjoin_store::{MemoryStore, identity};
/// // A fresh store says nothing about itself, and is nobody's.
/// assert_eq!(identity::of(&MemoryStore::new())?, None);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub fn of<S: Store + ?Sized>(store: &S) -> Result<Option<Identity>, StoreError> {
    read(store, &identity_key())
}

/// Makes the store one that has no sisters. Again: no effect.
///
/// # Errors
/// [`StoreError::Swapped`] when it is for something else, [`StoreError::Copy`]; the engine's.
#[doc(hidden)]
pub fn make_alone<S: Store + ?Sized>(
    store: &S,
    role: Role,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(), StoreError> {
    let own = Roster::alone(role, rng).identity(role, 0).ok_or(StoreError::Nobodys(role))?;
    decide(store, identity_key(), |found: Option<Identity>, change| match found {
        None => {
            change.put(&identity_key(), &own);
            Ok(())
        }
        Some(found) if found.own.role != role => {
            Err(StoreError::Swapped { expected: role, found: found.own.role })
        }
        Some(found) if found.is_copy => Err(StoreError::Copy(role)),
        Some(_) => Ok(()),
    })
}

/// The step of a recovery that puts the store back into use: from the era `from` to the next, no copy any
/// more, and with its sisters' mark if [`Stores`](super::Stores) has found it lost. Again: no effect.
///
/// # Errors
/// [`StoreError::Missing`] when the store has no identity, [`StoreError::Decision`] when its era is
/// neither `from` nor the next.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// # use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
/// use unjoin_store::identity;
/// # use std::sync::Arc;
/// # let (rng, store) = (&mut SystemRng::new(), Arc::new(MemoryStore::new()));
/// # Stores::create(&Roster::alone(Role::Trustee, rng), [(Role::Trustee, store.clone())], rng)?;
/// // The last step of a recovery, which may be repeated.
/// for _ in 0..2 {
///     let identity = identity::raise_era(&*store, 1)?;
///     assert_eq!((identity.era, identity.is_copy), (2, false));
/// }
/// // From another era it is another recovery's.
/// assert!(identity::raise_era(&*store, 4).is_err());
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub fn raise_era<S: Store + ?Sized>(store: &S, from: u32) -> Result<Identity, StoreError> {
    let next = from.checked_add(1).ok_or(StoreError::Decision("an era beyond the last"))?;
    decide(store, (identity_key(), adopted_key()), |(identity, adopted), change| {
        let identity: Identity = identity.ok_or(StoreError::Missing("identity"))?;
        let raised = Identity { era: next, is_copy: false, ..identity.clone() };
        if identity.era == from {
            change.put(&identity_key(), &raised);
            if let Some(mark) = adopted {
                change.put(&mark_key(), &mark);
                change.delete(&adopted_key());
            }
        } else if identity != raised {
            return Err(StoreError::Decision("an era that is not the store's"));
        }
        Ok(raised)
    })
}

/// That the store holds no row but those about itself.
pub(crate) fn refuse_rows<S: Store + ?Sized>(store: &S) -> Result<(), StoreError> {
    for bucket in Bucket::all() {
        let is_own = |key: &[u8]| bucket == own_bucket() && key.starts_with(NAMESPACE.as_bytes());
        // No store has so many rows about itself.
        if store.scan(bucket, b"", None, 16)?.iter().any(|row| !is_own(&row.key)) {
            return Err(StoreError::Exists);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;
    use crate::MemoryStore;
    use unjoin_core::secret::SystemRng;

    #[test]
    fn a_roster_is_read_back_and_nothing_else_is_one() {
        let roster = Roster::with_parts(2, &mut SystemRng::new());
        let bytes = roster.to_bytes();
        assert_eq!((bytes.len(), roster.members().len()), (34 + 18 * 8, 8));
        assert_eq!(Roster::from_bytes(&bytes), Some(roster));
        assert!((0..bytes.len()).all(|length| Roster::from_bytes(&bytes[..length]).is_none()));
        assert_eq!(Roster::from_bytes(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn an_identity_is_read_back_and_names_the_sisters() {
        let roster = Roster::generate(&mut SystemRng::new());
        let identity = roster.identity(Role::Reviews, 0).unwrap();
        assert_eq!(identity.sisters.len(), 3);
        assert!(!identity.sisters.contains(&identity.own));
        assert!(Identity::from_value(&identity.to_value()).unwrap() == identity);
        assert_eq!(roster.identity(Role::Reviews, 1), None);
        assert_eq!(roster.identity(Role::Witness, 0), None);
        assert_eq!(Roster::alone(Role::Witness, &mut SystemRng::new()).members().len(), 1);
    }

    #[test]
    fn an_era_is_raised_once_and_ends_a_copy() {
        let store = MemoryStore::new();
        assert_eq!(of(&store).unwrap(), None);
        assert!(matches!(raise_era(&store, 1), Err(StoreError::Missing(_))));
        let copy = Roster::generate(&mut SystemRng::new()).identity(Role::Orders, 0).unwrap();
        let copy = Identity { is_copy: true, ..copy };
        let write = |_: Option<Identity>, change: &mut crate::Change| {
            change.put(&identity_key(), &copy);
            Ok::<_, StoreError>(())
        };
        decide(&store, identity_key(), write).unwrap();
        let raised = Identity { era: 2, is_copy: false, ..copy.clone() };
        for _ in 0..2 {
            assert_eq!(raise_era(&store, 1).unwrap(), raised);
            assert_eq!(of(&store).unwrap(), Some(raised.clone()));
        }
        for from in [0, 3, u32::MAX] {
            assert!(matches!(raise_era(&store, from), Err(StoreError::Decision(_))));
        }
    }
}
