//! Bundles: what the reviews ledger holds of a boundary about many merchants, in pieces of one length. Of a boundary are
//! the manifests of cohorts that are first published then, from the tick on that logs them, and what was published,
//! edited or withdrawn at it.
//!
//! Whoever asks for one merchant's manifests tells where they bought, and for one review that its author is
//! here. So devices ask for a shard: all of a boundary whose merchant's hash begins with the same bits. Everybody who asks
//! gets the same bytes, and every shard of a boundary has the same number of pieces.

use crate::DoorError;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::entry::{ActionEntry, DoorKeyEntry, HeldWithdrawalEntry, PublishedEntry};
use unjoin_core::token::{CohortManifest, DoorAnswer};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use unjoin_core::{Name, Timestamp, message, serde_as_bytes};
use unjoin_log::{Checkpoint, CosignedEntry, InclusionProof, LogView, Note, ViewError, each_page};

/// Kind 57, 41 to 8,186 bytes: a piece of a bundle.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::Name;
/// use unjoin_door::{BundlePiece, Bundles};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (ledger, boundary) = (shop.ledger(&accepted), accepted.sent.publication);
/// // A device asks for the shard that its merchant is in, one of thousands there.
/// let shard = BundlePiece::shard_of_merchant(&Name::new("lamps")?, 0);
/// let piece = Bundles::new(4).piece(&ledger.log, 0, boundary, shard, 0)?.ok_or("no such piece")?;
/// assert_eq!(piece.of(), 1);
/// let entries = BundlePiece::join(&[piece])?;
/// // Each is believed once the witnesses have seen it.
/// assert!(entries.iter().all(|entry| entry.verify(&ledger.policy).is_ok()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundlePiece {
    bundle: [u8; 32],
    piece: u16,
    of: u16,
    bytes: Vec<u8>,
}

impl BundlePiece {
    /// So many bytes of the bundle are in every piece but the last.
    pub const MAX_BYTES: usize = DoorAnswer::MAX_BODY - 40;

    /// How many pieces the bundle has, as every other of its boundary.
    pub fn of(&self) -> u16 {
        self.of
    }

    /// Which shard holds the manifests and the published reviews of a merchant.
    pub fn shard_of_merchant(merchant: &Name, bits: u8) -> u16 {
        shard(merchant.as_bytes(), bits)
    }

    /// The entries of a bundle from all its pieces, in their order. **Unchecked**: each is believed once it is held
    /// against the ledger's policy. Keys of the door are among them.
    ///
    /// # Errors
    /// [`DoorError::Bundle`] when a piece is missing, or of another bundle, or they are none together.
    pub fn join(pieces: &[Self]) -> Result<Vec<CosignedEntry>, DoorError> {
        let (Some(first), count) = (pieces.first(), pieces.len()) else { return Err(DoorError::Bundle) };
        let fits = |(piece, at): (&Self, usize)| {
            piece.bundle == first.bundle && usize::from(piece.of) == count && usize::from(piece.piece) == at
        };
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| &piece.bytes).copied().collect();
        let is_whole = pieces.iter().zip(0..).all(fits) && Sha256::digest(&bytes)[..] == first.bundle;
        if !is_whole {
            return Err(DoorError::Bundle);
        }
        entries(&mut Reader::new(&bytes, "bundle")).map_err(|_| DoorError::Bundle)
    }
}

/// Checkpoint, number of entries, each with its proof, and zeros.
fn entries(from: &mut Reader<'_>) -> Result<Vec<CosignedEntry>, DecodeError> {
    let checkpoint = from.bytes("checkpoint", 0, CosignedEntry::MAX_CHECKPOINT)?;
    let count = from.le32("count")?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let proof = InclusionProof::decode_body(from)?;
        let entry = from.bytes("entry", 1, CosignedEntry::MAX_ENTRY)?.to_vec();
        let entry = CosignedEntry::new(entry, proof, checkpoint.to_vec());
        entries.push(entry.ok_or_else(|| from.refuse(Rule::Value))?);
    }
    if from.rest("padding").iter().any(|byte| *byte != 0) {
        return Err(from.refuse(Rule::Value));
    }
    Ok(entries)
}

message!(BundlePiece = 57, "bundle piece":
    bundle as "bundle", piece as "piece", of as "of", bytes as "bytes" of(1..=Self::MAX_BYTES);
    if |message| message.piece < message.of);

serde_as_bytes!(BundlePiece);

/// The leading bits of a hash, as a number.
fn shard(of: &[u8], bits: u8) -> u16 {
    leading(top(of), bits)
}

fn top(of: &[u8]) -> u16 {
    let [a, b, ..] = hash32("door/shard", &[of]);
    u16::from_be_bytes([a, b])
}

fn leading(top: u16, bits: u8) -> u16 {
    top.checked_shr(16 - u32::from(bits.min(DoorKeyEntry::MAX_SHARD_BITS))).unwrap_or(0)
}

/// The bundles of a reviews ledger, made when they are first asked for; for a gateway.
///
/// Of every entry that a boundary has it keeps sixteen bytes, and of the last boundaries the bundles. Older ones it does
/// not show: whoever asked for one after another would have it make them all the time. What they held stands in the
/// ledger.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// use unjoin_door::Bundles;
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (ledger, boundary) = (shop.ledger(&accepted), accepted.sent.publication);
/// let mut bundles = Bundles::new(4);
/// assert!(bundles.piece(&ledger.log, 0, boundary, 0, 0)?.is_some());
/// // Nothing was first published then.
/// assert!(bundles.piece(&ledger.log, 0, SEALED, 0, 0)?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bundles {
    kept: usize,
    read: u64,
    boundaries: BTreeMap<Timestamp, Vec<(u16, u64)>>,
    keys: Vec<(DoorKeyEntry, u64)>,
    made: BTreeMap<Timestamp, Arc<Made>>,
}

/// The bundles of one boundary.
#[derive(Debug)]
struct Made {
    entries: usize,
    shard_bits: u8,
    pieces: u16,
    /// Each with its digest.
    shards: BTreeMap<u16, ([u8; 32], Vec<u8>)>,
}

impl Bundles {
    /// Shows the last `kept` boundaries; no ledger was read yet.
    pub fn new(kept: usize) -> Self {
        Self { kept, read: 0, boundaries: BTreeMap::new(), keys: Vec::new(), made: BTreeMap::new() }
    }

    /// The keys of the door that were read, as they stand in the ledger, unchecked.
    pub fn keys(&self) -> impl Iterator<Item = &DoorKeyEntry> {
        self.keys.iter().map(|(key, _)| key)
    }

    /// The entries that belong to this boundary, the keys of the door around it included.
    fn of(&self, boundary: Timestamp) -> Vec<(Option<u16>, u64)> {
        let named = self.boundaries.get(&boundary).into_iter().flatten();
        let named = named.map(|(top, index)| (Some(*top), *index));
        // Those that hold, and the next: a device learns it before the present one ends.
        let next = self.keys.iter().map(|(key, _)| key.from()).filter(|from| boundary < *from).min();
        let around = |key: &DoorKeyEntry| key.holds_at(boundary) || Some(key.from()) == next;
        let keys = self.keys.iter().filter(|(key, _)| around(key)).map(|(_, index)| (None, *index));
        let mut all: Vec<_> = named.chain(keys).collect();
        all.sort_by_key(|(_, index)| *index);
        all
    }

    /// Reads what the ledger has published since the last time.
    ///
    /// # Errors
    /// [`ViewError`]; what was read stays read.
    pub fn read(&mut self, ledger: &dyn LogView) -> Result<(), ViewError> {
        let Some((_, size)) = published(ledger)? else { return Ok(()) };
        if size <= self.read {
            return Ok(());
        }
        each_page(ledger, self.read..size, |page| {
            for entry in page {
                self.note(&entry);
                self.read += 1;
            }
            Ok::<(), ViewError>(())
        })
    }

    fn note(&mut self, entry: &[u8]) {
        let found = match entry.get(1) {
            Some(&CohortManifest::KIND) => CohortManifest::from_bytes(entry)
                .map(|manifest| (manifest.publications.first(), top(manifest.scope.merchant().as_bytes()))),
            Some(&PublishedEntry::KIND) => PublishedEntry::from_bytes(entry)
                .map(|published| (published.boundary, top(published.scope.merchant().as_bytes()))),
            Some(&ActionEntry::KIND) => ActionEntry::from_bytes(entry)
                .map(|changed| (changed.boundary, top(changed.action.statement().review_id.as_bytes()))),
            Some(&HeldWithdrawalEntry::KIND) => HeldWithdrawalEntry::from_bytes(entry).map(|withdrawn| {
                (withdrawn.boundary, top(withdrawn.action.statement().review_id.as_bytes()))
            }),
            Some(&DoorKeyEntry::KIND) => {
                self.keys.extend(DoorKeyEntry::from_bytes(entry).map(|key| (key, self.read)));
                return;
            }
            _ => return,
        };
        if let Ok((boundary, top)) = found {
            self.boundaries.entry(boundary).or_default().push((top, self.read));
        }
    }

    /// A piece of a shard of what the ledger got at this boundary, cut by so many bits. `None` if there is
    /// none, or not yet.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn piece(
        &mut self,
        ledger: &dyn LogView,
        shard_bits: u8,
        boundary: Timestamp,
        shard: u16,
        piece: u16,
    ) -> Result<Option<BundlePiece>, ViewError> {
        self.read(ledger)?;
        if !self.boundaries.keys().rev().take(self.kept).any(|shown| *shown == boundary) {
            return Ok(None);
        }
        let of = self.of(boundary);
        let is_as_made = |made: &&Arc<Made>| made.entries == of.len() && made.shard_bits == shard_bits;
        let made = match self.made.get(&boundary).filter(is_as_made) {
            Some(made) => Arc::clone(made),
            None => {
                let Some(made) = make(ledger, shard_bits, &of)? else { return Ok(None) };
                let made = Arc::new(made);
                self.made.insert(boundary, Arc::clone(&made));
                if self.made.len() > self.kept {
                    self.made.pop_first();
                }
                made
            }
        };
        Ok(made.piece(shard, piece))
    }
}

impl Made {
    fn piece(&self, shard: u16, piece: u16) -> Option<BundlePiece> {
        let (bundle, bytes) = self.shards.get(&shard)?;
        let bytes = bytes.chunks(BundlePiece::MAX_BYTES).nth(piece.into())?.to_vec();
        Some(BundlePiece { bundle: *bundle, piece, of: self.pieces, bytes })
    }
}

/// The published checkpoint, and its size.
fn published(ledger: &dyn LogView) -> Result<Option<(Vec<u8>, u64)>, ViewError> {
    let Some(note) = ledger.checkpoint()? else { return Ok(None) };
    let mut note = Note::parse(&note).map_err(|_| ViewError::Malformed)?;
    let size = Checkpoint::parse_text(note.text()).map_err(|_| ViewError::Malformed)?.size;
    note.keep_known_types();
    Ok(Some((note.to_bytes(), size)))
}

fn make(ledger: &dyn LogView, shard_bits: u8, of: &[(Option<u16>, u64)]) -> Result<Option<Made>, ViewError> {
    let Some((checkpoint, size)) = published(ledger)? else { return Ok(None) };
    let mut bodies: BTreeMap<u16, (u32, Writer)> =
        (0..=leading(u16::MAX, shard_bits)).map(|shard| (shard, (0, Writer::new()))).collect();
    for (top, index) in of {
        let entry = ledger.entries(*index, index + 1)?.pop().ok_or(ViewError::Missing)?;
        let proof = ledger.inclusion(*index, size)?;
        let wanted = top.map(|top| leading(top, shard_bits));
        // A key is everybody's.
        for (_, (count, body)) in
            bodies.iter_mut().filter(|(shard, _)| wanted.is_none_or(|own| own == **shard))
        {
            *count += 1;
            proof.encode_body(body);
            body.bytes(&entry);
        }
    }
    let mut shards: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for (shard, (count, body)) in bodies {
        let mut bundle = Writer::new();
        bundle.bytes(&checkpoint);
        bundle.le32(count);
        bundle.raw(&body.finish());
        shards.insert(shard, bundle.finish());
    }
    let longest = shards.values().map(Vec::len).max().unwrap_or(1);
    let Ok(pieces) = u16::try_from(longest.div_ceil(BundlePiece::MAX_BYTES)) else {
        return Err(ViewError::Malformed);
    };
    let full = usize::from(pieces) * BundlePiece::MAX_BYTES;
    let padded = shards.into_iter().map(|(shard, mut bytes)| {
        bytes.resize(full, 0);
        (shard, (Sha256::digest(&bytes).into(), bytes))
    });
    Ok(Some(Made { entries: of.len(), shard_bits, pieces, shards: padded.collect() }))
}
