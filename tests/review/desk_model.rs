//! What a review desk should do, said with maps and loops; the fuzz target of the desk takes this file too.

use super::{COHORTS, EACH, OPENING_WINDOW, day, id, merchant, platform, scope_of, words};
use std::collections::BTreeMap;
use unjoin::review::{DeskError, DeskReport, ReviewDesk};
use unjoin::store::Store;
use unjoin::token::{ActionReceipt, AuthorAction, Receipt, Review, ReviewId, ReviewStanding, ReviewState};
use unjoin::wire::Message;
use unjoin::{DAY, Timestamp, WEEK};

pub(crate) const AUTHORS: usize = EACH * COHORTS.len();

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Published,
    Withdrawn,
    Removed,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Edit(usize),
    Withdraw,
    Uncount,
}

#[derive(Clone, Debug)]
struct Settled {
    standing: Standing,
    submitted: usize,
    listed: usize,
    /// `None` after a withdrawal.
    in_force: Option<usize>,
    edited: bool,
    published_at: Timestamp,
    sequence: u64,
    waiting: Option<(Timestamp, Change)>,
    has_escrow: bool,
}

#[derive(Clone, Debug)]
enum State {
    Fresh,
    Held {
        words: usize,
        publish_by: Timestamp,
    },
    TakenBack {
        words: usize,
        publish_by: Timestamp,
    },
    /// Taken back while held, and its boundary is over.
    Gone,
    Settled(Settled),
}

type Accepted = (AuthorAction, Option<Review>, ActionReceipt);

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) admitted: [bool; COHORTS.len()],
    done: [[bool; 2]; COHORTS.len()],
    erased: [bool; COHORTS.len()],
    states: Vec<State>,
    counts: [[u64; 5]; 2],
    actions: Vec<Option<Accepted>>,
    /// A review's receipt: the same bytes for ever.
    receipts: BTreeMap<usize, Receipt>,
}

fn boundaries(cohort: usize) -> [Timestamp; 2] {
    let (_, _, first, end) = COHORTS[cohort];
    [day(first), day(end)]
}

fn midnight_after(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds((time.as_unix_seconds() / DAY + 1) * DAY)
}

/// Day 0 is one.
fn monday_after(time: Timestamp) -> Timestamp {
    day(0).saturating_add((time.saturating_since(day(0)) / WEEK + 1) * WEEK)
}

fn merchant_of(who: usize) -> usize {
    usize::from(COHORTS[who / EACH].0 == "b")
}

fn stars(words: usize) -> usize {
    usize::from(self::words(words).stars()) - 1
}

pub(crate) fn code<T>(answer: Result<T, DeskError>) -> Result<T, &'static str> {
    answer.map_err(|error| error.code())
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            now: day(0).saturating_add(1),
            admitted: Default::default(),
            done: Default::default(),
            erased: Default::default(),
            states: vec![State::Fresh; AUTHORS],
            counts: Default::default(),
            actions: (0..AUTHORS).map(|_| None).collect(),
            receipts: BTreeMap::new(),
        }
    }

    /// The boundary in the receipt, or the refusal; `good`: the proofs hold.
    fn submit(&mut self, who: usize, words: usize, good: bool) -> Result<Timestamp, &'static str> {
        let known = |own: usize, publish_by| match (own == words, good) {
            (false, _) => Err("desk.spent"),
            (true, false) => Err("desk.refused"),
            (true, true) => Ok(publish_by),
        };
        match &self.states[who] {
            State::Held { words: own, publish_by } | State::TakenBack { words: own, publish_by } => {
                known(*own, *publish_by)
            }
            State::Gone => Err("desk.withdrawn"),
            State::Settled(settled) if settled.standing == Standing::Withdrawn => Err("desk.withdrawn"),
            State::Settled(settled) => known(settled.submitted, settled.published_at),
            State::Fresh => {
                let cohort = who / EACH;
                if !self.admitted[cohort] {
                    return Err("desk.no_manifest");
                }
                let next = boundaries(cohort).into_iter().find(|end| self.now < *end);
                let publish_by = next.ok_or("desk.window_over")?;
                if !good {
                    return Err("desk.refused");
                }
                self.states[who] = State::Held { words, publish_by };
                Ok(publish_by)
            }
        }
    }

    /// Why an author's action is refused, if it is.
    pub(crate) fn refuses_author(&self, who: usize, withdraws: bool) -> Option<&'static str> {
        match &self.states[who] {
            State::Fresh => Some("desk.refused"),
            State::TakenBack { .. } | State::Gone => Some("desk.withdrawn"),
            State::Held { .. } => (!withdraws).then_some("desk.held"),
            State::Settled(settled) if settled.standing == Standing::Removed => Some("desk.not_published"),
            State::Settled(settled) if settled.in_force.is_none() => Some("desk.withdrawn"),
            State::Settled(settled) if settled.sequence >= 16 - u64::from(!withdraws) => {
                Some("desk.too_many_actions")
            }
            State::Settled(_) => None,
        }
    }

    /// Where the author believes that the review stands.
    pub(crate) fn stands(&self, who: usize) -> ReviewState {
        let (last_sequence, words) = match &self.states[who] {
            State::Fresh | State::Gone => (0, 0),
            State::Held { words, .. } | State::TakenBack { words, .. } => (0, *words),
            State::Settled(settled) => (settled.sequence, settled.in_force.unwrap_or(settled.listed)),
        };
        ReviewState {
            review_id: id(who),
            last_sequence,
            digest_in_force: self::words(words).digest(),
            standing: ReviewStanding::Held,
            published_at: day(0),
        }
    }

    pub(crate) fn remove(&mut self, who: usize) -> Result<(), &'static str> {
        let boundary = midnight_after(self.now);
        match &mut self.states[who] {
            State::Fresh => Err("desk.unknown_review"),
            State::Held { .. } | State::TakenBack { .. } => Err("desk.not_published"),
            State::Gone => Err("desk.withdrawn"),
            State::Settled(settled) => match settled.standing {
                Standing::Withdrawn => Err("desk.withdrawn"),
                Standing::Removed => Ok(()),
                Standing::Published => {
                    settled.standing = Standing::Removed;
                    settled.waiting = Some((boundary, Change::Uncount));
                    Ok(())
                }
            },
        }
    }

    /// Does what is due; the reviews published, in all.
    fn tick(&mut self) -> Vec<ReviewId> {
        let mut published = Vec::new();
        for cohort in 0..COHORTS.len() {
            let both = boundaries(cohort);
            for (at, boundary) in both.into_iter().enumerate() {
                if self.admitted[cohort] && self.now >= boundary && !self.done[cohort][at] {
                    self.done[cohort][at] = true;
                    self.publish(cohort, boundary, &mut published);
                }
            }
            self.erased[cohort] |=
                self.admitted[cohort] && self.now >= both[1].saturating_add(OPENING_WINDOW);
        }
        for who in 0..AUTHORS {
            let (counts, erased) = (&mut self.counts[merchant_of(who)], self.erased[who / EACH]);
            let State::Settled(settled) = &mut self.states[who] else { continue };
            settled.has_escrow &= !erased;
            let Some((_, change)) = settled.waiting.take_if(|(at, _)| *at <= self.now) else { continue };
            counts[stars(settled.listed)] -= 1;
            match change {
                Change::Uncount => {}
                Change::Withdraw => settled.standing = Standing::Withdrawn,
                Change::Edit(words) => {
                    counts[stars(words)] += 1;
                    (settled.listed, settled.edited) = (words, true);
                }
            }
        }
        published
    }

    fn publish(&mut self, cohort: usize, boundary: Timestamp, published: &mut Vec<ReviewId>) {
        for who in cohort * EACH..(cohort + 1) * EACH {
            let words = match self.states[who] {
                State::Held { words, publish_by } if publish_by == boundary => words,
                State::TakenBack { publish_by, .. } if publish_by == boundary => {
                    self.states[who] = State::Gone;
                    continue;
                }
                _ => continue,
            };
            self.counts[merchant_of(who)][stars(words)] += 1;
            published.push(id(who));
            self.states[who] = State::Settled(Settled {
                standing: Standing::Published,
                submitted: words,
                listed: words,
                in_force: Some(words),
                edited: false,
                published_at: boundary,
                sequence: 0,
                waiting: None,
                has_escrow: true,
            });
        }
    }

    pub(crate) fn answered(
        &mut self,
        who: usize,
        words: usize,
        good: bool,
        answer: Result<Receipt, DeskError>,
    ) {
        let (answer, expected) = (code(answer), self.submit(who, words, good));
        let by = answer.as_ref().map(|receipt| receipt.terms().publish_by);
        assert_eq!(by.map_err(|error| *error), expected);
        let Ok(receipt) = answer else { return };
        receipt.verify(&platform()).unwrap();
        let terms = receipt.terms();
        assert_eq!((terms.review_id, terms.review_digest), (id(who), self::words(words).digest()));
        let first = self.receipts.entry(who).or_insert_with(|| receipt.clone());
        assert_eq!(*first, receipt);
    }

    /// An edit or a withdrawal, sent with this signature.
    pub(crate) fn acted(
        &mut self,
        who: usize,
        edited: Option<usize>,
        action: AuthorAction,
        answer: Result<ActionReceipt, DeskError>,
    ) {
        let (answer, before) = (code(answer), self.stands(who));
        // A review taken back stands where it stood: the very action that took it back comes again.
        if self.actions[who].as_ref().is_some_and(|(accepted, ..)| *accepted == action) {
            return assert_eq!(answer, self.again(who));
        }
        if let Some(refused) = self.refuses_author(who, edited.is_none()) {
            return assert_eq!(answer, Err(refused));
        }
        let answer = answer.unwrap();
        answer.verify(&platform()).unwrap();
        assert_eq!((*answer.review_id(), answer.sequence()), (id(who), before.last_sequence + 1));
        match &mut self.states[who] {
            State::Settled(settled) => {
                let boundary = answer.boundary();
                let next = monday_after(self.now);
                assert!([0, 1, 2].map(|weeks| next.saturating_add(weeks * WEEK)).contains(&boundary));
                assert!(settled.waiting.is_none_or(|(replaced, _)| replaced <= boundary));
                settled.sequence += 1;
                settled.in_force = edited;
                settled.waiting = Some((boundary, edited.map_or(Change::Withdraw, Change::Edit)));
            }
            State::Held { words, publish_by } => {
                assert_eq!(answer.boundary(), *publish_by);
                self.states[who] = State::TakenBack { words: *words, publish_by: *publish_by };
            }
            other => panic!("accepted in {other:?}"),
        }
        self.actions[who] = Some((action, edited.map(words), answer));
    }

    /// What the last accepted action hears again: nothing of its own, once the ledger shows it.
    fn again(&self, who: usize) -> Result<ActionReceipt, &'static str> {
        match &self.states[who] {
            State::Settled(settled) if settled.waiting.is_none() && settled.in_force.is_some() => Err(self
                .refuses_author(who, true)
                .filter(|code| *code == "desk.not_published")
                .unwrap_or("desk.out_of_sequence")),
            _ => Ok(self.actions[who].as_ref().unwrap().2.clone()),
        }
    }

    /// The last accepted action again.
    pub(crate) fn repeat<S: Store>(&self, desk: &ReviewDesk<S>, who: usize) {
        if let Some((action, edited, _)) = &self.actions[who] {
            let edited = edited.as_ref().map(Review::to_bytes).unwrap_or_default();
            assert_eq!(code(desk.act(scope_of(who), action, &edited)), self.again(who));
        }
    }

    pub(crate) fn ticked(&mut self, report: DeskReport) {
        assert!(report.failed.is_empty());
        let mut expected = self.tick();
        let reviews = report.batches.iter().flat_map(|batch| &batch.reviews);
        let mut told: Vec<ReviewId> = reviews.map(|review| review.review_id).collect();
        expected.sort();
        told.sort();
        assert_eq!(told, expected, "a review is told of at its boundary, once");
    }

    /// All that can be read is what the model says.
    pub(crate) fn compare<S: Store>(&self, desk: &ReviewDesk<S>) {
        for (number, name) in ["a", "b"].map(merchant).iter().enumerate() {
            let listing = desk.published(name, None, 100).unwrap();
            let shown = listing.into_iter().map(|r| (r.review_id, r.review, r.published_at, r.edited));
            let mut expected = Vec::new();
            for (who, state) in self.states.iter().enumerate() {
                if let State::Settled(s) = state
                    && (s.standing, merchant_of(who)) == (Standing::Published, number)
                {
                    expected.push((id(who), words(s.listed), s.published_at, s.edited));
                }
            }
            expected.sort_by_key(|(id, ..)| *id);
            assert_eq!(shown.collect::<Vec<_>>(), expected);
            assert_eq!(desk.histogram(name).unwrap().counts, self.counts[number]);
        }
        for (who, state) in self.states.iter().enumerate() {
            let evidence = desk.evidence(scope_of(who), &id(who)).unwrap();
            let expected = match state {
                State::Settled(settled) if settled.has_escrow => Some(words(settled.submitted).digest()),
                _ => None,
            };
            assert_eq!(evidence.map(|evidence| evidence.review_digest), expected);
        }
    }
}
