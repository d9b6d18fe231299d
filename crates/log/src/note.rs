//! Signed notes (C2SP signed-note): a text and the lines of those who signed it.
//!
//! ```text
//! <text: UTF-8 lines, each ending in a newline>
//! <an empty line>
//! — <key name> <base64 of key id (4 bytes) and signature>
//! ```
//!
//! Lines of unknown keys are kept and count for nothing. A line that claims a known key, by
//! name and id, and does not verify makes the whole note refused where that key is asked for.

use base64ct::{Base64, Encoding};
use core::fmt;
use core::str::FromStr;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use unjoin_core::secret::SecretBytes;
#[cfg(any(feature = "store", test))]
use unjoin_core::signature::Signer;
use unjoin_core::signature::{HostKey, Verifier};
use unjoin_core::token::{Sign, SignError};
use unjoin_core::{Timestamp, describe_errors};

/// The em dash and the space that a signature line begins with.
const MARK: &str = "\u{2014} ";
/// Signature types: bare Ed25519, and a witness's cosignature with its time.
const ED25519: u8 = 1;
const COSIGNATURE: u8 = 4;

/// A note with its signature lines, as it was read or made.
///
/// ```
/// use unjoin_core::secret::SystemRng;
/// use unjoin_log::{KeyName, Note, NoteKey};
/// let [one, other] = ["one", "other"].map(|name| NoteKey::generate(KeyName::new(name).unwrap(), &mut SystemRng::new()));
/// let mut note = Note::new("What is agreed.\n")?;
/// note.sign(&one)?;
/// let read = Note::parse(&note.to_bytes())?;
/// assert!(read.is_signed_by(one.public())? && !read.is_signed_by(other.public())?);
/// assert_eq!((read.text(), read.lines().len()), ("What is agreed.\n", 1));
/// # Ok::<(), unjoin_log::NoteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    lines: Vec<SignatureLine>,
}

impl Note {
    /// The longest note, in bytes: signed-note wants 16 signatures of 5 kB to be taken.
    pub const MAX_LEN: usize = 1 << 17;
    /// The most signature lines.
    pub const MAX_LINES: usize = 100;

    /// A note without signatures. The text ends in a newline and has no other control
    /// characters.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        if text.len() > Self::MAX_LEN {
            return Err(NoteError::TooLong);
        }
        if !text.ends_with('\n') || text.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text, lines: Vec::new() })
    }

    /// Reads a signed note; its bytes are exactly those of [`Note::to_bytes`]. No signature is
    /// checked.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::TooLong`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(NoteError::TooLong);
        }
        let all = core::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        // The text may hold empty lines too: the last one ends it.
        let (text, lines) = all.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let mut note = Self::new(format!("{text}\n"))?;
        note.lines = SignatureLine::parse_all(lines)?;
        Ok(note)
    }

    unjoin_core::getters! {
        /// The signed text, its last newline included.
        pub text -> &str;
        /// The signature lines, in order; none of them is checked.
        pub lines -> &[SignatureLine];
    }

    /// The whole note.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Appends a line; nothing happens if the note has that very line. The line is not checked.
    ///
    /// # Errors
    /// [`NoteError::TooLong`] when the note would have too many lines or bytes.
    pub fn add(&mut self, line: SignatureLine) -> Result<(), NoteError> {
        if self.lines.contains(&line) {
            return Ok(());
        }
        let bytes = self.to_string().len() + line.to_string().len() + 1;
        if self.lines.len() >= Self::MAX_LINES || bytes > Self::MAX_LEN {
            return Err(NoteError::TooLong);
        }
        self.lines.push(line);
        Ok(())
    }

    /// Signs the text and appends the line.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], as [`Note::add`]; [`NoteError::Sign`], from a key that the host's key management holds.
    pub fn sign(&mut self, key: &NoteKey) -> Result<(), NoteError> {
        let signature = key.signer.sign_bare(self.text.as_bytes()).map_err(NoteError::Sign)?;
        self.add(key.public.named.line(&signature))
    }

    /// The witness's statement on this text at `now`, as a line to [`add`](Note::add).
    #[cfg(any(feature = "store", test))]
    pub(super) fn cosign(&self, key: &WitnessKey, now: Timestamp) -> SignatureLine {
        let seconds = now.as_unix_seconds();
        let signature = key.signer.sign_bare(&cosigned(&self.text, seconds));
        let timed = [seconds.to_be_bytes().as_slice(), &signature].concat();
        key.public.named.line(&timed)
    }

    /// Whether this key signed: `false` if no line claims to be its.
    ///
    /// # Errors
    /// [`NoteError::Signature`] when a line claims to be its and does not verify.
    pub fn is_signed_by(&self, key: &NotePublicKey) -> Result<bool, NoteError> {
        let mut signed = false;
        for line in self.lines.iter().filter(|line| key.named.is_of(line)) {
            let signature = line.signature.as_slice().try_into().map_err(|_| NoteError::Signature)?;
            if !key.named.verifier.verify_bare(self.text.as_bytes(), signature) {
                return Err(NoteError::Signature);
            }
            signed = true;
        }
        Ok(signed)
    }

    /// When this witness cosigned, the last time if it did so more than once; `None` if no line
    /// claims to be its.
    ///
    /// # Errors
    /// [`NoteError::Signature`] when a line claims to be its and does not verify.
    pub fn cosigned_at(&self, key: &WitnessPublicKey) -> Result<Option<Timestamp>, NoteError> {
        let mut at = None;
        for line in self.lines.iter().filter(|line| key.named.is_of(line)) {
            let (time, signature) = line.signature.split_first_chunk().ok_or(NoteError::Signature)?;
            let signature = signature.try_into().map_err(|_| NoteError::Signature)?;
            let seconds = u64::from_be_bytes(*time);
            let message = cosigned(&self.text, seconds);
            #[cfg(test)]
            CHECKED.set(CHECKED.get().saturating_add(1));
            if i64::try_from(seconds).is_err() || !key.named.verifier.verify_bare(&message, signature) {
                return Err(NoteError::Signature);
            }
            at = at.max(Some(Timestamp::from_unix_seconds(seconds)));
        }
        Ok(at)
    }

    /// Whether a line claims to be this witness's, whether that holds or not.
    #[cfg(feature = "store")]
    pub(super) fn has_line_of(&self, key: &WitnessPublicKey) -> bool {
        self.lines.iter().any(|line| key.named.is_of(line))
    }

    /// Whether a key of this name has a line on both notes, whether that holds or not.
    #[cfg(feature = "store")]
    pub(super) fn shares_a_key_with(&self, other: &Self, name: &str) -> bool {
        let alike = |line: &SignatureLine| {
            other.lines.iter().any(|other| (&other.name, other.id) == (&line.name, line.id))
        };
        self.lines.iter().any(|line| line.name.as_str() == name && alike(line))
    }

    /// Drops the lines of signature types that nobody here reads.
    #[doc(hidden)]
    pub fn keep_known_types(&mut self) {
        self.lines.retain(|line| matches!(line.signature.len(), 64 | 72));
    }

    /// Drops every line that is not of this key.
    #[cfg(feature = "store")]
    pub(super) fn keep_lines_of(&mut self, key: &NotePublicKey) {
        self.lines.retain(|line| key.named.is_of(line));
    }

    /// Drops this key's earlier lines, so that a later cosignature takes their place.
    pub(super) fn drop_lines_of(&mut self, key: &WitnessPublicKey) {
        self.lines.retain(|line| !key.named.is_of(line));
    }
}

/// The whole note, as it is sent.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// What a cosignature signs (C2SP tlog-cosignature).
fn cosigned(text: &str, seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

/// One signature line.
///
/// ```
/// use unjoin_core::secret::SystemRng;
/// use unjoin_log::{KeyName, Note, NoteKey, SignatureLine};
/// let key = NoteKey::generate(KeyName::new("shop.example/reviews")?, &mut SystemRng::new());
/// let mut note = Note::new("What is agreed.\n")?;
/// note.sign(&key)?;
/// let line = note.lines()[0].to_string();
/// assert!(line.starts_with("\u{2014} shop.example/reviews "));
/// assert_eq!(line.parse::<SignatureLine>()?.name(), key.public().name());
/// # Ok::<(), unjoin_log::NoteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    name: KeyName,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl SignatureLine {
    /// Reads one or more lines, each ending in a newline: also what a witness answers with.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::TooLong`].
    pub fn parse_all(lines: &str) -> Result<Vec<Self>, NoteError> {
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let count = lines.split('\n').count();
        if count > Note::MAX_LINES {
            return Err(NoteError::TooLong);
        }
        let mut parsed = Vec::with_capacity(count);
        for line in lines.split('\n') {
            parsed.push(line.parse()?);
        }
        Ok(parsed)
    }

    /// The name of the key that it claims to be of.
    pub fn name(&self) -> &KeyName {
        &self.name
    }
}

impl FromStr for SignatureLine {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let parts = line.strip_prefix(MARK).and_then(|rest| rest.split_once(' '));
        let (name, encoded) = parts.ok_or(NoteError::Malformed)?;
        let bytes = Base64::decode_vec(encoded).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(NoteError::Malformed)?;
        if signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        Ok(Self { name: KeyName::new(name)?, id: *id, signature: signature.to_vec() })
    }
}

/// The line, without a newline.
impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = Base64::encode_string(&[self.id.as_slice(), &self.signature].concat());
        write!(f, "{MARK}{} {encoded}", self.name)
    }
}

/// A key's name: 1 to 255 bytes of UTF-8 without white space, control characters and `+`;
/// a URL without its scheme, such as `reviews.shop.example/log`, is best.
///
/// ```
/// use unjoin_log::{KeyName, NoteError};
/// assert_eq!(KeyName::new("shop.example/reviews")?.as_str(), "shop.example/reviews");
/// // A space would end the name in a signature line.
/// assert_eq!(KeyName::new("the shop"), Err(NoteError::Malformed));
/// # Ok::<(), NoteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Takes a name.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn new(name: impl Into<String>) -> Result<Self, NoteError> {
        let name = name.into();
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        let fits = (1..=Self::MAX_LEN).contains(&name.len()) && name.chars().all(allowed);
        if fits { Ok(Self(name)) } else { Err(NoteError::Malformed) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A verification key with its name and the type of its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: KeyName,
    kind: u8,
    id: [u8; 4],
    verifier: Verifier,
}

impl Named {
    fn new(name: KeyName, kind: u8, verifier: Verifier) -> Self {
        let hash = Sha256::new_with_prefix(name.as_str()).chain_update([b'\n', kind]);
        let digest: [u8; 32] = hash.chain_update(verifier.as_bytes()).finalize().into();
        let [a, b, c, d, ..] = digest;
        Self { name, kind, id: [a, b, c, d], verifier }
    }

    fn is_of(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.id == self.id
    }

    fn line(&self, signature: &[u8]) -> SignatureLine {
        SignatureLine { name: self.name.clone(), id: self.id, signature: signature.to_vec() }
    }

    /// Reads `<name>+<id in hex>+<base64 of type and key>`.
    fn parse(text: &str, kind: u8) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = Base64::decode_vec(encoded).map_err(|_| NoteError::Key)?;
        let (found, key) = bytes.split_first().ok_or(NoteError::Key)?;
        let key = key.try_into().ok().and_then(Verifier::from_bytes).ok_or(NoteError::Key)?;
        let named = Self::new(KeyName::new(name).map_err(|_| NoteError::Key)?, kind, key);
        if *found == kind && named.hex_id() == id { Ok(named) } else { Err(NoteError::Key) }
    }

    fn hex_id(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = Base64::encode_string(&[[self.kind].as_slice(), self.verifier.as_bytes()].concat());
        write!(f, "{}+{}+{encoded}", self.name, self.hex_id())
    }
}

/// A secret key for one type of signature. The types differ in nothing else, and are different so that a
/// log's key is never taken for a witness's.
macro_rules! secret_key {
    ($(#[$about:meta])* $vis:vis $secret:ident: $signer:ident, $public:ident) => {
        $(#[$about])*
        $vis struct $secret {
            signer: $signer,
            public: $public,
        }

        impl $secret {
            /// The key of this RFC 8032 seed.
            $vis fn from_secret_bytes(name: KeyName, seed: &SecretBytes<32>) -> Self {
                let signer = $signer::from_seed(seed);
                let public = $public { named: Named::new(name, $public::KIND, signer.verifier()) };
                Self { signer, public }
            }

            /// The public half.
            $vis fn public(&self) -> &$public {
                &self.public
            }
        }

        unjoin_core::opaque!($secret);
    };
}

/// The public half of one.
macro_rules! public_key {
    ($(#[$about:meta])* $public:ident, $kind:expr) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $public {
            named: Named,
        }

        impl $public {
            const KIND: u8 = $kind;

            /// The key with this name and these 32 bytes; `None` if they are not a key, or one
            /// of small order.
            pub fn from_bytes(name: KeyName, bytes: &[u8; 32]) -> Option<Self> {
                Some(Self { named: Named::new(name, Self::KIND, Verifier::from_bytes(bytes)?) })
            }

            /// The key's name.
            pub fn name(&self) -> &KeyName {
                &self.named.name
            }

            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                self.named.verifier.as_bytes()
            }

            /// What verifies other things than notes.
            #[doc(hidden)]
            pub fn verifier(&self) -> &Verifier {
                &self.named.verifier
            }
        }

        impl fmt::Display for $public {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.named.fmt(f)
            }
        }

        impl FromStr for $public {
            type Err = NoteError;

            fn from_str(text: &str) -> Result<Self, NoteError> {
                Ok(Self { named: Named::parse(text, Self::KIND)? })
            }
        }
    };
}

public_key!(
    /// Verifies the notes of a log or a requester.
    ///
    /// As text, `<name>+<key id in hex>+<base64>`: a "vkey".
    ///
    /// ```
    /// use unjoin_core::secret::SystemRng;
    /// use unjoin_log::{KeyName, NoteKey, NotePublicKey};
    /// let key = NoteKey::generate(KeyName::new("shop.example/reviews")?, &mut SystemRng::new());
    /// // As signed-note has it: name, key id and key.
    /// let text = key.public().to_string();
    /// assert!(text.starts_with("shop.example/reviews+"));
    /// assert_eq!(&text.parse::<NotePublicKey>()?, key.public());
    /// # Ok::<(), unjoin_log::NoteError>(())
    /// ```
    NotePublicKey, ED25519
);
public_key!(
    /// Verifies a witness's cosignatures.
    ///
    /// As text, `<name>+<key id in hex>+<base64>`: a "vkey".
    ///
    /// ```
    /// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
    /// # use unjoin_log::{LogView, Note, WitnessPublicKey};
    /// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
    /// # let key: WitnessPublicKey = ledger.witness.public_key().to_string().parse()?;
    /// let note = Note::parse(&ledger.log.checkpoint()?.ok_or("nothing published")?)?;
    /// // A cosignature holds its time.
    /// assert_eq!(note.cosigned_at(&key)?, Some(SEALED));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    WitnessPublicKey, COSIGNATURE
);
secret_key!(
    /// Signs notes: a log's checkpoints, a requester's warrants.
    ///
    /// ```
    /// use unjoin_core::secret::SystemRng;
    /// use unjoin_log::{KeyName, NoteKey};
    /// let name = KeyName::new("shop.example/reviews")?;
    /// let key = NoteKey::generate(name.clone(), &mut SystemRng::new());
    /// // Sealed and kept, and made again of it at the next start.
    /// let seed = key.to_secret_bytes().ok_or("in a module")?;
    /// assert_eq!(NoteKey::from_secret_bytes(name, &seed).public(), key.public());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub NoteKey: HostKey, NotePublicKey
);
#[cfg(any(feature = "store", test))]
secret_key!(
    /// Cosigns checkpoints with a time. It lives in one witness's store: the signed bytes hold no name.
    pub(super) WitnessKey: Signer, WitnessPublicKey
);

impl NoteKey {
    /// A fresh key: 32 bytes from `rng`.
    pub fn generate(name: KeyName, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(name, &SecretBytes::random(rng))
    }

    /// The key of this name that the host's key management holds.
    ///
    /// # Errors
    /// [`SignError::Unavailable`], [`SignError::NotAKey`].
    pub fn held_by(name: KeyName, key: Arc<dyn Sign>) -> Result<Self, SignError> {
        let signer = HostKey::held_by(key)?;
        let public = NotePublicKey { named: Named::new(name, NotePublicKey::KIND, signer.verifier()) };
        Ok(Self { signer, public })
    }

    /// The seed, to be sealed and kept: [`from_secret_bytes`](Self::from_secret_bytes) makes the same key of it. `None`
    /// if the host's key management holds it. A witness's key has no such way out: it belongs to one witness's state.
    pub fn to_secret_bytes(&self) -> Option<SecretBytes<32>> {
        self.signer.to_seed()
    }

    /// What signs other things than notes: entries of a ledger, each under its label.
    #[doc(hidden)]
    pub fn signer(&self) -> &HostKey {
        &self.signer
    }
}

describe_errors! {
    /// What is wrong with a note, or with a key for notes.
    ///
    /// ```
    /// use unjoin_log::{Note, NoteError};
    /// assert_eq!(Note::new("no newline at its end"), Err(NoteError::Malformed));
    /// assert!(Note::parse(b"signed by nobody\n").is_err());
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum NoteError (Device, false) {
        /// Not a signed note, or not a checkpoint.
        Malformed => "note.malformed",
            "not a signed note of the expected form: take it unchanged from where it is published";
        /// A checkpoint of another log: its origin is not the name of the key that is asked for.
        Origin => "note.origin",
            "a checkpoint of another log: its first line is not the name of the key that was given";
        /// A checkpoint of an empty tree with another root than the empty one.
        EmptyRoot => "note.empty_root" (Operator, false),
            "a checkpoint of an empty tree has another root than the empty one: its log is broken";
        /// More bytes or lines than a note may have.
        TooLong => "note.too_long", "a note may have {} bytes and {} signature lines", Note::MAX_LEN, Note::MAX_LINES;
        /// The key that must have signed it did not.
        Unsigned => "note.unsigned",
            "the note is not signed by the key that must have signed it: check which key is configured";
        /// A line claims a known key and does not verify.
        Signature => "note.signature",
            "a signature on the note does not verify: it was changed, or its signer misbehaves";
        /// Not a verification key of the type that is needed.
        Key => "note.key" (Operator, false),
            "not a verification key for this use: it looks like name+12345678+base64, of the right type";
        /// The host's key management did not sign.
        Sign(error: SignError) => "note.signing" (Operator, true), "{error}";
    }
}

#[cfg(test)]
thread_local! {
    /// How many cosignatures this thread has checked.
    pub(super) static CHECKED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unjoin_core::secret::SystemRng;

    const EXAMPLE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    fn name(text: &str) -> KeyName {
        KeyName::new(text).unwrap()
    }

    #[test]
    fn the_specifications_example_verifies() {
        let key: NotePublicKey = EXAMPLE_KEY.parse().unwrap();
        assert_eq!(key.to_string(), EXAMPLE_KEY);
        let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(note.is_signed_by(&key), Ok(true));
        assert_eq!(note.to_string(), EXAMPLE);
        assert_eq!(EXAMPLE_KEY.parse::<WitnessPublicKey>(), Err(NoteError::Key));
    }

    #[test]
    fn a_changed_text_or_line_is_refused() {
        let key: NotePublicKey = EXAMPLE_KEY.parse().unwrap();
        let note = Note::parse(EXAMPLE.replace("an ex", "no ex").as_bytes()).unwrap();
        assert_eq!(note.is_signed_by(&key), Err(NoteError::Signature));
        let note = Note::parse(EXAMPLE.replace("Yu72", "Yu73").as_bytes()).unwrap();
        assert_eq!(note.is_signed_by(&key), Err(NoteError::Signature));
        // Of an unknown key, by name or id: ignored and kept.
        let other = EXAMPLE.replace("example.com/foo", "example.com/bar");
        let note = Note::parse(other.as_bytes()).unwrap();
        assert_eq!((note.is_signed_by(&key), note.to_string()), (Ok(false), other));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let line = EXAMPLE.lines().last().unwrap();
        for bad in [
            "".to_owned(),
            "text\n".into(),
            "text\n\n".into(),
            format!("text\n{line}\n"),
            format!("text\n\n{line}"),
            format!("text\n\n{line}\n\n"),
            format!("te\txt\n\n{line}\n"),
            format!("text\r\n\n{line}\n"),
            format!("text\n\n{line}\nmore\n"),
            format!("text\n\n{}\n", line.replace('\u{2014}', "-")),
            format!("text\n\n{line} \n"),
            "text\n\n\u{2014} name AAAAAA==\n".into(),
            "text\n\n\u{2014} na+me AAAAAAAA\n".into(),
            "text\n\n\u{2014}  AAAAAAAA\n".into(),
        ] {
            assert_eq!(Note::parse(bad.as_bytes()), Err(NoteError::Malformed), "{bad:?}");
        }
        assert_eq!(Note::parse(&[b'x'; Note::MAX_LEN + 1]), Err(NoteError::TooLong));
        let many = format!("text\n\n{}", format!("{line}\n").repeat(Note::MAX_LINES + 1));
        assert_eq!(Note::parse(many.as_bytes()), Err(NoteError::TooLong));
        // Bits that base64 leaves over must be zero: one line has one form.
        assert!(Note::parse(EXAMPLE.replace("QM=", "QN=").as_bytes()).is_err());
    }

    #[test]
    fn a_witness_says_when() {
        let rng = &mut SystemRng::new();
        let key = |seed: &SecretBytes<32>| WitnessKey::from_secret_bytes(name("w/1"), seed);
        let (witness, other) = (key(&SecretBytes::random(rng)), key(&SecretBytes::random(rng)));
        let mut note = Note::new("text\n").unwrap();
        for seconds in [70, 90, 80] {
            note.add(note.cosign(&witness, Timestamp::from_unix_seconds(seconds))).unwrap();
        }
        assert_eq!(note.cosigned_at(witness.public()), Ok(Some(Timestamp::from_unix_seconds(90))));
        assert_eq!(note.cosigned_at(other.public()), Ok(None));
        let vkey = witness.public().to_string();
        assert_eq!(vkey.parse::<WitnessPublicKey>().as_ref(), Ok(witness.public()));
        // The time is signed too.
        let mut moved = note.lines()[0].clone();
        moved.signature[7] ^= 1;
        let mut note = Note::new("text\n").unwrap();
        note.add(moved).unwrap();
        assert_eq!(note.cosigned_at(witness.public()), Err(NoteError::Signature));
    }

    proptest! {
        #[test]
        fn what_is_read_is_printed_the_same(bytes: Vec<u8>, text in "[a-z\n\u{e9}]{0,40}\n", count in 1usize..5) {
            if let Ok(note) = Note::parse(&bytes) {
                prop_assert_eq!(note.to_bytes(), bytes);
            }
            let mut note = Note::new(text).unwrap();
            for signer in 0..count {
                let seed = SecretBytes::new([signer as u8; 32]);
                note.sign(&NoteKey::from_secret_bytes(name("signer"), &seed)).unwrap();
            }
            let read = Note::parse(&note.to_bytes()).unwrap();
            prop_assert_eq!(&read, &note);
            for signer in 0..count {
                let seed = SecretBytes::new([signer as u8; 32]);
                let key = NoteKey::from_secret_bytes(name("signer"), &seed);
                prop_assert_eq!(read.is_signed_by(key.public()), Ok(true));
            }
        }

        #[test]
        fn every_flipped_bit_refuses(at in 0..EXAMPLE.len(), bit in 0u32..8) {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            bytes[at] ^= 1u8 << bit;
            let key: NotePublicKey = EXAMPLE_KEY.parse().unwrap();
            let verified = Note::parse(&bytes).and_then(|note| note.is_signed_by(&key));
            prop_assert_ne!(verified, Ok(true));
        }
    }
}
