//! The countries of the numbering plan against the metadata of libphonenumber (crate `phonenumber`).
//!
//! * Whoever it calls a subscriber may be a party, and is of the kind that it says.
//! * What costs the caller or the callee more than a call may not.
//! * A number that is dialled within its country is read as it reads it.
//!
//! Numbers are drawn from a generator with a fixed seed, so that two runs agree.

use phonenumber::{Type, country, metadata::DATABASE};
use unjoin_phone::{Callees, Country, NumberKind, NumberingPlan, PhoneNumber};

/// So many numbers of each country.
const NUMBERS: usize = 20_000;

/// Code, a country of it, and how it dials abroad.
const COUNTRIES: [(&str, country::Id, &str); 9] = [
    ("1", country::US, "011"),
    ("39", country::IT, "00"),
    ("44", country::GB, "00"),
    ("49", country::DE, "00"),
    ("52", country::MX, "00"),
    ("54", country::AR, "00"),
    ("55", country::BR, "00"),
    ("65", country::SG, "000"),
    ("86", country::CN, "00"),
];

/// The United States with their territories, and Canada.
const AT_HOME: [country::Id; 7] =
    [country::US, country::CA, country::PR, country::VI, country::GU, country::MP, country::AS];

/// A linear congruential generator: any numbers will do.
struct Digits(u64);

impl Digits {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[derive(Default)]
struct Counts {
    subscribers: usize,
    services: usize,
    /// Ours and not theirs: the table knows no assignments.
    unassigned: usize,
    wrong: Vec<String>,
}

fn main() {
    let (mut failed, mut all_services) = (false, 0);
    for (code, id, abroad) in COUNTRIES {
        let counts = check(code, id, abroad);
        let Counts { subscribers, services, unassigned, wrong } = counts;
        println!(
            "+{code}: {subscribers} subscribers, {services} services, {unassigned} that nobody has: {} wrong",
            wrong.len()
        );
        wrong.iter().take(20).for_each(|line| println!("    {line}"));
        failed |= !wrong.is_empty() || subscribers < 100;
        all_services += services;
    }
    if failed || all_services < 500 {
        std::process::exit(1);
    }
}

fn check(code: &str, id: country::Id, abroad: &str) -> Counts {
    let known = Country::known(code).expect("a country of the table");
    let only = |kind| Callees::none().and(known.clone(), &[kind]);
    let (mobiles, places) = (only(NumberKind::Mobile), only(NumberKind::Geographic));
    let plan = NumberingPlan::new(code, abroad, &known.trunk_prefix).expect("a plan").unprefixed_national();
    let mut digits = Digits(2026);
    let mut counts = Counts::default();
    for _ in 0..NUMBERS {
        let length = 6 + digits.next(7) as usize;
        let national: String = (0..length).map(|_| char::from(b'0' + digits.next(10) as u8)).collect();
        let e164 = format!("+{code}{national}");
        let (Ok(ours), Ok(theirs)) = (PhoneNumber::new(&e164), phonenumber::parse(None, &e164)) else {
            continue;
        };
        // It takes some numbers for others: a former form, an extra trunk prefix, Italy's zeros.
        if theirs.format().mode(phonenumber::Mode::E164).to_string() != e164
            || code == "39" && national.starts_with('0')
        {
            continue;
        }
        let kind = match (mobiles.allow(&ours), places.allow(&ours)) {
            (true, _) => Some(NumberKind::Mobile),
            (_, true) => Some(NumberKind::Geographic),
            _ => None,
        };
        if !phonenumber::is_valid(&theirs) {
            counts.unassigned += usize::from(kind.is_some());
            continue;
        }
        let abroad = code == "1" && !theirs.country().id().is_some_and(|id| AT_HOME.contains(&id));
        let theirs = theirs.number_type(&DATABASE);
        let agrees = match theirs {
            // Billed as abroad.
            _ if abroad => {
                counts.services += 1;
                kind.is_none()
            }
            // Longer than ours: a number of the country, written without its plus, could be taken for one. Shorter than ours:
            // a service behind an area's digits.
            _ if !known.digits.contains(&national.len()) => kind.is_none(),
            // Beijing's 10 and a 0, with which no number there begins: services are 100..
            _ if code == "86" && national.starts_with("100") => kind.is_none(),
            // A hotline behind an area's digits (517 96..), billed as a call there.
            Type::SharedCost
                if code == "86" && !national.starts_with("400") && !national.starts_with("950") =>
            {
                true
            }
            Type::Mobile => {
                counts.subscribers += 1;
                kind == Some(NumberKind::Mobile) || kind.is_some() && known.mobile.is_empty()
            }
            Type::FixedLine | Type::FixedLineOrMobile => {
                counts.subscribers += 1;
                kind.is_some()
            }
            Type::PremiumRate | Type::SharedCost | Type::TollFree | Type::Uan | Type::Pager => {
                counts.services += 1;
                kind.is_none()
            }
            // Numbers of no place and no phone: either way.
            _ => true,
        };
        if !agrees {
            counts.wrong.push(format!("{e164} is {theirs:?} there, {kind:?} here"));
        }
        // Without a trunk prefix it takes the country's own code for one; and Argentina's 15 for a mobile phone.
        let guesses = known.trunk_prefix.is_empty() && national.starts_with(code)
            || code == "54" && national.contains("15");
        if kind.is_some() && !guesses {
            let dialled = format!("{}{national}", known.trunk_prefix);
            let read = plan.party(&dialled).map(|number| number.to_e164().to_string());
            let parsed = phonenumber::parse(Some(id), &dialled);
            let parsed = parsed.map(|number| number.format().mode(phonenumber::Mode::E164).to_string());
            if read.ok() != parsed.ok() {
                counts.wrong.push(format!("{dialled} of +{code} is read otherwise"));
            }
        }
    }
    counts
}
