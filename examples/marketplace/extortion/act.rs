//! The act itself: complaint, same-author test, opening, refusal, a bribed employee, audits.
//!
//! The simulation knows who wrote what. Whatever comes out otherwise than it is ends the run
//! with an error: a report of this act is a check of it, too.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    time::Instant,
};

use unjoin::{
    Clock, DAY, Environment, ManualClock, Name, Platform, Timestamp,
    audit::{History, OpeningFinding, audit_openings},
    ledger::{BindingEntry, LogView, ShareReleasedEntry, WarrantAction},
    opening::{
        AccountBinding, Opening, ReviewEvidence,
        same_author::AuthorClasses,
        service::{OpeningRequest, TrusteeError},
        warrant::{Excess, PresentedWarrant},
    },
    review::PublishedReview,
    secret::SystemRng,
    store::Store,
    token::{IssuerPublicKey, Receipt, ReviewId, StaffPublicKey},
    wire::Message,
};

use super::{
    COMPLAINER, COMPLAINTS, Cast, RING, SHOPS, TakenBack,
    court::{ASKED, BUDGETS, Court, OFFICE, Result, Session},
    insider,
};
use crate::calendar::format_moment;

/// Warrants are disclosed so long after they were logged at the latest.
const EMBARGO: u64 = 60 * DAY;
/// So many reviews are read at a time.
const PAGE: usize = 512;

/// Where the act is played: the platform after the replay.
pub(crate) struct Scene<'a, S: Store> {
    pub(crate) platform: &'a Platform<S>,
    pub(crate) issuer: IssuerPublicKey,
    pub(crate) clock: &'a ManualClock,
    pub(crate) environment: &'a Environment,
    pub(crate) cast: &'a Cast,
    /// Which order wrote a review: the simulation alone knows.
    pub(crate) author_of: &'a HashMap<ReviewId, usize>,
    /// What devices have from the desk, as far as the story needs it.
    pub(crate) receipts: &'a HashMap<ReviewId, Receipt>,
    /// The review that its author withdrew while it was held.
    pub(crate) taken_back: Option<&'a TakenBack>,
    /// The key of one of the platform's staff.
    pub(crate) colleague: StaffPublicKey,
}

/// Plays the act and tells it in words; `None` if the set has no story.
pub(crate) fn play<S: Store>(scene: &Scene<'_, S>, court: Court) -> Result<Option<String>> {
    if scene.cast.shops.is_empty() {
        return Ok(None);
    }
    let started = Instant::now();
    let session = Session::open(court, scene.platform, scene.issuer, scene.clock, scene.environment)?;
    session.pass(0)?;
    let shown = scene.shown()?;
    let mut act = Act { scene, session, shown, text: String::new() };
    writeln!(act.text, "An extortion ring, and a customer who had bad luck\n")?;
    let (ring, classes) = act.compare_the_ring()?;
    let opened = act.open_one(&classes)?;
    let (lone, group) = act.compare_the_complainer()?;
    let refused = act.refuse_the_second(&group)?;
    act.tell_of_the_gang()?;
    act.bribe_and_audit()?;
    act.end_the_embargo(&[&ring, &opened, &lone], &refused)?;
    act.who_learnt_what(&ring, &lone)?;
    writeln!(act.text, "\nThese steps took {:.1} s.", started.elapsed().as_secs_f64())?;
    Ok(Some(act.text))
}

struct Act<'a, S: Store> {
    scene: &'a Scene<'a, S>,
    session: Session<'a, S>,
    /// Every review that the platform shows.
    shown: Vec<PublishedReview>,
    text: String,
}

impl<S: Store> Act<'_, S> {
    /// The blackmailed shops complain, and a warrant asks which reviews have one author.
    fn compare_the_ring(&mut self) -> Result<(PresentedWarrant, AuthorClasses)> {
        let shops = &self.scene.cast.shops;
        let (by_ring, reviews) = self.complaint(shops, &RING)?;
        writeln!(
            self.text,
            "1. {}: {SHOPS} shops were blackmailed over bad reviews, and complain of {}. {by_ring} of them are by three\n   \
             wallets of one ring, {} by honest customers; nobody can tell which.",
            self.day(),
            reviews.len(),
            reviews.len() - by_ring,
        )?;
        let warrant = self.session.warrant("2018-17", WarrantAction::SameAuthor, &reviews)?;
        let until = self.session.cool_off(&warrant, first(&reviews)?)?;
        writeln!(
            self.text,
            "2. Two of the three officers of the {OFFICE} sign a warrant: which of these have one author? A commitment\n   \
             to it is logged. Asked at once, the trustees wait for the cooling-off, until {}.",
            format_moment(until.as_unix_seconds() as i64),
        )?;
        let (classes, seconds) = self.compared(&warrant, &reviews)?;
        writeln!(
            self.text,
            "3. Trustees {} of 5 charge {} reviews and compare them in one round ({seconds:.1} s). Outcome:\n   \
             {}. Nobody is named.",
            asked(),
            reviews.len(),
            sizes(&classes),
        )?;
        Ok((warrant, classes))
    }

    /// A second warrant opens one review of the largest group.
    fn open_one(&mut self, classes: &AuthorClasses) -> Result<PresentedWarrant> {
        let largest = classes.authors.iter().max_by_key(|class| class.len()).ok_or("no groups")?;
        let review = self.evidence(first(largest)?)?.ok_or("the escrow was erased")?;
        let warrant =
            self.session.warrant("2018-17/1", WarrantAction::Open, std::slice::from_ref(&review))?;
        self.session.cool_off(&warrant, &review)?;
        let shares = self.session.charge(&warrant, std::slice::from_ref(&review))?;
        let opening = self.with_account(self.session.combine(&warrant, &review, &shares)?)?;
        // What anybody does who gets the bytes.
        let bytes = opening.to_bytes();
        let author = Opening::from_bytes(&bytes)?.verify(&self.session.trust(), &mut SystemRng::new())?;
        let account = author.account.ok_or("the opening has no account")?;
        if self.author(first(largest)?)?.as_bytes() != account.as_bytes() {
            return Err("an opening names somebody else than the author".into());
        }
        writeln!(
            self.text,
            "4. {}: a second warrant, to open one review of the largest group. {} shares make an opening of {} bytes\n   \
             that anybody can verify offline: the author is the account `{}`.",
            self.day(),
            shares.len(),
            bytes.len(),
            String::from_utf8_lossy(account.as_bytes()),
        )?;
        Ok(warrant)
    }

    /// The directory says whose the wallet is, and the ledger that it said so at enrolment.
    fn with_account(&self, opening: Opening) -> Result<Opening> {
        let wallet_key = opening.verify(&self.session.trust(), &mut SystemRng::new())?.wallet_key;
        let bound = self.scene.platform.issuer().account_of(&wallet_key)?;
        let bound = bound.ok_or("the directory lacks the wallet")?;
        let entry = BindingEntry::new(&bound.account, &wallet_key, &bound.blind);
        let entry = self.session.openings().evidence_of(&entry.to_bytes())?;
        let entry = entry.ok_or("the binding is not logged")?;
        Ok(opening.with_binding(AccountBinding { account: bound.account, blind: bound.blind, entry }))
    }

    /// Some of the shops complain again: of somebody who only had bad luck.
    fn compare_the_complainer(&mut self) -> Result<(PresentedWarrant, ReviewEvidence)> {
        let shops = self.scene.cast.shops.get(..COMPLAINTS).unwrap_or_default();
        let (own, reviews) = self.complaint(shops, &[COMPLAINER])?;
        let warrant = self.session.warrant("2018-18", WarrantAction::SameAuthor, &reviews)?;
        self.session.cool_off(&warrant, first(&reviews)?)?;
        let (classes, seconds) = self.compared(&warrant, &reviews)?;
        writeln!(
            self.text,
            "5. {}: {COMPLAINTS} of the shops complain of {} reviews. {own} are by one customer who had three bad\n   \
             deliveries in one week. One round ({seconds:.1} s): {}.",
            self.day(),
            reviews.len(),
            sizes(&classes),
        )?;
        let group = classes.authors.iter().max_by_key(|class| class.len()).ok_or("no groups")?;
        let wanted = self.evidence(first(group)?)?.ok_or("the escrow was erased")?;
        Ok((warrant, wanted))
    }

    /// The budget for openings is used up: every trustee refuses.
    fn refuse_the_second(&mut self, review: &ReviewEvidence) -> Result<PresentedWarrant> {
        let reviews = std::slice::from_ref(review);
        let warrant = self.session.warrant("2018-18/1", WarrantAction::Open, reviews)?;
        self.session.cool_off(&warrant, review)?;
        let size = self.session.openings().size()?;
        let mut refusal = None;
        for trustee in &self.session.trustees {
            let request = OpeningRequest { presented: warrant.clone(), review: review.clone() };
            match trustee.answer(&request, self.session.openings()) {
                Err(error @ TrusteeError::Budget(Excess::All(_))) => refusal = Some(error),
                Err(error) => return Err(error.into()),
                Ok(_) => return Err("a trustee went beyond the budget".into()),
            }
        }
        let refusal = refusal.ok_or("no trustees")?;
        if self.session.openings().size()? != size {
            return Err("a refusal was logged".into());
        }
        writeln!(
            self.text,
            "6. {}: the {OFFICE} wants to know who that is. {} review may be opened in {} days, and was. All {} trustees\n   \
             refuse:\n   {}: {refusal}",
            self.day(),
            BUDGETS.opening.all,
            BUDGETS.window / DAY,
            self.session.trustees.len(),
            refusal.code(),
        )?;
        Ok(warrant)
    }

    /// What the gang saw at the door while an author withdrew; the review never appeared.
    fn tell_of_the_gang(&mut self) -> Result<()> {
        let taken_back = self.scene.taken_back.ok_or("nobody withdrew a held review")?;
        if self.shown.iter().any(|review| review.review_id == taken_back.review_id) {
            return Err("a review that was withdrawn while held appeared".into());
        }
        writeln!(
            self.text,
            "7. {}, long before: the gang presses one more author, who withdraws a review while it is held. The gang asks\n   \
             {} questions at the door, before and after: the same bytes. The review never appeared.",
            day(taken_back.day),
            taken_back.questions,
        )?;
        Ok(())
    }

    /// Shops bribe an employee; readers hold what he does against the ledger, and devices against
    /// their receipts.
    fn bribe_and_audit(&mut self) -> Result<()> {
        let mut victims = self.bad_reviews(&self.scene.cast.shops);
        victims.retain(|review| self.scene.receipts.contains_key(&review.review_id));
        victims.truncate(insider::VICTIMS);
        let told = insider::play(self.scene, &self.session, &self.shown, &victims)?;
        write!(
            self.text,
            "8. {}: shops bribe an employee, who can change what the platform shows and logs.\n{told}",
            self.day()
        )?;
        Ok(())
    }

    /// Warrants must be told in the end; one is not.
    fn end_the_embargo(&mut self, told: &[&PresentedWarrant], kept: &PresentedWarrant) -> Result<()> {
        let openings = self.session.openings();
        let older = openings.checkpoint()?;
        self.session.pass(EMBARGO)?;
        self.session.log(&told.iter().map(|warrant| warrant.disclosure().to_bytes()).collect::<Vec<_>>())?;
        let history =
            History::read(openings, &self.session.policy.openings, older.as_deref(), self.scene.clock.now())?;
        let found = audit_openings(&history, &self.session.pinned, &self.session.policy, EMBARGO);
        match found.as_slice() {
            [OpeningFinding::Overdue { commitment, .. }] if *commitment == kept.commitment() => {}
            _ => return Err("the audit does not name the warrant that was kept back".into()),
        }
        // What each author does: look for the tag of his own review.
        let tags: BTreeSet<[u8; 32]> = history
            .entries()
            .iter()
            .filter_map(|entry| Some(*ShareReleasedEntry::from_bytes(entry).ok()?.tag()))
            .collect();
        let of = |action| {
            let mut found: BTreeSet<&ReviewId> = BTreeSet::new();
            for warrant in told.iter().filter(|warrant| warrant.terms().action() == action) {
                let (disclosed, reviews) = (warrant.disclosure(), warrant.terms().reviews());
                found.extend(reviews.iter().filter(|id| tags.contains(&disclosed.tag_of(id))));
            }
            found.len()
        };
        let (compared, opened) = (of(WarrantAction::SameAuthor), of(WarrantAction::Open));
        writeln!(
            self.text,
            "9. {}: the embargo of {} days is over. The {OFFICE} discloses {} of its {} warrants: by them the authors of\n   \
             {compared} reviews find that these were compared, and of {opened} that it was opened. It keeps quiet about the one that\n   \
             was refused: the audit of the openings ledger's {} entries names that warrant, and no other, as overdue.",
            self.day(),
            EMBARGO / DAY,
            told.len(),
            told.len() + 1,
            history.entries().len(),
        )?;
        Ok(())
    }

    fn who_learnt_what(&mut self, ring: &PresentedWarrant, lone: &PresentedWarrant) -> Result<()> {
        let asked_of: BTreeSet<&ReviewId> =
            ring.terms().reviews().iter().chain(lone.terms().reviews()).collect();
        let (ring, lone) = (ring.terms().reviews().len(), lone.terms().reviews().len());
        let (all, others, asked) = (asked_of.len(), asked_of.len() - 1, asked());
        let rows = [
            ("platform", format!("which {all} reviews were asked about, and the account of the one that was opened")),
            ("shops", "what the office tells them, which is no more than it knows itself".to_owned()),
            (
                "officers",
                format!("which of {ring} and of {lone} reviews have one author, and the author of 1; of {others} no author"),
            ),
            (
                &*format!("trustees {asked}"),
                "which reviews the warrants name; each alone no outcome and no author: shares are sealed".to_owned(),
            ),
            ("trustees 3, 5", "the last warrant, which they refused too; else what the public learns".to_owned()),
            ("witnesses", "how large the ledgers are, and their roots".to_owned()),
            (
                "public",
                "at once: who asked, when, for what and of how many, and who answered; after 60 days, which reviews".to_owned(),
            ),
            ("authors", "after 60 days, whether their own reviews were compared or opened, and by whom".to_owned()),
        ]
        .map(|(who, what)| (who.to_owned(), what));
        writeln!(self.text, "\nWho learnt what:")?;
        for (who, what) in rows {
            writeln!(self.text, "   {who:<17} {what}")?;
        }
        Ok(())
    }

    /// The trustees' round over the reviews of a warrant; how many seconds it took. The groups
    /// must be what the simulation knows.
    fn compared(
        &self,
        warrant: &PresentedWarrant,
        reviews: &[ReviewEvidence],
    ) -> Result<(AuthorClasses, f64)> {
        let started = Instant::now();
        self.session.charge(warrant, reviews)?;
        let classes = self.session.compare(warrant, reviews)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut authors = BTreeSet::new();
        for class in &classes.authors {
            let of_class: BTreeSet<&str> = class.iter().map(|id| self.author(id)).collect::<Result<_>>()?;
            if of_class.len() != 1 || !of_class.iter().all(|author| authors.insert(*author)) {
                return Err("the trustees' groups are not the authors'".into());
            }
        }
        Ok((classes, seconds))
    }

    /// Of what these shops complain: the reviews of these authors, and of each shop one other
    /// bad review of the same time. How many are by the authors, and all of them in no order.
    fn complaint(&self, shops: &[String], authors: &[&str]) -> Result<(usize, Vec<ReviewEvidence>)> {
        let mut reviews = Vec::new();
        let mut honest = Vec::new();
        for shop in shops {
            let bad = self.bad_reviews(std::slice::from_ref(shop));
            let is_of = |review: &&&PublishedReview| {
                self.author(&review.review_id).is_ok_and(|by| authors.contains(&by))
            };
            let own: Vec<_> = bad.iter().filter(is_of).collect();
            let at =
                own.first().map(|review| review.published_at).ok_or("the story's reviews did not appear")?;
            for review in own {
                reviews.push(self.evidence(&review.review_id)?.ok_or("the escrow was erased")?);
            }
            let mut others: Vec<_> =
                bad.iter().filter(|review| !self.is_made_up(&review.review_id)).collect();
            others.sort_by_key(|review| {
                (
                    review.published_at.saturating_since(at) + at.saturating_since(review.published_at),
                    review.review_id,
                )
            });
            for review in others {
                if let Some(evidence) = self.evidence(&review.review_id)? {
                    honest.push(evidence);
                    break;
                }
            }
        }
        let own = reviews.len();
        reviews.extend(honest);
        reviews.sort_by_key(|review| review.presentation.review_id());
        Ok((own, reviews))
    }

    /// The shops' reviews of one or two stars, by id.
    fn bad_reviews(&self, shops: &[String]) -> Vec<&PublishedReview> {
        let of = |review: &PublishedReview| {
            shops.iter().any(|shop| shop.as_bytes() == review.scope.merchant().as_bytes())
        };
        self.shown.iter().filter(|review| review.review.stars() <= 2 && of(review)).collect()
    }

    fn evidence(&self, id: &ReviewId) -> Result<Option<ReviewEvidence>> {
        let review = self.shown.iter().find(|review| review.review_id == *id).ok_or("no such review")?;
        Ok(self.scene.platform.evidence(&review.scope, id)?)
    }

    /// The customer who wrote a review.
    fn author(&self, id: &ReviewId) -> Result<&str> {
        let order = self.scene.author_of.get(id).and_then(|order| self.scene.cast.orders().get(*order));
        Ok(order.ok_or("a review without an author")?.customer.as_str())
    }

    fn is_made_up(&self, id: &ReviewId) -> bool {
        self.scene.author_of.get(id).is_none_or(|order| !self.scene.cast.is_real(*order))
    }

    fn day(&self) -> String {
        day(self.scene.clock.now())
    }
}

impl<S: Store> Scene<'_, S> {
    /// Every review that the platform shows.
    fn shown(&self) -> Result<Vec<PublishedReview>> {
        let merchants: BTreeSet<&str> =
            self.cast.orders().iter().map(|order| order.merchant.as_str()).collect();
        let mut shown = Vec::new();
        for merchant in merchants {
            let merchant = Name::new(merchant)?;
            let mut after = None;
            loop {
                let page = self.platform.published(&merchant, after.as_ref(), PAGE)?;
                let Some(last) = page.last() else { break };
                after = Some(last.review_id);
                shown.extend(page);
            }
        }
        Ok(shown)
    }
}

fn day(time: Timestamp) -> String {
    format_moment(time.as_unix_seconds() as i64).chars().take(10).collect()
}

fn first<T>(of: &[T]) -> Result<&T> {
    of.first().ok_or_else(|| "nothing there".into())
}

fn asked() -> String {
    ASKED.map(|index| index.to_string()).join(", ")
}

/// The sizes of the groups, the largest first, in words.
fn sizes(classes: &AuthorClasses) -> String {
    let mut sizes: Vec<usize> = classes.authors.iter().map(Vec::len).collect();
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    let several: Vec<String> = sizes.iter().filter(|size| **size > 1).map(usize::to_string).collect();
    let single = sizes.len() - several.len();
    format!(
        "groups of {} reviews with one author each, and {single} reviews with authors of their own",
        several.join(", ")
    )
}
