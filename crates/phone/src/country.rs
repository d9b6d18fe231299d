//! What a country's ordinary numbers look like, and which numbers may be parties.
//!
//! A table of the countries that the tests know; a host adds its own. It tells subscribers from services: it does not know whether
//! a number is assigned.

use super::PhoneNumber;
use core::ops::RangeInclusive;

/// The ordinary subscribers of a country code.
///
/// ```
/// use unjoin_phone::Country;
/// // A country that the table lacks, by its national plan.
/// let iceland = Country {
///     code: "354".into(),
///     trunk_prefix: "".into(),
///     digits: 7..=7,
///     mobile: ["6", "7", "8"].map(String::from).into(),
///     geographic: ["4", "5"].map(String::from).into(),
///     services: vec!["800".into()],
/// };
/// assert!(Country::known("354").is_none() && iceland.digits.contains(&7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Country {
    /// 1 to 3 digits.
    pub code: String,
    /// What is dialled before a national number within the country and is no part of it. Empty where there is none, or
    /// where it is dialled from abroad too.
    pub trunk_prefix: String,
    /// How many digits a national number has.
    pub digits: RangeInclusive<usize>,
    /// How mobile numbers begin.
    pub mobile: Vec<String>,
    /// How numbers with a place begin, and those that no beginning tells from mobile ones.
    pub geographic: Vec<String>,
    /// Beginnings of services: longer than one of the above that they begin with.
    pub services: Vec<String>,
}

/// One line of the table: code, trunk prefix, fewest and most digits, mobile, geographic, services.
type Line = (&'static str, &'static str, usize, usize, &'static str, &'static str, &'static str);

/// Ordinary numbers as the national plans and ITU-T E.164's notes have them.
const TABLE: [Line; 9] = [
    // Countries and territories that share a code with North America, and bill as abroad, count as services; so do its
    // free numbers, 500 and 900.
    (
        "1",
        "1",
        10,
        10,
        "",
        "2 3 4 5 6 7 8 9",
        "242 246 264 268 284 345 441 473 500 521 522 523 524 525 526 527 528 529 532 533 544 566 577 588 600 622 633 649 658 664 \
      700 710 721 758 767 784 800 809 822 829 833 844 849 855 866 868 869 876 877 880 881 882 888 900",
    ),
    ("39", "", 6, 11, "31 32 33 34 35 36 37 38 39 43", "0", ""),
    ("44", "0", 9, 10, "71 72 73 74 75 77 78 79 7624", "1 2", ""),
    ("49", "0", 6, 11, "15 16 17", "2 3 4 5 6 7 8 9", "164 168 169 31 700 701 800 900"),
    ("52", "", 10, 10, "", "2 3 4 5 6 7 8 9", "300 500 700 800 888 900"),
    ("54", "0", 10, 11, "9 675", "11 2 3 670", ""),
    ("55", "0", 10, 11, "", "1 2 3 4 5 6 7 8 9", "30 40 4370 4864 500 800 900"),
    ("65", "", 8, 8, "8 9", "6", "800"),
    (
        "86",
        "0",
        10,
        11,
        "13 14 15 16 17 18 19",
        "10 2 3 4 5 6 7 8 9",
        "100 110 119 120 122 400 800 950 956 957 958 959 96",
    ),
];

impl Country {
    /// That of the table with this code: 1, 39, 44, 49, 52, 54, 55, 65 or 86.
    ///
    /// ```
    /// use unjoin_phone::Country;
    /// assert_eq!(Country::known("86").unwrap().digits, 10..=11);
    /// assert!(Country::known("999").is_none());
    /// ```
    pub fn known(code: &str) -> Option<Self> {
        Self::table().find(|country| country.code == code)
    }

    pub(crate) fn table() -> impl Iterator<Item = Self> {
        let beginnings =
            |text: &str| text.split(' ').filter(|digits| !digits.is_empty()).map(str::to_owned).collect();
        TABLE.into_iter().map(move |(code, trunk, least, most, mobile, geographic, services)| Self {
            code: code.to_owned(),
            trunk_prefix: trunk.to_owned(),
            digits: least..=most,
            mobile: beginnings(mobile),
            geographic: beginnings(geographic),
            services: beginnings(services),
        })
    }

    /// What kind of number a national number is; `None` for a service, and for what is no number of the country.
    fn kind(&self, national: &str) -> Option<NumberKind> {
        let longest = |beginnings: &[String]| {
            beginnings.iter().filter(|digits| national.starts_with(digits.as_str())).map(String::len).max()
        };
        if !self.digits.contains(&national.len()) {
            return None;
        }
        let kinds = [
            (longest(&self.geographic), Some(NumberKind::Geographic)),
            (longest(&self.mobile), Some(NumberKind::Mobile)),
            (longest(&self.services), None),
        ];
        let best = kinds.into_iter().filter(|(length, _)| length.is_some()).max_by_key(|(length, _)| *length);
        best.and_then(|(_, kind)| kind)
    }
}

/// What a subscriber's number is.
///
/// ```
/// use unjoin_phone::{Country, NumberKind};
/// /// What a shop's own form says beside a number.
/// fn hint(kind: NumberKind) -> &'static str {
///     match kind {
///         NumberKind::Mobile => "messages arrive",
///         NumberKind::Geographic => "calls only, perhaps",
///     }
/// }
/// assert_eq!(hint(NumberKind::Mobile), "messages arrive");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// A mobile phone's.
    Mobile,
    /// Of a place, or of either kind where a country does not tell them apart.
    Geographic,
}

/// Which numbers may be parties, so be called through the host's lines. A call that is put through to a service or to
/// an expensive place is paid by the host.
///
/// ```
/// use unjoin_phone::{Callees, Country, NumberKind, PhoneNumber};
/// let callees = Callees::known();
/// assert!(callees.allow(&PhoneNumber::new("+8613800138000")?));
/// for service in ["+8610086", "+864008101117", "+19005550100", "+88213000000"] {
///     assert!(!callees.allow(&PhoneNumber::new(service)?));
/// }
/// let mobiles = Callees::none().and(Country::known("86").unwrap(), &[NumberKind::Mobile]);
/// assert!(!mobiles.allow(&PhoneNumber::new("+861065529988")?));
/// # Ok::<(), unjoin_phone::NumberError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callees {
    /// `None`: all.
    allowed: Option<Vec<(Country, Vec<NumberKind>)>>,
}

impl Callees {
    /// Mobile phones and places of the countries in the table ([`Country::known`]).
    pub fn known() -> Self {
        let kinds = || vec![NumberKind::Mobile, NumberKind::Geographic];
        Self { allowed: Some(Country::table().map(|country| (country, kinds())).collect()) }
    }

    /// Nobody, to begin a list with.
    pub fn none() -> Self {
        Self { allowed: Some(Vec::new()) }
    }

    /// Everybody: for a host whose carrier bars what is expensive.
    pub fn any() -> Self {
        Self { allowed: None }
    }

    /// And these numbers of a country, instead of what was allowed of it.
    #[must_use]
    pub fn and(mut self, country: Country, kinds: &[NumberKind]) -> Self {
        if let Some(allowed) = &mut self.allowed {
            allowed.retain(|(other, _)| other.code != country.code);
            allowed.push((country, kinds.to_vec()));
        }
        self
    }

    /// Whether this number may be a party.
    pub fn allow(&self, number: &PhoneNumber) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        let digits = number.to_e164();
        let digits = digits.strip_prefix('+').unwrap_or_default();
        // No country code begins with another.
        allowed.iter().any(|(country, kinds)| {
            let national = digits.strip_prefix(country.code.as_str());
            national.and_then(|national| country.kind(national)).is_some_and(|kind| kinds.contains(&kind))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(e164: &str) -> Option<NumberKind> {
        let digits = e164.strip_prefix('+').unwrap();
        let country = Country::table().find(|country| digits.starts_with(&country.code)).unwrap();
        country.kind(&digits[country.code.len()..])
    }

    #[test]
    fn subscribers_are_told_from_services() {
        for mobile in [
            "+8613800138000",
            "+447400123456",
            "+4915112345678",
            "+393123456789",
            "+5491123456789",
            "+6581234567",
            "+6590012345",
        ] {
            assert_eq!(kind(mobile), Some(NumberKind::Mobile), "{mobile}");
        }
        for place in [
            "+861065529988",
            "+8675512345678",
            "+8695112345678",
            "+493212345678",
            "+442079460000",
            "+493012345678",
            "+390612345678",
            "+12125550100",
            "+525512345678",
            "+541123456789",
            "+5511912345678",
            "+6561234567",
        ] {
            assert_eq!(kind(place), Some(NumberKind::Geographic), "{place}");
        }
        for service in [
            "+8610086",
            "+8695588",
            "+86116123",
            "+864008101117",
            "+868008101117",
            "+447012345678",
            "+449098790000",
            "+448081570000",
            "+49900123456",
            "+491801234567",
            "+4916912345",
            "+528881234567",
            "+18005550100",
            "+19005550100",
            "+18765550100",
            "+6518001234567",
            "+6590",
            "+393",
        ] {
            assert_eq!(kind(service), None, "{service}");
        }
    }
}
