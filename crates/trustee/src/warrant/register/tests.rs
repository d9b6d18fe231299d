//! The register against a plain model that recounts from the raw entries, and the bound itself
//! against trustees who are asked in any order and corrupt ones who log what they like.

use super::super::budget::Limit;
use super::*;
use crate::warrant::{Requester, WarrantPolicy};
use crate::{Committee, committee, insecure_test_dealer};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use unjoin_core::Name;
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::{CommitteeStatement, TrusteeKey};
use unjoin_log::NoteKey;

const TRUSTEES: u16 = 4;
const WARRANTS: u8 = 4;
const ORIGIN: &str = "openings";

fn key(index: u16) -> TrusteeKey {
    TrusteeKey::from_secret_bytes(SecretBytes::new([index as u8; 32]))
}

fn trust() -> RegisterTrust {
    let requester = |name: u8| Requester {
        name: Name::new([name]).unwrap(),
        keys: vec![officer(name).public().clone()],
        needed: 1,
        actions: vec![WarrantAction::Open],
        grounds: vec![1],
    };
    RegisterTrust {
        trustees: Trustees::new((1..=TRUSTEES).map(|index| key(index).public()).collect()).unwrap(),
        requesters: WarrantPolicy::new(vec![requester(b'a'), requester(b'b')]).unwrap(),
        origin: KeyName::new(ORIGIN).unwrap(),
    }
}

fn officer(requester: u8) -> NoteKey {
    let name = KeyName::new(format!("officer/{requester}")).unwrap();
    NoteKey::from_secret_bytes(name, &SecretBytes::new([requester; 32]))
}

/// The committee of an epoch, with these signers.
fn committee_of(epoch: u32, signers: &[u16]) -> Vec<u8> {
    static FIRST: LazyLock<Committee> =
        LazyLock::new(|| insecure_test_dealer(2, TRUSTEES, &mut SystemRng::new()).unwrap().0);
    let shares = FIRST.verification_shares().to_vec();
    let committee = Committee::new(2, epoch, *FIRST.key(), shares).unwrap();
    let statement = committee::statement(&committee, [7; 32]);
    let sign = |index: &u16| (*index, key(*index).sign(CommitteeStatement::LABEL, &statement.signed_bytes()));
    let signatures = signers.iter().map(sign).collect();
    SignedCommittee::new(committee, [7; 32], signatures).to_bytes()
}

/// A ledger that begins with everybody's committee.
fn register() -> OpeningsRegister {
    let mut register = OpeningsRegister::new(trust());
    register.extend(&[committee_of(1, &[1, 2, 3, 4])]);
    register
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

/// The warrant of this number: two requesters, both actions, 1 to 4 reviews with the tags 0 to 3.
fn warrant(number: u8) -> WarrantEntry {
    let action = if number % 3 == 2 { WarrantAction::SameAuthor } else { WarrantAction::Open };
    let (requester, tags) = (b'a' + number % 2, (0..=number % 4).map(|tag| [tag; 32]).collect());
    let signer = officer(requester);
    WarrantEntry::sign(signer.signer(), ORIGIN, [number; 32], vec![requester], action, tags).unwrap()
}

fn release(trustee: u16, sequence: u64, warrant: u8, tag: u8) -> Vec<u8> {
    let (key, commitment, tag) = (key(trustee), [warrant; 32], [tag; 32]);
    ShareReleasedEntry::sign(&key, ORIGIN, trustee, sequence, commitment, tag).unwrap().to_bytes()
}

fn budgets(all: u32, own: u32, requester: u32) -> BudgetPolicy {
    let limit = Limit { all, own, requester };
    BudgetPolicy { window: 100, cooling_off: 0, opening: limit, comparison: limit }
}

#[derive(Clone, Debug)]
enum Entry {
    Warrant(u8),
    Release {
        trustee: u16,
        sequence: u64,
        warrant: u8,
        tag: u8,
    },
    /// As a release, and its signature is another trustee's.
    Forged {
        trustee: u16,
        warrant: u8,
        tag: u8,
    },
    /// A refresh that this one and the first trustee sign, to an epoch that follows or does not.
    Committee {
        epoch: u32,
        signer: u16,
    },
    Junk(Vec<u8>),
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Warrant(number) => warrant(*number).to_bytes(),
            Self::Release { trustee, sequence, warrant, tag } => release(*trustee, *sequence, *warrant, *tag),
            Self::Forged { trustee, warrant, tag } => {
                let signer = key(trustee % TRUSTEES + 1);
                let (commitment, tag) = ([*warrant; 32], [*tag; 32]);
                ShareReleasedEntry::sign(&signer, ORIGIN, *trustee, 1, commitment, tag).unwrap().to_bytes()
            }
            Self::Committee { epoch, signer } => committee_of(*epoch, &[1, *signer]),
            Self::Junk(bytes) => bytes.clone(),
        }
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    let number = 0..WARRANTS;
    prop_oneof![
        2 => number.clone().prop_map(Entry::Warrant),
        6 => (1..=TRUSTEES, 1u64..3, number.clone(), 0u8..6).prop_map(|(trustee, sequence, warrant, tag)| {
            Entry::Release { trustee, sequence, warrant, tag }
        }),
        1 => (1..=TRUSTEES, number, 0u8..6).prop_map(|(trustee, warrant, tag)| {
            Entry::Forged { trustee, warrant, tag }
        }),
        1 => (2u32..4, 2..=TRUSTEES).prop_map(|(epoch, signer)| Entry::Committee { epoch, signer }),
        1 => prop_oneof![
            prop::collection::vec(any::<u8>(), 0..5),
            prop::collection::vec(any::<u8>(), 138).prop_map(|body| [&[1, 26], body.as_slice()].concat()),
        ].prop_map(Entry::Junk),
    ]
}

/// Entries, each with how long it takes until the next mark.
fn history() -> impl Strategy<Value = Vec<(Entry, Option<u64>)>> {
    prop::collection::vec((entry(), prop::option::of(0u64..60)), 1..40)
}

/// All of it, again and again from the raw entries.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    marks: Vec<(u64, u64)>,
}

type Counted = (u64, u8, u8, u16);

impl Model {
    /// (index, warrant, tag, trustee) of what counts.
    fn counted(&self) -> Vec<Counted> {
        let mut counted: Vec<Counted> = Vec::new();
        let (mut epoch, mut signers) = (1, vec![1, 2, 3, 4]);
        // The first entry is the first committee.
        for (index, entry) in (1u64..).zip(&self.entries) {
            if let Entry::Committee { epoch: next, signer } = entry {
                if *next == epoch + 1 {
                    (epoch, signers) = (*next, vec![1, *signer]);
                }
                continue;
            }
            let Entry::Release { trustee, warrant: number, tag, .. } = *entry else { continue };
            let before = &self.entries[..index as usize - 1];
            let logged =
                before.iter().any(|entry| matches!(entry, Entry::Warrant(other) if *other == number));
            let again = counted.iter().any(|(_, w, t, i)| (*w, *t, *i) == (number, tag, trustee));
            if logged && tag <= number % 4 && signers.contains(&trustee) && !again {
                counted.push((index, number, tag, trustee));
            }
        }
        counted
    }

    fn time_of(&self, index: u64) -> Option<u64> {
        let mut held = 0;
        for (size, time) in &self.marks {
            held = held.max(*time);
            if *size > index {
                return Some(held);
            }
        }
        None
    }

    /// Every budget that a claim exceeds, with its own entry or without.
    fn excesses(
        &self,
        budgets: &BudgetPolicy,
        number: u8,
        tag: u8,
        trustee: u16,
        since: u64,
        up_to: u64,
    ) -> Vec<Excess> {
        let (counted, of) = (self.counted(), warrant(number));
        let mut excesses = Vec::new();
        if tag > number % 4 {
            excesses.push(Excess::Unlisted);
        }
        let recent = |index: u64| {
            let after = |time: u64| since < budgets.window || time > since - budgets.window;
            self.time_of(index).is_none_or(after)
        };
        let relevant =
            |w: u8, index: u64| warrant(w).action() == of.action() && index <= up_to && recent(index);
        let different = |keep: &dyn Fn(&Counted) -> bool| {
            let found = counted.iter().filter(|(index, w, _, _)| relevant(*w, *index)).filter(|c| keep(c));
            let mut tags: BTreeSet<(u8, u8)> = found.map(|(_, w, tag, _)| (*w, *tag)).collect();
            tags.insert((number, tag));
            tags.len() as u32
        };
        let limit = budgets.limit(of.action());
        if different(&|_| true) > limit.all {
            excesses.push(Excess::All(limit.all));
        }
        if different(&|(_, _, _, i)| *i == trustee) > limit.own {
            excesses.push(Excess::Own(limit.own));
        }
        if different(&|(_, w, _, _)| warrant(*w).requester() == of.requester()) > limit.requester {
            excesses.push(Excess::Requester(limit.requester));
        }
        excesses
    }
}

fn agrees(verdict: Result<(), Excess>, excesses: &[Excess]) -> bool {
    verdict.map_or_else(|excess| excesses.contains(&excess), |()| excesses.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_verdict_is_what_recounting_the_raw_entries_gives(
        history in history(), cut: prop::sample::Index, all in 0u32..5, own in 0u32..4, requester in 0u32..4,
        ages in prop::collection::vec(0u64..300, 8),
    ) {
        let (mut model, mut now) = (Model::default(), 1_000);
        let mut register = register();
        for (entry, passes) in history {
            register.extend(&[entry.bytes()]);
            model.entries.push(entry);
            if let Some(seconds) = passes {
                // Clocks differ: times go back a little now and then.
                now = now + seconds - 5;
                model.marks.push((register.size(), now));
                register.mark(register.size(), at(now));
            }
        }
        // In how many calls entries come changes nothing.
        let bytes: Vec<Vec<u8>> = model.entries.iter().map(Entry::bytes).collect();
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        let mut again = OpeningsRegister::new(trust());
        again.extend(&[committee_of(1, &[1, 2, 3, 4])]);
        again.extend(first);
        again.extend(second);
        prop_assert_eq!((again.size(), again.root()), (register.size(), register.root()));
        for index in 0..register.size() {
            prop_assert_eq!(register.logged_by(index).map(Timestamp::as_unix_seconds), model.time_of(index));
        }
        let (budgets, counted) = (budgets(all, own, requester), model.counted());
        for (at_claim, since) in (0u8..).zip(ages.iter().map(|age| now.saturating_sub(*age))) {
            for number in 0..WARRANTS {
                let trustee = u16::from(at_claim) % TRUSTEES + 1;
                let tag = at_claim % 6;
                let claim = Claim { trustee, commitment: [number; 32], tag: [tag; 32], since: at(since) };
                let logged = model.entries.iter().any(|entry| matches!(entry, Entry::Warrant(w) if *w == number));
                let forecast = register.forecast(&budgets, &claim, &[]);
                if forecast == Err(Excess::Committee) {
                    prop_assert!(!register.is_active(trustee));
                } else if !logged {
                    prop_assert_eq!(forecast, Err(Excess::Unlisted));
                    continue;
                } else {
                    let excesses = model.excesses(&budgets, number, tag, trustee, since, u64::MAX);
                    prop_assert!(agrees(forecast, &excesses), "{:?} {:?}", forecast, excesses);
                }
                let found = counted.iter().find(|(_, w, t, i)| (*w, *t, *i) == (number, tag, trustee));
                let index = found.map(|(index, ..)| *index);
                prop_assert_eq!(register.warrant(&[number; 32]).and_then(|warrant| warrant.release(&[tag; 32], trustee)), index);
                if let Some(index) = index {
                    let verdict = register.judge(&budgets, &claim, index);
                    let excesses = model.excesses(&budgets, number, tag, trustee, since, index);
                    prop_assert!(agrees(verdict, &excesses), "{:?} {:?}", verdict, excesses);
                    prop_assert_eq!(again.size(), register.size());
                }
            }
        }
    }
}

/// What happens to the trustees.
#[derive(Clone, Debug)]
enum Move {
    /// Time goes by.
    Pass(u64),
    /// An honest trustee sees the published checkpoint.
    Follow(u16),
    /// It decides about a review, and hands its entry over.
    Decide {
        trustee: u16,
        warrant: u8,
        tag: u8,
    },
    /// One of the entries that were handed over is logged, however old it is.
    Append(prop::sample::Index),
    /// Corrupt trustees log what they like.
    Forge {
        warrant: u8,
        tag: u8,
    },
    Log(u8),
    Publish,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => (1u64..80).prop_map(Move::Pass),
        3 => (1..TRUSTEES).prop_map(Move::Follow),
        6 => (1..TRUSTEES, 0..WARRANTS, 0u8..6).prop_map(|(trustee, warrant, tag)| {
            Move::Decide { trustee, warrant, tag }
        }),
        5 => any::<prop::sample::Index>().prop_map(Move::Append),
        1 => (0..WARRANTS, 0u8..8).prop_map(|(warrant, tag)| Move::Forge { warrant, tag }),
        1 => (0..WARRANTS).prop_map(Move::Log),
        3 => Just(Move::Publish),
    ];
    prop::collection::vec(one, 20..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Trustees 1 to 3 are honest, with registers and marks of their own; trustee 4 is not. An
    /// entry's true time is that of the first checkpoint that covers it.
    #[test]
    fn no_window_sees_more_reviews_released_than_the_budget(
        moves in moves(), all in 1u32..4, own in 1u32..3, requester in 1u32..3,
    ) {
        let budgets = budgets(all, own, requester);
        let warrants = (0..WARRANTS).map(|number| warrant(number).to_bytes());
        let mut ledger: Vec<Vec<u8>> = [committee_of(1, &[1, 2, 3, 4])].into_iter().chain(warrants).collect();
        let (mut now, mut published, mut true_times) = (1_000u64, (0, 1_000), Vec::<u64>::new());
        let mut registers: Vec<_> = (1..TRUSTEES).map(|_| (OpeningsRegister::new(trust()), 0)).collect();
        let mut claims: Vec<(Claim, Vec<u8>)> = Vec::new();
        for next in moves.into_iter().chain([Move::Publish]) {
            match next {
                Move::Pass(seconds) => now += seconds,
                Move::Publish => {
                    true_times.resize(ledger.len(), now);
                    published = (ledger.len(), now);
                }
                Move::Follow(trustee) => {
                    let (register, seen) = &mut registers[usize::from(trustee) - 1];
                    register.extend(&ledger[register.size() as usize..published.0]);
                    register.mark(published.0 as u64, at(published.1));
                    *seen = published.1;
                }
                // Without the forecast: what is void must be found void by the ledger alone.
                Move::Decide { trustee, warrant, tag } => {
                    let since = at(registers[usize::from(trustee) - 1].1);
                    let claim = Claim { trustee, commitment: [warrant; 32], tag: [tag; 32], since };
                    let same = |(other, _): &(Claim, Vec<u8>)| {
                        (other.trustee, other.commitment, other.tag) == (trustee, claim.commitment, claim.tag)
                    };
                    if since > Timestamp::ZERO && !claims.iter().any(same) {
                        let sequence = claims.len() as u64 + 1;
                        claims.push((claim, release(trustee, sequence, warrant, tag)));
                    }
                }
                Move::Append(which) if !claims.is_empty() => {
                    let entry = which.get(&claims).1.clone();
                    if !ledger.contains(&entry) {
                        ledger.push(entry);
                    }
                }
                Move::Append(_) => {}
                Move::Forge { warrant, tag } => {
                    ledger.push(release(TRUSTEES, ledger.len() as u64 + 1, warrant, tag));
                }
                Move::Log(number) => ledger.push(warrant(number).to_bytes()),
            }
        }
        // Everything is judged in the end: when is of no importance.
        let mut released: Vec<(WarrantAction, u64, u16, (Id, Id))> = Vec::new();
        for (trustee, (mut register, _)) in (1..).zip(registers) {
            register.extend(&ledger[register.size() as usize..]);
            register.mark(ledger.len() as u64, at(now));
            for (claim, _) in claims.iter().filter(|(claim, _)| claim.trustee == trustee) {
                let Some(warrant) = register.warrant(&claim.commitment) else { continue };
                let Some(index) = warrant.release(&claim.tag, trustee) else { continue };
                if register.judge(&budgets, claim, index).is_ok() {
                    let action = register.warrant(&claim.commitment).unwrap().entry().action();
                    let time = true_times[index as usize];
                    released.push((action, time, trustee, (claim.commitment, claim.tag)));
                }
            }
        }
        let different = |found: &mut dyn Iterator<Item = &(WarrantAction, u64, u16, (Id, Id))>| {
            found.map(|(_, _, _, review)| *review).collect::<BTreeSet<_>>().len()
        };
        for (action, from, trustee, review) in &released {
            let in_window = |(other, time, _, _): &&(WarrantAction, u64, u16, (Id, Id))| {
                other == action && (*from..from + budgets.window).contains(time)
            };
            let all_of = different(&mut released.iter().filter(in_window));
            prop_assert!(all_of <= all as usize, "{} reviews", all_of);
            let of_trustee = |(_, _, other, _): &&(_, _, u16, _)| other == trustee;
            let own_of = different(&mut released.iter().filter(in_window).filter(of_trustee));
            prop_assert!(own_of <= own as usize, "{} reviews by one trustee", own_of);
            let requester_of = |commitment: &Id| warrant(commitment[0]).requester().to_vec();
            let same = |(_, _, _, other): &&(_, _, _, (Id, Id))| requester_of(&other.0) == requester_of(&review.0);
            let asked = different(&mut released.iter().filter(in_window).filter(same));
            prop_assert!(asked <= requester as usize, "{} reviews for one requester", asked);
            let of_warrant = released.iter().filter(|(_, _, _, other)| other.0 == review.0);
            let of_warrant: BTreeSet<_> = of_warrant.map(|(_, _, _, other)| other.1).collect();
            prop_assert!(of_warrant.len() <= warrant(review.0[0]).tags().len());
        }
    }
}

#[test]
fn claims_that_are_under_way_are_counted_by_a_forecast() {
    let mut register = register();
    register.extend(&[warrant(0).to_bytes(), warrant(1).to_bytes(), warrant(3).to_bytes()]);
    register.mark(4, at(1_000));
    let claim = |commitment: u8, tag: u8, since: u64| Claim {
        trustee: 1,
        commitment: [commitment; 32],
        tag: [tag; 32],
        since: at(since),
    };
    let forecast =
        |budgets: BudgetPolicy, one: Claim, pending: &[Claim]| register.forecast(&budgets, &one, pending);
    let (one, two) = (claim(1, 1, 1_000), claim(3, 2, 1_000));
    assert_eq!(forecast(budgets(2, 2, 2), one, &[two]), Ok(()));
    assert_eq!(forecast(budgets(1, 2, 2), one, &[two]), Err(Excess::All(1)));
    assert_eq!(forecast(budgets(2, 1, 2), one, &[two]), Err(Excess::Own(1)));
    assert_eq!(forecast(budgets(2, 2, 1), one, &[two]), Err(Excess::Requester(1)));
    // One of before the window is judged by its own entry, should that ever come.
    assert_eq!(forecast(budgets(1, 1, 1), one, &[claim(3, 2, 900)]), Ok(()));
    // The same review is one; one that a warrant does not list is none.
    assert_eq!(forecast(budgets(1, 1, 1), one, &[one]), Ok(()));
    assert_eq!(forecast(budgets(1, 1, 1), one, &[claim(0, 2, 1_000)]), Ok(()));
    assert_eq!(forecast(budgets(9, 9, 9), claim(0, 2, 1_000), &[]), Err(Excess::Unlisted));
}

#[test]
fn a_disclosed_warrant_that_opened_a_review_makes_it_known() {
    let (digest, blind, review) = ([1; 32], [2; 32], [3; 32]);
    let disclosed = DisclosedEntry { warrant_digest: digest, blind };
    let (tag, commitment) = (disclosed.tag_of(&ReviewId(review)), disclosed.commitment());
    let (signer, action) = (officer(b'a'), WarrantAction::Open);
    let logged = WarrantEntry::sign(signer.signer(), ORIGIN, commitment, vec![b'a'], action, vec![tag]);
    let entry = ShareReleasedEntry::sign(&key(1), ORIGIN, 1, 1, commitment, tag).unwrap();
    let mut register = register();
    register.extend(&[logged.unwrap().to_bytes(), entry.to_bytes()]);
    assert!(!register.is_known_opened(&ReviewId(review)));
    register.extend(&[disclosed.to_bytes()]);
    assert!(register.is_known_opened(&ReviewId(review)));
    assert!(!register.is_known_opened(&ReviewId([4; 32])));
}

#[test]
fn a_release_of_who_did_not_sign_the_newest_committee_is_void_for_good() {
    let mut register = register();
    let refresh = |epoch, signers: &[u16]| committee_of(epoch, signers);
    register.extend(&[warrant(3).to_bytes(), release(4, 1, 3, 0), refresh(2, &[1, 2]), release(4, 2, 3, 1)]);
    // A committee that does not follow is none.
    register.extend(&[refresh(2, &[3, 4]), refresh(4, &[3, 4])]);
    let logged = register.warrant(&[3; 32]).unwrap();
    assert_eq!((logged.release(&[0; 32], 4), logged.release(&[1; 32], 4)), (Some(2), None));
    assert!(logged.is_void(&[1; 32], 4) && !logged.is_void(&[0; 32], 4));
    assert!(!register.is_active(4) && register.is_active(2));
    let claim = Claim { trustee: 4, commitment: [3; 32], tag: [2; 32], since: at(1) };
    assert_eq!(register.forecast(&budgets(9, 9, 9), &claim, &[]), Err(Excess::Committee));
    register.extend(&[refresh(3, &[3, 4]), release(4, 3, 3, 2)]);
    let logged = register.warrant(&[3; 32]).unwrap();
    assert!(logged.is_void(&[1; 32], 4) && logged.release(&[2; 32], 4).is_some());
    let newest = |index| {
        let committees = register.committees.values().next().unwrap();
        let key = committees[0].1.committee().key().id();
        register.committee_before(key, index).map(|signed| signed.committee().epoch())
    };
    assert_eq!([0, 1, 3, 4, 7, 8].map(newest), [None, Some(1), Some(1), Some(2), Some(2), Some(3)]);
}

#[test]
fn a_round_and_what_binds_its_members_are_the_first_that_whoever_may_has_signed() {
    let round = |requester, origin: &str, round, members: &[u16]| {
        let members = Members::new(members.iter().copied()).unwrap();
        RoundEntry::sign(officer(requester).signer(), origin, [0; 32], round, members).unwrap().to_bytes()
    };
    let blind = |signer, trustee, blind| {
        BlindEntry::sign(&key(signer), ORIGIN, [0; 32], 1, trustee, [blind; 32]).unwrap().to_bytes()
    };
    let compared = |signer, trustee, id| {
        ComparedEntry::sign(&key(signer), ORIGIN, [0; 32], 1, trustee, [id; 32]).unwrap().to_bytes()
    };
    let mut register = register();
    // Neither a round before its warrant nor a blind before its round counts.
    register.extend(&[round(b'a', ORIGIN, 1, &[1, 2]), warrant(0).to_bytes(), blind(1, 1, 9)]);
    // Nor a round by another requester, or for another ledger.
    register.extend(&[round(b'b', ORIGIN, 1, &[1, 2]), round(b'a', "other", 1, &[1, 2])]);
    assert!(register.round(&[0; 32], 1).is_none());
    register.extend(&[round(b'a', ORIGIN, 1, &[2, 3]), round(b'a', ORIGIN, 1, &[1, 2])]);
    // Nor what somebody else signed in a member's name.
    register.extend(&[blind(3, 2, 7), blind(2, 2, 1), blind(2, 2, 2), blind(1, 1, 3)]);
    // Nor a round id before all members are bound.
    register.extend(&[compared(2, 2, 5)]);
    let logged = register.round(&[0; 32], 1).unwrap();
    assert_eq!((Some(logged.members()), logged.index()), (Members::new([2, 3]), 6));
    assert_eq!([2, 1, 3].map(|trustee| logged.commitment_of(trustee)), [Some([1; 32]), None, None]);
    assert_eq!((logged.missing(), logged.round_id_of(2)), (vec![3], None));
    register.extend(&[
        blind(3, 3, 4),
        compared(3, 2, 5),
        compared(2, 2, 6),
        compared(2, 2, 8),
        compared(1, 1, 6),
    ]);
    let logged = register.round(&[0; 32], 1).unwrap();
    assert_eq!([2, 1, 3].map(|trustee| logged.round_id_of(trustee)), [Some([6; 32]), None, None]);
}

#[test]
fn a_large_group_of_entries_is_read_as_one_by_one() {
    let entries: Vec<Vec<u8>> = [warrant(0).to_bytes(), warrant(1).to_bytes()]
        .into_iter()
        .chain(
            (0..2 * SHARE as u64)
                .map(|at| release(1 + (at % 4) as u16, at + 1, (at % 2) as u8, (at % 7) as u8)),
        )
        .collect();
    let (mut whole, mut single) = (register(), register());
    let at_once = whole.extend(&entries);
    let one_by_one: Vec<_> =
        entries.iter().flat_map(|entry| single.extend(std::slice::from_ref(entry))).collect();
    assert_eq!(at_once, one_by_one);
    let tags = |register: &OpeningsRegister| {
        register.warrants.values().map(|warrant| warrant.tags.len()).sum::<usize>()
    };
    assert_eq!((whole.root(), tags(&whole)), (single.root(), tags(&single)));
}

proptest! {
    #[test]
    fn a_checkpoint_that_is_shown_late_tells_what_it_would_have_told_in_time(
        steps in proptest::collection::vec((1u64..4, 0u64..50, any::<bool>()), 1..12),
    ) {
        // Sizes and times rise, as an honest quorum's do.
        let (mut size, mut time) = (0, 1);
        let mut in_time = register();
        let mut late = register();
        let mut missed = Vec::new();
        for (more, later, seen) in steps {
            (size, time) = (size + more, time + later);
            in_time.mark(size, at(time));
            match seen {
                true => late.mark(size, at(time)),
                false => missed.push((size, at(time))),
            }
        }
        let said = |register: &OpeningsRegister| (0..size).map(|index| register.logged_by(index)).collect::<Vec<_>>();
        for (size, time) in missed.into_iter().rev() {
            // A later time for the same checkpoint says nothing new, before or after.
            late.mark_earlier(size, time.saturating_add(9));
            late.mark_earlier(size, time);
            late.mark_earlier(size, time.saturating_add(9));
        }
        prop_assert_eq!(said(&late), said(&in_time));
    }
}
