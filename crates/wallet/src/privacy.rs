//! A help for authors, not a protection: words that identify.

use core::ops::Range;
use unjoin_core::token::{Digest, Review};

/// Something in a review that may tell who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyWarning {
    /// What it looks like.
    pub kind: PrivacyWarningKind,
    /// Where it stands: byte offsets into the review's text; empty, at its end, for attachments.
    pub place: Range<usize>,
}

/// What a passage looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivacyWarningKind {
    /// An e-mail address.
    EmailAddress,
    /// Six digits or more, spaces and dashes aside: a phone number, an order number, a date.
    LongNumber,
    /// A web address.
    WebAddress,
    /// Files: photographs show rooms, labels and hands, and carry places and times inside.
    Attachments,
    /// A file of an earlier review: everybody sees its digest, and anybody who sees both reviews knows that
    /// one person wrote them. What is left is the few who are in both crowds.
    RepeatedAttachment,
}

/// The least digits of a [`PrivacyWarningKind::LongNumber`].
const LONG_NUMBER: usize = 6;

/// What in a review looks as if it could tell who wrote it, in the order of the text. To be
/// shown to the author before presenting.
///
/// A help and nothing more: it finds patterns, not meaning. A name, an exact complaint, a
/// time or a habit of writing identifies as well, and no program sees that. An empty answer
/// does not say that the review is safe. `earlier` are the attachments of the reviews that this device
/// has sent before.
///
/// ```
/// use unjoin_core::token::Review;
/// use unjoin_wallet::{PrivacyWarningKind, privacy_warnings};
/// let review = Review::new(1, "Order 2231-9874 never came.", vec![])?;
/// let warnings = privacy_warnings(&review, &[], &[]);
/// assert_eq!(warnings[0].kind, PrivacyWarningKind::LongNumber);
/// assert_eq!(&review.text()[warnings[0].place.clone()], "2231-9874");
/// # Ok::<(), unjoin_core::token::ReviewError>(())
/// ```
pub fn privacy_warnings(review: &Review, earlier: &[Digest], known: &[&str]) -> Vec<PrivacyWarning> {
    let _ = known;
    let text = review.text();
    let mut warnings = long_numbers(text);
    let mut start = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        if let Some(kind) = word_kind(word.trim_end()) {
            warnings.push(PrivacyWarning { kind, place: start..start + word.trim_end().len() });
        }
        start += word.len();
    }
    let end = text.len()..text.len();
    if !review.attachments().is_empty() {
        warnings.push(PrivacyWarning { kind: PrivacyWarningKind::Attachments, place: end.clone() });
    }
    if review.attachments().iter().any(|digest| earlier.contains(digest)) {
        warnings.push(PrivacyWarning { kind: PrivacyWarningKind::RepeatedAttachment, place: end });
    }
    warnings.sort_by_key(|warning| warning.place.start);
    warnings
}

fn word_kind(word: &str) -> Option<PrivacyWarningKind> {
    let lower = word.to_ascii_lowercase();
    if lower.contains("://") || lower.contains("www.") {
        return Some(PrivacyWarningKind::WebAddress);
    }
    let (name, host) = lower.split_once('@')?;
    let named = name.chars().next_back().is_some_and(char::is_alphanumeric);
    let hosted = host.split('.').filter(|part| part.starts_with(char::is_alphanumeric)).count() >= 2;
    (named && hosted).then_some(PrivacyWarningKind::EmailAddress)
}

/// Runs of digits of any script; single joints between two digits do not end a run.
fn long_numbers(text: &str) -> Vec<PrivacyWarning> {
    let mut found = Vec::new();
    let (mut digits, mut place, mut joints) = (0, 0..0, 0);
    for (at, sign) in text.char_indices() {
        if sign.is_numeric() {
            if digits == 0 {
                place.start = at;
            }
            (digits, joints) = (digits + 1, 0);
            place.end = at + sign.len_utf8();
        } else if digits > 0 && joints < 2 && matches!(sign, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{2013}') {
            joints += 1;
        } else {
            push_long(&mut found, digits, &place);
            (digits, joints) = (0, 0);
        }
    }
    push_long(&mut found, digits, &place);
    found
}

fn push_long(found: &mut Vec<PrivacyWarning>, digits: usize, place: &Range<usize>) {
    if digits >= LONG_NUMBER {
        found.push(PrivacyWarning { kind: PrivacyWarningKind::LongNumber, place: place.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PrivacyWarningKind::{Attachments, EmailAddress, LongNumber, RepeatedAttachment, WebAddress};
    use proptest::prelude::*;

    fn found(text: &str) -> Vec<(PrivacyWarningKind, String)> {
        let review = Review::new(1, text, vec![]).unwrap();
        privacy_warnings(&review, &[], &[]).into_iter().map(|w| (w.kind, text[w.place].to_owned())).collect()
    }

    #[test]
    fn numbers_addresses_and_attachments_are_seen() {
        for (text, kind, passage) in [
            ("call +86 138-0013-8000 now", LongNumber, "86 138-0013-8000"),
            ("订单 ２２３１９８７４ 没到", LongNumber, "２２３１９８７４"),
            ("since 2024-05-17!", LongNumber, "2024-05-17"),
            ("write to ann.b@mail.example.org please", EmailAddress, "ann.b@mail.example.org"),
            ("see https://a.example/x", WebAddress, "https://a.example/x"),
        ] {
            assert_eq!(found(text), [(kind, passage.to_owned())], "{text}");
        }
        let review = Review::new(1, "", vec![[7; 32]]).unwrap();
        let warning = |kind| PrivacyWarning { kind, place: 0..0 };
        assert_eq!(privacy_warnings(&review, &[[8; 32]], &[]), [warning(Attachments)]);
        let both = [warning(Attachments), warning(RepeatedAttachment)];
        assert_eq!(privacy_warnings(&review, &[[8; 32], [7; 32]], &[]), both);
    }

    #[test]
    fn plain_words_raise_no_warning() {
        for text in
            ["", "Cold after 90 minutes, 2 of 3 dishes missing.", "4.5/5 for $1,299", "a @ b", "@shop"]
        {
            assert_eq!(found(text), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_place_is_a_passage_of_the_text(text in ".{0,200}") {
            let review = Review::new(3, text.clone(), vec![]).unwrap();
            for warning in privacy_warnings(&review, &[], &[]) {
                prop_assert!(!text[warning.place].is_empty());
            }
        }
    }
}
