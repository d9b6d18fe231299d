//! What a review desk should do, said with maps and loops; the fuzz target of the desk takes this file too.

use super::{COHORTS, EACH, OPENING_WINDOW, day, id, merchant, platform, scope_of, words};
use std::collections::BTreeMap;
use unjoin::review::{ActionReceipt, DeskError, DeskReport, ReviewDesk};
use unjoin::store::Store;
use unjoin::token::{AuthorProof, Receipt, Review, ReviewId};
use unjoin::{DAY, Timestamp};
use unjoin_wallet::ReviewState;

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
    Held { words: usize, publish_by: Option<Timestamp> },
    TakenBack,
    Settled(Settled),
}

type Accepted = (AuthorProof, Option<Review>, ActionReceipt);

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) admitted: [bool; COHORTS.len()],
    done: [[bool; 2]; COHORTS.len()],
    erased: [bool; COHORTS.len()],
    states: Vec<State>,
    counts: [[u64; 5]; 2],
    actions: Vec<Option<Accepted>>,
    /// A review's receipts, by boundary: the same bytes for ever.
    receipts: BTreeMap<(usize, Option<Timestamp>), Receipt>,
}

fn boundaries(cohort: usize) -> [Timestamp; 2] {
    let (_, _, first, end) = COHORTS[cohort];
    [day(first), day(end)]
}

fn midnight_after(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds((time.as_unix_seconds() / DAY + 1) * DAY)
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
    fn submit(&mut self, who: usize, words: usize, good: bool) -> Result<Option<Timestamp>, &'static str> {
        let known = |own: usize, publish_by| match (own == words, good) {
            (false, _) => Err("desk.spent"),
            (true, false) => Err("desk.refused"),
            (true, true) => Ok(publish_by),
        };
        match &self.states[who] {
            State::Held { words: own, publish_by } => known(*own, *publish_by),
            State::TakenBack => Err("desk.withdrawn"),
            State::Settled(settled) if settled.standing == Standing::Withdrawn => Err("desk.withdrawn"),
            State::Settled(settled) => known(settled.submitted, Some(settled.published_at)),
            State::Fresh => {
                let cohort = who / EACH;
                let next =
                    || boundaries(cohort).into_iter().find(|end| self.now < *end).ok_or("desk.window_over");
                let publish_by = if self.admitted[cohort] { Some(next()?) } else { None };
                if !good {
                    return Err("desk.refused");
                }
                self.states[who] = State::Held { words, publish_by };
                Ok(publish_by)
            }
        }
    }

    /// Why an author's action is refused, if it is.
    pub(crate) fn refuses_author(&self, who: usize, held: bool, removed: bool) -> Option<&'static str> {
        match &self.states[who] {
            State::Fresh => Some("desk.unknown_review"),
            State::TakenBack => Some("desk.withdrawn"),
            State::Held { .. } => (!held).then_some("desk.held"),
            State::Settled(settled) if settled.standing == Standing::Removed && !removed => {
                Some("desk.not_published")
            }
            State::Settled(settled) if settled.in_force.is_none() => Some("desk.withdrawn"),
            State::Settled(settled) => (!settled.has_escrow).then_some("desk.escrow_erased"),
        }
    }

    /// Where the author believes that the review stands.
    pub(crate) fn stands(&self, who: usize) -> ReviewState {
        let (last_sequence, words) = match &self.states[who] {
            State::Fresh | State::TakenBack => (0, 0),
            State::Held { words, .. } => (0, *words),
            State::Settled(settled) => (settled.sequence, settled.in_force.unwrap_or(settled.listed)),
        };
        ReviewState { last_sequence, digest_in_force: self::words(words).digest() }
    }

    pub(crate) fn remove(&mut self, who: usize) -> Result<(), &'static str> {
        let boundary = midnight_after(self.now);
        match &mut self.states[who] {
            State::Fresh => Err("desk.unknown_review"),
            State::Held { .. } => Err("desk.not_published"),
            State::TakenBack => Err("desk.withdrawn"),
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
                    self.publish(cohort, both[0], boundary, &mut published);
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

    fn publish(
        &mut self,
        cohort: usize,
        first: Timestamp,
        boundary: Timestamp,
        published: &mut Vec<ReviewId>,
    ) {
        for who in cohort * EACH..(cohort + 1) * EACH {
            let State::Held { words, publish_by } = self.states[who] else { continue };
            if publish_by.unwrap_or(first) != boundary {
                continue;
            }
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
        let by = answer.as_ref().map(|receipt| receipt.publish_by());
        assert_eq!(by.map_err(|error| *error), expected);
        let Ok(receipt) = answer else { return };
        receipt.verify(&platform()).unwrap();
        assert_eq!((receipt.review_id(), *receipt.review_digest()), (id(who), self::words(words).digest()));
        let first = self.receipts.entry((who, expected.unwrap())).or_insert_with(|| receipt.clone());
        assert_eq!(*first, receipt);
    }

    /// An edit or a withdrawal, sent with this proof.
    pub(crate) fn acted(
        &mut self,
        who: usize,
        edited: Option<usize>,
        proof: AuthorProof,
        answer: Result<ActionReceipt, DeskError>,
    ) {
        let (answer, before) = (code(answer), self.stands(who));
        // A review taken back stands where it stood: the very proof that took it back comes again.
        if let Some((_, _, first)) = self.actions[who].as_ref().filter(|(accepted, ..)| *accepted == proof) {
            return assert_eq!(answer, Ok(*first));
        }
        if let Some(refused) = self.refuses_author(who, edited.is_none(), false) {
            return assert_eq!(answer, Err(refused));
        }
        let answer = answer.unwrap();
        assert_eq!((answer.review_id, answer.sequence), (id(who), before.last_sequence + 1));
        match &mut self.states[who] {
            State::Settled(settled) => {
                let boundary = answer.takes_effect_at.unwrap();
                let next = midnight_after(self.now);
                assert!([0, 1, 2].map(|days| next.saturating_add(days * DAY)).contains(&boundary));
                assert!(settled.waiting.is_none_or(|(replaced, _)| replaced <= boundary));
                settled.sequence += 1;
                settled.in_force = edited;
                settled.waiting = Some((boundary, edited.map_or(Change::Withdraw, Change::Edit)));
            }
            held => {
                assert_eq!(answer.takes_effect_at, None);
                *held = State::TakenBack;
            }
        }
        self.actions[who] = Some((proof, edited.map(words), answer));
    }

    /// The last accepted proof again.
    pub(crate) fn repeat<S: Store>(&self, desk: &ReviewDesk<S>, who: usize) {
        if let Some((proof, edited, answer)) = &self.actions[who] {
            assert_eq!(desk.act(scope_of(who), proof, edited.clone()).unwrap(), *answer);
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
            assert_eq!(desk.rating(name).unwrap().counts, self.counts[number]);
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
