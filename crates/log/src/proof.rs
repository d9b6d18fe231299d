//! Proofs about a log.
//!
//! How many hashes there are follows from the sizes, so a proof has one form, and none is longer
//! than its sizes need.

use super::tree::{self, Hash, MAX_SIZE};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use unjoin_core::{describe_errors, serde_as_bytes};

/// Kind 20, 18 bytes and 32 for each hash: an entry is at an index of a tree.
///
/// At most 62 hashes; 20 of them at a million entries.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// use unjoin_log::LogView;
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec(), b"two".to_vec()], SEALED);
/// let (checkpoint, _) = ledger.policy.read(&ledger.log.checkpoint()?.ok_or("nothing published")?)?;
/// let proof = ledger.log.inclusion(1, checkpoint.size())?;
/// assert_eq!((proof.index(), proof.size(), proof.path().len()), (1, 2, 1));
/// assert!(proof.verify(b"two", checkpoint.root()).is_ok());
/// assert!(proof.verify(b"one", checkpoint.root()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u64,
    size: u64,
    path: Vec<Hash>,
}

impl InclusionProof {
    /// The most hashes in one.
    pub const MAX_HASHES: usize = 62;

    /// From its parts; `None` unless `index < size <= 2^62` and the path has as many hashes as
    /// these need.
    pub fn from_parts(index: u64, size: u64, path: Vec<Hash>) -> Option<Self> {
        let fits =
            index < size && size <= MAX_SIZE && path.len() == tree::inclusion_ranges(index, size).len();
        fits.then_some(Self { index, size, path })
    }

    /// Makes the proof out of a tree's nodes: `node(level, index)` is the root of the perfect
    /// subtree over the leaves `index·2^level .. (index + 1)·2^level`. `None` unless
    /// `index < size <= 2^62`.
    pub(crate) fn make<E>(
        index: u64,
        size: u64,
        mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
    ) -> Result<Option<Self>, E> {
        if index >= size || size > MAX_SIZE {
            return Ok(None);
        }
        let ranges = tree::inclusion_ranges(index, size).into_iter();
        let path = ranges.map(|range| tree::range_root(range, &mut node)).collect::<Result<_, E>>()?;
        Ok(Some(Self { index, size, path }))
    }

    unjoin_core::getters! {
        /// The entry's index, from 0.
        pub index -> u64;
        /// The tree's size.
        pub size -> u64;
        /// The hashes, the lowest first.
        pub path -> &[Hash];
    }

    /// Checks that `entry` is at [`Self::index`] of the tree with this root and
    /// [`Self::size`]. The root must come from a checkpoint of that very size.
    ///
    /// # Errors
    /// [`ProofError`] when it does not.
    pub fn verify(&self, entry: &[u8], root: &Hash) -> Result<(), ProofError> {
        let leaf = tree::leaf_hash(entry);
        let holds = tree::verify_inclusion(&leaf, self.index, self.size, &self.path, root);
        if holds { Ok(()) } else { Err(ProofError) }
    }
}

impl Message for InclusionProof {
    const KIND: u8 = 20;
    const NAME: &'static str = "inclusion proof";

    fn encode_body(&self, out: &mut Writer) {
        out.le64(self.index);
        out.le64(self.size);
        self.path.iter().for_each(|hash| out.raw(hash));
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (index, size) = (from.le64("index")?, from.le64("size")?);
        if index >= size || size > MAX_SIZE {
            return Err(from.refuse(Rule::Value));
        }
        let hashes = tree::inclusion_ranges(index, size).len();
        let path = (0..hashes).map(|_| from.array("hash")).collect::<Result<_, _>>()?;
        Ok(Self { index, size, path })
    }
}

/// One tree is the beginning of another: what witnesses are sent beside a checkpoint.
///
/// At most 63 hashes; none when the old tree is empty or the sizes are equal.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// # use unjoin_log::SignedCheckpoint;
/// use unjoin_log::LogView;
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
/// # let read = |note: Option<Vec<u8>>| SignedCheckpoint::parse(&note.unwrap(), ledger.log.public_key());
/// let old = read(ledger.log.checkpoint()?)?;
/// ledger.publish(&[b"two".to_vec()]);
/// let new = read(ledger.log.checkpoint()?)?;
/// // The larger log begins with the smaller one, and not the other way round.
/// let proof = ledger.log.consistency(old.size(), new.size())?;
/// assert!(proof.verify(old.root(), new.root()).is_ok());
/// assert!(proof.verify(new.root(), old.root()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    old_size: u64,
    new_size: u64,
    path: Vec<Hash>,
}

impl ConsistencyProof {
    /// The most hashes in one.
    pub const MAX_HASHES: usize = 63;

    /// From its parts; `None` unless `old_size <= new_size <= 2^62` and the path has as many
    /// hashes as these need.
    pub fn from_parts(old_size: u64, new_size: u64, path: Vec<Hash>) -> Option<Self> {
        let needed = tree::consistency_ranges(old_size, new_size).len();
        let fits = old_size <= new_size && new_size <= MAX_SIZE && path.len() == needed;
        fits.then_some(Self { old_size, new_size, path })
    }

    /// Makes the proof out of the larger tree's nodes, as [`InclusionProof::make`].
    pub(crate) fn make<E>(
        old_size: u64,
        new_size: u64,
        mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
    ) -> Result<Option<Self>, E> {
        if old_size > new_size || new_size > MAX_SIZE {
            return Ok(None);
        }
        let ranges = tree::consistency_ranges(old_size, new_size).into_iter();
        let path = ranges.map(|range| tree::range_root(range, &mut node)).collect::<Result<_, E>>()?;
        Ok(Some(Self { old_size, new_size, path }))
    }

    unjoin_core::getters! {
        /// The smaller tree's size.
        pub old_size -> u64;
        /// The larger tree's size.
        pub new_size -> u64;
        /// The hashes, the lowest first.
        pub path -> &[Hash];
    }

    /// Checks that the tree with the old root is the beginning of the one with the new root.
    /// The roots must come from checkpoints of [`Self::old_size`] and [`Self::new_size`].
    ///
    /// # Errors
    /// [`ProofError`] when it is not.
    pub fn verify(&self, old_root: &Hash, new_root: &Hash) -> Result<(), ProofError> {
        let (old, new) = ((self.old_size, old_root), (self.new_size, new_root));
        if tree::verify_consistency(old, new, &self.path) { Ok(()) } else { Err(ProofError) }
    }
}

serde_as_bytes!(InclusionProof);

/// A proof about a log does not hold.
///
/// ```
/// use unjoin_log::{InclusionProof, ProofError};
/// // Of a log of one entry: no hash is needed, and its root is the entry's leaf.
/// let proof = InclusionProof::from_parts(0, 1, vec![]).unwrap();
/// assert_eq!(proof.verify(b"an entry", &[0; 32]), Err(ProofError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofError;

describe_errors!(ProofError (Device, false) {
    _ => "ledger.proof",
        "the log's proof does not hold for this entry and these checkpoints: keep both, they may be evidence";
});

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use proptest::prelude::*;

    fn node(level: u32, index: u64) -> Result<Hash, Infallible> {
        let leaves = (index << level..(index + 1) << level).map(|leaf| tree::leaf_hash(&leaf.to_le_bytes()));
        Ok(tree::root_of(&leaves.collect::<Vec<_>>()))
    }

    fn root(size: u64) -> Hash {
        tree::range_root(0..size, node).unwrap()
    }

    proptest! {
        #[test]
        fn a_proof_made_again_of_its_bytes_or_parts_is_the_same_and_holds(size in 1u64..600, index: u64, old: u64) {
            let (index, old) = (index % size, old % (size + 1));
            let proof = InclusionProof::make(index, size, node).unwrap().unwrap();
            let read = InclusionProof::from_bytes(&proof.to_bytes()).unwrap();
            prop_assert_eq!(&read, &proof);
            read.verify(&index.to_le_bytes(), &root(size)).unwrap();
            prop_assert_eq!(read.verify(&(index + 1).to_le_bytes(), &root(size)), Err(ProofError));

            let proof = ConsistencyProof::make(old, size, node).unwrap().unwrap();
            let again = ConsistencyProof::from_parts(old, size, proof.path().to_vec()).unwrap();
            prop_assert_eq!(&again, &proof);
            again.verify(&root(old), &root(size)).unwrap();
        }

        #[test]
        fn every_flipped_bit_refuses(size in 2u64..200, index: u64, old: u64, at: usize, bit in 0u32..8) {
            let (index, old) = (index % size, old % (size - 1) + 1);
            let flip = |mut bytes: Vec<u8>| {
                let at = at % bytes.len();
                bytes[at] ^= 1u8 << bit;
                bytes
            };
            let proof = InclusionProof::make(index, size, node).unwrap().unwrap();
            if let Ok(read) = InclusionProof::from_bytes(&flip(proof.to_bytes())) {
                // A proof for another size is told by the checkpoint that it is checked against.
                let same = read.size() == size;
                prop_assert!(!same || read.verify(&index.to_le_bytes(), &root(size)).is_err());
            }
            let proof = ConsistencyProof::make(old, size, node).unwrap().unwrap();
            let path = flip(proof.path().concat());
            let path = path.chunks_exact(32).map(|hash| hash.try_into().unwrap()).collect();
            let changed = ConsistencyProof::from_parts(old, size, path).unwrap();
            prop_assert!(changed.verify(&root(old), &root(size)).is_err());
        }
    }

    #[test]
    fn what_no_tree_has_is_refused() {
        assert!(InclusionProof::from_parts(3, 3, vec![]).is_none());
        assert!(InclusionProof::from_parts(0, 2, vec![]).is_none());
        assert!(ConsistencyProof::from_parts(4, 3, vec![]).is_none());
        let mut bytes = InclusionProof::from_parts(0, 1, vec![]).unwrap().to_bytes();
        bytes[2] = 1;
        assert_eq!(InclusionProof::from_bytes(&bytes).unwrap_err().rule, Rule::Value);
        bytes.extend_from_slice(&[0; 32]);
        bytes[2] = 0;
        assert_eq!(InclusionProof::from_bytes(&bytes).unwrap_err().rule, Rule::Trailing);
    }
}
