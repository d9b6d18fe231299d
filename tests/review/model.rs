//! Any sequence of what can happen to a desk, against a plain model of what should.

use crate::world::{Author, World, day, manifest, merchant, review, scope};
use proptest::prelude::*;
use std::sync::LazyLock;
use unjoin::review::{ActionReceipt, DeskError};
use unjoin::store::MemoryStore;
use unjoin::token::{AuthorProof, Review};
use unjoin::{DAY, Grid, Timestamp};
use unjoin_wallet::{AuthorRequest, ReviewState};

const COHORTS: [(&str, u64, u64, u64); 3] = [("a", 1, 3, 6), ("a", 2, 4, 9), ("b", 3, 2, 4)];
const EACH: usize = 3;

static AUTHORS: LazyLock<Vec<Author>> = LazyLock::new(|| {
    let of = |(name, cohort, _, _): (&'static str, u64, u64, u64)| {
        (0..EACH).map(move |_| Author::new(&scope(name, cohort)))
    };
    COHORTS.into_iter().flat_map(of).collect()
});

/// Three different reviews.
fn words(number: usize) -> Review {
    review([1, 3, 5][number], ["bad", "so so", "great"][number])
}

#[derive(Clone, Debug)]
enum Event {
    Submit { who: usize, words: usize },
    Admit { cohort: usize },
    Edit { who: usize, words: usize },
    Withdraw { who: usize },
    RepeatAction { who: usize },
    Claim { who: usize },
    Remove { who: usize },
    Tick,
    Pass { hours: u64 },
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let who = || 0..EACH * COHORTS.len();
    let event = prop_oneof![
        6 => (who(), 0..3usize).prop_map(|(who, words)| Event::Submit { who, words }),
        2 => (0..COHORTS.len()).prop_map(|cohort| Event::Admit { cohort }),
        4 => (who(), 0..3usize).prop_map(|(who, words)| Event::Edit { who, words }),
        2 => who().prop_map(|who| Event::Withdraw { who }),
        2 => who().prop_map(|who| Event::RepeatAction { who }),
        1 => who().prop_map(|who| Event::Claim { who }),
        1 => who().prop_map(|who| Event::Remove { who }),
        4 => Just(Event::Tick),
        5 => (1..40u64).prop_map(|hours| Event::Pass { hours }),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..120)
}

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

struct Model {
    now: Timestamp,
    admitted: [bool; COHORTS.len()],
    /// Which boundaries have been published.
    done: [[bool; 2]; COHORTS.len()],
    erased: [bool; COHORTS.len()],
    states: Vec<State>,
    counts: [[u64; 5]; 2],
    actions: Vec<Option<(AuthorProof, Option<Review>, ActionReceipt)>>,
}

fn boundaries(cohort: usize) -> [Timestamp; 2] {
    let (_, _, first, end) = COHORTS[cohort];
    [day(first), day(end)]
}

fn merchant_of(who: usize) -> usize {
    usize::from(COHORTS[who / EACH].0 == "b")
}

fn stars(number: usize) -> usize {
    usize::from(words(number).stars()) - 1
}

impl Model {
    fn new(now: Timestamp) -> Self {
        let people = AUTHORS.len();
        Self {
            now,
            admitted: Default::default(),
            done: Default::default(),
            erased: Default::default(),
            states: vec![State::Fresh; people],
            counts: Default::default(),
            actions: (0..people).map(|_| None).collect(),
        }
    }

    /// The boundary in the receipt, or the refusal's code.
    fn submit(&mut self, who: usize, words: usize) -> Result<Option<Timestamp>, &'static str> {
        let known = |own: usize, publish_by| if own == words { Ok(publish_by) } else { Err("desk.spent") };
        match &self.states[who] {
            State::Held { words: own, publish_by } => known(*own, *publish_by),
            State::TakenBack => Err("desk.withdrawn"),
            State::Settled(settled) if settled.standing == Standing::Withdrawn => Err("desk.withdrawn"),
            State::Settled(settled) => known(settled.submitted, Some(settled.published_at)),
            State::Fresh => {
                let cohort = who / EACH;
                let publish_by = match self.admitted[cohort] {
                    false => None,
                    true => Some(
                        boundaries(cohort)
                            .into_iter()
                            .find(|end| self.now < *end)
                            .ok_or("desk.window_over")?,
                    ),
                };
                self.states[who] = State::Held { words, publish_by };
                Ok(publish_by)
            }
        }
    }

    /// Why an author's action is refused, if it is.
    fn refuses_author(&self, who: usize, held: bool, removed: bool) -> Option<&'static str> {
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
    fn stands(&self, who: usize) -> ReviewState {
        let (last_sequence, number) = match &self.states[who] {
            State::Fresh | State::TakenBack => (0, 0),
            State::Held { words, .. } => (0, *words),
            State::Settled(settled) => (settled.sequence, settled.in_force.unwrap_or(settled.listed)),
        };
        ReviewState { last_sequence, digest_in_force: words(number).digest() }
    }

    fn remove(&mut self, who: usize) -> Result<(), &'static str> {
        let boundary = Grid::Daily.next_after(self.now);
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

    fn tick(&mut self) {
        for cohort in 0..COHORTS.len() {
            let both = boundaries(cohort);
            for (at, boundary) in both.into_iter().enumerate() {
                if self.admitted[cohort] && self.now >= boundary && !self.done[cohort][at] {
                    self.done[cohort][at] = true;
                    self.publish(cohort, both[0], boundary);
                }
            }
            let erased_at = both[1].saturating_add(crate::world::OPENING_WINDOW_DAYS * DAY);
            self.erased[cohort] |= self.admitted[cohort] && self.now >= erased_at;
        }
        for who in 0..self.states.len() {
            let (counts, erased) = (&mut self.counts[merchant_of(who)], self.erased[who / EACH]);
            let State::Settled(settled) = &mut self.states[who] else { continue };
            settled.has_escrow &= !erased;
            let Some((_, change)) = settled.waiting.take_if(|(boundary, _)| *boundary <= self.now) else {
                continue;
            };
            counts[stars(settled.listed)] -= 1;
            match change {
                Change::Uncount => {}
                Change::Withdraw => settled.standing = Standing::Withdrawn,
                Change::Edit(number) => {
                    counts[stars(number)] += 1;
                    (settled.listed, settled.edited) = (number, true);
                }
            }
        }
    }

    fn publish(&mut self, cohort: usize, first: Timestamp, boundary: Timestamp) {
        for who in cohort * EACH..(cohort + 1) * EACH {
            let State::Held { words, publish_by } = self.states[who] else { continue };
            if publish_by.unwrap_or(first) == boundary {
                self.counts[merchant_of(who)][stars(words)] += 1;
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
    }
}

fn code<T>(answer: Result<T, DeskError>) -> Result<T, &'static str> {
    answer.map_err(|error| error.code())
}

/// An edit or a withdrawal, in the desk and in the model.
fn act(world: &World<MemoryStore>, model: &mut Model, who: usize, edited: Option<usize>) {
    let (author, before) = (&AUTHORS[who], model.stands(who));
    let new = edited.map(words);
    let request = new.as_ref().map_or(AuthorRequest::Withdraw, AuthorRequest::Edit);
    let proof = author.proof(before, request);
    let answer = code(world.desk.act(author.scope(), &proof, new.clone()));
    if let Some(refused) = model.refuses_author(who, edited.is_none(), false) {
        assert_eq!(answer, Err(refused));
        return;
    }
    let answer = answer.unwrap();
    assert_eq!((answer.review_id, answer.sequence), (author.id(), before.last_sequence + 1));
    match &mut model.states[who] {
        State::Settled(settled) => {
            let boundary = answer.takes_effect_at.unwrap();
            let next = [1, 2, 3].map(|count| Grid::Daily.nth_after(model.now, count));
            assert!(next.contains(&boundary));
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
    model.actions[who] = Some((proof, new, answer));
}

fn happen(world: &mut World<MemoryStore>, model: &mut Model, event: &Event) {
    match *event {
        Event::Submit { who, words: number } => {
            let answer = code(world.submit(AUTHORS[who].submission(&words(number))));
            let expected = model.submit(who, number);
            assert_eq!(answer.as_ref().map(|receipt| receipt.publish_by()), expected.as_ref().map(|by| *by));
            if let Ok(receipt) = answer {
                assert_eq!(
                    (receipt.review_id(), receipt.review_digest()),
                    (AUTHORS[who].id(), &words(number).digest())
                );
            }
        }
        Event::Admit { cohort } => {
            let (name, number, first, end) = COHORTS[cohort];
            world.desk.admit(&manifest(&scope(name, number), first, end)).unwrap();
            model.admitted[cohort] = true;
        }
        Event::Edit { who, words } => act(world, model, who, Some(words)),
        Event::Withdraw { who } => act(world, model, who, None),
        Event::RepeatAction { who } => {
            if let Some((proof, edited, answer)) = &model.actions[who] {
                let again = world.desk.act(AUTHORS[who].scope(), proof, edited.clone()).unwrap();
                assert_eq!(again, *answer);
            }
        }
        Event::Claim { who } => {
            let (audience, challenge) = (merchant("press"), [4; 32]);
            let request = AuthorRequest::Claim { audience: &audience, challenge: &challenge };
            let proof = AUTHORS[who].proof(model.stands(who), request);
            let answer = code(world.desk.verify_claim(AUTHORS[who].scope(), &proof, &audience, &challenge));
            assert_eq!(answer, model.refuses_author(who, true, true).map_or(Ok(()), Err));
        }
        Event::Remove { who } => {
            let answer = code(world.desk.remove(AUTHORS[who].scope(), &AUTHORS[who].id(), "staff 3", "spam"));
            assert_eq!(answer, model.remove(who));
        }
        Event::Tick => {
            let report = world.desk.tick().unwrap();
            assert!(report.failed.is_empty());
            model.tick();
        }
        Event::Pass { hours } => {
            model.now = model.now.saturating_add(hours * 3600);
            world.clock.set(model.now);
        }
        Event::Restart => world.restart(),
    }
}

/// Everything that can be read is what the model says.
fn compare(world: &World<MemoryStore>, model: &Model) {
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        let shown: Vec<_> = world
            .listing(name)
            .into_iter()
            .map(|r| (r.review_id, r.review, r.published_at, r.edited))
            .collect();
        let published = model.states.iter().enumerate().filter_map(|(who, state)| match state {
            State::Settled(s) if s.standing == Standing::Published && merchant_of(who) == number => {
                Some((AUTHORS[who].id(), words(s.listed), s.published_at, s.edited))
            }
            _ => None,
        });
        let mut expected: Vec<_> = published.collect();
        expected.sort_by_key(|(id, ..)| *id);
        assert_eq!(shown, expected);
        assert_eq!(world.counts(name), model.counts[number]);
    }
    for (author, state) in AUTHORS.iter().zip(&model.states) {
        let evidence = world.desk.evidence(author.scope(), &author.id()).unwrap();
        let expected = match state {
            State::Settled(settled) if settled.has_escrow => Some(words(settled.submitted).digest()),
            _ => None,
        };
        assert_eq!(evidence.map(|evidence| evidence.review_digest), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_desk_does_what_the_model_says(events in events()) {
        let mut world = World::in_memory();
        let mut model = Model::new(day(0).saturating_add(1));
        for event in &events {
            happen(&mut world, &mut model, event);
            compare(&world, &model);
        }
    }
}
