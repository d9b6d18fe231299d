//! Any history of two honest trustees, a corrupt one, and somebody who has all warrants and the
//! ledger, against a model that recounts everything from the raw entries.

#![no_main]
#![allow(dead_code, reason = "the world serves other tests too")]

extern crate unjoin;

use unjoin_trustee::test_util::world;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};
use unjoin::ledger::{DisclosedEntry, NoteKey, ShareReleasedEntry, WarrantAction, WarrantEntry};
use unjoin::opening::service::{OpeningAnswer, Trustee};
use unjoin::opening::warrant::{BudgetPolicy, Limit, PresentedWarrant};
use unjoin::store::MemoryStore;
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin::{Clock, DAY};
use world::{CONSUMERS, COURT, FRESHNESS, OPENINGS, World, budgets, officers, stolen_key};

/// Warrants with which reviews they name, by whom they are and as what they are logged.
const WARRANTS: [(&str, WarrantAction, WarrantAction, &[usize]); 6] = [
    (COURT, WarrantAction::Open, WarrantAction::Open, &[0]),
    (COURT, WarrantAction::Open, WarrantAction::Open, &[1, 2]),
    (CONSUMERS, WarrantAction::Open, WarrantAction::Open, &[0, 1, 2, 3]),
    (COURT, WarrantAction::SameAuthor, WarrantAction::SameAuthor, &[0, 1]),
    (CONSUMERS, WarrantAction::SameAuthor, WarrantAction::Open, &[2, 3]),
    (COURT, WarrantAction::Open, WarrantAction::SameAuthor, &[3]),
];
const HONEST: u16 = 2;
const CORRUPT: u16 = 3;
const REVIEWS: usize = 4;

#[derive(Arbitrary, Debug)]
enum Move {
    Ask {
        trustee: u8,
        warrant: u8,
        review: u8,
    },
    LogWarrant {
        warrant: u8,
        officer: u8,
    },
    /// An entry that was handed out.
    LogRelease(u8),
    /// The corrupt trustee's release of a review, whether the warrant names it or not; or one that claims to be
    /// an honest trustee's.
    Forge {
        warrant: u8,
        review: u8,
        as_honest: bool,
    },
    /// The committee of the trustees' key: nothing counts before it.
    LogCommittee,
    Disclose(u8),
    Publish,
    Pass(u8),
    Restart(u8),
}

struct Scene {
    world: World,
    presented: Vec<PresentedWarrant>,
    committee: Vec<u8>,
}

static SCENE: LazyLock<Mutex<Scene>> = LazyLock::new(|| {
    let world = World::new(2, CORRUPT, REVIEWS, budgets(1, 1, 1));
    let sign =
        |(blind, (requester, action, _, reviews)): (u8, &(&str, WarrantAction, WarrantAction, &[usize]))| {
            let signed = world.sign(world.terms_of(requester, *action, reviews));
            PresentedWarrant::with_blind(signed.warrant().clone(), [blind; 32])
        };
    let presented = (1..).zip(&WARRANTS).map(sign).collect();
    let committee = world.secrets(1).committee().unwrap().to_bytes();
    Mutex::new(Scene { world, presented, committee })
});

// An input that ends early is a shorter history.
fuzz_target!(|data: &[u8]| {
    let _ = history(&mut Unstructured::new(data));
});

fn history(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut scene = SCENE.lock().unwrap();
    let Scene { world, presented, committee } = &mut *scene;
    let mut limit = || {
        let mut number = || input.int_in_range(0..=4);
        Ok(Limit { all: number()?, own: number()?, requester: number()? })
    };
    let (opening, comparison) = (limit()?, limit()?);
    let cooling_off = if input.arbitrary()? { DAY } else { 0 };
    world.policy.budgets = BudgetPolicy { window: 7 * DAY, cooling_off, opening, comparison };
    world.begin_without_committee();
    let stores: Vec<_> = (0..HONEST).map(|_| Arc::new(MemoryStore::new())).collect();
    let mut trustees: Vec<Trustee<MemoryStore>> =
        (1..).zip(&stores).map(|(index, store)| world.trustee(index, store)).collect();
    let mut model = Model::new(world, presented, committee);
    let (mut handed_out, mut forged) = (Vec::new(), 0);
    if input.ratio(7, 8)? {
        log(world, &mut model, committee);
    }
    while !input.is_empty() {
        let entry = match Move::arbitrary(input)? {
            Move::Ask { trustee, warrant, review } => {
                let (at, review) = (usize::from(trustee) % trustees.len(), usize::from(review) % REVIEWS);
                let warrant = usize::from(warrant) % WARRANTS.len();
                let request = world.request(&presented[warrant], review);
                let expected = model.answer(world, at, warrant, review);
                let given = match trustees[at].answer(&request, &world.openings) {
                    Ok(OpeningAnswer::Append(entry)) => {
                        if !handed_out.contains(&entry) {
                            handed_out.push(entry.clone());
                        }
                        Expected::Append(entry)
                    }
                    Ok(OpeningAnswer::Wait { until }) => Expected::Wait(until.as_unix_seconds()),
                    Ok(OpeningAnswer::Released(share)) => {
                        let opened = world.recipient.open(&share, presented[warrant].terms());
                        assert_eq!(opened.unwrap().index(), at as u16 + 1);
                        Expected::Released
                    }
                    Ok(OpeningAnswer::Charged) => Expected::Charged,
                    Err(error) => Expected::Refused(error.code()),
                };
                assert_eq!(given, expected);
                continue;
            }
            Move::LogWarrant { warrant, officer } => {
                let warrant = usize::from(warrant) % WARRANTS.len();
                logged(&presented[warrant], warrant, usize::from(officer) % OFFICERS)
            }
            Move::LogRelease(which) => match handed_out.get(usize::from(which)) {
                Some(entry) => entry.clone(),
                None => continue,
            },
            Move::Forge { warrant, review, as_honest } => {
                forged += 1;
                let warrant = usize::from(warrant) % WARRANTS.len();
                let (commitment, tag) =
                    (presented[warrant].commitment(), model.tag(warrant, usize::from(review) % REVIEWS));
                let (key, index) = (stolen_key(CORRUPT), if as_honest { HONEST } else { CORRUPT });
                ShareReleasedEntry::sign(&key, OPENINGS, index, forged, commitment, tag).unwrap().to_bytes()
            }
            Move::LogCommittee => committee.clone(),
            Move::Disclose(which) => presented[usize::from(which) % WARRANTS.len()].disclosure().to_bytes(),
            Move::Publish => {
                world.publish();
                model.published = Some((model.entries.len(), world.clock.now().as_unix_seconds()));
                continue;
            }
            Move::Pass(hours) => {
                // A minute less than is fresh, or some hours.
                world.pass(if hours == 0 { FRESHNESS - 60 } else { u64::from(hours) * 3_600 });
                continue;
            }
            Move::Restart(which) => {
                let at = usize::from(which) % trustees.len();
                trustees[at] = world.trustee(at as u16 + 1, &stores[at]);
                continue;
            }
        };
        log(world, &mut model, &entry);
    }
    Ok(())
}

fn log(world: &World, model: &mut Model, entry: &[u8]) {
    world.openings.append(&[entry.to_vec()]).unwrap();
    if !model.entries.iter().any(|logged| logged == entry) {
        model.entries.push(entry.to_vec());
    }
}

/// Two of the requester's own, and one of the other requester's, whose signature counts for nothing.
const OFFICERS: usize = 3;

fn logged(presented: &PresentedWarrant, which: usize, officer: usize) -> Vec<u8> {
    let (requester, _, action, _) = WARRANTS[which];
    let other = if requester == COURT { CONSUMERS } else { COURT };
    let [first, second] = officers(requester);
    let [stranger, _] = officers(other);
    let signers = [first, second, stranger];
    let (commitment, name) = (presented.commitment(), requester.as_bytes().to_vec());
    let entry =
        WarrantEntry::sign(signers[officer].signer(), OPENINGS, commitment, name, action, presented.tags());
    entry.unwrap().to_bytes()
}

#[derive(Debug, PartialEq)]
enum Expected {
    Append(Vec<u8>),
    Wait(u64),
    Released,
    Charged,
    Refused(&'static str),
}

#[derive(Default)]
struct Honest {
    /// (size, time) of what it followed, times held.
    marks: Vec<(usize, u64)>,
    time: u64,
    /// (warrant, review): since, number, verdict.
    intents: BTreeMap<(usize, usize), (u64, u64, Option<bool>)>,
}

struct Model {
    budgets: BudgetPolicy,
    presented: Vec<PresentedWarrant>,
    reviews: Vec<ReviewId>,
    committee: Vec<u8>,
    entries: Vec<Vec<u8>>,
    published: Option<(usize, u64)>,
    honest: Vec<Honest>,
}

/// A release that counts: index, commitment, tag, trustee.
type Counted = (usize, [u8; 32], [u8; 32], u16);

impl Model {
    fn new(world: &World, presented: &[PresentedWarrant], committee: &[u8]) -> Self {
        Self {
            budgets: world.policy.budgets,
            presented: presented.to_vec(),
            reviews: (0..REVIEWS).map(|review| world.id(review)).collect(),
            committee: committee.to_vec(),
            entries: Vec::new(),
            published: None,
            honest: (0..HONEST).map(|_| Honest::default()).collect(),
        }
    }

    /// The first entry of this commitment that one of its requester's own officers signed.
    fn warrant(&self, size: usize, commitment: &[u8; 32]) -> Option<(usize, WarrantEntry)> {
        let warrants = self.entries[..size].iter().enumerate();
        let mut warrants =
            warrants.filter_map(|(index, entry)| Some((index, WarrantEntry::from_bytes(entry).ok()?)));
        warrants.find(|(_, entry)| {
            let own = officers(core::str::from_utf8(entry.requester()).unwrap());
            let signed = |officer: &NoteKey| entry.verify(officer.public().verifier(), OPENINGS).is_ok();
            entry.commitment() == commitment && own.iter().any(signed)
        })
    }

    fn is_active(&self, size: usize) -> bool {
        self.entries[..size].contains(&self.committee)
    }

    fn counted(&self, size: usize) -> Vec<Counted> {
        let mut counted: Vec<Counted> = Vec::new();
        for (index, entry) in self.entries[..size].iter().enumerate() {
            let Ok(release) = ShareReleasedEntry::from_bytes(entry) else { continue };
            let (commitment, tag, trustee) = (*release.commitment(), *release.tag(), release.trustee());
            let Some((_, warrant)) = self.warrant(index, &commitment) else { continue };
            let key = stolen_key(trustee).public();
            let is_its = release.verify(key.verifier(), OPENINGS).is_ok();
            let again = counted.iter().any(|(_, c, t, i)| (*c, *t, *i) == (commitment, tag, trustee));
            if self.is_active(index) && is_its && warrant.tags().contains(&tag) && !again {
                counted.push((index, commitment, tag, trustee));
            }
        }
        counted
    }

    fn time_of(&self, at: usize, index: usize) -> u64 {
        self.honest[at].marks.iter().find(|(size, _)| *size > index).unwrap().1
    }

    /// Whether there is room: with these entries, and with these expected ones.
    fn has_room(
        &self,
        at: usize,
        commitment: [u8; 32],
        since: u64,
        end: usize,
        expected: &[([u8; 32], [u8; 32], bool)],
    ) -> bool {
        let size = self.honest[at].marks.last().unwrap().0;
        let (_, of) = self.warrant(size, &commitment).unwrap();
        let counted = self.counted(size);
        let (mut all, mut own, mut asked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let own_index = at as u16 + 1;
        let recent = |index: usize| self.time_of(at, index) > since - self.budgets.window;
        let logged = counted.iter().filter(|(index, ..)| *index < end && recent(*index));
        let logged = logged.map(|(_, commitment, tag, trustee)| (*commitment, *tag, *trustee));
        let expected = expected.iter().filter(|(.., recent)| *recent);
        for (commitment, tag, trustee) in logged.chain(expected.map(|(c, t, _)| (*c, *t, own_index))) {
            let Some((_, warrant)) = self.warrant(size, &commitment) else { continue };
            if warrant.action() != of.action() {
                continue;
            }
            all.insert((commitment, tag));
            if trustee == own_index {
                own.insert((commitment, tag));
            }
            if warrant.requester() == of.requester() {
                asked.insert((commitment, tag));
            }
        }
        let limit = self.budgets.limit(of.action());
        let within = |counted: &BTreeSet<_>, limit: u32| counted.len() <= limit as usize;
        within(&all, limit.all) && within(&own, limit.own) && within(&asked, limit.requester)
    }

    fn answer(&mut self, world: &World, at: usize, number: usize, review: usize) -> Expected {
        let Some((size, time)) = self.published else { return Expected::Refused("trustee.unpublished") };
        if world.clock.now().as_unix_seconds() - time > FRESHNESS {
            return Expected::Refused("trustee.checkpoint");
        }
        let marks = &mut self.honest[at].marks;
        if marks.last().is_none_or(|(last, _)| *last < size) && size > 0 {
            let held = marks.last().map_or(time, |(_, last)| time.max(*last));
            marks.push((size, held));
        }
        self.honest[at].time = time;
        if time > self.presented[number].terms().not_after().as_unix_seconds() {
            return Expected::Refused("trustee.warrant");
        }
        let (_, action, _, reviews) = WARRANTS[number];
        if !reviews.contains(&review) {
            return Expected::Refused("trustee.not_named");
        }
        let commitment = self.presented[number].commitment();
        let Some((index, entry)) = self.warrant(size, &commitment) else {
            return Expected::Refused("trustee.not_logged");
        };
        if entry.action() != action && entry.action() != WarrantAction::Open {
            return Expected::Refused("trustee.entry_differs");
        }
        let until = self.time_of(at, index) + self.budgets.cooling_off;
        if time < until {
            return Expected::Wait(until);
        }
        let tag = self.tag(number, review);
        if !self.honest[at].intents.contains_key(&(number, review)) {
            if entry.action() == WarrantAction::SameAuthor
                && reviews.iter().any(|one| self.is_opened(at, *one, size))
            {
                return Expected::Refused("trustee.charge_as_opening");
            }
            // What is under way: not in the ledger and not judged.
            let mut expected = vec![(commitment, tag, true)];
            for ((other, of), (since, sequence, verdict)) in &self.honest[at].intents {
                let logged = self.entries[..size].contains(&self.entry(at, *other, *of, *sequence));
                if !logged && verdict.is_none() {
                    let recent = *since > time - self.budgets.window;
                    expected.push((self.presented[*other].commitment(), self.tag(*other, *of), recent));
                }
            }
            if !self.is_active(size) || !self.has_room(at, commitment, time, usize::MAX, &expected) {
                return Expected::Refused("trustee.budget");
            }
            let next = self.honest[at].intents.len() as u64 + 1;
            self.honest[at].intents.insert((number, review), (time, next, None));
        }
        let (since, sequence, verdict) = self.honest[at].intents[&(number, review)];
        let release = self.entry(at, number, review, sequence);
        let stands = self
            .counted(size)
            .iter()
            .find(|(_, c, t, i)| (*c, *t, usize::from(*i)) == (commitment, tag, at + 1))
            .map(|(index, ..)| *index);
        let verdict = match (verdict, stands) {
            (Some(verdict), _) => verdict,
            (None, Some(index)) => self.has_room(at, commitment, since, index + 1, &[]),
            (None, None) => return Expected::Append(release),
        };
        self.honest[at].intents.insert((number, review), (since, sequence, Some(verdict)));
        match (verdict, action) {
            (false, _) => Expected::Refused("trustee.void"),
            (true, WarrantAction::Open) => Expected::Released,
            (true, WarrantAction::SameAuthor) => Expected::Charged,
        }
    }

    /// By an intent of its own, or under a warrant that is disclosed.
    fn is_opened(&self, at: usize, review: usize, size: usize) -> bool {
        let own = self.honest[at].intents.keys();
        let here =
            own.clone().any(|(number, of)| *of == review && WARRANTS[*number].2 == WarrantAction::Open);
        let counted = self.counted(size);
        let told = self.entries[..size].iter().filter_map(|entry| DisclosedEntry::from_bytes(entry).ok());
        let told = told.filter(|disclosed| {
            let warrant = self.warrant(size, &disclosed.commitment());
            warrant.is_some_and(|(_, warrant)| warrant.action() == WarrantAction::Open)
        });
        let told = told.map(|disclosed| (disclosed.commitment(), disclosed.tag_of(&self.reviews[review])));
        let told: Vec<_> = told.collect();
        here || counted.iter().any(|(_, commitment, tag, _)| told.contains(&(*commitment, *tag)))
    }

    fn tag(&self, number: usize, review: usize) -> [u8; 32] {
        self.presented[number].tag(&self.reviews[review])
    }

    /// The entry that a trustee with this key signs.
    fn entry(&self, at: usize, number: usize, review: usize, sequence: u64) -> Vec<u8> {
        let (index, tag) = (at as u16 + 1, self.tag(number, review));
        let commitment = self.presented[number].commitment();
        let key = stolen_key(index);
        ShareReleasedEntry::sign(&key, OPENINGS, index, sequence, commitment, tag).unwrap().to_bytes()
    }
}
