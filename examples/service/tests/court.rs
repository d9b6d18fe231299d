//! A platform with a witness, trustees who hold their shares, and a court that asks them: each by what it reaches over
//! HTTP.

use super::{Bounds, Directory, FORTNIGHT_LATER, MERCHANT, MONDAY, World, ask_door, submission};
use crate::ceremony::hold;
use crate::client::Connection;
use crate::demo::court::{Court, first_start};
use crate::demo::witness::Elsewhere;
use crate::device::Device;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use unjoin::audit::{History, OpeningFinding, audit_openings};
use unjoin::ledger::{CosignedEntry, LogView, TileId, ViewError, WarrantAction};
use unjoin::opening::ReviewEvidence;
use unjoin::opening::service::{OpeningAnswer, OpeningRequest, Trustee};
use unjoin::opening::warrant::PresentedWarrant;
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, ManualClock, Name, WEEK};

pub(super) const EMBARGO: u64 = 2 * WEEK;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The openings ledger as everybody reads it: its checkpoint and its tiles.
pub(super) struct Shown {
    pub(super) public: SocketAddr,
    /// A bit of each bundle is another one.
    pub(super) is_spoilt: bool,
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
pub(super) struct Case {
    pub(super) world: World<MemoryStore>,
    pub(super) witness: Arc<Elsewhere>,
    pub(super) court: Court,
}

impl Case {
    pub(super) async fn open() -> Self {
        let (directory, clock) = (Arc::new(Directory::new()), Arc::new(ManualClock::doubtful(MONDAY)));
        let kept = directory.0.join("secrets");
        let secrets = hold(2, 3).unwrap();
        first_start(&secrets, &directory.0.join("ceremony"), &kept, &name("shop.example")).unwrap();
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let witness = Elsewhere::serve(&kept, environment.clone()).await.unwrap();
        let bounds = Bounds { witnesses: vec![witness.at.parse().unwrap()], ..Bounds::default() };
        let stores = [(); 4].map(|()| MemoryStore::new());
        let world = World::open(directory, clock, stores, bounds).await;

        // What the platform publishes of its keys, and the trustees' agreement.
        let pins: Value = serde_json::from_slice(&fs::read(kept.join("public-keys.json")).unwrap()).unwrap();
        let court = Court::open(secrets, &pins, &witness.key(), &environment).unwrap();
        Self { world, witness, court }
    }

    /// The ledger.
    pub(super) fn shown(&self) -> Shown {
        Shown { public: self.world.public, is_spoilt: false }
    }

    /// So many seconds later, when what is due was done.
    pub(super) fn tick(&self, later: u64) {
        self.world.go_to(self.world.clock.now().saturating_add(later));
        let _ = self.world.service.tick().unwrap();
    }

    /// Has it logged, and once more as if the answer had been lost: where it is.
    pub(super) async fn log(&self, entry: &[u8]) -> u64 {
        let (mut internal, mut places) = (self.world.connect_internal(), Vec::new());
        for _ in 0..2 {
            let answer = internal.post("/ledgers/openings/append", None, entry.to_vec()).await.unwrap();
            places.push(answer.object().unwrap()["index"].as_u64().unwrap());
        }
        assert_eq!(places[0], places[1]);
        places[0]
    }

    /// What the platform hands out about a listed review: always the same, but for the proof, which is made anew.
    pub(super) async fn evidence(&self, listed: &Value) -> ReviewEvidence {
        let which = json!({ "scope": listed["scope"], "review_id": listed["review_id"] }).to_string();
        let mut internal = self.world.connect_internal();
        let [one, again] = [
            internal.post("/reviews/evidence", None, which.clone()).await.unwrap(),
            internal.post("/reviews/evidence", None, which).await.unwrap(),
        ];
        let [one, again] = [one, again].map(|answer| ReviewEvidence::from_bytes(&answer.body).unwrap());
        assert_eq!(ReviewEvidence { accepted: one.accepted.clone(), ..again }, one);
        one
    }

    /// Two customers' reviews, published, with their evidence; and the trustees' committee, logged.
    pub(super) async fn published(
        &self,
        accounts: [&str; 2],
        texts: [&str; 2],
    ) -> ([Device; 2], [ReviewEvidence; 2]) {
        let customers = self.world.closed(accounts).await;
        for ((device, token), text) in customers.iter().zip(texts) {
            ask_door(&mut self.world.connect(), submission(device, token, text)).await.unwrap();
        }
        self.world.go_to(FORTNIGHT_LATER.saturating_add(WEEK + DAY));
        self.tick(0);
        let path = format!("/reviews/published/{MERCHANT}");
        let listing = self.world.connect().get(&path).await.unwrap().object().unwrap();
        let reviews = listing["reviews"].as_array().unwrap();
        let [one, two] = texts.map(|text| reviews.iter().find(|listed| listed["text"] == text).unwrap());
        self.log(&self.court.committee.to_bytes()).await;
        (customers.map(|(device, _)| device), [self.evidence(one).await, self.evidence(two).await])
    }

    /// The court asks who wrote these, or whether it was one.
    pub(super) fn warrant(&self, action: WarrantAction, reviews: &[ReviewEvidence]) -> PresentedWarrant {
        let reviews = reviews.iter().map(|review| review.presentation.review_id()).collect();
        self.court.warrant(action, reviews, self.world.clock.now()).unwrap()
    }

    pub(super) fn entry(&self, warrant: &PresentedWarrant) -> Vec<u8> {
        self.court.entry(warrant).unwrap()
    }

    /// What a trustee answers; the same when it is asked again.
    pub(super) fn answer(&self, trustee: usize, request: &OpeningRequest) -> OpeningAnswer {
        let ask = || self.court.trustees[trustee].answer(request, &self.shown()).unwrap();
        match (ask(), ask()) {
            (OpeningAnswer::Released(one), OpeningAnswer::Released(again)) => {
                let terms = request.presented.terms();
                let [first, second] = [&one, &again].map(|sealed| self.court.recipient.open(sealed, terms));
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
    pub(super) fn refusal(&self, request: &OpeningRequest) -> &'static str {
        let refused = |trustee: &Trustee<MemoryStore>| trustee.answer(request, &self.shown()).unwrap_err();
        let codes: Vec<_> = self.court.trustees.iter().map(|trustee| refused(trustee).code()).collect();
        assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
        codes[0]
    }

    /// An entry under the checkpoint that is published now.
    pub(super) fn logged(&self, entry: &[u8]) -> CosignedEntry {
        self.shown().evidence_of(entry).unwrap().unwrap()
    }

    pub(super) fn findings(&self, older: &[u8]) -> Vec<OpeningFinding> {
        let now = self.world.clock.now();
        let history = History::read(&self.shown(), &self.court.policy.openings, Some(older), now).unwrap();
        audit_openings(&history, &self.court.keys, &self.court.policy, EMBARGO)
    }
}
