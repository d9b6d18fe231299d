//! What the review side should do, said with maps and loops.

use crate::{AUTHORS, COHORTS, EACH, OPENING_WINDOW, PEOPLE, START};
use std::collections::HashMap;
use unjoin::review::{ActionReceipt, DeskError};
use unjoin::token::{AuthorProof, Receipt, Review, ReviewId};
use unjoin::{DAY, Timestamp};
use unjoin_fuzz::pool::{KEYS, review};
use unjoin_wallet::ReviewState;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    Published,
    Withdrawn,
    Removed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Edit(usize),
    Withdraw,
    Uncount,
}

#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) standing: Standing,
    pub(crate) submitted: usize,
    pub(crate) listed: usize,
    /// `None` after a withdrawal.
    pub(crate) in_force: Option<usize>,
    pub(crate) edited: bool,
    pub(crate) published_at: u64,
    pub(crate) sequence: u64,
    pub(crate) waiting: Option<(u64, Change)>,
    pub(crate) has_escrow: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Fresh,
    Held { words: usize, publish_by: Option<u64> },
    TakenBack,
    Settled(Settled),
}

pub(crate) type Accepted = (AuthorProof, Option<Review>, ActionReceipt);

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) admitted: [bool; COHORTS.len()],
    pub(crate) done: [[bool; 2]; COHORTS.len()],
    pub(crate) erased: [bool; COHORTS.len()],
    pub(crate) states: Vec<State>,
    pub(crate) counts: [[u64; 5]; 2],
    pub(crate) actions: Vec<Option<Accepted>>,
    /// A review's receipts, by boundary: the same bytes for ever.
    pub(crate) receipts: HashMap<(usize, Option<u64>), Receipt>,
}

pub(crate) fn boundaries(cohort: usize) -> [u64; 2] {
    let (_, _, first, end) = COHORTS[cohort];
    [START + first * DAY, START + end * DAY]
}

pub(crate) fn merchant_of(who: usize) -> usize {
    usize::from(COHORTS[who / EACH].0 == "b")
}

pub(crate) fn stars(words: usize) -> usize {
    usize::from(review(words).stars()) - 1
}

pub(crate) fn code<T>(answer: Result<T, DeskError>) -> Result<T, &'static str> {
    answer.map_err(|error| error.code())
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            now: START + 1,
            admitted: Default::default(),
            done: Default::default(),
            erased: Default::default(),
            states: vec![State::Fresh; AUTHORS],
            counts: Default::default(),
            actions: (0..AUTHORS).map(|_| None).collect(),
            receipts: HashMap::new(),
        }
    }

    /// The boundary in the receipt, or the refusal; `good`: the proofs hold.
    pub(crate) fn submit(
        &mut self,
        who: usize,
        words: usize,
        good: bool,
    ) -> Result<Option<u64>, &'static str> {
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

    pub(crate) fn stands(&self, who: usize) -> ReviewState {
        let (last_sequence, words) = match &self.states[who] {
            State::Fresh | State::TakenBack => (0, 0),
            State::Held { words, .. } => (0, *words),
            State::Settled(settled) => (settled.sequence, settled.in_force.unwrap_or(settled.listed)),
        };
        ReviewState { last_sequence, digest_in_force: review(words).digest() }
    }

    pub(crate) fn remove(&mut self, who: usize) -> Result<(), &'static str> {
        let boundary = (self.now / DAY + 1) * DAY;
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
    pub(crate) fn tick(&mut self) -> Vec<ReviewId> {
        let mut published = Vec::new();
        for cohort in 0..COHORTS.len() {
            let both = boundaries(cohort);
            for (at, boundary) in both.into_iter().enumerate() {
                if self.admitted[cohort] && self.now >= boundary && !self.done[cohort][at] {
                    self.done[cohort][at] = true;
                    self.publish(cohort, both[0], boundary, &mut published);
                }
            }
            self.erased[cohort] |= self.admitted[cohort] && self.now >= both[1] + OPENING_WINDOW;
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

    pub(crate) fn publish(
        &mut self,
        cohort: usize,
        first: u64,
        boundary: u64,
        published: &mut Vec<ReviewId>,
    ) {
        for who in cohort * EACH..(cohort + 1) * EACH {
            let State::Held { words, publish_by } = self.states[who] else { continue };
            if publish_by.unwrap_or(first) != boundary {
                continue;
            }
            self.counts[merchant_of(who)][stars(words)] += 1;
            published.push(PEOPLE[who].1);
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
        let by = answer.as_ref().map(|receipt| receipt.publish_by().map(Timestamp::as_unix_seconds));
        assert_eq!(by.map_err(|error| *error), expected);
        let Ok(receipt) = answer else { return };
        receipt.verify(&KEYS.platform.public()).unwrap();
        assert_eq!((receipt.review_id(), *receipt.review_digest()), (PEOPLE[who].1, review(words).digest()));
        let first = self.receipts.entry((who, expected.unwrap())).or_insert_with(|| receipt.clone());
        assert_eq!(*first, receipt);
    }
}
