//! An officer's warrants: each on one review, signed by two officers, and what the trustees say to it.

use super::court::{CASE, COURT, Court};
use super::shop::Shop;
use crate::service::Service;
use serde_json::{Value, json};
use std::error::Error;
use std::sync::Arc;
use unjoin::issuer::BoundAccount;
use unjoin::ledger::{BindingEntry, CosignedEntry, Log, LogView, WarrantAction};
use unjoin::opening::service::{OpeningAnswer, OpeningRequest};
use unjoin::opening::{AccountBinding, Opening, OpeningTrust, ReleasedShare, ReviewEvidence};
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::token::{ReviewId, Scope};
use unjoin::wire::Message;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Platform = Service<Arc<MemoryStore>>;

/// Nobody draws up more warrants in a demonstration.
const MOST: usize = 50;

pub(super) struct Officer {
    court: Court,
    cases: Vec<Case>,
}

struct Case {
    request: OpeningRequest,
    is_logged: bool,
    /// What each trustee has announced, by its place.
    announced: Vec<Option<Vec<u8>>>,
    /// What they said when they were asked last.
    said: Vec<Value>,
    /// Whose review it is.
    opened: Option<Value>,
}

impl Officer {
    /// The committee stands in the ledger, as after its ceremony.
    pub(super) fn open(court: Court, service: &Platform) -> Fallible<Self> {
        openings(service)?.append(&[court.committee.to_bytes()])?;
        Ok(Self { court, cases: Vec::new() })
    }

    pub(super) fn shown(&self) -> Value {
        let shown = |case: &Case| {
            let review = &case.request.review;
            json!({
                "review": review.presentation.review_id(),
                "is_logged": case.is_logged,
                "said": case.said,
                "opened": case.opened,
            })
        };
        json!({
            "court": COURT,
            "case": CASE,
            "trustees": self.court.trustees.len(),
            "needed": self.court.committee.committee().threshold(),
            "cases": self.cases.iter().map(shown).collect::<Vec<_>>(),
        })
    }

    /// A warrant on a listed review, which both officers sign.
    pub(super) fn draw_up(&mut self, service: &Platform, scope: &Scope, id: ReviewId) -> Fallible<()> {
        if self.cases.len() >= MOST {
            return Err("there are warrants enough".into());
        }
        let review = service.platform.evidence(scope, &id)?.ok_or("of this review there is no evidence")?;
        let presented = self.court.warrant(WarrantAction::Open, vec![id], service.environment.now())?;
        self.cases.push(Case {
            request: OpeningRequest { presented, review },
            is_logged: false,
            announced: vec![None; self.court.trustees.len()],
            said: Vec::new(),
            opened: None,
        });
        Ok(())
    }

    /// Its commitment goes into the ledger, whose next checkpoint the witness cosigns.
    pub(super) fn log(&mut self, service: &Platform, case: usize) -> Fallible<()> {
        let case = self.cases.get_mut(case).ok_or("there is no such warrant")?;
        openings(service)?.append(&[self.court.entry(&case.request.presented)?])?;
        case.is_logged = true;
        let _ = service.tick();
        // As trustees do by the hour: the cooling-off begins with the first checkpoint that they see it under.
        for trustee in &self.court.trustees {
            trustee.follow(openings(service)?)?;
        }
        Ok(())
    }

    /// Asks all trustees. What they announce is logged, and then they are asked again; of the shares of enough the court
    /// learns who wrote it.
    pub(super) fn ask(&mut self, service: &Platform, case: usize) -> Fallible<()> {
        let (court, log) = (&self.court, openings(service)?);
        let case = self.cases.get_mut(case).ok_or("there is no such warrant")?;
        case.said.clear();
        let mut answers = ask_all(court, &case.request, log);
        let mut is_announced = false;
        for ((trustee, answer), announced) in (1..).zip(&answers).zip(&mut case.announced) {
            if let Ok(OpeningAnswer::Append(entry)) = answer {
                log.append(std::slice::from_ref(entry))?;
                case.said.push(json!({ "trustee": trustee, "says": "announced" }));
                *announced = Some(entry.clone());
                is_announced = true;
            }
        }
        if is_announced {
            let _ = service.tick();
            answers = ask_all(court, &case.request, log);
        }
        let mut released = Vec::new();
        for ((trustee, answer), announced) in (1..).zip(answers).zip(&case.announced) {
            let mut says = json!({ "trustee": trustee });
            match (answer, announced) {
                (Ok(OpeningAnswer::Released(sealed)), Some(entry)) => {
                    let share = court.recipient.open(&sealed, case.request.presented.terms())?;
                    released.push(ReleasedShare { share, release: logged(log, entry)? });
                    says["says"] = json!("released");
                }
                (Ok(OpeningAnswer::Wait { until }), _) => {
                    says["says"] = json!("wait");
                    says["until"] = json!(until.as_unix_seconds());
                }
                (Ok(_), _) => says["says"] = json!("announced"),
                (Err(refused), _) => {
                    says["says"] = json!("refused");
                    says["code"] = json!(refused.code());
                    says["why"] = json!(refused.to_string());
                }
            }
            case.said.push(says);
        }
        if case.opened.is_none() && released.len() >= usize::from(court.committee.committee().threshold()) {
            case.opened = Some(opened(court, service, &case.request, released)?);
        }
        Ok(())
    }
}

fn openings(service: &Platform) -> Fallible<&Log<Arc<MemoryStore>>> {
    Ok(service.platform.ledgers().ok_or("the platform has ledgers")?.openings())
}

/// An entry under the checkpoint that is published now.
fn logged(log: &Log<Arc<MemoryStore>>, entry: &[u8]) -> Fallible<CosignedEntry> {
    Ok(log.evidence_of(entry)?.ok_or("the entry is under no checkpoint yet")?)
}

fn ask_all(
    court: &Court,
    request: &OpeningRequest,
    log: &Log<Arc<MemoryStore>>,
) -> Vec<Result<OpeningAnswer, unjoin::opening::service::TrusteeError>> {
    court.trustees.iter().map(|trustee| trustee.answer(request, log)).collect()
}

/// Puts the shares together: the wallet's key, the account that was bound to it before the warrant, and the bytes by
/// which anybody who gets them can check both.
fn opened(
    court: &Court,
    service: &Platform,
    request: &OpeningRequest,
    released: Vec<ReleasedShare>,
) -> Fallible<Value> {
    let (rng, log) = (&mut SystemRng::new(), openings(service)?);
    let OpeningRequest { presented, review } = request;
    let trust = OpeningTrust {
        issuers: &court.policy.issuers,
        trustees: &court.keys,
        requesters: &court.policy.warrants,
        reviews: &court.policy.reviews,
        openings: &court.policy.openings,
    };
    let (warrant, evidence): (_, ReviewEvidence) = (presented.clone(), review.clone());
    let entry = logged(log, &court.entry(presented)?)?;
    let committees = vec![court.committee.clone()];
    let opening = Opening::combine(warrant, entry, evidence, committees, released, &trust, rng)?;
    let wallet_key = opening.verify(&trust, rng)?.wallet_key;
    let bound = service.platform.issuer().account_of(&wallet_key)?;
    let BoundAccount { account, blind } = bound.ok_or("this wallet is nobody's")?;
    let entry = logged(log, &BindingEntry::new(&account, &wallet_key, &blind).to_bytes())?;
    let opening = opening.with_binding(AccountBinding { account, blind, entry });
    let bytes = opening.to_bytes();
    let account =
        Opening::from_bytes(&bytes)?.verify(&trust, rng)?.account.ok_or("the binding does not hold")?;
    let account = account.as_str().unwrap_or_default().to_owned();
    Ok(json!({ "customer": Shop::name_of(&account), "account": account, "bytes": bytes.len() }))
}
