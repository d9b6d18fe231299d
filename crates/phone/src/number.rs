//! Phone numbers: the real one, which is a secret, and the virtual one, which is not.
//!
//! Both are kept as the integer of their digits, country code first. Since no country code
//! begins with 0, the integer determines the digits.

use super::Country;
use subtle::ConstantTimeEq;
use unjoin_core::describe_errors;
use unjoin_core::wire::{DecodeError, Field, Reader, Rule, Writer};
use zeroize::Zeroizing;

/// A real phone number: E.164, 7 to 15 digits.
///
/// It erases itself, prints nothing of itself, is neither `Copy` nor serializable, and compares
/// in constant time. `Clone` exists because one number is often a party of several bindings;
/// every clone erases itself too.
///
/// ```
/// use unjoin_phone::PhoneNumber;
/// let number = PhoneNumber::new("+8613800138000")?;
/// assert_eq!(*number.to_e164(), "+8613800138000");
/// assert_eq!(format!("{number:?}"), "PhoneNumber(..)");
/// assert!(PhoneNumber::new("13800138000").is_err());
/// # Ok::<(), unjoin_phone::NumberError>(())
/// ```
#[derive(Clone)]
pub struct PhoneNumber(u64);

impl PhoneNumber {
    /// The fewest digits, country code included.
    pub const MIN_DIGITS: usize = 7;
    /// The most digits, country code included.
    pub const MAX_DIGITS: usize = 15;

    /// A number in canonical form: `+`, then 7 to 15 digits of which the first is not 0.
    /// Nothing else is taken, no space and no prefix; a [`NumberingPlan`] brings what people
    /// and trunks write into this form.
    ///
    /// # Errors
    /// [`NumberError`] says what is wrong, and never repeats the input.
    pub fn new(e164: &str) -> Result<Self, NumberError> {
        digits(e164, Self::MIN_DIGITS, Self::MAX_DIGITS).map(Self)
    }

    /// The canonical form, erased when dropped.
    pub fn to_e164(&self) -> Zeroizing<String> {
        Zeroizing::new(canonical(self.0))
    }

    /// The digits as one integer, below 10^15.
    pub(crate) fn as_integer(&self) -> u64 {
        self.0
    }

    /// From [`PhoneNumber::as_integer`]; `None` if it is not one.
    pub(crate) fn from_integer(digits: u64) -> Option<Self> {
        (10u64.pow(6)..10u64.pow(15)).contains(&digits).then_some(Self(digits))
    }
}

unjoin_core::erased_secret!(PhoneNumber);

/// In constant time.
impl PartialEq for PhoneNumber {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for PhoneNumber {}

unjoin_core::opaque!(PhoneNumber);

/// A virtual number: E.164, or a national service number with its country code; 7 to 17 digits.
///
/// (China's privacy numbers behind 700 have 15 national digits: 17 with the country code.)
/// The holder of an order sees its virtual number, so it is no secret. But beside an order or
/// a time it says which business it served, so `Debug` prints nothing of it.
///
/// ```
/// use unjoin_phone::VirtualNumber;
/// let x = VirtualNumber::new("+86700123456789012")?;
/// assert_eq!(x.to_e164(), "+86700123456789012");
/// assert_eq!(format!("{x:?}"), "VirtualNumber(..)");
/// # Ok::<(), unjoin_phone::NumberError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualNumber(u64);

impl VirtualNumber {
    /// The fewest digits, country code included.
    pub const MIN_DIGITS: usize = 7;
    /// The most digits, country code included.
    pub const MAX_DIGITS: usize = 17;

    /// A number in canonical form: `+`, then 7 to 17 digits of which the first is not 0.
    ///
    /// # Errors
    /// [`NumberError`] says what is wrong, and never repeats the input.
    pub fn new(e164: &str) -> Result<Self, NumberError> {
        digits(e164, Self::MIN_DIGITS, Self::MAX_DIGITS).map(Self)
    }

    /// The canonical form, `+` and digits.
    pub fn to_e164(&self) -> String {
        canonical(self.0)
    }

    /// The digits as one integer, below 10^17.
    pub(crate) fn as_integer(&self) -> u64 {
        self.0
    }

    /// From [`VirtualNumber::as_integer`]; `None` if it is not one.
    pub(crate) fn from_integer(digits: u64) -> Option<Self> {
        (10u64.pow(6)..10u64.pow(17)).contains(&digits).then_some(Self(digits))
    }
}

/// Its integer.
impl Field for VirtualNumber {
    fn put(&self, out: &mut Writer) {
        out.le64(self.0);
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        Self::from_integer(from.le64(field)?).ok_or(from.refuse(Rule::Value))
    }
}

unjoin_core::opaque!(VirtualNumber);

/// `+` and `least..=most` digits, the first not 0, as one integer; `most` is at most 19.
fn digits(e164: &str, least: usize, most: usize) -> Result<u64, NumberError> {
    let digits = e164.strip_prefix('+').ok_or(NumberError::NotInternational)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Character);
    }
    if digits.starts_with('0') {
        return Err(NumberError::LeadingZero);
    }
    if digits.len() < least || digits.len() > most {
        return Err(NumberError::Length);
    }
    Ok(digits.bytes().fold(0, |number, byte| number * 10 + u64::from(byte - b'0')))
}

/// Written from the back into a buffer of its final size, so that no piece is left behind.
fn canonical(mut number: u64) -> String {
    let mut buffer = Zeroizing::new([b'+'; 21]);
    let mut start = buffer.len();
    for place in buffer.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
    }
    let written = buffer.get(start.saturating_sub(1)..).unwrap_or_default();
    written.iter().map(|byte| char::from(*byte)).collect()
}

/// How numbers are written in one country, and on one trunk: brings a dialled or presented
/// number into canonical form.
///
/// It knows prefixes, and of some countries how many digits a number has ([`Country`]). What cannot be one of theirs is refused, since it
/// would be taken for somebody else's. Whether a number is assigned is for the telephone network.
///
/// ```
/// use unjoin_phone::NumberingPlan;
/// let china = NumberingPlan::new("86", "00", "0")?.unprefixed_national();
/// for text in ["+86 10 6552 9988", "0086-10-65529988", "(010) 6552 9988"] {
///     assert_eq!(*china.party(text)?.to_e164(), "+861065529988");
/// }
/// assert_eq!(china.virtual_number("700123456789012")?.to_e164(), "+86700123456789012");
/// # Ok::<(), unjoin_phone::NumberError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberingPlan {
    country_code: String,
    international_prefix: String,
    trunk_prefix: String,
    unprefixed: Unprefixed,
    /// Those whose numbers are checked.
    countries: Vec<Country>,
}

/// What a number without any prefix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unprefixed {
    National,
    International,
    Refused,
}

impl NumberingPlan {
    /// The country code (1 to 3 digits), what is dialled before another country's code (`00`),
    /// what is dialled before a national number (`0`; empty where there is none). A number
    /// without any of them is refused, unless one of the methods below says what it is.
    ///
    /// # Errors
    /// [`NumberError::Plan`] unless the country code has 1 to 3 digits and does not begin with 0,
    /// and the prefixes have at most 5 digits, the international one at least one, and differ.
    pub fn new(
        country_code: &str,
        international_prefix: &str,
        trunk_prefix: &str,
    ) -> Result<Self, NumberError> {
        let digits = |text: &str, least: usize, most: usize| {
            (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let holds = digits(country_code, 1, 3)
            && !country_code.starts_with('0')
            && digits(international_prefix, 1, 5)
            && digits(trunk_prefix, 0, 5)
            && international_prefix != trunk_prefix;
        if !holds {
            return Err(NumberError::Plan);
        }
        Ok(Self {
            country_code: country_code.to_owned(),
            international_prefix: international_prefix.to_owned(),
            trunk_prefix: trunk_prefix.to_owned(),
            unprefixed: Unprefixed::Refused,
            countries: Country::table().collect(),
        })
    }

    /// Checks numbers of this country too, in the place of what the table has of it.
    #[must_use]
    pub fn with_country(mut self, country: Country) -> Self {
        self.countries.retain(|other| other.code != country.code);
        self.countries.push(country);
        self
    }

    /// A number without any prefix is national: `13800138000`.
    #[must_use]
    pub fn unprefixed_national(self) -> Self {
        Self { unprefixed: Unprefixed::National, ..self }
    }

    /// A number without any prefix is international without its `+`: `8613800138000`, as many
    /// trunks present callers.
    #[must_use]
    pub fn unprefixed_international(self) -> Self {
        Self { unprefixed: Unprefixed::International, ..self }
    }

    /// The real number that `text` stands for.
    ///
    /// # Errors
    /// [`NumberError`] says what is wrong, and never repeats the input.
    pub fn party(&self, text: &str) -> Result<PhoneNumber, NumberError> {
        let canonical = self.canonical(text)?;
        let number = PhoneNumber::new(&canonical)?;
        match self.country_of(&canonical) {
            Some((country, national)) if !country.digits.contains(&national.len()) => {
                Err(NumberError::Length)
            }
            _ => Ok(number),
        }
    }

    /// The country of a canonical number, if it is known, and the national number.
    fn country_of<'a>(&self, canonical: &'a str) -> Option<(&Country, &'a str)> {
        let digits = canonical.strip_prefix('+')?;
        self.countries.iter().find_map(|country| Some((country, digits.strip_prefix(country.code.as_str())?)))
    }

    /// The digits behind the country code: as people there write the number. Of a country that the plan does not know, the
    /// last nine.
    pub(crate) fn national_digits(&self, number: &PhoneNumber) -> Zeroizing<String> {
        let canonical = number.to_e164();
        let digits = canonical.strip_prefix('+').unwrap_or_default();
        let own = digits.strip_prefix(self.country_code.as_str());
        let national = own.or_else(|| Some(self.country_of(&canonical)?.1));
        let last = || digits.get(digits.len().saturating_sub(9)..).unwrap_or(digits);
        Zeroizing::new(national.unwrap_or_else(last).to_owned())
    }

    /// Whether a local number in this context (RFC 3966) is one of this plan's country.
    pub(crate) fn is_context(&self, context: &str) -> bool {
        context.strip_prefix('+') == Some(self.country_code.as_str())
    }

    /// The virtual number that `text` stands for.
    ///
    /// # Errors
    /// [`NumberError`] says what is wrong, and never repeats the input.
    pub fn virtual_number(&self, text: &str) -> Result<VirtualNumber, NumberError> {
        VirtualNumber::new(&self.canonical(text)?)
    }

    /// The digits behind `+`, without the separators people write. What follows is checked by
    /// the number's own type.
    fn canonical(&self, text: &str) -> Result<Zeroizing<String>, NumberError> {
        let international = text.trim_ascii().strip_prefix('+');
        let mut dialled = Zeroizing::new(String::with_capacity(MAX_DIALLED));
        for letter in international.unwrap_or(text).chars() {
            match letter {
                '0'..='9' if dialled.len() < MAX_DIALLED => dialled.push(letter),
                '0'..='9' => return Err(NumberError::Length),
                ' ' | '-' | '.' => {}
                // "+44 (0)20": the digits in brackets are not dialled behind a country code.
                '(' | ')' if international.is_none() => {}
                _ => return Err(NumberError::Character),
            }
        }
        let mut canonical = Zeroizing::new(String::with_capacity(1 + 3 + MAX_DIALLED));
        canonical.push('+');
        // The longer prefix first: one may begin with the other, as 00 does with 0.
        let abroad = dialled.strip_prefix(&self.international_prefix);
        let home = Some(self.trunk_prefix.as_str())
            .filter(|prefix| !prefix.is_empty())
            .and_then(|prefix| dialled.strip_prefix(prefix));
        let abroad_first = self.international_prefix.len() > self.trunk_prefix.len();
        match (international, abroad, home) {
            (Some(_), _, _) => canonical.push_str(&dialled),
            (None, Some(rest), home) if abroad_first || home.is_none() => canonical.push_str(rest),
            (None, _, Some(rest)) => {
                canonical.push_str(&self.country_code);
                canonical.push_str(rest);
            }
            (None, _, None) => match self.unprefixed {
                Unprefixed::National => {
                    canonical.push_str(&self.country_code);
                    canonical.push_str(&dialled);
                }
                Unprefixed::International => canonical.push_str(&dialled),
                Unprefixed::Refused => return Err(NumberError::NoPrefix),
            },
        }
        // "+86 0138..": the network drops the prefix, and it would be another number here.
        let has_trunk = self.country_of(&canonical).is_some_and(|(country, national)| {
            !country.trunk_prefix.is_empty() && national.starts_with(country.trunk_prefix.as_str())
        });
        if has_trunk { Err(NumberError::TrunkPrefix) } else { Ok(canonical) }
    }
}

/// The longest prefix and the longest number.
const MAX_DIALLED: usize = 5 + VirtualNumber::MAX_DIGITS;

describe_errors! {
    /// What is wrong with a text that should be a number. None of them repeats the text.
    ///
    /// ```
    /// use unjoin_phone::{NumberError, PhoneNumber};
    /// assert_eq!(PhoneNumber::new("013800138000"), Err(NumberError::NotInternational));
    /// assert_eq!(PhoneNumber::new("+86 138 0013 8000"), Err(NumberError::Character));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum NumberError (Device, false) {
        /// No `+` in front.
        NotInternational => "number.not_international",
            "a number begins with + and its country code: bring it into that form with a numbering plan";
        /// Something other than a digit.
        Character => "number.character", "a number has digits only after the +";
        /// A 0 where a country code should begin.
        LeadingZero => "number.leading_zero",
            "no country code begins with 0: leave out prefixes, or read the number with a numbering plan";
        /// Too few or too many digits.
        Length => "number.length",
            "a real number has 7 to 15 digits and as many as its country's numbers have, a virtual one 7 to 17, \
             country code included";
        /// Neither `+` nor a prefix of the plan, where the plan takes no bare numbers.
        NoPrefix => "number.no_prefix",
            "the number has no prefix that tells national from international: write it with + and country code";
        /// A national number's prefix behind a country code.
        TrunkPrefix => "number.trunk_prefix",
            "the number has a country code and the prefix of national numbers behind it: leave out the prefix";
        /// The numbering plan itself is not one.
        Plan => "number.plan" (Host, false),
            "a numbering plan has a country code of 1 to 3 digits that does not begin with 0, and prefixes of 1 \
             to 5 digits that differ";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_is_its_digits(digits in "[1-9][0-9]{6,14}", longer in "[1-9][0-9]{15,16}") {
            let text = format!("+{digits}");
            let party = PhoneNumber::new(&text).unwrap();
            prop_assert_eq!(&*party.to_e164(), &text);
            prop_assert_eq!(party.as_integer().to_string(), digits);
            prop_assert_eq!(PhoneNumber::from_integer(party.as_integer()).unwrap(), party);
            prop_assert_eq!(VirtualNumber::new(&text).unwrap().to_e164(), text);
            let text = format!("+{longer}");
            prop_assert_eq!(PhoneNumber::new(&text).unwrap_err(), NumberError::Length);
            let x = VirtualNumber::new(&text).unwrap();
            prop_assert_eq!(VirtualNumber::from_integer(x.as_integer()), Some(x));
            prop_assert_eq!(x.to_e164(), text);
        }

        #[test]
        fn no_text_is_a_number_in_two_ways_or_repeated_in_an_error(text in "\\PC{0,24}|[+0-9 ().-]{0,24}") {
            let plan = NumberingPlan::new("86", "00", "0").unwrap().unprefixed_national();
            match PhoneNumber::new(&text) {
                Ok(number) => prop_assert_eq!(&*number.to_e164(), &text),
                Err(error) => {
                    let told = format!("{error} {error:?}");
                    prop_assert!(text.len() < 8 || !told.contains(&text));
                }
            }
            if let Ok(number) = plan.virtual_number(&text) {
                prop_assert_eq!(plan.virtual_number(&number.to_e164()), Ok(number));
            }
        }
    }

    #[test]
    fn a_text_that_is_no_number_is_told_why() {
        let error = |text| PhoneNumber::new(text).unwrap_err();
        assert_eq!(error("8613800138000"), NumberError::NotInternational);
        assert_eq!(error(""), NumberError::NotInternational);
        assert_eq!(error("+86 13800138000"), NumberError::Character);
        assert_eq!(error("+86138001380٣"), NumberError::Character);
        assert_eq!(error("+08613800138000"), NumberError::LeadingZero);
        assert_eq!(error("+123456"), NumberError::Length);
        assert_eq!(error("+1234567890123456"), NumberError::Length);
        assert_eq!(error("+"), NumberError::Length);
        assert_eq!(VirtualNumber::new("+123456789012345678"), Err(NumberError::Length));
        assert_eq!(VirtualNumber::new(&format!("+{}", "9".repeat(40))), Err(NumberError::Length));
        assert!(
            PhoneNumber::from_integer(999_999).is_none() && PhoneNumber::from_integer(u64::MAX).is_none()
        );
        assert!(
            VirtualNumber::from_integer(0).is_none() && VirtualNumber::from_integer(10u64.pow(17)).is_none()
        );
    }

    #[test]
    fn what_people_and_trunks_write_becomes_canonical() {
        let refusing = NumberingPlan::new("86", "00", "0").unwrap();
        let (national, international) =
            (refusing.clone().unprefixed_national(), refusing.clone().unprefixed_international());
        let read =
            |plan: &NumberingPlan, text: &str| plan.virtual_number(text).map(|number| number.to_e164());
        for text in
            ["+8613800138000", "008613800138000", "013800138000", "13800138000", " +86 138-0013-8000 "]
        {
            assert_eq!(read(&national, text).unwrap(), "+8613800138000", "{text}");
        }
        assert_eq!(read(&international, "8613800138000").unwrap(), "+8613800138000");
        assert_eq!(read(&refusing, "13800138000"), Err(NumberError::NoPrefix));
        assert_eq!(read(&refusing, "(0)138 0013 8000").unwrap(), "+8613800138000");
        assert_eq!(read(&national, "0700 1234 5678 9012").unwrap(), "+86700123456789012");
        assert_eq!(read(&national, "00 44 20 7946 0000").unwrap(), "+442079460000");
        assert_eq!(read(&national, "+44 (0)20 7946 0000"), Err(NumberError::Character));
        assert_eq!(read(&national, "anonymous"), Err(NumberError::Character));
        assert_eq!(read(&national, &"1".repeat(100)), Err(NumberError::Length));
        assert_eq!(read(&national, "0"), Err(NumberError::Length));
        // The United States: 011 abroad, 1 at home, where the one does not begin with the other.
        let us = NumberingPlan::new("1", "011", "1").unwrap().unprefixed_national();
        for text in ["+1 212 555 0100", "1 (212) 555-0100", "212.555.0100", "011 1 212 555 0100"] {
            assert_eq!(us.party(text).unwrap().to_e164().as_str(), "+12125550100", "{text}");
        }
    }

    #[test]
    fn what_would_be_somebody_elses_number_is_refused() {
        let plan = |code: &str, abroad: &str, home: &str| {
            NumberingPlan::new(code, abroad, home).unwrap().unprefixed_national()
        };
        for (plan, text, error) in [
            // The country code without its +, and the prefix behind it.
            (plan("86", "00", "0"), "8613800138000", NumberError::Length),
            (plan("49", "00", "0"), "4915112345678", NumberError::Length),
            (plan("39", "00", ""), "390612345678", NumberError::Length),
            (plan("86", "00", "0"), "+86 013800138000", NumberError::TrunkPrefix),
            (plan("86", "00", "0"), "+44 07400123456", NumberError::TrunkPrefix),
            (plan("86", "00", "0"), "0044 07400123456", NumberError::TrunkPrefix),
            // Services; Mexico's former 1, Argentina's 15, a carrier in Brazil.
            (plan("86", "00", "0"), "10086", NumberError::Length),
            (plan("86", "00", "0"), "95588", NumberError::Length),
            (plan("86", "00", "0"), "+52 1 55 1234 5678", NumberError::Length),
            (plan("54", "00", "0"), "011 15 2345 6789", NumberError::Length),
            (plan("55", "00", "0"), "0 21 11 91234 5678", NumberError::Length),
        ] {
            assert_eq!(plan.party(text).unwrap_err(), error, "{text}");
        }
        let error = plan("86", "00", "0").virtual_number("+86 0 17000000001").unwrap_err();
        assert_eq!(error, NumberError::TrunkPrefix, "a pool's number in disguise");
        // Italy dials its 0 from abroad too; a country that the host knows better.
        assert_eq!(*plan("39", "00", "").party("06 1234 5678").unwrap().to_e164(), "+390612345678");
        let more = Country { digits: 5..=11, ..Country::known("86").unwrap() };
        assert!(plan("86", "00", "0").with_country(more).party("10086").is_ok());
    }

    #[test]
    fn a_plan_that_is_none_is_refused() {
        let refused = |country: &str, abroad: &str, home: &str| {
            NumberingPlan::new(country, abroad, home) == Err(NumberError::Plan)
        };
        assert!(!refused("86", "00", "0") && !refused("65", "000", ""));
        assert!(refused("", "00", "0") && refused("0", "00", "0") && refused("1234", "00", "0"));
        assert!(refused("+86", "00", "0") && refused("86", "", "0") && refused("86", "000000", "0"));
        assert!(refused("86", "0", "0") && refused("86", "00", "o"));
    }

    #[test]
    fn equality_is_that_of_all_digits() {
        let number = PhoneNumber::new("+8613800138000").unwrap();
        assert!(number == number.clone());
        assert!(number != PhoneNumber::new("+8613800138001").unwrap());
        assert!(number != PhoneNumber::new("+861380013800").unwrap());
    }
}
