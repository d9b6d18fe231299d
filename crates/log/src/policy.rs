//! Whose cosignatures make a checkpoint believed.
//!
//! A log that shows different histories to different readers needs the help of witnesses for it. With w
//! witnesses of which at most f lie or are stolen, two quorums of q >= floor((w + f) / 2) + 1 share at
//! least one honest witness. That one never cosigns two histories. So two readers never believe two
//! histories. With q > 2f, too, the median of a quorum's times lies between the times of honest
//! witnesses.

use super::checkpoint::SignedCheckpoint;
use super::note::{NoteError, NotePublicKey, WitnessPublicKey};
use super::proof::ProofError;
use unjoin_core::{Timestamp, describe_errors};

/// A log's key, its witnesses, and how many must have cosigned how recently.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// # use unjoin_log::{KeyName, NoteKey, WitnessPublicKey};
/// use unjoin_log::WitnessPolicy;
/// # let key = |name: String| NoteKey::generate(KeyName::new(name).unwrap(), &mut SystemRng::new()).public().clone();
/// # let log = key("shop.example/reviews".into());
/// # let witness = |at| { let key = key(format!("witness/{at}")); WitnessPublicKey::from_bytes(key.name().clone(), key.as_bytes()).unwrap() };
/// # let witnesses: Vec<_> = (1..=4).map(witness).collect();
/// // Of four witnesses one may lie: three must have cosigned, within ten minutes.
/// let policy = WitnessPolicy::new(log.clone(), witnesses.clone(), 3, 1, 600)?;
/// assert_eq!((policy.log(), policy.witnesses().len()), (&log, 4));
/// // Two quorums of two need not share an honest one.
/// assert!(WitnessPolicy::new(log, witnesses, 2, 1, 600).is_err());
/// # Ok::<(), unjoin_log::PolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WitnessPolicy {
    log: NotePublicKey,
    witnesses: Vec<WitnessPublicKey>,
    quorum: usize,
    freshness: u64,
}

/// What a quorum says of a checkpoint.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// # use unjoin_log::LogView;
/// use unjoin_log::Quorum;
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
/// let (_, quorum) = ledger.policy.read(&ledger.log.checkpoint()?.ok_or("nothing published")?)?;
/// assert_eq!(quorum, Quorum { witnesses: 1, median_time: SEALED });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// How many witnesses count.
    pub witnesses: usize,
    /// The median of their times, the lower one of two: the log's clock.
    pub median_time: Timestamp,
}

impl WitnessPolicy {
    /// The most witnesses: a note has room for them and the log.
    pub const MAX_WITNESSES: usize = 64;

    /// Of `witnesses`, at most `faulty` of which lie, `quorum` must have cosigned a checkpoint,
    /// within `freshness` seconds where that is asked for.
    ///
    /// # Errors
    /// [`PolicyError::Witnesses`] when there are none, too many, or two with one key or name;
    /// [`PolicyError::Quorum`] unless floor((w + f) / 2) + 1 <= quorum <= w and quorum > 2f.
    pub fn new(
        log: NotePublicKey,
        witnesses: Vec<WitnessPublicKey>,
        quorum: usize,
        faulty: usize,
        freshness: u64,
    ) -> Result<Self, PolicyError> {
        let w = witnesses.len();
        let alike = |(at, witness): (usize, &WitnessPublicKey)| {
            let others = witnesses.iter().skip(at + 1);
            others
                .into_iter()
                .any(|other| other.as_bytes() == witness.as_bytes() || other.name() == witness.name())
                || witness.as_bytes() == log.as_bytes()
        };
        if w == 0 || w > Self::MAX_WITNESSES || witnesses.iter().enumerate().any(alike) {
            return Err(PolicyError::Witnesses);
        }
        if faulty > w || quorum > w || quorum < (w + faulty) / 2 + 1 || quorum <= 2 * faulty {
            return Err(PolicyError::Quorum);
        }
        Ok(Self { log, witnesses, quorum, freshness })
    }

    unjoin_core::getters! {
        /// The log's key.
        pub log -> &NotePublicKey;
        /// The witnesses.
        pub witnesses -> &[WitnessPublicKey];
    }

    /// Reads a checkpoint that a quorum has cosigned, whenever that was.
    ///
    /// # Errors
    /// [`PolicyError::Note`]; [`PolicyError::NoQuorum`].
    pub fn read(&self, bytes: &[u8]) -> Result<(SignedCheckpoint, Quorum), PolicyError> {
        let checkpoint = SignedCheckpoint::parse(bytes, &self.log)?;
        let quorum = self.quorum(&checkpoint)?;
        Ok((checkpoint, quorum))
    }

    /// As [`read`](Self::read), and the quorum's times are no more than the policy's freshness
    /// away from `now`: no reader is kept in the past.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`PolicyError::Stale`].
    pub fn read_fresh(
        &self,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(SignedCheckpoint, Quorum), PolicyError> {
        let checkpoint = SignedCheckpoint::parse(bytes, &self.log)?;
        let quorum = self.fresh_quorum(&checkpoint, now)?;
        Ok((checkpoint, quorum))
    }

    /// The quorum that has cosigned a checkpoint.
    ///
    /// # Errors
    /// [`PolicyError::NoQuorum`]; [`PolicyError::Note`] when a line of one of the witnesses does
    /// not verify, or the checkpoint is another log's.
    pub fn quorum(&self, checkpoint: &SignedCheckpoint) -> Result<Quorum, PolicyError> {
        self.median(self.times(checkpoint)?).ok_or(PolicyError::NoQuorum)
    }

    /// The quorum that has cosigned a checkpoint within the policy's freshness of `now`, before
    /// or after: clocks differ.
    ///
    /// # Errors
    /// As [`quorum`](Self::quorum), and [`PolicyError::Stale`] when there is one, but not of
    /// this time.
    pub fn fresh_quorum(&self, checkpoint: &SignedCheckpoint, now: Timestamp) -> Result<Quorum, PolicyError> {
        let mut times = self.times(checkpoint)?;
        let enough = times.len() >= self.quorum;
        times.retain(|time| now.saturating_since(*time).max(time.saturating_since(now)) <= self.freshness);
        self.median(times).ok_or(if enough { PolicyError::Stale } else { PolicyError::NoQuorum })
    }

    /// Those of the witnesses who have cosigned a checkpoint.
    #[cfg(feature = "store")]
    pub(super) fn cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<Vec<WitnessPublicKey>, NoteError> {
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            cosigned.extend(checkpoint.cosigned_at(witness)?.map(|_| witness.clone()));
        }
        Ok(cosigned)
    }

    /// Whether these are a quorum, who have all cosigned.
    #[cfg(feature = "store")]
    pub(super) fn is_quorum(&self, cosigned: &[WitnessPublicKey]) -> bool {
        self.witnesses.iter().filter(|witness| cosigned.contains(witness)).count() >= self.quorum
    }

    fn times(&self, checkpoint: &SignedCheckpoint) -> Result<Vec<Timestamp>, PolicyError> {
        if checkpoint.checkpoint().origin != self.log.name().as_str() {
            return Err(PolicyError::Note(NoteError::Origin));
        }
        let times = self.witnesses.iter().map(|witness| checkpoint.cosigned_at(witness));
        Ok(times.filter_map(Result::transpose).collect::<Result<_, _>>()?)
    }

    fn median(&self, given: Vec<Timestamp>) -> Option<Quorum> {
        if given.len() < self.quorum {
            return None;
        }
        // A few dozen at most: a library's sort would be kilobytes in each app.
        let mut times = Vec::with_capacity(given.len());
        for time in given {
            times.insert(times.partition_point(|before| *before <= time), time);
        }
        let median_time = *times.get(times.len().saturating_sub(1) / 2)?;
        Some(Quorum { witnesses: times.len(), median_time })
    }
}

describe_errors! {
    /// Why a checkpoint, or an entry under it, is not believed, or a policy is none.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
    /// # use unjoin_core::DAY;
    /// # use unjoin_log::LogView;
    /// use unjoin_log::{PolicyError, WitnessPolicy};
    /// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
    /// # let (policy, checkpoint) = (ledger.policy, ledger.log.checkpoint()?.unwrap());
    /// assert_eq!(policy.read_fresh(&checkpoint, SEALED.saturating_add(DAY)).unwrap_err(), PolicyError::Stale);
    /// // One witness of one, who may lie: that is no quorum.
    /// let (log, witnesses) = (policy.log().clone(), policy.witnesses().to_vec());
    /// assert_eq!(WitnessPolicy::new(log, witnesses, 1, 1, 600).unwrap_err(), PolicyError::Quorum);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum PolicyError (Operator, false) {
        /// No witnesses, too many, or two of them alike.
        Witnesses => "policy.witnesses",
            "a policy needs 1 to {} witnesses with different names and keys, none of them the log's",
            WitnessPolicy::MAX_WITNESSES;
        /// Two quorums of this size could believe two histories, or time could be made up.
        Quorum => "policy.quorum",
            "of w witnesses, f of them faulty, a quorum needs floor((w + f) / 2) + 1, at most w, and more than 2f";
        /// The note is refused.
        Note(#[from] error: NoteError) => "policy.note" (Device, false), "{error}";
        /// Too few witnesses have cosigned.
        NoQuorum => "policy.no_quorum" (Device, true),
            "too few witnesses have cosigned the checkpoint: ask for a later one";
        /// Enough have, but not at this time.
        Stale => "policy.stale" (Device, true),
            "the checkpoint's cosignatures are not of this time: ask for a later one, and check the clock";
        /// The entry's proof does not hold under the checkpoint.
        Proof(#[from] error: ProofError) => "evidence.proof" (Device, false), "{error}";
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::{KeyName, NoteKey, WitnessKey};
    use super::*;
    use proptest::prelude::*;
    use unjoin_core::secret::SecretBytes;

    fn log() -> NoteKey {
        NoteKey::from_secret_bytes(KeyName::new("log").unwrap(), &SecretBytes::new([99; 32]))
    }

    fn witnesses(count: usize) -> Vec<WitnessKey> {
        let key = |at: usize| {
            let name = KeyName::new(format!("witness/{at}")).unwrap();
            WitnessKey::from_secret_bytes(name, &SecretBytes::new([at as u8; 32]))
        };
        (0..count).map(key).collect()
    }

    fn public(witnesses: &[WitnessKey]) -> Vec<WitnessPublicKey> {
        witnesses.iter().map(|witness| witness.public().clone()).collect()
    }

    fn cosigned(times: &[(usize, u64)]) -> SignedCheckpoint {
        let mut signed = SignedCheckpoint::sign(5, [1; 32], &log()).unwrap();
        let witnesses = witnesses(8);
        for (witness, seconds) in times {
            let witness = &witnesses[*witness];
            let line = signed.cosign(witness, Timestamp::from_unix_seconds(*seconds));
            signed.add_cosignature(line, witness.public()).unwrap();
        }
        signed
    }

    proptest! {
        #[test]
        fn two_quorums_share_an_honest_witness_and_a_median_is_honest(w in 1usize..20, f in 0usize..10, q in 0usize..25) {
            let policy = WitnessPolicy::new(log().public().clone(), public(&witnesses(w)), q, f, 0);
            // The least that two quorums share is 2q - w; the liars are f.
            let sound = q <= w && 2 * q > w + f && q > 2 * f;
            prop_assert_eq!(policy.is_ok(), sound);
        }
    }

    #[test]
    fn a_quorum_is_of_different_witnesses_and_its_time_is_the_median() {
        let policy = WitnessPolicy::new(log().public().clone(), public(&witnesses(4)), 3, 1, 60).unwrap();
        assert_eq!(policy.quorum(&cosigned(&[(0, 100), (1, 110)])), Err(PolicyError::NoQuorum));
        // One witness twice is one, and a stranger is none.
        assert_eq!(policy.quorum(&cosigned(&[(0, 100), (0, 120), (1, 110)])), Err(PolicyError::NoQuorum));
        assert_eq!(policy.quorum(&cosigned(&[(0, 100), (1, 110), (7, 120)])), Err(PolicyError::NoQuorum));
        let quorum = policy.quorum(&cosigned(&[(0, 100), (1, 9_000), (2, 110)])).unwrap();
        assert_eq!(quorum, Quorum { witnesses: 3, median_time: Timestamp::from_unix_seconds(110) });
    }

    #[test]
    fn a_stale_quorum_is_told_from_none() {
        let policy = WitnessPolicy::new(log().public().clone(), public(&witnesses(4)), 3, 1, 60).unwrap();
        let at = Timestamp::from_unix_seconds;
        let checkpoint = cosigned(&[(0, 100), (1, 110), (2, 120)]);
        let quorum = policy.fresh_quorum(&checkpoint, at(160)).unwrap();
        assert_eq!(quorum.median_time, at(110));
        assert_eq!(policy.fresh_quorum(&checkpoint, at(161)), Err(PolicyError::Stale));
        assert_eq!(policy.fresh_quorum(&checkpoint, at(59)), Err(PolicyError::Stale));
        let checkpoint = cosigned(&[(0, 100), (1, 110)]);
        assert_eq!(policy.fresh_quorum(&checkpoint, at(100)), Err(PolicyError::NoQuorum));
        let (read, _) = policy.read_fresh(&cosigned(&[(0, 1), (1, 1), (3, 1)]).to_bytes(), at(1)).unwrap();
        assert_eq!(read.size(), 5);
    }

    #[test]
    fn witnesses_that_are_alike_are_refused() {
        let mut keys = public(&witnesses(3));
        keys.push(keys[1].clone());
        let refused = WitnessPolicy::new(log().public().clone(), keys, 4, 0, 0);
        assert_eq!(refused.unwrap_err(), PolicyError::Witnesses);
        assert_eq!(
            WitnessPolicy::new(log().public().clone(), vec![], 0, 0, 0).unwrap_err(),
            PolicyError::Witnesses
        );
    }
}
