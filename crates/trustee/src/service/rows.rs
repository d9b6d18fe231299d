//! A trustee's rows: room `t`. The owner is the trustee's long-term key with the ledger it
//! follows. So one store can serve several trustees or ledgers, and all escrow keys of one
//! trustee count their sequence together.
//!
//! ```text
//! ts owner             -> 1, next sequence (le64), size (le64), root (32)
//! tm owner size(be)    -> 1, time (le64)
//! ti owner tag         -> 1, sequence (le64), commitment (32), since (le64), verdict (1), limit (le32)
//! ta owner entry id    -> 1
//! to owner keyed id    -> 1
//! tr owner commitment round(be) -> 1, 1, blind (kind 7) | 1, 2, round id (32)
//! ```

use crate::same_author::Blind;
use crate::warrant::{Claim, Excess};
use unjoin_core::Timestamp;
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::entry::{ShareReleasedEntry, entry_id};
use unjoin_core::secret::hmac_sha256;
use unjoin_core::token::{ReviewId, TrusteeKey};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use unjoin_log::NotePublicKey;
use unjoin_log::tree::{Hash, empty_root};
use unjoin_store::{Bucket, Key, Pages, Present, Record, Store, StoreError, record};

/// What is before a review's id under the long-term key.
const REVIEW: &[u8] = b"unjoin/v1 trustee review";

/// The addresses of one trustee's rows.
pub(super) struct Rows {
    owner: [u8; 32],
}

impl Rows {
    pub(super) fn new(key: &TrusteeKey, ledger: &NotePublicKey) -> Self {
        let public = key.public();
        let items: [&[u8]; 3] = [public.as_bytes(), ledger.as_bytes(), ledger.name().as_str().as_bytes()];
        Self { owner: hash32("trustee-rows", &items) }
    }

    fn key<R>(&self, kind: u8, rest: &[u8]) -> Key<R> {
        Key::new(Bucket::of(&self.owner), [&[b't', kind], self.owner.as_slice(), rest].concat())
    }

    pub(super) fn state(&self) -> Key<State> {
        self.key(b's', &[])
    }

    pub(super) fn mark(&self, size: u64) -> Key<Mark> {
        self.key(b'm', &size.to_be_bytes())
    }

    pub(super) fn intent(&self, tag: &[u8; 32]) -> Key<Intent> {
        self.key(b'i', tag)
    }

    /// An entry of this trustee's that was taken over from the ledger.
    pub(super) fn taken_over(&self, entry: &ShareReleasedEntry) -> Key<Present> {
        self.key(b'a', &entry_id(&entry.to_bytes()))
    }

    /// A review that this trustee was to open; under its long-term key, so that the rows alone
    /// tell nobody which.
    pub(super) fn opened(&self, key: &TrusteeKey, review: &ReviewId) -> Key<Present> {
        self.key(b'o', &hmac_sha256(key.seed().expose(), &[REVIEW, &self.owner, review.as_bytes()]))
    }

    /// This trustee's part in a same-author round.
    pub(super) fn round(&self, commitment: &[u8; 32], round: u16) -> Key<Part> {
        self.key(b'r', &[commitment.as_slice(), &round.to_be_bytes()].concat())
    }

    /// All marks, by size.
    pub(super) fn marks(&self, store: &(impl Store + ?Sized)) -> Result<Vec<(u64, Timestamp)>, StoreError> {
        let marks = self.all(store, b'm')?.into_iter();
        Ok(marks.map(|(size, Mark(time))| (u64::from_be_bytes(size), time)).collect())
    }

    /// All intents, by tag.
    pub(super) fn intents(
        &self,
        store: &(impl Store + ?Sized),
    ) -> Result<Vec<([u8; 32], Intent)>, StoreError> {
        self.all(store, b'i')
    }

    /// All rows of one kind, by what their keys end in.
    fn all<const N: usize, R: Record>(
        &self,
        store: &(impl Store + ?Sized),
        kind: u8,
    ) -> Result<Vec<([u8; N], R)>, StoreError> {
        const PAGE: usize = 1024;
        let prefix: Key<R> = self.key(kind, &[]);
        let mut pages = Pages::new(store, prefix.bucket(), prefix.bytes().to_vec(), PAGE);
        let mut all = Vec::new();
        while let Some(page) = pages.next()? {
            for found in page {
                let end = found.key.bytes().strip_prefix(prefix.bytes());
                let end = end.and_then(|end| end.try_into().ok()).ok_or(StoreError::Corrupt(R::NAME))?;
                all.push((end, found.row()?));
            }
        }
        Ok(all)
    }
}

/// What a trustee must never forget: the last checkpoint it saw, and its next sequence number.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) next_sequence: u64,
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// No row is a trustee that has seen nothing.
impl Default for State {
    fn default() -> Self {
        Self { next_sequence: 1, size: 0, root: empty_root() }
    }
}

record!(State, "trustee state": next_sequence, size, root; if |state| state.next_sequence > 0);

/// When a checkpoint of the size in the key had been seen by a quorum of witnesses.
pub(super) struct Mark(pub(super) Timestamp);

record!(Mark, "trustee mark": 0);

/// A release that was decided, under its tag.
#[derive(Clone, Copy)]
pub(super) struct Intent {
    pub(super) sequence: u64,
    pub(super) commitment: [u8; 32],
    pub(super) since: Timestamp,
    /// Whether its entry is within budget or void, for good; `None` until it was judged.
    pub(super) verdict: Option<Result<(), Excess>>,
}

impl Intent {
    pub(super) fn claim(&self, trustee: u16, tag: [u8; 32]) -> Claim {
        Claim { trustee, commitment: self.commitment, tag, since: self.since }
    }
}

impl Record for Intent {
    const NAME: &'static str = "trustee intent";

    fn encode(&self, out: &mut Writer) {
        out.le64(self.sequence);
        out.raw(&self.commitment);
        out.timestamp(self.since);
        let (code, limit) = match self.verdict {
            None => (0, 0),
            Some(Ok(())) => (1, 0),
            Some(Err(Excess::Unlisted)) => (2, 0),
            Some(Err(Excess::All(limit))) => (3, limit),
            Some(Err(Excess::Own(limit))) => (4, limit),
            Some(Err(Excess::Requester(limit))) => (5, limit),
            Some(Err(Excess::Committee)) => (6, 0),
        };
        out.u8(code);
        out.le32(limit);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: from.le64("sequence")?,
            commitment: from.array("commitment")?,
            since: from.timestamp("since")?,
            verdict: match (from.u8("verdict")?, from.le32("limit")?) {
                (0, 0) => None,
                (1, 0) => Some(Ok(())),
                (2, 0) => Some(Err(Excess::Unlisted)),
                (3, limit) => Some(Err(Excess::All(limit))),
                (4, limit) => Some(Err(Excess::Own(limit))),
                (5, limit) => Some(Err(Excess::Requester(limit))),
                (6, 0) => Some(Err(Excess::Committee)),
                _ => return Err(from.refuse(Rule::Value)),
            },
        })
    }
}

/// A trustee's part in a same-author round. Its factor z is in no row: it is gone as soon as the
/// blind is made.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and not for long")]
pub(super) enum Part {
    /// The blind that the trustee commits to, and reveals once all have.
    Blinded(Blind),
    /// The id of the one round that the share was released for.
    Used([u8; 32]),
}

impl Record for Part {
    const NAME: &'static str = "trustee round";

    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Blinded(blind) => {
                out.u8(1);
                out.raw(&blind.to_bytes());
            }
            Self::Used(round_id) => {
                out.u8(2);
                out.raw(round_id);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8("part")? {
            1 => Blind::from_bytes(from.rest("blind")).map(Self::Blinded),
            2 => from.array("round id").map(Self::Used),
            _ => Err(from.refuse(Rule::Value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_shape_of_a_trustees_row_round_trips_and_no_other_length_is_read() {
        let state = State { next_sequence: 9, size: 5, root: [3; 32] }.to_value();
        assert_eq!(State::from_value(&state).unwrap().to_value(), state);
        assert_eq!(state, [&[1, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0][..], &[3; 32]].concat());
        let void = [
            Excess::Unlisted,
            Excess::Committee,
            Excess::All(3),
            Excess::Own(2),
            Excess::Requester(u32::MAX),
        ]
        .map(Err);
        for verdict in [None, Some(Ok(()))].into_iter().chain(void.map(Some)) {
            let since = Timestamp::from_unix_seconds(7);
            let value = Intent { sequence: 1, commitment: [2; 32], since, verdict }.to_value();
            assert_eq!(Intent::from_value(&value).unwrap().to_value(), value);
            assert!(Intent::from_value(&value[1..]).is_err());
            assert!(Intent::from_value(&[&value[..], &[0]].concat()).is_err());
        }
        assert!(State::from_value(&state[..state.len() - 1]).is_err());
        let unnumbered = State { next_sequence: 0, size: 0, root: [0; 32] }.to_value();
        assert!(State::from_value(&unnumbered).is_err());
    }

    proptest! {
        #[test]
        fn a_trustees_rows_decode_strictly(bytes in prop::collection::vec(any::<u8>(), 48..64), code in 0u8..8) {
            let mut value = vec![1];
            value.extend(&bytes);
            if let Some(verdict) = value.get_mut(49) {
                *verdict = code;
            }
            prop_assert!(Intent::from_value(&value).is_ok_and(|intent| intent.to_value() == value) || Intent::from_value(&value).is_err());
            prop_assert!(State::from_value(&value).is_ok_and(|state| state.to_value() == value) || State::from_value(&value).is_err());
        }
    }
}
