//! A machine's clock that is wrong: no cohort is sealed by one tick, and there is a way back.

use super::*;
use proptest::prelude::*;
use unjoin_core::CLOCK_LIMIT;
use unjoin_core::token::CohortManifest;
use unjoin_store::Commit;
use unjoin_test_util::{Believed, ClockEvent, Leap, shifted};

const YEAR: u64 = 365 * DAY;

fn at(seconds: u64) -> Timestamp {
    MONDAY.saturating_add(seconds)
}

/// A shop with a machine's clock, after two ticks.
fn shop() -> Shop<MemoryStore> {
    let platform = Arc::new(PlatformKey::generate(&mut SystemRng::new()));
    let clock = Arc::new(ManualClock::doubtful(MONDAY));
    let shop = Shop::with(Arc::new(MemoryStore::new()), clock, new_ring(), platform);
    shop.introduce(["m", "other", "good", "bad"]);
    assert!(shop.settle().is_empty());
    shop
}

/// So many that a cohort of them is sealed at its first boundary: crowd × age is three times k.
const CROWD: [&str; 6] = ["ann", "ben", "cid", "dan", "eva", "fay"];

impl Shop<MemoryStore> {
    /// Two ticks that say the present time: the boundaries of the cohorts that they tell of.
    fn settle(&self) -> Vec<Timestamp> {
        let reports = [(); 2].map(|()| self.issuer.tick().unwrap());
        assert!(reports.iter().all(|report| report.failed.is_empty()));
        self.take(reports.into_iter().flat_map(|report| report.manifests).collect())
    }

    /// Hands manifests over, so that they are told of no more.
    fn take(&self, manifests: Vec<SignedManifest>) -> Vec<Timestamp> {
        let read = |signed: &SignedManifest| signed.verify(&self.platform.public()).unwrap().clone();
        let manifests: Vec<_> = manifests.iter().map(read).collect();
        let scopes: Vec<Scope> = manifests.iter().map(|manifest| manifest.scope.clone()).collect();
        self.issuer.confirm_admitted(&scopes).unwrap();
        let week_before = |manifest: &CohortManifest| manifest.publications.first().saturating_sub(WEEK);
        let mut closed: Vec<Timestamp> = manifests.iter().map(week_before).collect();
        closed.dedup();
        closed
    }

    /// After downtime until then, which somebody confirms.
    fn confirmed_at(&self, now: Timestamp) -> Vec<Timestamp> {
        self.clock.set(now);
        self.refuses("issuer.clock_ahead");
        self.issuer.confirm_clock(now).unwrap();
        self.settle()
    }

    fn refuses(&self, expected: &str) {
        let before = dump(&*self.store);
        assert_eq!(code(self.issuer.tick()), expected);
        assert_eq!(dump(&*self.store), before, "a refused tick changed the store");
    }

    /// A crowd for the class with a k of 2; nothing, if the open cohort has it already.
    fn crowd(&self, merchant: &str, order: &str) {
        for person in people(CROWD) {
            let merchant = name(merchant);
            let order = format!("{order}/{:?}", person.account.as_bytes());
            let handle = self.report(&person, &merchant, LATE, &order);
            match self.offer(&person, &merchant, handle) {
                Ok(_) => drop(self.buy(&person, &merchant, LATE, &order)),
                Err(error) => assert_eq!(error.code(), "issuer.later"),
            }
        }
    }

    fn enrol_all(&self) {
        people(CROWD).iter().for_each(|person| self.enrol(person).unwrap());
    }
}

#[test]
fn a_clock_that_leaps_a_year_for_one_tick_seals_nothing_and_all_goes_on_afterwards() {
    let shop = shop();
    shop.enrol_all();
    shop.crowd("m", "before");
    for (leap, code) in
        [(at(YEAR), "issuer.clock_ahead"), (MONDAY.saturating_sub(YEAR), "issuer.clock_behind")]
    {
        shop.clock.set(leap);
        shop.refuses(code);
        // What is dated while the clock is wrong is dated as if it were right; before it was due it is not taken.
        if leap > MONDAY {
            shop.crowd("other", "meanwhile");
        }
        shop.clock.set(MONDAY);
        assert!(shop.settle().is_empty());
    }
    assert!(shop.confirmed_at(at(WEEK).saturating_sub(1)).is_empty());
    // So near that it is believed, but by one tick only.
    shop.clock.set(at(WEEK));
    assert!(shop.issuer.tick().unwrap().manifests.is_empty());
    let report = shop.issuer.tick().unwrap();
    assert_eq!((report.manifests.len(), shop.take(report.manifests)), (2, vec![at(WEEK)]));
}

#[test]
fn there_is_a_way_back_from_a_wrong_time_that_was_confirmed() {
    let shop = shop();
    shop.enrol_all();
    shop.crowd("m", "early");
    assert_eq!(shop.confirmed_at(at(5 * WEEK + DAY)), [at(5 * WEEK)]);
    shop.clock.set(at(DAY));
    shop.refuses("issuer.clock_behind");
    shop.issuer.confirm_clock(at(DAY)).unwrap();
    assert!(shop.settle().is_empty());
    shop.crowd("m", "in time");
    assert_eq!(shop.confirmed_at(at(WEEK)), [at(WEEK)]);
}

#[test]
fn a_wallet_that_is_enrolled_while_the_clock_is_wrong_can_be_followed_in_time() {
    let shop = shop();
    shop.clock.set(at(10 * YEAR));
    shop.enrol(&Person::new("ann")).unwrap();
    let other = Person::with("ann", 2);
    assert_eq!(code(shop.enrol(&other)), "issuer.re_enrolment_too_early");
    assert!(shop.confirmed_at(at(11 * DAY)).is_empty());
    shop.enrol(&other).unwrap();
}

#[test]
fn a_row_that_does_not_decode_stops_its_own_cohort_only() {
    for (namespace, class) in [(b"ic", &[][..]), (b"ib", &[]), (b"ir", &[LATE])] {
        let shop = shop();
        shop.enrol_all();
        shop.crowd("good", "1");
        shop.crowd("bad", "1");
        let mut prefix = unjoin_core::wire::Writer::new();
        prefix.raw(namespace);
        name("bad").encode(&mut prefix);
        prefix.raw(class);
        let prefix = prefix.finish();
        let rows = Bucket::all().flat_map(|bucket| {
            let rows = shop.store.scan(bucket, &prefix, None, 1).unwrap();
            rows.into_iter().map(move |row| Commit::new(bucket).put(row.key, vec![1, 9]))
        });
        let rows: Vec<Commit> = rows.collect();
        assert_eq!(rows.len(), 1);
        shop.store.commit(&rows).unwrap();
        shop.issuer.confirm_clock(at(WEEK)).unwrap();
        shop.clock.set(at(WEEK));
        let reports = [(); 2].map(|()| shop.issuer.tick().unwrap());
        let failed = reports.iter().flat_map(|report| &report.failed);
        let codes: Vec<_> = failed.map(IssuerError::code).collect();
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == "issuer.store_corrupt"), "{codes:?}");
        let merchants =
            reports[1].manifests.iter().map(|manifest| manifest.claimed_scope().merchant().clone());
        assert_eq!(merchants.collect::<Vec<_>>(), [name("good")]);
    }
}

// --- any sequence --------------------------------------------------------------------------------

/// A crowd for a cohort.
#[derive(Clone, Debug)]
struct Crowd;

type Event = ClockEvent<Crowd>;

fn event() -> impl Strategy<Value = Event> {
    let (limit, year) = (CLOCK_LIMIT as i64, YEAR as i64);
    let skew = prop_oneof![
        4 => Just(0),
        3 => -2 * limit..2 * limit,
        1 => prop_oneof![Just(-year), Just(year), Just(WEEK as i64), Just(DAY as i64)],
    ];
    prop_oneof![
        2 => (0..=CLOCK_LIMIT).prop_map(Event::Pass),
        3 => (1..6u64).prop_map(|days| Event::Pass(days * DAY)),
        4 => skew.prop_map(Event::Skew),
        10 => Just(Event::Tick),
        4 => Just(Event::Confirm),
        2 => Just(Event::Ask(Crowd)),
    ]
}

/// What the issuer should believe and close, from what every tick said.
struct Reference {
    believed: Believed,
    /// The last boundary that was worked off.
    boundary: Option<Timestamp>,
    /// Whether a crowd waits.
    crowd: bool,
}

impl Reference {
    /// When the crowd's cohort was sealed, if it was; or a code.
    fn tick(&mut self, now: Timestamp) -> Result<Option<Timestamp>, &'static str> {
        self.believed.tick(now).map_err(|leap| match leap {
            Leap::Ahead => "issuer.clock_ahead",
            Leap::Behind => "issuer.clock_behind",
        })?;
        let boundary = Grid::Weekly.at_or_before(self.believed.settled());
        let Some(boundary) = boundary.filter(|boundary| self.boundary.is_none_or(|done| done < *boundary))
        else {
            return Ok(None);
        };
        self.boundary = Some(boundary);
        Ok(std::mem::take(&mut self.crowd).then_some(boundary))
    }

    fn confirm(&mut self, now: Timestamp) {
        self.believed.confirm(now);
        let last = Grid::Weekly.at_or_before(now);
        self.boundary = self.boundary.and_then(|done| last.map(|last| done.min(last)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_ticks_with_leaps_seal_what_two_of_them_have_said(events in prop::collection::vec(event(), 1..60)) {
        let shop = shop();
        shop.enrol_all();
        let boundary = Some(MONDAY);
        let mut reference = Reference { believed: Believed::new(MONDAY, MONDAY), boundary, crowd: false };
        let (mut right, mut skew) = (MONDAY, 0);
        for (number, event) in events.into_iter().enumerate() {
            let now = shifted(right, skew);
            shop.clock.set(now);
            match event {
                // Within 60 days, in which the stated past holds.
                Event::Pass(seconds) if right < at(50 * DAY) => right = right.saturating_add(seconds),
                Event::Pass(_) => {}
                Event::Skew(seconds) => skew = seconds,
                Event::Tick => {
                    let before = dump(&*shop.store);
                    let answer = match shop.issuer.tick() {
                        Ok(report) => {
                            prop_assert!(report.failed.is_empty());
                            Ok(shop.take(report.manifests).first().copied())
                        }
                        Err(error) => {
                            prop_assert!(before == dump(&*shop.store), "a refused tick changed the store");
                            Err(error.code())
                        }
                    };
                    prop_assert_eq!(answer, reference.tick(now));
                }
                Event::Confirm => {
                    shop.issuer.confirm_clock(right).unwrap();
                    reference.confirm(right);
                }
                Event::Ask(Crowd) => {
                    // An order that is due by a clock that stands a year behind is reported when it is right.
                    if now >= MONDAY {
                        shop.crowd("m", &number.to_string());
                        reference.crowd = true;
                    }
                }
            }
        }
    }
}
