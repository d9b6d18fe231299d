//! What was said in all lives so far, and the check of reopened stores against it.

use crate::life::{NO_MANIFEST, tick};
use crate::line::Line;
use crate::scenario::{Granted, Scenario, day, merchants, review};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use unjoin::issuer::IssuerError;
use unjoin::ledger::{Ledger, PublishedEntry, waiting_entries};
use unjoin::store::{Bucket, Store};
use unjoin::token::{Receipt, ReviewId};
use unjoin::wire::Message;
use unjoin::{ManualClock, Platform, PlatformError, Timestamp};
use unjoin_test_util::Seeded;

/// So many orders of earlier lives are asked about after each.
const SAMPLE: u64 = 12;
/// So many orders are handed to the next life, to be reviewed late.
const LATE: usize = 8;

#[derive(Default)]
pub(crate) struct Record {
    orders: BTreeMap<u64, Known>,
    /// The orders of the last life.
    fresh: BTreeSet<u64>,
    /// The reviews that a tick has told of.
    announced: HashSet<ReviewId>,
    day: u64,
    /// How many intents had no answer when their life ended, and how many of them had had
    /// their effect all the same.
    pub(crate) unanswered: usize,
    pub(crate) unseen_effects: usize,
}

/// What is known of an order.
#[derive(Default)]
struct Known {
    pair: Option<Vec<u8>>,
    /// The wordings that were sent, each as often as it was, less the times that it came too early.
    sent: Vec<u8>,
    /// Those that were refused because the other one stands.
    spent: BTreeSet<u8>,
    accepted: Option<(u8, Receipt)>,
    /// The window ended before anything was accepted.
    missed: bool,
}

impl Known {
    fn is_unanswered(&self) -> bool {
        self.pair.is_none() || !self.sent.is_empty() && self.accepted.is_none() && !self.missed
    }

    fn note_pair(&mut self, pair: &[u8]) {
        let first = self.pair.get_or_insert_with(|| pair.to_vec());
        assert_eq!(first, pair, "an order has two pairs");
    }

    fn note_receipt(&mut self, number: u64, wording: u8, receipt: Receipt) {
        assert_eq!(receipt.terms().review_digest, review(number, wording).digest());
        assert!(self.sent.contains(&wording) && !self.spent.contains(&wording) && !self.missed);
        let (first, known) = self.accepted.get_or_insert_with(|| (wording, receipt.clone()));
        assert_eq!(*first, wording, "order {number}: two reviews were accepted");
        assert_eq!(*known, receipt, "a receipt is the same for ever");
    }
}

impl Record {
    pub(crate) fn day(&self) -> u64 {
        self.day
    }

    /// The number that the next life's first order takes.
    pub(crate) fn next_order(&self) -> u64 {
        self.orders.last_key_value().map_or(0, |(number, _)| number + 1)
    }

    /// Orders without a review, the newest first.
    pub(crate) fn late(&self) -> VecDeque<u64> {
        let unused = |(number, known): (&u64, &Known)| known.sent.is_empty().then_some(*number);
        self.orders.iter().rev().filter_map(unused).take(LATE).collect()
    }

    pub(crate) fn counts(&self) -> String {
        let accepted = self.orders.values().filter(|known| known.accepted.is_some()).count();
        format!(
            "{} grants, {accepted} reviews, {} published within {} days; {} unanswered of which {} had \
             taken effect",
            self.orders.len(),
            self.announced.len(),
            self.day,
            self.unanswered,
            self.unseen_effects,
        )
    }

    pub(crate) fn begin_life(&mut self) {
        self.fresh.clear();
    }

    pub(crate) fn note(&mut self, line: Line) {
        match line {
            Line::Asking(number) => {
                self.fresh.insert(number);
                self.orders.entry(number).or_default();
            }
            Line::Granted(number, pair) => self.known(number).note_pair(&pair),
            Line::Sending(number, wording) => {
                self.known(number).sent.push(wording);
            }
            Line::Accepted(number, wording, receipt) => {
                self.known(number).note_receipt(number, wording, receipt);
            }
            Line::Refused(number, wording, code) if code == "desk.spent" => {
                self.known(number).spent.insert(wording);
            }
            Line::Refused(number, wording, code) if code == NO_MANIFEST => {
                let sent = &mut self.known(number).sent;
                let at = sent.iter().position(|other| *other == wording).unwrap();
                sent.remove(at);
            }
            Line::Refused(..) => {}
            Line::Day(day) => self.day = day,
            Line::Ticked(ids) => self.announce(ids),
        }
    }

    fn known(&mut self, number: u64) -> &mut Known {
        self.orders.get_mut(&number).unwrap()
    }

    fn announce(&mut self, ids: Vec<ReviewId>) {
        for id in ids {
            assert!(self.announced.insert(id), "a review was published twice");
        }
    }

    /// Opens the stores and holds them against all that was said: everything of the last life,
    /// and a sample of the earlier ones.
    pub(crate) fn check<S: Store>(&mut self, scenario: &Scenario, stores: &[Arc<S>; 2], draw: &mut Seeded) {
        let platform = scenario.open(stores, &Arc::new(ManualClock::new(day(self.day))));
        scenario.begin(&platform).unwrap();
        // The interrupted tick is taken up before or after the rest.
        if draw.below(2) == 0 {
            self.announce(tick(&platform).unwrap());
        }
        let all: Vec<u64> = self.orders.keys().copied().collect();
        let mut asked_about = std::mem::take(&mut self.fresh);
        if !all.is_empty() {
            asked_about.extend((0..SAMPLE).map(|_| all[draw.below(all.len() as u64) as usize]));
        }
        for number in asked_about {
            self.ask(scenario, &platform, number, draw);
        }
        self.announce(tick(&platform).unwrap());
        self.check_publication(&platform, &*stores[1]);
    }

    /// As [`Self::check`], for every order there ever was.
    pub(crate) fn check_all<S: Store>(
        &mut self,
        scenario: &Scenario,
        stores: &[Arc<S>; 2],
        draw: &mut Seeded,
    ) {
        self.fresh = self.orders.keys().copied().collect();
        self.check(scenario, stores, draw);
    }

    fn ask<S: Store>(
        &mut self,
        scenario: &Scenario,
        platform: &Platform<Arc<S>>,
        number: u64,
        draw: &mut Seeded,
    ) {
        let known = self.orders.get_mut(&number).unwrap();
        self.unanswered += usize::from(known.is_unanswered());
        let (token, expected) = match scenario.obtain(platform, number) {
            Ok(Granted { token, pair }) => {
                known.note_pair(&pair);
                (token, "issuer.already_granted")
            }
            Err(PlatformError::Issuer(error @ IssuerError::WindowOver)) => {
                // Nothing was sent under what nobody was told.
                let Some(pair) = &known.pair else { return };
                (scenario.token_of(platform, number, pair).unwrap(), error.code())
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(scenario.ask_for_another_pair(platform, number, &token).code(), expected);
        if known.sent.is_empty() || known.missed {
            return;
        }
        let send = |wording| scenario.send(platform, number, &token, wording).wait();
        if known.accepted.is_none() {
            // Nobody was told what became of it. A wording that was not sent is taken, or finds
            // the one that stands.
            let wording = (0..2).find(|wording| !known.sent.contains(wording)).unwrap_or(draw.below(2) as u8);
            let answer = send(wording);
            match answer {
                Ok(receipt) => {
                    known.sent.push(wording);
                    known.note_receipt(number, wording, receipt);
                }
                Err(error) if error.code() == "desk.spent" => {
                    self.unseen_effects += 1;
                    known.note_receipt(number, 1 - wording, send(1 - wording).unwrap());
                }
                Err(error) if error.code() == NO_MANIFEST => return,
                Err(error) => {
                    assert_eq!(error.code(), "desk.window_over");
                    known.missed = true;
                    return;
                }
            }
        }
        let (wording, _) = known.accepted.clone().unwrap();
        known.note_receipt(number, wording, send(wording).unwrap());
        assert_eq!(send(1 - wording).unwrap_err().code(), "desk.spent");
    }

    /// Every accepted review whose boundary has come is listed with it, counted and in the
    /// ledger's outbox exactly once; nothing else is.
    fn check_publication<S: Store>(&self, platform: &Platform<Arc<S>>, reviews: &S) {
        let after = platform.desk().tick().unwrap();
        assert!(after.failed.is_empty() && after.batches.is_empty(), "{:?}", after.failed);
        let mut expected: HashMap<ReviewId, (u64, u8, Timestamp)> = HashMap::new();
        for (number, known) in &self.orders {
            let Some((wording, receipt)) = &known.accepted else { continue };
            let terms = receipt.terms();
            if terms.publish_by <= day(self.day) {
                let twin = expected.insert(terms.review_id, (*number, *wording, terms.publish_by));
                assert!(twin.is_none(), "two orders share a serial");
            }
        }
        let mut logged: HashMap<ReviewId, Timestamp> = HashMap::new();
        for bucket in Bucket::all() {
            for entry in waiting_entries(reviews, bucket, Ledger::Reviews, usize::MAX).unwrap() {
                let PublishedEntry { review_id, boundary, .. } = PublishedEntry::from_bytes(&entry).unwrap();
                assert!(logged.insert(review_id, boundary).is_none(), "logged twice");
            }
        }
        let mut listed = 0;
        for merchant in merchants() {
            let mut counts = [0; 5];
            for shown in platform.published(&merchant, None, usize::MAX).unwrap() {
                listed += 1;
                counts[usize::from(shown.review.stars()) - 1] += 1;
                let (number, wording, boundary) = expected[&shown.review_id];
                assert_eq!((shown.review, shown.published_at), (review(number, wording), boundary));
                assert_eq!(logged.get(&shown.review_id), Some(&boundary));
            }
            assert_eq!(platform.histogram(&merchant).unwrap().counts, counts);
        }
        assert_eq!((listed, logged.len()), (expected.len(), expected.len()), "a review is lost or too many");
        assert!(self.announced.iter().all(|id| logged.contains_key(id)), "a published review is gone");
    }
}
