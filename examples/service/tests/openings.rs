//! An opening from the evidence to the disclosure, by what requesters and trustees reach: HTTP.

use super::witness::Elsewhere;
use super::{Bounds, Directory, FORTNIGHT_LATER, MERCHANT, MONDAY, World, ask_door, log, submission};
use crate::ceremony::hold;
use crate::client::Connection;
use crate::hex::hex;
use crate::secrets::{Secrets, TrusteesFrom};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use unjoin::audit::{History, OpeningFinding, audit_openings};
use unjoin::issuer::BoundAccount;
use unjoin::ledger::{
    BindingEntry, CosignedEntry, DisclosedEntry, KeyName, LogView, NoteKey, TileId, ViewError, WarrantAction,
    WitnessPolicy, entry_id,
};
use unjoin::opening::service::{OpeningAnswer, OpeningRequest, Trustee, TrusteePolicy};
use unjoin::opening::warrant::{
    BudgetPolicy, Limit, PresentedWarrant, Requester, Warrant, WarrantPolicy, WarrantTerms,
};
use unjoin::opening::{
    AccountBinding, Opening, OpeningTrust, RecipientKey, ReleasedShare, ReviewEvidence, SignedCommittee,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{MemoryStore, Stores};
use unjoin::token::{IssuerPublicKey, Trustees};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, ManualClock, Name, WEEK};

const COURT: &str = "court.example";
const CASE: &str = "Az. 41 Js 12/26";
const GROUNDS: u16 = 3;
const COOLING_OFF: u64 = 3600;
const WINDOW: u64 = 4 * WEEK;
const EMBARGO: u64 = 2 * WEEK;
/// So many entries of others', for a ledger of more than one tile.
const OTHERS: u64 = 300;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Both must sign.
fn officers() -> [NoteKey; 2] {
    [1, 2].map(|number| {
        let key = KeyName::new(format!("{COURT}/officer{number}")).unwrap();
        NoteKey::from_secret_bytes(key, &SecretBytes::new([number; 32]))
    })
}

/// The openings ledger as everybody reads it: its checkpoint and its tiles.
struct Shown {
    public: SocketAddr,
    /// A bit of each bundle is another one.
    is_spoilt: bool,
}

impl Shown {
    fn get(&self, what: &str) -> Result<Option<Vec<u8>>, ViewError> {
        let path = format!("/ledgers/openings/{what}");
        let asked = async { Connection::to(self.public).get(&path).await };
        let answer = block_in_place(|| Handle::current().block_on(asked)).map_err(ViewError::Source)?;
        match answer.code().as_deref() {
            None => Ok(Some(answer.body.to_vec())),
            Some("service.not_shown") => Ok(None),
            Some(other) => Err(ViewError::Source(other.into())),
        }
    }
}

impl LogView for Shown {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        self.get("checkpoint")
    }

    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        let mut tile = self.get(&id.path())?;
        if self.is_spoilt && id.level.is_none() {
            *tile.as_mut().unwrap().last_mut().unwrap() ^= 1;
        }
        Ok(tile)
    }
}

/// A platform with a witness, two of its three trustees open, and a court asks.
struct Case {
    world: World<MemoryStore>,
    witness: Arc<Elsewhere>,
    trustees: Vec<Trustee<MemoryStore>>,
    keys: Trustees,
    committee: SignedCommittee,
    policy: TrusteePolicy,
    recipient: RecipientKey,
}

impl Case {
    async fn open() -> Self {
        let (directory, clock) = (Arc::new(Directory::new()), Arc::new(ManualClock::doubtful(MONDAY)));
        let (ceremony, kept) = (directory.0.join("ceremony"), directory.0.join("secrets"));
        let secrets = hold(2, 3).unwrap();
        let (keys, committee) =
            (secrets[0].trustees().unwrap().clone(), secrets[0].committee().unwrap().clone());
        fs::create_dir(&ceremony).unwrap();
        fs::write(ceremony.join("certificate.bin"), committee.certificate().unwrap().to_bytes()).unwrap();
        for (number, key) in (1..).zip(keys.keys()) {
            fs::write(ceremony.join(format!("key-{number}.hex")), hex(key.as_bytes())).unwrap();
        }
        Secrets::create_or_open(&kept, &name("shop.example"), &TrusteesFrom::Files(ceremony)).unwrap();
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let witness = Elsewhere::serve(&kept, environment.clone()).await;
        let bounds = Bounds { witnesses: vec![witness.at.parse().unwrap()], ..Bounds::default() };
        let stores = [(); 4].map(|()| MemoryStore::new());
        let world = World::open(directory, clock, stores, bounds).await;

        // What the platform publishes of its keys, and the trustees' agreement.
        let pins: Value = serde_json::from_slice(&fs::read(kept.join("public-keys.json")).unwrap()).unwrap();
        let ledger = |which: &str| {
            let log = pins["ledgers"][which].as_str().unwrap().parse().unwrap();
            WitnessPolicy::new(log, vec![witness.key()], 1, 0, 3600).unwrap()
        };
        let court = Requester {
            name: name(COURT),
            keys: officers().map(|officer| officer.public().clone()).to_vec(),
            needed: 2,
            actions: vec![WarrantAction::Open],
            grounds: vec![GROUNDS],
        };
        let one = Limit { all: 1, own: 1, requester: 1 };
        let policy = TrusteePolicy {
            issuers: vec![IssuerPublicKey::deserialize(&pins["issuer_key"]).unwrap()],
            warrants: WarrantPolicy::new(vec![court]).unwrap(),
            budgets: BudgetPolicy { window: WINDOW, cooling_off: COOLING_OFF, opening: one, comparison: one },
            reviews: ledger("reviews"),
            openings: ledger("openings"),
        };
        let trustees = secrets.into_iter().map(|secrets| {
            let engine = [(Role::Trustee, Arc::new(MemoryStore::new()))];
            let stores = Stores::create(&secrets.roster(), engine, &mut SystemRng::new()).unwrap();
            let own = stores.own(Role::Trustee).unwrap();
            Trustee::open(own, secrets, policy.clone(), environment.clone()).unwrap()
        });
        let (trustees, recipient) = (trustees.collect(), RecipientKey::generate(&mut SystemRng::new()));
        Self { world, witness, trustees, keys, committee, policy, recipient }
    }

    /// The ledger.
    fn shown(&self) -> Shown {
        Shown { public: self.world.public, is_spoilt: false }
    }

    /// So many seconds later, when what is due was done.
    fn tick(&self, later: u64) {
        self.world.go_to(self.world.clock.now().saturating_add(later));
        let _ = self.world.service.tick().unwrap();
    }

    /// Has it logged, and once more as if the answer had been lost: where it is.
    async fn log(&self, entry: &[u8]) -> u64 {
        let (mut internal, mut places) = (self.world.connect_internal(), Vec::new());
        for _ in 0..2 {
            let answer = internal.post("/ledgers/openings/append", None, entry.to_vec()).await.unwrap();
            places.push(answer.object().unwrap()["index"].as_u64().unwrap());
        }
        assert_eq!(places[0], places[1]);
        places[0]
    }

    /// What the platform hands out about a listed review, always the same.
    async fn evidence(&self, listed: &Value) -> ReviewEvidence {
        let which = json!({ "scope": listed["scope"], "review_id": listed["review_id"] }).to_string();
        let mut internal = self.world.connect_internal();
        let [one, again] = [
            internal.post("/reviews/evidence", None, which.clone()).await.unwrap(),
            internal.post("/reviews/evidence", None, which).await.unwrap(),
        ];
        assert_eq!(one.body, again.body);
        ReviewEvidence::from_bytes(&one.body).unwrap()
    }

    /// The court asks for this review's author.
    fn warrant(&self, review: &ReviewEvidence) -> PresentedWarrant {
        let now = self.world.clock.now();
        let (valid, recipient) = (now..=now.saturating_add(WEEK), *self.recipient.public());
        let reviews = vec![review.presentation.review_id()];
        let terms =
            WarrantTerms::new(CASE, name(COURT), WarrantAction::Open, GROUNDS, valid, recipient, reviews);
        let mut warrant = Warrant::draft(terms.unwrap()).unwrap();
        officers().iter().for_each(|officer| warrant.sign(officer).unwrap());
        PresentedWarrant::new(warrant, &mut SystemRng::new())
    }

    fn entry(&self, warrant: &PresentedWarrant) -> Vec<u8> {
        warrant.entry(self.policy.openings.log().name(), &officers()[0]).unwrap().to_bytes()
    }

    /// What a trustee answers; the same when it is asked again.
    fn answer(&self, trustee: usize, request: &OpeningRequest) -> OpeningAnswer {
        let ask = || self.trustees[trustee].answer(request, &self.shown()).unwrap();
        match (ask(), ask()) {
            (OpeningAnswer::Released(one), OpeningAnswer::Released(again)) => {
                let terms = request.presented.terms();
                let [first, second] = [&one, &again].map(|sealed| self.recipient.open(sealed, terms));
                assert_eq!(first.unwrap().element(), second.unwrap().element());
                OpeningAnswer::Released(again)
            }
            (one, again) => {
                assert_eq!(one, again);
                one
            }
        }
    }

    /// Why no trustee answers.
    fn refusal(&self, request: &OpeningRequest) -> &'static str {
        let refused = |trustee: &Trustee<MemoryStore>| trustee.answer(request, &self.shown()).unwrap_err();
        let codes: Vec<_> = self.trustees.iter().map(|trustee| refused(trustee).code()).collect();
        assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
        codes[0]
    }

    /// An entry under the checkpoint that is published now.
    fn logged(&self, entry: &[u8]) -> CosignedEntry {
        self.shown().evidence_of(entry).unwrap().unwrap()
    }

    fn findings(&self, older: &[u8]) -> Vec<OpeningFinding> {
        let now = self.world.clock.now();
        let history = History::read(&self.shown(), &self.policy.openings, Some(older), now).unwrap();
        audit_openings(&history, &self.keys, &self.policy, EMBARGO)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_court_opens_one_review_over_http_and_everybody_can_check_it() {
    let case = Case::open().await;
    let world = &case.world;
    let authors = world.closed(["opened-account", "unopened-account"]).await;
    let texts = ["They will regret this.", "They were most kind."];
    for ((device, token), text) in authors.iter().zip(texts) {
        ask_door(&mut world.connect(), submission(device, token, text)).await.unwrap();
    }
    world.go_to(FORTNIGHT_LATER.saturating_add(WEEK + DAY));
    case.tick(0);
    let path = format!("/reviews/published/{MERCHANT}");
    let listing = world.connect().get(&path).await.unwrap().object().unwrap();
    let mut evidence = Vec::new();
    for text in texts {
        let mut reviews = listing["reviews"].as_array().unwrap().iter();
        evidence.push(case.evidence(reviews.find(|listed| listed["text"] == text).unwrap()).await);
    }
    case.log(&case.committee.to_bytes()).await;
    for number in 0..OTHERS {
        let warrant_digest = entry_id(&number.to_be_bytes());
        case.log(&DisclosedEntry { warrant_digest, blind: [1; 32] }.to_bytes()).await;
    }
    case.tick(60);

    // A warrant counts once everybody can see that it is there, and has had its time.
    let warrants = [case.warrant(&evidence[0]), case.warrant(&evidence[1])];
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
    assert_eq!(case.trustees[0].answer(&request, &spoilt).unwrap_err().code(), "trustee.view");
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
        OpeningAnswer::Released(sealed) => case.recipient.open(&sealed, warrants[0].terms()).unwrap(),
        other => panic!("{other:?}"),
    });
    // It is one opening, and as many as there may be in this window.
    for trustee in &case.trustees {
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
        issuers: &case.policy.issuers,
        trustees: &case.keys,
        requesters: &case.policy.warrants,
        reviews: &case.policy.reviews,
        openings: &case.policy.openings,
    };
    let released = shares.into_iter().zip(&announced);
    let released = released.map(|(share, entry)| ReleasedShare { share, release: case.logged(entry) });
    let (warrant, review) = (warrants[0].clone(), evidence[0].clone());
    let (logged, committees) = (case.logged(&entry), vec![case.committee.clone()]);
    let opening =
        Opening::combine(warrant, logged, review, committees, released.collect(), &trust, rng).unwrap();
    let found = opening.verify(&trust, rng).unwrap().wallet_key;
    let [(opened, _), (unopened, _)] = &authors;
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
