//! A trustee's rows: room `t`. The owner is the trustee's long-term key with the ledger it
//! follows, so one store can serve several trustees or ledgers, and all escrow keys of one
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

use crate::algebra::transcript::hash32;
use crate::ledger::tree::{Hash, empty_root};
use crate::ledger::{NotePublicKey, ShareReleasedEntry, entry_id};
use crate::opening::Blind;
use crate::opening::budget::{Claim, Excess};
use crate::secret::hmac_sha256;
use crate::store::{Bucket, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::{ReviewId, TrusteeKey};
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

const FORMAT: u8 = 1;
/// What stands before a review's id under the long-term key.
const REVIEW: &[u8] = b"unjoin/v1 trustee review";

/// The keys of one trustee's rows.
pub(super) struct Rows {
    owner: [u8; 32],
}

impl Rows {
    pub(super) fn new(key: &TrusteeKey, ledger: &NotePublicKey) -> Self {
        let public = key.public();
        let items: [&[u8]; 3] = [public.as_bytes(), ledger.as_bytes(), ledger.name().as_str().as_bytes()];
        Self { owner: hash32("trustee-rows", &items) }
    }

    pub(super) fn bucket(&self) -> Bucket {
        Bucket::of(&self.owner)
    }

    fn row(&self, kind: u8, rest: &[u8]) -> RowKey {
        let key = [&[b't', kind], self.owner.as_slice(), rest].concat();
        RowKey { bucket: self.bucket(), key }
    }

    pub(super) fn state(&self) -> RowKey {
        self.row(b's', &[])
    }

    pub(super) fn mark(&self, size: u64) -> RowKey {
        self.row(b'm', &size.to_be_bytes())
    }

    pub(super) fn intent(&self, tag: &[u8; 32]) -> RowKey {
        self.row(b'i', tag)
    }

    /// An entry of this trustee's that was taken over from the ledger.
    pub(super) fn taken_over(&self, entry: &ShareReleasedEntry) -> RowKey {
        self.row(b'a', &entry_id(&entry.to_bytes()))
    }

    /// A review that this trustee was to open; under its long-term key, so that the rows alone
    /// tell nobody which.
    pub(super) fn opened(&self, key: &TrusteeKey, review: &ReviewId) -> RowKey {
        self.row(b'o', &hmac_sha256(key.seed().expose(), &[REVIEW, &self.owner, review.as_bytes()]))
    }

    /// This trustee's part in a same-author round.
    pub(super) fn round(&self, commitment: &[u8; 32], round: u16) -> RowKey {
        self.row(b'r', &[commitment.as_slice(), &round.to_be_bytes()].concat())
    }

    /// All marks, by size.
    pub(super) fn marks(&self, store: &(impl Store + ?Sized)) -> Result<Vec<(u64, Timestamp)>, StoreError> {
        self.scan(store, b'm', |rest, value| {
            let size = rest.try_into().map_err(|_| StoreError::Corrupt("trustee mark"))?;
            Ok((u64::from_be_bytes(size), read_mark(value)?))
        })
    }

    /// All intents, by tag.
    pub(super) fn intents(
        &self,
        store: &(impl Store + ?Sized),
    ) -> Result<Vec<([u8; 32], Intent)>, StoreError> {
        self.scan(store, b'i', |rest, value| {
            let tag = rest.try_into().map_err(|_| StoreError::Corrupt("trustee intent"))?;
            Ok((tag, Intent::read(value)?))
        })
    }

    fn scan<T>(
        &self,
        store: &(impl Store + ?Sized),
        kind: u8,
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        const PAGE: usize = 1024;
        let RowKey { bucket, key: prefix } = self.row(kind, &[]);
        let (mut found, mut after) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let page = store.scan(bucket, &prefix, after.as_deref(), PAGE)?;
            for row in &page {
                let rest = row.key.strip_prefix(prefix.as_slice()).unwrap_or_default();
                found.push(read(rest, &row.value)?);
            }
            match page.into_iter().nth(PAGE - 1) {
                Some(last) => after = Some(last.key),
                None => return Ok(found),
            }
        }
    }
}

/// What a trustee must never forget: the last checkpoint it saw, and its next sequence number.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) next_sequence: u64,
    pub(super) size: u64,
    pub(super) root: Hash,
}

impl State {
    /// No row is a trustee that has seen nothing.
    pub(super) fn read(value: Option<&[u8]>) -> Result<Self, StoreError> {
        let Some(value) = value else { return Ok(Self { next_sequence: 1, size: 0, root: empty_root() }) };
        read(value, "trustee state", |from| {
            let next_sequence = from.le64("next sequence")?;
            if next_sequence == 0 {
                return Err(from.refuse(Rule::Value));
            }
            Ok(Self { next_sequence, size: from.le64("size")?, root: from.array("root")? })
        })
    }

    pub(super) fn value(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
        out.le64(self.next_sequence);
        out.le64(self.size);
        out.raw(&self.root);
        out.finish()
    }
}

/// A release that was decided, under its tag.
#[derive(Clone, Copy)]
pub(super) struct Intent {
    pub(super) sequence: u64,
    pub(super) commitment: [u8; 32],
    pub(super) since: Timestamp,
    pub(super) verdict: Verdict,
}

/// What became of an intent; the last two are for good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its entry was not judged yet.
    Open,
    /// Its share may leave, or has left.
    Held,
    /// Its entry is void.
    Void(Excess),
}

impl Intent {
    pub(super) fn claim(&self, trustee: u16, tag: [u8; 32]) -> Claim {
        Claim { trustee, commitment: self.commitment, tag, since: self.since }
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, StoreError> {
        read(value, "trustee intent", |from| {
            Ok(Self {
                sequence: from.le64("sequence")?,
                commitment: from.array("commitment")?,
                since: from.timestamp("since")?,
                verdict: match (from.u8("verdict")?, from.le32("limit")?) {
                    (0, 0) => Verdict::Open,
                    (1, 0) => Verdict::Held,
                    (2, 0) => Verdict::Void(Excess::Warrant),
                    (3, limit) => Verdict::Void(Excess::All(limit)),
                    (4, limit) => Verdict::Void(Excess::Own(limit)),
                    (5, limit) => Verdict::Void(Excess::Requester(limit)),
                    _ => return Err(from.refuse(Rule::Value)),
                },
            })
        })
    }

    pub(super) fn value(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
        out.le64(self.sequence);
        out.raw(&self.commitment);
        out.timestamp(self.since);
        let (code, limit) = match self.verdict {
            Verdict::Open => (0, 0),
            Verdict::Held => (1, 0),
            Verdict::Void(Excess::Warrant) => (2, 0),
            Verdict::Void(Excess::All(limit)) => (3, limit),
            Verdict::Void(Excess::Own(limit)) => (4, limit),
            Verdict::Void(Excess::Requester(limit)) => (5, limit),
        };
        out.u8(code);
        out.le32(limit);
        out.finish()
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

impl Part {
    pub(super) fn read(value: &[u8]) -> Result<Self, StoreError> {
        read(value, "trustee round", |from| match from.u8("part")? {
            1 => Blind::from_bytes(from.rest("blind")).map(Self::Blinded),
            2 => Ok(Self::Used(from.array("round id")?)),
            _ => Err(from.refuse(Rule::Value)),
        })
    }

    pub(super) fn value(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
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
        out.finish()
    }
}

pub(super) fn read_mark(value: &[u8]) -> Result<Timestamp, StoreError> {
    read(value, "trustee mark", |from| from.timestamp("time"))
}

pub(super) fn mark_value(time: Timestamp) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(FORMAT);
    out.timestamp(time);
    out.finish()
}

/// A row that says all by its key.
pub(super) fn present() -> Vec<u8> {
    vec![FORMAT]
}

fn read<T>(
    value: &[u8],
    what: &'static str,
    body: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, StoreError> {
    let mut from = Reader::new(value, what);
    let whole = |from: &mut Reader<'_>| {
        if from.u8("format")? != FORMAT {
            return Err(from.refuse(Rule::Version));
        }
        let read = body(from)?;
        from.end()?;
        Ok(read)
    };
    whole(&mut from).map_err(|_: DecodeError| StoreError::Corrupt(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_shape_of_a_trustees_row_round_trips_and_no_other_length_is_read() {
        let state = State { next_sequence: 9, size: 5, root: [3; 32] }.value();
        assert_eq!(State::read(Some(&state)).unwrap().value(), state);
        let void =
            [Excess::Warrant, Excess::All(3), Excess::Own(2), Excess::Requester(u32::MAX)].map(Verdict::Void);
        for verdict in [Verdict::Open, Verdict::Held].into_iter().chain(void) {
            let since = Timestamp::from_unix_seconds(7);
            let value = Intent { sequence: 1, commitment: [2; 32], since, verdict }.value();
            assert_eq!(Intent::read(&value).unwrap().value(), value);
            assert!(
                Intent::read(&value[1..]).is_err() && Intent::read(&[&value[..], &[0]].concat()).is_err()
            );
        }
        assert!(State::read(Some(&state[..state.len() - 1])).is_err());
        let unnumbered = State { next_sequence: 0, size: 0, root: [0; 32] }.value();
        assert!(State::read(Some(&unnumbered)).is_err());
    }

    proptest! {
        #[test]
        fn a_trustees_rows_decode_strictly(bytes in prop::collection::vec(any::<u8>(), 48..64), code in 0u8..8) {
            let mut value = vec![1];
            value.extend(&bytes);
            if let Some(verdict) = value.get_mut(49) {
                *verdict = code;
            }
            prop_assert!(Intent::read(&value).is_ok_and(|intent| intent.value() == value) || Intent::read(&value).is_err());
            prop_assert!(State::read(Some(&value)).is_ok_and(|state| state.value() == value) || State::read(Some(&value)).is_err());
        }
    }
}
