//! Any sequence of what can happen to a desk, against a plain model of what should.

#[path = "desk_model.rs"]
mod desk_model;

use crate::world::{Author, OPENING_WINDOW_DAYS, World, day, keys, manifest, merchant, review, scope};
use desk_model::{Model, code};
use proptest::prelude::*;
use std::sync::LazyLock;
use unjoin::DAY;
use unjoin::store::MemoryStore;
use unjoin::token::{PlatformPublicKey, Review, ReviewId, Scope};
use unjoin_wallet::AuthorRequest;

const COHORTS: [(&str, u64, u64, u64); 3] = [("a", 1, 3, 6), ("a", 2, 4, 9), ("b", 3, 2, 4)];
const EACH: usize = 3;
const OPENING_WINDOW: u64 = OPENING_WINDOW_DAYS * DAY;

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
        1 => who().prop_map(|who| Event::Remove { who }),
        4 => Just(Event::Tick),
        5 => (1..40u64).prop_map(|hours| Event::Pass { hours }),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..120)
}

fn id(who: usize) -> ReviewId {
    AUTHORS[who].id()
}

fn scope_of(who: usize) -> &'static Scope {
    AUTHORS[who].scope()
}

fn platform() -> PlatformPublicKey {
    keys().platform.public()
}

/// An edit or a withdrawal, in the desk and in the model.
fn act(world: &World<MemoryStore>, model: &mut Model, who: usize, edited: Option<usize>) {
    let new = edited.map(words);
    let request = new.as_ref().map_or(AuthorRequest::Withdraw, AuthorRequest::Edit);
    let action = AUTHORS[who].action(&model.stands(who), request);
    let answer = world.act(&AUTHORS[who], &action, new.as_ref());
    model.acted(who, edited, action, answer);
}

fn happen(world: &mut World<MemoryStore>, model: &mut Model, event: &Event) {
    match *event {
        Event::Submit { who, words: number } => {
            let answer = world.submit(AUTHORS[who].submission(&words(number)));
            model.answered(who, number, true, answer);
        }
        Event::Admit { cohort } => {
            let (name, number, first, end) = COHORTS[cohort];
            world.desk.admit(&manifest(&scope(name, number), first, end)).unwrap();
            model.admitted[cohort] = true;
        }
        Event::Edit { who, words } => act(world, model, who, Some(words)),
        Event::Withdraw { who } => act(world, model, who, None),
        Event::RepeatAction { who } => model.repeat(&world.desk, who),
        Event::Remove { who } => {
            let answer = code(world.remove(AUTHORS[who].scope(), &AUTHORS[who].id(), "spam"));
            assert_eq!(answer, model.remove(who));
        }
        Event::Tick => model.ticked(world.desk.tick().unwrap()),
        Event::Pass { hours } => {
            model.now = model.now.saturating_add(hours * 3600);
            world.clock.set(model.now);
        }
        Event::Restart => world.restart(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_desk_does_what_the_model_says(events in events()) {
        let mut world = World::in_memory();
        let mut model = Model::new();
        for event in &events {
            happen(&mut world, &mut model, event);
            model.compare(&world.desk);
        }
    }
}
