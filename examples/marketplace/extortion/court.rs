//! Due process: five trustees and their key, three officers, four witnesses, and what passes
//! between them and the platform.

use std::{error::Error, sync::Arc};

use unjoin::{
    Clock, DAY, Environment, ManualClock, Name, Platform, Timestamp,
    algebra::EscrowKey,
    ledger::{
        KeyName, LedgerConfig, Ledgers, Log, LogView, NoteKey, WarrantAction, Witness, WitnessPolicy,
        WitnessService,
    },
    opening::{
        Opening, OpeningTrust, RecipientKey, ReleasedShare, ReviewEvidence, SealedShare, SignedCommittee,
        TrusteeSecrets,
        ceremony::{CeremonyPlan, Step},
        same_author::{AuthorClasses, Comparison, ComparisonPanel, RoundAnswer, RoundRequest},
        service::{OpeningAnswer, OpeningRequest, Trustee, TrusteePolicy},
        warrant::{BudgetPolicy, Limit, PresentedWarrant, Requester, Warrant, WarrantPolicy, WarrantTerms},
    },
    secret::SystemRng,
    store::{MemoryStore, OwnStore, Store, Stores, identity::Role},
    token::{IssuerPublicKey, ReviewId, Trustees},
    wire::Message,
};

pub(super) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TRUSTEES: u16 = 5;
const THRESHOLD: u16 = 3;
/// The trustees who are asked.
pub(super) const ASKED: [u16; 3] = [1, 2, 4];
const WITNESSES: u16 = 4;
/// Of the witnesses so many must have cosigned, if at most one lies.
const QUORUM: usize = 3;
const FAULTY: usize = 1;
/// How old a checkpoint may be for a trustee to go by it, in seconds.
const FRESHNESS: u64 = 600;
pub(super) const OFFICE: &str = "consumer office";
/// The trustees' published code for extortion.
const EXTORTION: u16 = 3;
/// One review may be opened in thirty days, whoever asks and whichever trustees answer.
pub(super) const BUDGETS: BudgetPolicy = BudgetPolicy {
    window: 30 * DAY,
    cooling_off: 2 * DAY,
    opening: Limit { all: 1, own: 2, requester: 2 },
    comparison: Limit { all: 64, own: 64, requester: 64 },
};
/// A warrant may be answered for so long.
const VALID: u64 = 60 * DAY;
/// How long something takes to be logged, in seconds.
const LOGGING: u64 = 60;

/// What is set up before there is any review.
pub(crate) struct Court {
    secrets: Vec<TrusteeSecrets>,
    trustees: Trustees,
    committee: SignedCommittee,
    witnesses: Vec<Arc<dyn Witness>>,
    reviews: WitnessPolicy,
    openings: WitnessPolicy,
    officers: Vec<NoteKey>,
}

impl Court {
    /// Holds the trustees' key ceremony, and opens the ledgers on their store.
    pub(crate) fn found<S: Store>(
        store: Arc<OwnStore<S>>,
        environment: &Environment,
    ) -> Result<(Self, Ledgers<S>)> {
        let rng = &mut SystemRng::new();
        let mut secrets: Vec<_> = (0..TRUSTEES).map(|_| TrusteeSecrets::generate(rng)).collect();
        let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect())?;
        let committee = ceremony(&mut secrets, &trustees)?;
        let mut key = |name: &str| Ok(NoteKey::generate(KeyName::new(name)?, rng));
        let (reviews_key, openings_key) =
            (key("marketplace.example/reviews")?, key("marketplace.example/openings")?);
        let officers: Result<_> = ["first", "second", "third"]
            .iter()
            .map(|officer| key(&format!("{officer}.office.example")))
            .collect();
        let logs = vec![reviews_key.public().clone(), openings_key.public().clone()];
        let witness = |number: u16| -> Result<Arc<dyn Witness>> {
            let name = KeyName::new(format!("witness-{number}.example"))?;
            let store = Arc::new(MemoryStore::new());
            Ok(Arc::new(WitnessService::create(store, name, logs.clone(), environment.clone())?))
        };
        let witnesses: Vec<Arc<dyn Witness>> = (1..=WITNESSES).map(witness).collect::<Result<_>>()?;
        let policy = |key: &NoteKey| {
            let witnesses = witnesses.iter().map(|witness| witness.public_key().clone()).collect();
            WitnessPolicy::new(key.public().clone(), witnesses, QUORUM, FAULTY, FRESHNESS)
        };
        let (reviews, openings) = (policy(&reviews_key)?, policy(&openings_key)?);
        let config = |key, policy: &WitnessPolicy| LedgerConfig { key, policy: Some(policy.clone()) };
        let ledgers = Ledgers::open(
            store,
            config(reviews_key, &reviews),
            config(openings_key, &openings),
            witnesses.clone(),
        )?;
        let court = Self { secrets, trustees, committee, witnesses, reviews, openings, officers: officers? };
        Ok((court, ledgers))
    }

    /// The name of the reviews ledger.
    pub(crate) fn reviews_origin(&self) -> &str {
        self.reviews.log().name().as_str()
    }

    /// The trustees' key, certified by all of them.
    pub(crate) fn escrow_key(&self) -> Result<EscrowKey> {
        let certificate = self.committee.certificate().ok_or("the ceremony has no certificate")?;
        Ok(certificate.verify(&self.trustees)?)
    }
}

/// All trustees' ceremony in one process.
fn ceremony(secrets: &mut [TrusteeSecrets], trustees: &Trustees) -> Result<SignedCommittee> {
    let rng = &mut SystemRng::new();
    let plan = CeremonyPlan::key_generation(THRESHOLD, trustees.clone(), rng)?;
    for trustee in &mut *secrets {
        trustee.join(plan.clone(), plan.threshold(), rng)?;
    }
    let (mut messages, mut signed) = (Vec::new(), None);
    while secrets.iter().any(|trustee| trustee.plan().is_some()) {
        for trustee in secrets.iter_mut().filter(|trustee| trustee.plan().is_some()) {
            match trustee.next(&messages, rng)? {
                Step::Publish(message) => messages.push(message),
                Step::Finished(committee) => signed = Some(committee),
                _ => {}
            }
        }
    }
    signed.ok_or_else(|| "the ceremony did not finish".into())
}

/// The court at work on one platform.
pub(super) struct Session<'a, S: Store> {
    pub(super) clock: &'a ManualClock,
    pub(super) policy: TrusteePolicy,
    pub(super) trustees: Vec<Trustee<MemoryStore>>,
    ledgers: &'a Ledgers<S>,
    pub(super) pinned: Trustees,
    committee: SignedCommittee,
    witnesses: Vec<Arc<dyn Witness>>,
    officers: Vec<NoteKey>,
    recipient: RecipientKey,
}

impl<'a, S: Store> Session<'a, S> {
    /// Opens the trustees' services.
    pub(super) fn open(
        court: Court,
        platform: &'a Platform<S>,
        issuer: IssuerPublicKey,
        clock: &'a ManualClock,
        environment: &Environment,
    ) -> Result<Self> {
        let office = Requester {
            name: Name::new(OFFICE)?,
            keys: court.officers.iter().map(|officer| officer.public().clone()).collect(),
            needed: 2,
            actions: vec![WarrantAction::SameAuthor, WarrantAction::Open],
            grounds: vec![EXTORTION],
        };
        let policy = TrusteePolicy {
            issuers: vec![issuer],
            warrants: WarrantPolicy::new(vec![office])?,
            budgets: BUDGETS,
            reviews: court.reviews,
            openings: court.openings,
        };
        let open = |secrets: TrusteeSecrets| -> Result<_> {
            let store = [(Role::Trustee, Arc::new(MemoryStore::new()))];
            let stores = Stores::create(&secrets.roster(), store, &mut SystemRng::new())?;
            Ok(Trustee::open(stores.own(Role::Trustee)?, secrets, policy.clone(), environment.clone())?)
        };
        let trustees = court.secrets.into_iter().map(open).collect::<Result<_>>()?;
        let ledgers = platform.ledgers().ok_or("the platform has no ledgers")?;
        // Before it nobody's release counts.
        ledgers.openings().append(&[court.committee.to_bytes()])?;
        Ok(Self {
            clock,
            policy,
            trustees,
            ledgers,
            pinned: court.trustees,
            committee: court.committee,
            witnesses: court.witnesses,
            officers: court.officers,
            recipient: RecipientKey::generate(&mut SystemRng::new()),
        })
    }

    pub(super) fn openings(&self) -> &Log<S> {
        self.ledgers.openings()
    }

    pub(super) fn reviews(&self) -> &Log<S> {
        self.ledgers.reviews()
    }

    /// Lets time pass, and publishes both ledgers.
    pub(super) fn pass(&self, seconds: u64) -> Result<()> {
        self.clock.set(self.clock.now().saturating_add(seconds));
        self.publish(self.reviews())?;
        self.publish(self.openings())
    }

    /// Logs in the openings ledger.
    pub(super) fn log(&self, entries: &[Vec<u8>]) -> Result<()> {
        self.clock.set(self.clock.now().saturating_add(LOGGING));
        self.openings().append(entries)?;
        self.publish(self.openings())
    }

    fn publish(&self, log: &Log<S>) -> Result<()> {
        if log.publish(&self.witnesses)?.published { Ok(()) } else { Err("a ledger found no quorum".into()) }
    }

    /// A warrant of the office, signed by two of its three officers, and logged.
    pub(super) fn warrant(
        &self,
        case: &str,
        action: WarrantAction,
        reviews: &[ReviewEvidence],
    ) -> Result<PresentedWarrant> {
        let now = self.clock.now();
        let reviews: Vec<ReviewId> = reviews.iter().map(|review| review.presentation.review_id()).collect();
        let (valid, recipient) = (now..=now.saturating_add(VALID), *self.recipient.public());
        let terms =
            WarrantTerms::new(case, Name::new(OFFICE)?, action, EXTORTION, valid, recipient, reviews)?;
        let mut warrant = Warrant::draft(terms)?;
        self.officers.iter().take(2).try_for_each(|officer| warrant.sign(officer))?;
        let presented = PresentedWarrant::new(warrant, &mut SystemRng::new());
        self.log(&[presented.entry(self.origin(), self.officer()?)?.to_bytes()])?;
        // As trustees do all the time: cooling-off begins when a trustee sees the entry.
        for trustee in &self.trustees {
            let _ = trustee.follow(self.openings())?;
        }
        Ok(presented)
    }

    /// Asks the first trustee too early, and waits for as long as it says: until when.
    pub(super) fn cool_off(
        &self,
        presented: &PresentedWarrant,
        review: &ReviewEvidence,
    ) -> Result<Timestamp> {
        let [first, ..] = self.asked()?;
        let request = OpeningRequest { presented: presented.clone(), review: review.clone() };
        let OpeningAnswer::Wait { until } = first.answer(&request, self.openings())? else {
            return Err("a warrant was answered before it had cooled off".into());
        };
        self.pass(until.saturating_since(self.clock.now()))?;
        Ok(until)
    }

    /// Has the asked trustees charge every review, and returns what they released, each with the
    /// entry that announced it.
    pub(super) fn charge(
        &self,
        presented: &PresentedWarrant,
        reviews: &[ReviewEvidence],
    ) -> Result<Vec<(SealedShare, Vec<u8>)>> {
        let asked = self.asked()?;
        let answers = || -> Result<Vec<OpeningAnswer>> {
            let mut answers = Vec::new();
            for trustee in asked {
                for review in reviews {
                    let request = OpeningRequest { presented: presented.clone(), review: review.clone() };
                    answers.push(trustee.answer(&request, self.openings())?);
                }
            }
            Ok(answers)
        };
        let entries = answers()?.into_iter().map(|answer| match answer {
            OpeningAnswer::Append(entry) => Ok(entry),
            other => Err(format!("a review was not charged: {other:?}").into()),
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        self.log(&entries)?;
        let mut shares = Vec::new();
        for (answer, entry) in answers()?.into_iter().zip(entries) {
            match answer {
                OpeningAnswer::Released(share) => shares.push((share, entry)),
                OpeningAnswer::Charged => {}
                other => return Err(format!("what was logged was not answered: {other:?}").into()),
            }
        }
        Ok(shares)
    }

    /// Compares the reviews of a warrant that are all charged, in one round.
    pub(super) fn compare(
        &self,
        presented: &PresentedWarrant,
        reviews: &[ReviewEvidence],
    ) -> Result<AuthorClasses> {
        let rng = &mut SystemRng::new();
        let (asked, ledger) = (self.asked()?, self.openings());
        let panel = ComparisonPanel {
            committee: self.committee.committee().clone(),
            trustees: self.pinned.clone(),
            origin: self.origin().clone(),
        };
        let mut comparison = Comparison::new(presented.clone(), reviews.to_vec(), panel, ASKED)?;
        let round = comparison.next_round()?;
        self.log(&[comparison.entry(&round, self.officer()?)?.to_bytes()])?;
        let blind = |request: &RoundRequest| -> Result<Vec<(u16, RoundAnswer)>> {
            asked.iter().map(|member| Ok((member.index(), member.blind(request, ledger)?))).collect()
        };
        let committed = blind(&round.request)?.into_iter().filter_map(|(index, answer)| match answer {
            RoundAnswer::Append(entry) => Some((index, entry)),
            _ => None,
        });
        self.log(&comparison.take_entries(&committed.collect::<Vec<_>>())?)?;
        let revealed = blind(&round.request)?.into_iter().filter_map(|(index, answer)| match answer {
            RoundAnswer::Reveal(blind) => Some((index, blind)),
            _ => None,
        });
        let blinds = comparison.take_blinds(&revealed.collect::<Vec<_>>(), rng)?;
        let answers = || -> Result<Vec<(u16, RoundAnswer)>> {
            asked
                .iter()
                .map(|member| Ok((member.index(), member.compare(&round.request, &blinds, ledger)?)))
                .collect()
        };
        let used = answers()?.into_iter().filter_map(|(_, answer)| match answer {
            RoundAnswer::Append(entry) => Some(entry),
            _ => None,
        });
        self.log(&used.collect::<Vec<_>>())?;
        let shares = answers()?.into_iter().filter_map(|(index, answer)| match answer {
            RoundAnswer::Released(share) => Some((index, share)),
            _ => None,
        });
        Ok(comparison.take_shares(&shares.collect::<Vec<_>>(), &self.recipient, rng)?)
    }

    /// Combines what the trustees released for one review.
    pub(super) fn combine(
        &self,
        presented: &PresentedWarrant,
        review: &ReviewEvidence,
        released: &[(SealedShare, Vec<u8>)],
    ) -> Result<Opening> {
        let mut shares = Vec::new();
        for (sealed, entry) in released {
            let release = self.openings().evidence_of(entry)?.ok_or("a release is not logged")?;
            shares.push(ReleasedShare { share: self.recipient.open(sealed, presented.terms())?, release });
        }
        let entry = presented.entry(self.origin(), self.officer()?)?;
        let logged = self.openings().evidence_of(&entry.to_bytes())?;
        Ok(Opening::combine(
            presented.clone(),
            logged.ok_or("the warrant is not logged")?,
            review.clone(),
            vec![self.committee.clone()],
            shares,
            &self.trust(),
            &mut SystemRng::new(),
        )?)
    }

    /// Whom anybody believes who checks an opening.
    pub(super) fn trust(&self) -> OpeningTrust<'_> {
        OpeningTrust {
            issuers: &self.policy.issuers,
            trustees: &self.pinned,
            requesters: &self.policy.warrants,
            reviews: &self.policy.reviews,
            openings: &self.policy.openings,
        }
    }

    /// The openings ledger's name.
    fn origin(&self) -> &KeyName {
        self.policy.openings.log().name()
    }

    /// The officer who signs what is logged.
    fn officer(&self) -> Result<&NoteKey> {
        self.officers.first().ok_or_else(|| "the office has no officer".into())
    }

    fn asked(&self) -> Result<[&Trustee<MemoryStore>; 3]> {
        let asked = ASKED.map(|index| self.trustees.iter().find(|trustee| trustee.index() == index));
        let [Some(first), Some(second), Some(third)] = asked else {
            return Err("a trustee is missing".into());
        };
        Ok([first, second, third])
    }
}
