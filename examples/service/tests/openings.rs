//! An opening and a comparison from the evidence to the disclosure, by what requesters and trustees reach: HTTP.

use super::court::{Case, EMBARGO, Shown, name};
use super::log;
use crate::demo::court::{CASE, COOLING_OFF, COURT, officers};
use crate::hex::hex;
use std::sync::atomic::Ordering;
use unjoin::Clock;
use unjoin::audit::OpeningFinding;
use unjoin::issuer::BoundAccount;
use unjoin::ledger::{BindingEntry, DisclosedEntry, LogView, WarrantAction, entry_id};
use unjoin::opening::same_author::{Comparison, ComparisonPanel, RoundAnswer};
use unjoin::opening::service::{OpeningAnswer, OpeningRequest};
use unjoin::opening::{AccountBinding, Opening, OpeningTrust, ReleasedShare};
use unjoin::secret::SystemRng;
use unjoin::wire::Message;

/// So many entries of others', for a ledger of more than one tile.
const OTHERS: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_court_opens_one_review_over_http_and_everybody_can_check_it() {
    let case = Case::open().await;
    let world = &case.world;
    let texts = ["They will regret this.", "They were most kind."];
    let (authors, evidence) = case.published(["opened-account", "unopened-account"], texts).await;
    for number in 0..OTHERS {
        let warrant_digest = entry_id(&number.to_be_bytes());
        case.log(&DisclosedEntry { warrant_digest, blind: [1; 32] }.to_bytes()).await;
    }
    case.tick(60);

    // A warrant counts once everybody can see that it is there, and has had its time.
    let warrants =
        [0, 1].map(|review| case.warrant(WarrantAction::Open, std::slice::from_ref(&evidence[review])));
    let asked = |warrant: usize, review: usize| OpeningRequest {
        presented: warrants[warrant].clone(),
        review: evidence[review].clone(),
    };
    let request = asked(0, 0);
    assert_eq!(case.refusal(&request), "trustee.not_logged");
    let entry = case.entry(&warrants[0]);
    let place = case.log(&entry).await;
    assert_eq!(case.refusal(&request), "trustee.not_logged", "no checkpoint covers it");
    case.witness.is_busy.store(true, Ordering::SeqCst);
    case.tick(60);
    assert_eq!(case.refusal(&request), "trustee.not_logged", "no witness has cosigned one");
    case.witness.is_busy.store(false, Ordering::SeqCst);
    case.tick(60);
    let spoilt = Shown { is_spoilt: true, ..case.shown() };
    assert_eq!(case.court.trustees[0].answer(&request, &spoilt).unwrap_err().code(), "trustee.view");
    let until = world.clock.now().saturating_add(COOLING_OFF);
    for trustee in 0..3 {
        assert_eq!(case.answer(trustee, &request), OpeningAnswer::Wait { until });
    }
    assert_eq!(case.refusal(&asked(0, 1)), "trustee.not_named");
    case.log(&case.entry(&warrants[1])).await;
    case.tick(60);
    let older = case.shown().checkpoint().unwrap().unwrap();
    case.tick(COOLING_OFF);

    // Two trustees announce that they answer, and do so when everybody can see that.
    let announced = [0, 2].map(|trustee| match case.answer(trustee, &request) {
        OpeningAnswer::Append(entry) => entry,
        other => panic!("{other:?}"),
    });
    for entry in &announced {
        assert!(case.log(entry).await > place);
    }
    assert_eq!(case.answer(0, &request), OpeningAnswer::Append(announced[0].clone()));
    case.tick(60);
    let shares = [0, 2].map(|trustee| match case.answer(trustee, &request) {
        OpeningAnswer::Released(sealed) => case.court.recipient.open(&sealed, warrants[0].terms()).unwrap(),
        other => panic!("{other:?}"),
    });
    // It is one opening, and as many as there may be in this window.
    for trustee in &case.court.trustees {
        let status = trustee.status(Some(&name(COURT)), &case.shown()).unwrap();
        let own = u32::from(trustee.index() != 2);
        let used = status.openings;
        assert_eq!((used.all, used.own, used.requester, status.pending), (1, own, 1, 0));
        // Since when the other warrant is there.
        trustee.mark_checkpoint(&older).unwrap();
    }
    assert_eq!(case.refusal(&asked(1, 1)), "trustee.budget");
    assert_eq!(case.refusal(&asked(1, 0)), "trustee.not_named");

    // The court puts it together, and whoever gets it sees whose review it is.
    let rng = &mut SystemRng::new();
    let trust = OpeningTrust {
        issuers: &case.court.policy.issuers,
        trustees: &case.court.keys,
        requesters: &case.court.policy.warrants,
        reviews: &case.court.policy.reviews,
        openings: &case.court.policy.openings,
    };
    let released = shares.into_iter().zip(&announced);
    let released = released.map(|(share, entry)| ReleasedShare { share, release: case.logged(entry) });
    let (warrant, review) = (warrants[0].clone(), evidence[0].clone());
    let (logged, committees) = (case.logged(&entry), vec![case.court.committee.clone()]);
    let opening =
        Opening::combine(warrant, logged, review, committees, released.collect(), &trust, rng).unwrap();
    let found = opening.verify(&trust, rng).unwrap().wallet_key;
    let [opened, unopened] = &authors;
    assert_eq!(found, opened.wallet.wallet_key(&world.pins.issuer).unwrap());
    let BoundAccount { account, blind } =
        world.service.platform.issuer().account_of(&found).unwrap().unwrap();
    let bound = BindingEntry::new(&account, &found, &blind).to_bytes();
    let opening = opening.with_binding(AccountBinding { account, blind, entry: case.logged(&bound) });
    let opening = Opening::from_bytes(&opening.to_bytes()).unwrap();
    assert_eq!(opening.verify(&trust, rng).unwrap().account, Some(name(&opened.account)));

    // The embargo ends with both warrants' disclosure, or everybody is told which is missing.
    case.tick(EMBARGO);
    let overdue = |found: &OpeningFinding| matches!(found, OpeningFinding::Overdue { .. });
    let found = case.findings(&older);
    assert!(found.len() == 2 && found.iter().all(overdue), "{found:?}");
    for warrant in &warrants {
        case.log(&warrant.disclosure().to_bytes()).await;
    }
    case.tick(60);
    assert_eq!(case.findings(&older), []);

    // Nothing of it is in the service's metrics or log.
    let mut names = texts.map(str::to_owned).to_vec();
    names.extend([COURT, CASE].map(str::to_owned));
    for (device, review, warrant) in
        [(opened, &evidence[0], &warrants[0]), (unopened, &evidence[1], &warrants[1])]
    {
        let id = review.presentation.review_id();
        names.push(device.account.clone());
        names.push(hex(device.wallet.wallet_key(&world.pins.issuer).unwrap().as_bytes()));
        names.extend([hex(id.as_bytes()), hex(&review.to_bytes()), hex(warrant.blind())]);
        names.extend([hex(&warrant.commitment()), hex(&warrant.tag(&id)), hex(&case.entry(warrant))]);
    }
    names.extend(announced.iter().map(|entry| hex(entry)));
    let (page, log) = (world.metrics().await, log());
    assert!(log.contains("tick"), "nothing was logged");
    for name in &names {
        assert!(!page.contains(name), "the metrics hold {name}");
        assert!(!log.contains(name), "the log holds {name}");
    }
    case.world.end().await;
}

/// What is answered, and answered again.
fn twice<T: PartialEq + std::fmt::Debug>(ask: impl Fn() -> T) -> T {
    let answer = ask();
    assert_eq!(ask(), answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn trustees_compare_two_reviews_over_http_and_name_nobody() {
    let case = Case::open().await;
    let (_, evidence) =
        case.published(["compared-one", "compared-two"], ["One of two.", "Two of two."]).await;
    let warrant = case.warrant(WarrantAction::SameAuthor, &evidence);
    case.log(&case.entry(&warrant)).await;
    case.tick(60);
    let older = case.shown().checkpoint().unwrap().unwrap();
    let asked = evidence.clone().map(|review| OpeningRequest { presented: warrant.clone(), review });
    // The first and the third of three.
    let members = [0, 2];
    let until = case.world.clock.now().saturating_add(COOLING_OFF);
    for member in members {
        assert_eq!(case.answer(member, &asked[0]), OpeningAnswer::Wait { until });
    }
    case.tick(COOLING_OFF);
    for (member, request) in members.iter().flat_map(|member| asked.iter().map(move |asked| (*member, asked)))
    {
        let OpeningAnswer::Append(entry) = case.answer(member, request) else {
            panic!("it is charged first")
        };
        case.log(&entry).await;
    }
    case.tick(60);
    for (member, request) in members.iter().flat_map(|member| asked.iter().map(move |asked| (*member, asked)))
    {
        assert_eq!(case.answer(member, request), OpeningAnswer::Charged);
    }

    let (committee, origin) =
        (case.court.committee.committee().clone(), case.court.policy.openings.log().name().clone());
    let panel = ComparisonPanel { committee, trustees: case.court.keys.clone(), origin };
    let comparison = Comparison::new(warrant.clone(), evidence.to_vec(), panel, [1, 3]);
    let (mut comparison, rng) = (comparison.unwrap(), &mut SystemRng::new());
    let round = comparison.next_round().unwrap();
    let ask_blind = |member: usize| case.court.trustees[member].blind(&round.request, &case.shown());
    assert_eq!(ask_blind(0).unwrap_err().code(), "trustee.round_early");
    case.log(&comparison.entry(&round, &officers().unwrap()[0]).unwrap().to_bytes()).await;
    assert_eq!(ask_blind(0).unwrap_err().code(), "trustee.round_early", "no checkpoint covers it");
    case.tick(60);
    let entry_of = |answer| match answer {
        RoundAnswer::Append(entry) => entry,
        other => panic!("{other:?}"),
    };
    let entries = members.map(|member| entry_of(twice(|| ask_blind(member).unwrap())));
    case.log(&entries[0]).await;
    case.tick(60);
    assert_eq!(twice(|| ask_blind(0).unwrap()), RoundAnswer::Awaiting(vec![3]));
    case.log(&entries[1]).await;
    case.tick(60);
    let of_members = [1, 3];
    let _ = comparison.take_entries(&of_members.into_iter().zip(entries).collect::<Vec<_>>()).unwrap();
    let blinds = members.map(|member| match twice(|| ask_blind(member).unwrap()) {
        RoundAnswer::Reveal(blind) => blind,
        other => panic!("{other:?}"),
    });
    let blinds = of_members.into_iter().zip(blinds).collect::<Vec<_>>();
    let blinds = comparison.take_blinds(&blinds, rng).unwrap();
    let compare =
        |member: usize| case.court.trustees[member].compare(&round.request, &blinds, &case.shown()).unwrap();
    for member in members {
        case.log(&entry_of(twice(|| compare(member)))).await;
    }
    case.tick(60);
    let shares = members.map(|member| match (compare(member), compare(member)) {
        (RoundAnswer::Released(_), RoundAnswer::Released(again)) => again,
        other => panic!("{other:?}"),
    });
    let shares = of_members.into_iter().zip(shares).collect::<Vec<_>>();
    let classes = comparison.take_shares(&shares, &case.court.recipient, rng).unwrap();
    let mut alone: Vec<_> = evidence.iter().map(|review| vec![review.presentation.review_id()]).collect();
    alone.sort();
    assert_eq!((classes.authors, classes.nobody), (alone, Vec::new()));

    // Both reviews are charged as compared, once, and nothing as opened.
    let status = case.court.trustees[1].status(Some(&name(COURT)), &case.shown()).unwrap();
    assert_eq!((status.openings.all, status.comparisons.all, status.comparisons.requester), (0, 2, 2));
    case.log(&warrant.disclosure().to_bytes()).await;
    case.tick(EMBARGO);
    assert_eq!(case.findings(&older), []);
    case.world.end().await;
}
