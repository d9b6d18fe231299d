//! A help for authors, not a protection: words that identify.

mod passages;

use core::ops::Range;
use unjoin_core::token::{Digest, Review};

/// Something in a review that may tell who wrote it.
///
/// ```
/// use unjoin_core::token::Review;
/// use unjoin_wallet::{PrivacyWarningKind, privacy_warnings};
/// let review = Review::new(1, "Ask anna@example.org how it went.", vec![])?;
/// let warning = &privacy_warnings(&review, &[], &[])[0];
/// assert_eq!(warning.kind, PrivacyWarningKind::EmailAddress);
/// assert_eq!(&review.text()[warning.place.clone()], "anna@example.org");
/// # Ok::<(), unjoin_core::token::ReviewError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyWarning {
    /// What it looks like.
    pub kind: PrivacyWarningKind,
    /// Where it stands: byte offsets into the review's text; empty, at its end, for attachments.
    pub place: Range<usize>,
}

/// What a passage looks like.
///
/// ```
/// use unjoin_core::token::Review;
/// use unjoin_wallet::{PrivacyWarningKind, privacy_warnings};
/// let review = Review::new(1, "It broke on Friday.", vec![])?;
/// let tells = privacy_warnings(&review, &[], &[]).iter().any(|warning| match warning.kind {
///     PrivacyWarningKind::Day | PrivacyWarningKind::Date | PrivacyWarningKind::Time => true,
///     _ => false,
/// });
/// assert!(tells);
/// # Ok::<(), unjoin_core::token::ReviewError>(())
/// ```
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
    /// "Yesterday", "last night", a day of the week: with the boundary at which the review appears it is a date.
    Day,
    /// A day of a month.
    Date,
    /// An hour.
    Time,
    /// A street, a building, a room.
    Address,
    /// Somebody's name, it seems: one that follows a title, or "my name is".
    PersonalName,
    /// What the shop connects with the order: the name of an item, for example.
    OrderDetail,
}

/// The least digits of a [`PrivacyWarningKind::LongNumber`].
const LONG_NUMBER: usize = 6;

/// What in a review looks as if it could tell who wrote it, in the order of the text. To be
/// shown to the author before presenting.
///
/// A help and nothing more: it finds patterns, not meaning. A name, an exact complaint, a
/// time or a habit of writing identifies as well, and no program sees that. An empty answer
/// does not say that the review is safe. English and Chinese are looked at. `earlier` are the attachments of the reviews
/// that this device has sent before. `known` is what the shop connects with the order: names of items, the order's
/// number, the customer's name and street.
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
    for (kind, place) in passages::passages(text, known) {
        let at = warnings.partition_point(|before| before.place.start <= place.start);
        warnings.insert(at, PrivacyWarning { kind, place });
    }
    // Those of one kind that touch are one.
    let mut shown: Vec<PrivacyWarning> = Vec::new();
    for warning in warnings {
        let touches = |other: &&mut PrivacyWarning| {
            other.kind == warning.kind && warning.place.start <= other.place.end
        };
        match shown.iter_mut().find(touches) {
            Some(other) => other.place.end = other.place.end.max(warning.place.end),
            None => shown.push(warning),
        }
    }
    shown
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
    use PrivacyWarningKind::{
        Address, Attachments, Date, Day, EmailAddress, LongNumber, OrderDetail, PersonalName,
        RepeatedAttachment, Time, WebAddress,
    };
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
    fn days_hours_places_and_persons_are_seen_in_two_languages() {
        for (text, kind, passage) in [
            ("It came yesterday", Day, "yesterday"),
            ("late again last night.", Day, "last night"),
            ("every Tuesday", Day, "Tuesday"),
            ("on May 17 or so", Date, "May 17"),
            ("the 17th of May", Date, "17th of May"),
            ("at 7pm", Time, "7pm"),
            ("at 7 o'clock", Time, "7 o'clock"),
            ("not before 19:30!", Time, "19:30"),
            ("to 12 Old Mill Road, cold", Address, "12 Old Mill Road"),
            ("left at flat 4b", Address, "flat 4b"),
            ("My name is Ann", PersonalName, "Ann"),
            ("ask Mr Smith", PersonalName, "Mr Smith"),
            ("昨天送来的", Day, "昨天"),
            ("5月3日送到", Date, "5月3日"),
            ("三点半才到", Time, "三点半"),
            ("晚上8点送到", Time, "8点"),
            ("住在3号楼", Address, "3号楼"),
            ("中山路18号门口", Address, "路18"),
            ("打给王先生", PersonalName, "王先生"),
            ("我叫李雷", PersonalName, "我叫李雷"),
        ] {
            assert!(found(text).contains(&(kind, passage.to_owned())), "{text}: {:?}", found(text));
        }
        let review = Review::new(1, "The Desk lamp and the LAMP broke", vec![]).unwrap();
        let known = privacy_warnings(&review, &[], &["desk lamp", "台灯", ""]);
        let passages: Vec<_> = known.into_iter().map(|warning| (warning.kind, warning.place)).collect();
        assert_eq!(passages, [(OrderDetail, 4..13), (OrderDetail, 22..26)]);
    }

    #[test]
    fn plain_words_raise_no_warning() {
        for text in [
            "",
            "Cold after 90 minutes, 2 of 3 dishes missing.",
            "4.5/5 for $1,299",
            "a @ b",
            "@shop",
            "It may be cold",
            "I am happy",
            "味道有一点咸",
            "三个菜少了一个",
            "一路好走",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_place_is_a_passage_of_the_text(text in ".{0,200}") {
            let review = Review::new(3, text.clone(), vec![]).unwrap();
            for warning in privacy_warnings(&review, &[], &["ab", "味道"]) {
                prop_assert!(!text[warning.place].is_empty());
            }
        }
    }
}
