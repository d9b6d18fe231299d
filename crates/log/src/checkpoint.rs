//! Checkpoints (C2SP tlog-checkpoint): a log's size and root in a signed note.
//!
//! ```text
//! reviews.shop.example/log
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — reviews.shop.example/log <signature of the log>
//! — witness.example/w1 <cosignature with its time>
//! ```
//!
//! Extension lines are refused. Our logs have none, the specification advises against
//! them, and a witness states nothing about them: they could mark one reader's checkpoint.

use super::note::{Note, NoteError, NoteKey, NotePublicKey, SignatureLine, WitnessPublicKey};
use super::tree::{Hash, MAX_SIZE, empty_root};
use base64ct::{Base64, Encoding};
use unjoin_core::Timestamp;

/// A log's state: this many entries under this root.
///
/// ```
/// use unjoin_log::Checkpoint;
/// let checkpoint = Checkpoint { origin: "shop.example/reviews".into(), size: 417, root: [0; 32] };
/// let text = checkpoint.to_text();
/// assert_eq!(text, format!("shop.example/reviews\n417\n{}=\n", "A".repeat(43)));
/// assert_eq!(Checkpoint::parse_text(&text)?, checkpoint);
/// # Ok::<(), unjoin_log::NoteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The note's text.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root))
    }

    /// Reads a note's text: three lines.
    ///
    /// # Errors
    /// [`NoteError::Malformed`]; [`NoteError::EmptyRoot`] for an empty tree with another root.
    pub fn parse_text(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Malformed)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Malformed);
        };
        let size = parse_size(size).ok_or(NoteError::Malformed)?;
        let mut decoded = Hash::default();
        let root = Base64::decode(root, &mut decoded).map_err(|_| NoteError::Malformed)?;
        let root = Hash::try_from(root).map_err(|_| NoteError::Malformed)?;
        if origin.is_empty() {
            return Err(NoteError::Malformed);
        }
        if size == 0 && root != empty_root() {
            return Err(NoteError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A size in ASCII decimal without leading zeros, at most [`MAX_SIZE`].
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let size = text.parse().ok()?;
    (canonical && digits && size <= MAX_SIZE).then_some(size)
}

/// A checkpoint with the signature of its log, which is checked, and all other lines, which are not.
///
/// ```
/// use unjoin_core::secret::SystemRng;
/// use unjoin_log::{KeyName, NoteKey, SignedCheckpoint};
/// let key = NoteKey::generate(KeyName::new("shop.example/reviews")?, &mut SystemRng::new());
/// let signed = SignedCheckpoint::sign(417, [7; 32], &key)?;
/// // A reader, who has the log's key; whether to believe it is the policy's matter.
/// let read = SignedCheckpoint::parse(&signed.to_bytes(), key.public())?;
/// assert_eq!((read.size(), read.root(), read.checkpoint().origin.as_str()), (417, &[7; 32], "shop.example/reviews"));
/// # Ok::<(), unjoin_log::NoteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Signs a log's state; the key's name is its origin. Signing is deterministic.
    ///
    /// # Errors
    /// [`NoteError::Sign`], from a key that the host's key management holds; no other.
    pub fn sign(size: u64, root: Hash, key: &NoteKey) -> Result<Self, NoteError> {
        let checkpoint = Checkpoint { origin: key.public().name().to_string(), size, root };
        let mut note = Note::new(checkpoint.to_text())?;
        note.sign(key)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a checkpoint of the log with this key.
    ///
    /// # Errors
    /// [`NoteError`]: [`NoteError::Origin`] when the origin is not the key's name.
    pub fn parse(bytes: &[u8], key: &NotePublicKey) -> Result<Self, NoteError> {
        Self::of_note(Note::parse(bytes)?, key)
    }

    pub(super) fn of_note(note: Note, key: &NotePublicKey) -> Result<Self, NoteError> {
        let checkpoint = Checkpoint::parse_text(note.text())?;
        if checkpoint.origin != key.name().as_str() {
            return Err(NoteError::Origin);
        }
        if !note.is_signed_by(key)? {
            return Err(NoteError::Unsigned);
        }
        Ok(Self { checkpoint, note })
    }

    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How many entries.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root over them.
    pub fn root(&self) -> &Hash {
        &self.checkpoint.root
    }

    /// The note.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The whole note's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }

    /// A witness's cosignature at `now`. The witness must have checked that nothing else of
    /// this size or beyond was shown to it.
    #[cfg(any(feature = "store", test))]
    pub(super) fn cosign(&self, key: &super::note::WitnessKey, now: Timestamp) -> SignatureLine {
        self.note.cosign(key, now)
    }

    /// Takes the witness's line in place of an earlier one of it.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] when the line is not this witness's, [`NoteError::Signature`]
    /// when it does not hold, [`NoteError::TooLong`]; the checkpoint is as before.
    pub fn add_cosignature(
        &mut self,
        line: SignatureLine,
        witness: &WitnessPublicKey,
    ) -> Result<Timestamp, NoteError> {
        let mut note = self.note.clone();
        note.drop_lines_of(witness);
        note.add(line)?;
        let at = note.cosigned_at(witness)?.ok_or(NoteError::Unsigned)?;
        self.note = note;
        Ok(at)
    }

    /// Drops every line but the log's own.
    #[cfg(feature = "store")]
    pub(super) fn keep_lines_of(&mut self, log: &NotePublicKey) {
        self.note.keep_lines_of(log);
    }

    /// When this witness cosigned it; `None` if it did not.
    ///
    /// # Errors
    /// [`NoteError::Signature`] when a line claims to be its and does not verify.
    pub fn cosigned_at(&self, witness: &WitnessPublicKey) -> Result<Option<Timestamp>, NoteError> {
        self.note.cosigned_at(witness)
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::KeyName;
    use super::*;
    use proptest::prelude::*;
    use unjoin_core::secret::SecretBytes;

    fn key(name: &str) -> NoteKey {
        NoteKey::from_secret_bytes(KeyName::new(name).unwrap(), &SecretBytes::new([7; 32]))
    }

    proptest! {
        #[test]
        fn a_checkpoint_reads_as_it_was_signed(size in 1..=MAX_SIZE, root: [u8; 32]) {
            let key = key("shop.example/reviews");
            let signed = SignedCheckpoint::sign(size, root, &key).unwrap();
            let read = SignedCheckpoint::parse(&signed.to_bytes(), key.public()).unwrap();
            prop_assert_eq!(&read, &signed);
            prop_assert_eq!((read.size(), *read.root()), (size, root));
        }

        #[test]
        fn every_flipped_bit_refuses(at: usize, bit in 0u32..8) {
            let key = key("shop.example/reviews");
            let mut bytes = SignedCheckpoint::sign(42, [9; 32], &key).unwrap().to_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1u8 << bit;
            prop_assert!(SignedCheckpoint::parse(&bytes, key.public()).is_err());
        }

        #[test]
        fn a_text_has_one_form(text in "[a-z]{0,3}\n0?[0-9]{0,3}\n(AAAA){10}A{0,3}[A-D]?={0,2}\n(x\n)?") {
            if let Ok(checkpoint) = Checkpoint::parse_text(&text) {
                prop_assert_eq!(checkpoint.to_text(), text);
            }
        }
    }

    #[test]
    fn another_origin_extensions_and_odd_numbers_are_refused() {
        let signed = SignedCheckpoint::sign(1, [9; 32], &key("one")).unwrap();
        let parse =
            |bytes: &[u8], name: &str| SignedCheckpoint::parse(bytes, key(name).public()).unwrap_err();
        assert_eq!(parse(&signed.to_bytes(), "other"), NoteError::Origin);
        let root = Base64::encode_string(&[9; 32]);
        for size in ["01", "+1", "-1", "", "1 ", "18446744073709551616", "4611686018427387905"] {
            let text = format!("one\n{size}\n{root}\n");
            assert_eq!(Checkpoint::parse_text(&text), Err(NoteError::Malformed), "{size}");
        }
        assert!(Checkpoint::parse_text(&format!("one\n1\n{root}\nmore\n")).is_err());
        assert!(Checkpoint::parse_text(&format!("\n1\n{root}\n")).is_err());
        assert_eq!(Checkpoint::parse_text(&format!("one\n0\n{root}\n")), Err(NoteError::EmptyRoot));
        assert!(SignedCheckpoint::sign(0, empty_root(), &key("one")).is_ok());
        // Right in form, and signed by another key.
        let mut note = Note::new(signed.checkpoint().to_text()).unwrap();
        note.sign(&key("two")).unwrap();
        assert_eq!(parse(&note.to_bytes(), "one"), NoteError::Unsigned);
    }
    /// What signed-note and tlog-checkpoint want of every reader, and where this one is stricter.
    #[test]
    fn sixteen_signatures_of_five_kilobytes_are_taken_and_strangers_lines_are_kept() {
        let key = key("shop.example/reviews");
        let stranger = |number: u8| {
            let signature = Base64::encode_string(&[number; 4 + 5_000]);
            format!("\u{2014} {}{number} {signature}\n", "s".repeat(KeyName::MAX_LEN - 3))
        };
        let own = String::from_utf8(SignedCheckpoint::sign(5, [9; 32], &key).unwrap().to_bytes()).unwrap();
        let note = own + &(100..115).map(stranger).collect::<String>();
        let read = SignedCheckpoint::parse(note.as_bytes(), key.public()).unwrap();
        assert_eq!((read.note().lines().len(), read.to_bytes()), (16, note.clone().into_bytes()));
        // Which key a stranger's line is of does not matter; how its name is written does.
        for name in ["a b", "a\u{a0}b", "a+b", "a\tb"] {
            let odd = note.replace(&format!("{}100", "s".repeat(KeyName::MAX_LEN - 3)), name);
            assert_eq!(SignedCheckpoint::parse(odd.as_bytes(), key.public()), Err(NoteError::Malformed));
        }
    }
}
