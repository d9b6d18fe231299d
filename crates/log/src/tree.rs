//! The Merkle tree of RFC 6962, section 2.1 (RFC 9162, section 2.1), with SHA-256: hashes,
//! roots, and what proofs are made of and checked with.
//!
//! Nothing here knows how hashes are stored: a *node* (level, index) is the root of the perfect subtree
//! over the leaves `index·2^level .. (index + 1)·2^level`, and the maker of a proof looks nodes up.
//! Every hash that a proof names is the root of a range of leaves that begins at a multiple of its
//! width rounded up to a power of two. Such a range falls into nodes.

use sha2::{Digest, Sha256};

/// A SHA-256 digest: 32 bytes.
///
/// ```
/// use unjoin_log::{Checkpoint, Hash};
/// let root: Hash = [7; 32];
/// let checkpoint = Checkpoint { origin: "shop.example/reviews".into(), size: 1, root };
/// assert_eq!(Checkpoint::parse_text(&checkpoint.to_text())?.root, root);
/// # Ok::<(), unjoin_log::NoteError>(())
/// ```
pub type Hash = [u8; 32];

/// The most leaves that a tree may have: keeps all sums within 64 bits.
pub const MAX_SIZE: u64 = 1 << 62;

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The hash of a leaf: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(entry).finalize().into()
}

/// The hash of a node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of these leaves.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// What a tree's right edge remembers: the roots of the perfect subtrees that its leaves fall
/// into, the largest first; one for each bit of the size that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// From its parts; `None` unless there is one peak for each bit of the size that is set, and
    /// the size is at most [`MAX_SIZE`].
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = size <= MAX_SIZE && peaks.len() == size.count_ones() as usize;
        fits.then_some(Self { size, peaks })
    }

    unjoin_core::getters! {
        /// How many leaves.
        pub size -> u64;
        /// The peaks, the largest subtree's first.
        pub peaks -> &[Hash];
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }
}

/// A range of leaves, the end exclusive.
pub(crate) type Leaves = core::ops::Range<u64>;

/// The largest power of two below `width`, which is at least 2.
fn split(width: u64) -> u64 {
    1 << width.saturating_sub(1).checked_ilog2().unwrap_or(0)
}

/// The ranges whose roots are the audit path of a leaf (`PATH`, RFC 6962, section 2.1.1), the
/// lowest first. Empty unless `index < size <= MAX_SIZE`.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Vec<Leaves> {
    let mut ranges = Vec::new();
    if index >= size || size > MAX_SIZE {
        return ranges;
    }
    let mut at = 0..size;
    while at.end - at.start > 1 {
        let middle = at.start + split(at.end - at.start);
        if index < middle {
            ranges.push(middle..at.end);
            at.end = middle;
        } else {
            ranges.push(at.start..middle);
            at.start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges whose roots are the consistency proof between two sizes (`PROOF`, RFC 6962,
/// section 2.1.2), the lowest first. Empty unless `0 < old < new <= MAX_SIZE`.
pub(crate) fn consistency_ranges(old: u64, new: u64) -> Vec<Leaves> {
    let mut ranges = Vec::new();
    if old == 0 || old >= new || new > MAX_SIZE {
        return ranges;
    }
    let mut at = 0..new;
    // A subtree that begins at the first leaf and ends at `old` is the old tree, whose root the
    // verifier has.
    while at.end != old {
        let middle = at.start + split(at.end - at.start);
        if old <= middle {
            ranges.push(middle..at.end);
            at.end = middle;
        } else {
            ranges.push(at.start..middle);
            at.start = middle;
        }
    }
    if at.start != 0 {
        ranges.push(at);
    }
    ranges.reverse();
    ranges
}

/// The root of a range that a proof names, or of a whole tree, out of the nodes it falls into.
pub(crate) fn range_root<E>(
    range: Leaves,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut peaks = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let level = (range.end - start).ilog2();
        peaks.push(node(level, start >> level)?);
        start += 1 << level;
    }
    Ok(peaks.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root))
}

/// From a node, and the last one of its level, up to where the next hash of a path has been taken in. Whether that hash is
/// of what lies to the left.
fn ascend(at: &mut u64, last: &mut u64) -> bool {
    let is_left = *at & 1 == 1 || at == last;
    let skipped = if !is_left || *at == 0 { 0 } else { at.trailing_zeros() };
    (*at, *last) = (*at >> skipped >> 1, *last >> skipped >> 1);
    is_left
}

/// Whether `path` shows that `leaf` is the leaf `index` of the tree of this size and root (RFC
/// 9162, section 2.1.3.2).
pub(crate) fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size || size > MAX_SIZE {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        let is_left = ascend(&mut at, &mut last);
        hash = if is_left { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
    }
    last == 0 && hash == *root
}

/// Whether `path` shows that the tree of size `old` is the beginning of the tree of size `new`
/// (RFC 9162, section 2.1.4.2). From nothing every tree goes on, without a path.
pub(crate) fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size || new_size > MAX_SIZE || new_size == 0 && *new_root != empty_root() {
        return false;
    }
    if old_size == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    let (first, rest) = match path.split_first() {
        _ if old_size.is_power_of_two() => (old_root, path),
        Some(split) => split,
        None => return false,
    };
    let skipped = (old_size - 1).trailing_ones();
    let (mut at, mut last) = ((old_size - 1) >> skipped, (new_size - 1) >> skipped);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if ascend(&mut at, &mut last) {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use proptest::prelude::*;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_le_bytes())
    }

    /// The tree head as RFC 6962 defines it, recursively.
    fn naive(range: Leaves) -> Hash {
        match range.end - range.start {
            0 => empty_root(),
            1 => leaf(range.start),
            width => {
                let middle = range.start + split(width);
                node_hash(&naive(range.start..middle), &naive(middle..range.end))
            }
        }
    }

    fn hashes(ranges: Vec<Leaves>) -> Vec<Hash> {
        let node = |level: u32, index: u64| Ok::<_, Infallible>(naive(index << level..(index + 1) << level));
        ranges
            .into_iter()
            .map(|range| {
                let root = range_root(range.clone(), node).unwrap();
                assert_eq!(root, naive(range));
                root
            })
            .collect()
    }

    fn ct_merkle(size: u64) -> ct_merkle::mem_backed_tree::MemoryBackedTree<sha2::Sha256, [u8; 8]> {
        let mut tree = ct_merkle::mem_backed_tree::MemoryBackedTree::new();
        (0..size).for_each(|index| tree.push(index.to_le_bytes()));
        tree
    }

    #[test]
    fn roots_and_proofs_are_the_naive_trees_at_every_small_size() {
        let mut frontier = Frontier::default();
        for size in 0..=130 {
            let root = naive(0..size);
            assert_eq!(frontier.root(), root);
            assert_eq!(root_of(&(0..size).map(leaf).collect::<Vec<_>>()), root);
            for index in 0..size {
                let path = hashes(inclusion_ranges(index, size));
                assert!(verify_inclusion(&leaf(index), index, size, &path, &root));
                assert!(!verify_inclusion(&leaf(index + 1), index, size, &path, &root));
                assert!(!verify_inclusion(&leaf(index), index ^ 1, size, &path, &root) || size == 1);
            }
            for old in 0..=size {
                let path = hashes(consistency_ranges(old, size));
                assert!(verify_consistency((old, &naive(0..old)), (size, &root), &path));
            }
            frontier.push(leaf(size));
        }
    }

    #[test]
    fn another_implementation_makes_the_same_roots_and_proofs() {
        for size in 1..=70 {
            let (tree, root) = (ct_merkle(size), naive(0..size));
            assert_eq!(tree.root().as_bytes().as_slice(), root);
            for index in 0..size {
                let path = hashes(inclusion_ranges(index, size)).concat();
                assert_eq!(tree.prove_inclusion(index as usize).as_bytes(), path);
            }
            for old in 1..size {
                let path = hashes(consistency_ranges(old, size)).concat();
                assert_eq!(tree.prove_consistency((size - old) as usize).as_bytes(), path);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn larger_trees_prove_too(size in 1u64..5_000, index: u64, old: u64) {
            let (index, old, root) = (index % size, old % (size + 1), naive(0..size));
            let path = hashes(inclusion_ranges(index, size));
            prop_assert!(verify_inclusion(&leaf(index), index, size, &path, &root));
            let path = hashes(consistency_ranges(old, size));
            prop_assert!(verify_consistency((old, &naive(0..old)), (size, &root), &path));
        }

        #[test]
        fn every_flipped_bit_of_a_proof_refuses(size in 2u64..300, index: u64, old: u64, at: usize, bit in 0u32..8) {
            let (index, old, root) = (index % size, old % (size - 1) + 1, naive(0..size));
            let flipped = |path: &[Hash]| {
                let mut path = path.to_vec();
                let hash = at / 32 % path.len();
                path[hash][at % 32] ^= 1u8 << bit;
                path
            };
            let path = hashes(inclusion_ranges(index, size));
            prop_assert!(!verify_inclusion(&leaf(index), index, size, &flipped(&path), &root));
            let path = hashes(consistency_ranges(old, size));
            let old_root = naive(0..old);
            prop_assert!(!verify_consistency((old, &old_root), (size, &root), &flipped(&path)));
            // Nor does it hold for other sizes, with a hash less or one more.
            for wrong in [&path[1..], &[path.as_slice(), &[root]].concat()] {
                prop_assert!(!verify_consistency((old, &old_root), (size, &root), wrong));
            }
            prop_assert!(!verify_consistency((old - 1, &old_root), (size, &root), &path));
        }

        #[test]
        fn proofs_of_any_size_end_and_stay_short(index in 0..MAX_SIZE, size in 1..=MAX_SIZE) {
            prop_assert!(inclusion_ranges(index % size, size).len() <= 62);
            prop_assert!(consistency_ranges(index % size, size).len() <= 63);
            prop_assert!(!verify_inclusion(&[0; 32], index % size, size, &[[0; 32]; 62], &[0; 32]));
        }
    }

    #[test]
    fn a_frontier_has_a_peak_for_each_bit() {
        let mut frontier = Frontier::default();
        (0..13).for_each(|index| frontier.push(leaf(index)));
        let peaks = frontier.peaks().to_vec();
        assert_eq!(Frontier::from_parts(13, peaks.clone()), Some(frontier));
        assert_eq!(Frontier::from_parts(12, peaks), None);
        assert_eq!(Frontier::from_parts(MAX_SIZE * 2, vec![[0; 32]]), None);
    }
}
