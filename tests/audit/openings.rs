//! What an audit of the openings ledger names: what was not told, and what a trustee signed against the
//! rules; and nobody for what they did not sign.

use crate::court::{OPENINGS, World, at, officers};
use crate::program::run;
use crate::world::audit_of;
use std::fs;
use unjoin::audit::{History, OpeningFinding, audit_openings};
use unjoin::ledger::{BindingEntry, BlindEntry, KeyName, LogView, ShareReleasedEntry, WarrantAction, export};
use unjoin::opening::ReviewEvidence;
use unjoin::opening::service::TrusteePolicy;
use unjoin::opening::warrant::{BudgetPolicy, Excess, Limit, PresentedWarrant};
use unjoin::secret::SystemRng;
use unjoin::token::TrusteeKey;
use unjoin::wire::Message;
use unjoin::{Clock, DAY};
use unjoin_test_util::Directory;
use unjoin_trustee::ceremony::CeremonyPlan;

const EMBARGO: u64 = 1_000;
const WINDOW: u64 = 500;

fn budgets() -> BudgetPolicy {
    let limit = Limit { all: 1, own: 1, requester: 1 };
    BudgetPolicy { window: WINDOW, cooling_off: 0, opening: limit, comparison: limit }
}

impl World {
    fn policy(&self) -> TrusteePolicy {
        TrusteePolicy {
            issuers: self.issuers.clone(),
            warrants: self.requesters.clone(),
            budgets: budgets(),
            reviews: self.reviews.policy.clone(),
            openings: self.openings.policy.clone(),
        }
    }

    /// Appends and publishes; the checkpoint.
    fn publish_openings(&self, entries: &[Vec<u8>]) -> Vec<u8> {
        self.openings.log.append(entries).unwrap();
        assert!(self.openings.log.publish(std::slice::from_ref(&self.witness)).unwrap().published);
        self.openings.log.checkpoint().unwrap().unwrap()
    }

    fn findings(&self, older: Option<&[u8]>) -> Vec<OpeningFinding> {
        let now = self.clock.now();
        let history = History::read(&self.openings.log, &self.openings.policy, older, now).unwrap();
        audit_openings(&history, &self.trustees, &self.policy(), EMBARGO)
    }

    /// Somebody's published review, and a warrant that opens it.
    fn asked(&self, text: &str) -> (ReviewEvidence, PresentedWarrant) {
        let review = self.publish(&self.author(text));
        let presented = self.warrant(WarrantAction::Open, &[&review]);
        (review, presented)
    }

    fn entry(&self, presented: &PresentedWarrant) -> Vec<u8> {
        presented.entry(&origin(), &officers()[0]).unwrap().to_bytes()
    }

    fn released(&self, trustee: u16, sequence: u64, of: &(ReviewEvidence, PresentedWarrant)) -> Vec<u8> {
        release(self.secrets[usize::from(trustee) - 1].identity(), trustee, sequence, of)
    }
}

fn origin() -> KeyName {
    KeyName::new(OPENINGS).unwrap()
}

fn release(
    key: &TrusteeKey,
    trustee: u16,
    sequence: u64,
    of: &(ReviewEvidence, PresentedWarrant),
) -> Vec<u8> {
    let (review, presented) = of;
    let tag = presented.tag(&review.presentation.review_id());
    ShareReleasedEntry::sign(key, OPENINGS, trustee, sequence, presented.commitment(), tag)
        .unwrap()
        .to_bytes()
}

#[test]
fn a_disclosure_is_overdue_when_the_embargo_has_passed_between_two_checkpoints() {
    let (directory, world) = (Directory::new(), World::new());
    let file = |name: &str| directory.file(name).to_str().unwrap().to_owned();
    let [one, two, three] = ["one", "two", "three"].map(|text| world.asked(text));
    let older = world.publish_openings(&[world.entry(&one.1), world.entry(&two.1)]);
    world.clock.set(at(EMBARGO - 1));
    world.publish_openings(&[world.entry(&three.1), one.1.disclosure().to_bytes()]);
    assert_eq!(world.findings(Some(&older)), []);

    world.clock.set(at(EMBARGO));
    world.publish_openings(&[]);
    // Behind the committee and the first warrant.
    let overdue = OpeningFinding::Overdue { commitment: two.1.commitment(), index: 2 };
    assert_eq!(world.findings(Some(&older)), [overdue]);
    assert_eq!(world.findings(None), [], "without an older checkpoint nobody knows how long it stands");

    fs::write(file("older"), &older).unwrap();
    let limits = "all 1 own 1 requester 1";
    let budgets = format!(
        "window {WINDOW}\ncooling-off 0\nfreshness 60\nbudget open {limits}\nbudget same-author {limits}\n"
    );
    fs::write(file("trust"), crate::court::trust(&world) + &budgets).unwrap();
    export(&world.openings.log, &directory.file("ledger")).unwrap();
    let findings = run(&audit_of(&directory.file(""), at(EMBARGO), &["--embargo", "1000"]));
    let findings = findings.unwrap().findings;
    assert!(matches!(&findings[..], [line] if line.starts_with("overdue ")), "{findings:?}");

    world.publish_openings(&[two.1.disclosure().to_bytes()]);
    assert_eq!(world.findings(Some(&older)), []);
}

#[test]
fn a_release_for_no_warrant_names_its_trustee_and_one_that_nobody_signed_names_nobody() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|text| world.asked(text));
    let stranger = TrusteeKey::generate(&mut SystemRng::new());
    let mut forged = world.released(2, 1, &two);
    let end = forged.len() - 64;
    forged[end..].fill(0);
    world.publish_openings(&[
        world.entry(&one.1),
        world.released(3, 1, &one),
        world.released(3, 2, &two),
        release(&stranger, 1, 1, &two),
        forged,
        world.entry(&two.1),
    ]);
    assert_eq!(
        world.findings(None),
        [
            OpeningFinding::WithoutWarrant { index: 3, trustee: 3 },
            OpeningFinding::Unsigned { index: 4 },
            OpeningFinding::Unsigned { index: 5 },
        ]
    );
}

#[test]
fn a_number_or_a_place_that_a_trustee_used_twice_is_named() {
    let world = World::new();
    let one = world.asked("one");
    let comparison =
        world.warrant(WarrantAction::SameAuthor, &[&one.0, &world.publish(&world.author("two"))]);
    let key = world.secrets[0].identity();
    let blind = |number: u8| {
        BlindEntry::sign(key, OPENINGS, comparison.commitment(), 1, 1, [number; 32]).unwrap().to_bytes()
    };
    let of_comparison = (one.0.clone(), comparison.clone());
    world.publish_openings(&[
        world.entry(&one.1),
        world.entry(&comparison),
        world.released(1, 1, &one),
        world.released(1, 1, &of_comparison),
        blind(1),
        blind(2),
    ]);
    let repeated = |index| OpeningFinding::Repeated { index, trustee: 1 };
    assert_eq!(world.findings(None), [repeated(4), repeated(6)]);
}

#[test]
fn a_release_that_no_rule_allows_is_void_by_its_rule() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|text| world.asked(text));
    let unlisted = (two.0.clone(), one.1.clone());
    let older = world.publish_openings(&[
        world.entry(&one.1),
        world.entry(&two.1),
        world.released(1, 1, &unlisted),
        world.released(1, 2, &one),
    ]);
    let void = |index, trustee, excess| OpeningFinding::Void { index, trustee, excess };
    let listed = void(3, 1, Excess::Unlisted);
    assert_eq!(world.findings(None), std::slice::from_ref(&listed));

    // Another trustee answers for the same review, which is one review; then for another one.
    world.clock.set(at(WINDOW));
    world.publish_openings(&[world.released(2, 1, &one), world.released(3, 1, &two)]);
    let exceeded = void(6, 3, Excess::Requester(1));
    assert_eq!(world.findings(Some(&older)), [listed.clone(), exceeded]);
    assert_eq!(world.findings(None), std::slice::from_ref(&listed), "nobody knows what lay in one window");
    world.clock.set(at(WINDOW + 1));
    world.publish_openings(&[]);
    assert_eq!(world.findings(Some(&older)), [listed], "the first may have left the window");
}

#[test]
fn a_trustee_who_left_the_committee_releases_nothing() {
    let mut world = World::new();
    let one = world.asked("one");
    let (committee, rng) = (world.committees[0].committee(), &mut SystemRng::new());
    let plan = CeremonyPlan::refresh(committee, world.trustees.clone(), vec![1, 2], rng).unwrap();
    world.run(plan, |_| {});
    world.publish_openings(&[world.entry(&one.1), world.released(3, 1, &one), world.released(2, 1, &one)]);
    let left = OpeningFinding::Void { index: 3, trustee: 3, excess: Excess::Committee };
    assert_eq!(world.findings(None), [left]);

    // A committee that follows none is no committee.
    let stranger = World::new();
    world.publish_openings(&[stranger.committees[0].to_bytes()]);
    assert!(world.findings(None).contains(&OpeningFinding::Unsigned { index: 5 }));
}

#[test]
fn a_wallet_key_that_is_bound_to_two_accounts_is_named() {
    let world = World::new();
    let wallet_key = world.author("one").wallet_key();
    let bound = |account: &str, blind: u8| {
        BindingEntry::new(&crate::court::name(account), &wallet_key, &[blind; 32]).to_bytes()
    };
    world.publish_openings(&[bound("ann", 1), bound("bob", 2)]);
    assert_eq!(world.findings(None), [OpeningFinding::SecondBinding { index: 2 }]);
}

#[test]
fn an_honest_ledger_has_no_finding() {
    let mut world = World::new();
    let author = world.author("one");
    world.binding(&author, "ann");
    let older = world.publish_openings(&[]);
    world.open(&author);
    world.refresh();
    world.clock.set(at(DAY));
    world.publish_openings(&[]);
    assert_eq!(world.findings(None), []);
    assert!(
        matches!(world.findings(Some(&older))[..], []),
        "a warrant that came after the older checkpoint is not overdue yet"
    );
}
