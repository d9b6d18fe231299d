//! The text of a warrant: what requesters sign, and what can be read in one way only.
//!
//! ```text
//! unjoin/v1 warrant
//! case Az. 41 Js 12/26
//! requester 636f7572742e6578616d706c65
//! action open
//! grounds 3
//! not-before 1700000000
//! not-after 1702592000
//! recipient <64 hexadecimal digits: an X25519 public key>
//! review <64 hexadecimal digits>
//! ```
//!
//! Every line ends in a newline. There is one text for one meaning: numbers have no leading
//! zeros, hexadecimal digits are lower case, reviews rise, and nothing else may stand there.

use super::WarrantError;
use crate::sealing::{is_canonical, is_usable};
use core::fmt;
use core::ops::RangeInclusive;
use sha2::{Digest as _, Sha256};
use unjoin_core::entry::WarrantAction;
use unjoin_core::token::{Digest, ReviewId};
use unjoin_core::{Name, Timestamp};

const HEADER: &str = "unjoin/v1 warrant";

/// What a warrant says. `Debug` prints neither the case nor the reviews.
///
/// ```
/// # use unjoin_core::{DAY, Name, Timestamp, secret::SystemRng, token::ReviewId};
/// # use unjoin_trustee::RecipientKey;
/// use unjoin_core::entry::WarrantAction;
/// use unjoin_trustee::warrant::WarrantTerms;
/// # let (court, recipient) = (Name::new("court of trade")?, RecipientKey::generate(&mut SystemRng::new()));
/// # let (from, review) = (Timestamp::from_unix_seconds(1_700_000_000), ReviewId([1; 32]));
/// let valid = from..=from.saturating_add(30 * DAY);
/// let terms = WarrantTerms::new("case 17/23", court, WarrantAction::Open, 7, valid, *recipient.public(), vec![review])?;
/// assert!(terms.names(&review) && terms.text().starts_with("unjoin/v1 warrant\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WarrantTerms {
    case: String,
    requester: Name,
    action: WarrantAction,
    grounds: u16,
    valid: RangeInclusive<Timestamp>,
    recipient: [u8; 32],
    reviews: Vec<ReviewId>,
}

impl WarrantTerms {
    /// The most bytes of UTF-8 that the case's reference may have.
    pub const MAX_CASE: usize = 128;
    /// The most reviews in one warrant.
    pub const MAX_REVIEWS: usize = 64;

    /// Terms of these parts; the reviews may come in any order.
    ///
    /// `case` is the requester's reference, 1 to 128 bytes of printable text. `requester` is the public
    /// name, `grounds` a code that the trustees have published. `valid` is the first and the last
    /// second in which trustees may answer. `recipient` is the X25519 public key that shares are sealed
    /// to, a [`RecipientKey`](crate::RecipientKey)'s.
    ///
    /// # Errors
    /// [`WarrantError`] names the part that is out of its limits.
    pub fn new(
        case: impl Into<String>,
        requester: Name,
        action: WarrantAction,
        grounds: u16,
        valid: RangeInclusive<Timestamp>,
        recipient: [u8; 32],
        mut reviews: Vec<ReviewId>,
    ) -> Result<Self, WarrantError> {
        reviews.sort_unstable();
        let terms = Self { case: case.into(), requester, action, grounds, valid, recipient, reviews };
        terms.check().map(|()| terms)
    }

    fn check(&self) -> Result<(), WarrantError> {
        let length = (1..=Self::MAX_CASE).contains(&self.case.len());
        if !length || self.case.trim() != self.case || !self.case.chars().all(is_printable) {
            return Err(WarrantError::Case);
        }
        if self.valid.is_empty() {
            return Err(WarrantError::Validity);
        }
        if !is_canonical(&self.recipient) || !is_usable(&self.recipient) {
            return Err(WarrantError::Recipient);
        }
        let least = if self.action == WarrantAction::SameAuthor { 2 } else { 1 };
        let rising = self.reviews.is_sorted_by(|a, b| a < b);
        if !(least..=Self::MAX_REVIEWS).contains(&self.reviews.len()) || !rising {
            return Err(WarrantError::Reviews);
        }
        Ok(())
    }

    unjoin_core::getters! {
        /// The requester's reference.
        pub case -> &str;
        /// Who asks, by the name that the openings ledger shows.
        pub requester -> &Name;
        /// What is asked for.
        pub action -> WarrantAction;
        /// On what grounds: a code that the trustees have published.
        pub grounds -> u16;
    }

    /// The first second in which trustees may answer.
    pub fn not_before(&self) -> Timestamp {
        *self.valid.start()
    }

    /// The last second in which trustees may answer.
    pub fn not_after(&self) -> Timestamp {
        *self.valid.end()
    }

    unjoin_core::getters! {
        /// The X25519 public key that shares are sealed to.
        pub recipient -> &[u8; 32];
        /// The reviews, rising by id: 1 to 64, at least two to compare authors.
        pub reviews -> &[ReviewId];
    }

    /// Whether the warrant is about this review.
    pub fn names(&self, review: &ReviewId) -> bool {
        self.reviews.binary_search(review).is_ok()
    }

    /// SHA-256 of the [`text`](Self::text).
    pub fn digest(&self) -> Digest {
        Sha256::digest(self.text()).into()
    }

    /// The text that is signed, at most 5,070 bytes.
    pub fn text(&self) -> String {
        self.to_string()
    }

    /// Reads the text; [`text`](Self::text) gives the same again.
    ///
    /// # Errors
    /// [`WarrantError::Line`] names the line that is missing or not in its one form; the others
    /// as for [`new`](Self::new).
    pub fn parse(text: &str) -> Result<Self, WarrantError> {
        let mut lines = text.strip_suffix('\n').ok_or(WarrantError::Line("end"))?.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(WarrantError::Line("header"));
        }
        let case = value(lines.next(), "case")?.to_owned();
        let requester =
            parse_name(value(lines.next(), "requester")?).ok_or(WarrantError::Line("requester"))?;
        let action = match value(lines.next(), "action")? {
            "same-author" => WarrantAction::SameAuthor,
            "open" => WarrantAction::Open,
            _ => return Err(WarrantError::Line("action")),
        };
        let grounds = parse_number(value(lines.next(), "grounds")?).ok_or(WarrantError::Line("grounds"))?;
        let grounds = u16::try_from(grounds).map_err(|_| WarrantError::Line("grounds"))?;
        let mut time = |name| {
            let seconds = parse_number(value(lines.next(), name)?).ok_or(WarrantError::Line(name))?;
            Ok::<_, WarrantError>(Timestamp::from_unix_seconds(seconds))
        };
        let valid = time("not-before")?..=time("not-after")?;
        let hash = |line, name| parse_hash(value(line, name)?).ok_or(WarrantError::Line(name));
        let recipient = hash(lines.next(), "recipient")?;
        let mut reviews = Vec::new();
        for line in lines {
            if reviews.len() == Self::MAX_REVIEWS {
                return Err(WarrantError::Reviews);
            }
            reviews.push(ReviewId(hash(Some(line), "review")?));
        }
        let terms = Self { case, requester, action, grounds, valid, recipient, reviews };
        terms.check().map(|()| terms)
    }
}

/// The text.
impl fmt::Display for WarrantTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            WarrantAction::SameAuthor => "same-author",
            WarrantAction::Open => "open",
        };
        writeln!(f, "{HEADER}\ncase {}\nrequester {}", self.case, Hex(self.requester.as_bytes()))?;
        writeln!(f, "action {action}\ngrounds {}", self.grounds)?;
        writeln!(f, "not-before {}", self.not_before().as_unix_seconds())?;
        writeln!(f, "not-after {}", self.not_after().as_unix_seconds())?;
        writeln!(f, "recipient {}", Hex(&self.recipient))?;
        self.reviews.iter().try_for_each(|review| writeln!(f, "review {}", Hex(review.as_bytes())))
    }
}

unjoin_core::opaque!(WarrantTerms | terms | action = terms.action, count = terms.reviews.len());

/// Lower-case hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is behind a line's name.
fn value<'a>(line: Option<&'a str>, name: &'static str) -> Result<&'a str, WarrantError> {
    let rest = line.and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
    rest.ok_or(WarrantError::Line(name))
}

/// A number in ASCII decimal without leading zeros.
fn parse_number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| canonical && digits)
}

fn parse_name(text: &str) -> Option<Name> {
    if text.len() > 2 * Name::MAX_LEN {
        return None;
    }
    Name::new(parse_hex(text)?).ok()
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    parse_hex(text)?.try_into().ok()
}

/// Lower-case hexadecimal digits only.
fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Whether a character shows as itself: no control character, no white space but the space,
/// nothing that is invisible or turns the direction of the text around it.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    (c == ' ' || !c.is_whitespace()) && !c.is_control() && !hidden
}
