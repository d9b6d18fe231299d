//! A court with two officers, three trustees who hold their shares, and what each of them believes: for the demonstration
//! and for tests.

use crate::hex::hex;
use crate::secrets::{Secrets, TrusteesFrom};
use serde::Deserialize as _;
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use unjoin::ledger::{KeyName, NoteKey, WarrantAction, WitnessPolicy, WitnessPublicKey};
use unjoin::opening::service::{Trustee, TrusteePolicy};
use unjoin::opening::warrant::{
    BudgetPolicy, Limit, PresentedWarrant, Requester, Warrant, WarrantPolicy, WarrantTerms,
};
use unjoin::opening::{RecipientKey, SignedCommittee, TrusteeSecrets};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{MemoryStore, Stores};
use unjoin::token::{IssuerPublicKey, ReviewId, Trustees};
use unjoin::wire::Message;
use unjoin::{Environment, Name, Timestamp, WEEK};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) const COURT: &str = "court.example";
pub(crate) const CASE: &str = "Az. 41 Js 12/26";
const GROUNDS: u16 = 3;
/// Seconds from a warrant's entry in the ledger until trustees answer.
pub(crate) const COOLING_OFF: u64 = 3600;

/// Both must sign.
pub(crate) fn officers() -> Fallible<[NoteKey; 2]> {
    let officer = |number: u8| {
        let name = KeyName::new(format!("{COURT}/officer{number}"))?;
        Ok::<_, Box<dyn Error + Send + Sync>>(NoteKey::from_secret_bytes(
            name,
            &SecretBytes::new([number; 32]),
        ))
    };
    Ok([officer(1)?, officer(2)?])
}

/// What trustees agreed upon in their ceremony, written where a platform's first start reads it; and that start's secrets.
pub(crate) fn first_start(
    trustees: &[TrusteeSecrets],
    ceremony: &Path,
    kept: &Path,
    platform: &Name,
) -> Fallible<Secrets> {
    let agreed = trustees.first().and_then(|one| Some((one.trustees()?, one.committee()?)));
    let (keys, committee) = agreed.ok_or("the ceremony did not finish")?;
    let certificate = committee.certificate().ok_or("the committee is not signed by all")?;
    fs::create_dir(ceremony)?;
    fs::write(ceremony.join("certificate.bin"), certificate.to_bytes())?;
    for (number, key) in (1..).zip(keys.keys()) {
        fs::write(ceremony.join(format!("key-{number}.hex")), hex(key.as_bytes()))?;
    }
    Secrets::create_or_open(kept, platform, &TrusteesFrom::Files(ceremony.to_owned()))
}

/// The trustees at work, and what a court needs to ask them.
pub(crate) struct Court {
    pub(crate) trustees: Vec<Trustee<MemoryStore>>,
    pub(crate) keys: Trustees,
    pub(crate) committee: SignedCommittee,
    pub(crate) policy: TrusteePolicy,
    pub(crate) recipient: RecipientKey,
}

impl Court {
    /// One review may be opened, and two compared, in four weeks. `pins` is what the platform publishes of its keys.
    pub(crate) fn open(
        secrets: Vec<TrusteeSecrets>,
        pins: &Value,
        witness: &WitnessPublicKey,
        environment: &Environment,
    ) -> Fallible<Self> {
        let agreed =
            secrets.first().and_then(|one| Some((one.trustees()?.clone(), one.committee()?.clone())));
        let (keys, committee) = agreed.ok_or("the ceremony did not finish")?;
        let policy = policy(pins, witness)?;
        let trustees = secrets.into_iter().map(|secrets| {
            let engine = [(Role::Trustee, Arc::new(MemoryStore::new()))];
            let stores = Stores::create(&secrets.roster(), engine, &mut SystemRng::new())?;
            let own = stores.own(Role::Trustee)?;
            Ok(Trustee::open(own, secrets, policy.clone(), environment.clone())?)
        });
        let trustees = trustees.collect::<Fallible<_>>()?;
        let recipient = RecipientKey::generate(&mut SystemRng::new());
        Ok(Self { trustees, keys, committee, policy, recipient })
    }

    /// A warrant on these reviews that both officers signed, valid for a week from `now`.
    pub(crate) fn warrant(
        &self,
        action: WarrantAction,
        reviews: Vec<ReviewId>,
        now: Timestamp,
    ) -> Fallible<PresentedWarrant> {
        let (valid, recipient) = (now..=now.saturating_add(WEEK), *self.recipient.public());
        let terms = WarrantTerms::new(CASE, Name::new(COURT)?, action, GROUNDS, valid, recipient, reviews)?;
        let mut warrant = Warrant::draft(terms)?;
        for officer in &officers()? {
            warrant.sign(officer)?;
        }
        Ok(PresentedWarrant::new(warrant, &mut SystemRng::new()))
    }

    /// What of a warrant goes into the ledger.
    pub(crate) fn entry(&self, warrant: &PresentedWarrant) -> Fallible<Vec<u8>> {
        let [officer, _] = officers()?;
        Ok(warrant.entry(self.policy.openings.log().name(), &officer)?.to_bytes())
    }
}

fn policy(pins: &Value, witness: &WitnessPublicKey) -> Fallible<TrusteePolicy> {
    let ledger = |which: &str| {
        let log = pins["ledgers"][which].as_str().ok_or("the pins name both ledgers")?.parse()?;
        Ok::<_, Box<dyn Error + Send + Sync>>(WitnessPolicy::new(log, vec![witness.clone()], 1, 0, 3600)?)
    };
    let court = Requester {
        name: Name::new(COURT)?,
        keys: officers()?.map(|officer| officer.public().clone()).to_vec(),
        needed: 2,
        actions: vec![WarrantAction::Open, WarrantAction::SameAuthor],
        grounds: vec![GROUNDS],
    };
    let limit = |count| Limit { all: count, own: count, requester: count };
    Ok(TrusteePolicy {
        issuers: vec![IssuerPublicKey::deserialize(&pins["issuer_key"])?],
        warrants: WarrantPolicy::new(vec![court])?,
        budgets: BudgetPolicy {
            window: 4 * WEEK,
            cooling_off: COOLING_OFF,
            opening: limit(1),
            comparison: limit(2),
        },
        reviews: ledger("reviews")?,
        openings: ledger("openings")?,
    })
}
