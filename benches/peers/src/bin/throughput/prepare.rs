//! Everything that is done before the clock runs: keys, tokens, presentations, due orders.

use crate::fill;
use indicatif::ProgressBar;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use unjoin::Name;
use unjoin::issuer::{
    EnrolmentSubmission, EveryoneOfStanding, Issuer, IssuerConfig, IssuerError, NumbersDead, OfferRequest,
    OrderReport,
};
use unjoin::review::{DeskConfig, ReviewDesk, Submission};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{Row, Store};
use unjoin::token::{
    CohortManifest, EnrolmentContext, Offer, Presentation, PublicationDates, Review, Scope, SignedManifest,
    TokenRequest,
};
use unjoin::wire::Message;
use unjoin::{Clock, Environment, Grid, SystemClock, Timestamp, WEEK};
use unjoin_benches::drive::{Load, drive};
use unjoin_benches::world::{NONCE, World, name};
use unjoin_test_util::own;
use unjoin_wallet::Wallet;

const MERCHANTS: usize = 500;
const ACCOUNTS: usize = 500;
const DUE_AT: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

/// So many requests of a caller wait for their answers.
pub(crate) const IN_FLIGHT: usize = 16;

/// A review as it arrives.
pub(crate) struct Encoded {
    presentation: Vec<u8>,
    review: Vec<u8>,
}

impl Encoded {
    pub(crate) fn decode(&self) -> Submission {
        Submission {
            presentation: Presentation::from_bytes(&self.presentation).expect("decodes"),
            review: Review::from_bytes(&self.review).expect("decodes"),
        }
    }
}

/// A token request as it arrives.
pub(crate) struct Asked {
    /// Which of the accounts is logged in.
    pub(crate) account: usize,
    request: Vec<u8>,
}

impl Asked {
    pub(crate) fn decode(&self) -> TokenRequest {
        TokenRequest::from_bytes(&self.request).expect("decodes")
    }
}

pub(crate) struct Orders {
    pub(crate) accounts: Vec<Name>,
    pub(crate) requests: Vec<Asked>,
}

pub(crate) struct Shop {
    world: World,
    merchants: Vec<Name>,
    /// The next publication of every cohort.
    publication: Timestamp,
    next: AtomicU64,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let merchants = (0..MERCHANTS).map(|number| name(&format!("merchant-{number:04}"))).collect();
        let publication = Grid::Weekly.nth_after(SystemClock.now(), 1);
        Self { world: World::new(), merchants, publication, next: AtomicU64::new(0) }
    }

    pub(crate) fn merchants(&self) -> &[Name] {
        &self.merchants
    }

    /// The boundary at which all reviews are published.
    pub(crate) fn publication(&self) -> Timestamp {
        self.publication
    }

    /// A desk that every merchant's cohort is admitted to.
    pub(crate) fn desk<S: Store>(&self, store: Arc<S>) -> ReviewDesk<S> {
        self.desk_by(store, Environment::system())
    }

    pub(crate) fn desk_by<S: Store>(&self, store: Arc<S>, environment: Environment) -> ReviewDesk<S> {
        let World { ring, platform, .. } = &self.world;
        let desk = ReviewDesk::open(
            own(&store, Role::Reviews),
            Grid::Weekly,
            DeskConfig::default(),
            ring.clone(),
            Arc::clone(platform),
            environment,
        )
        .expect("threads start");
        let manifests: Vec<_> = (0..MERCHANTS).map(|merchant| self.manifest(merchant)).collect();
        assert!(desk.admit_all(&manifests).iter().all(Result::is_ok), "every cohort is admitted");
        desk
    }

    fn manifest(&self, merchant: usize) -> SignedManifest {
        let manifest = CohortManifest {
            scope: self.scope(merchant),
            escrow_id: *self.world.pair().escrow_key.id(),
            at_least: 20,
            publications: PublicationDates::new(&[
                self.publication,
                self.publication.saturating_add(3 * WEEK),
            ])
            .expect("rising"),
        };
        manifest.sign(&self.world.platform).unwrap()
    }

    fn scope(&self, merchant: usize) -> Scope {
        self.world.scope(&self.merchants[merchant % MERCHANTS], 0x5eed)
    }

    /// Reviews with a token each, over all merchants in turn.
    pub(crate) fn reviews(&self, count: usize, progress: &ProgressBar) -> Vec<Encoded> {
        let from = self.next.fetch_add(count as u64, Ordering::Relaxed);
        let review = |number: u64| {
            let Submission { presentation, review } =
                self.world.submission(number, self.scope(number as usize));
            progress.inc(1);
            Encoded { presentation: presentation.to_bytes(), review: review.to_bytes() }
        };
        (from..from + count as u64).into_par_iter().map(review).collect()
    }

    /// The row that a review of the first merchant leaves.
    pub(crate) fn one_real_row<S: Store>(&self, store: &Arc<S>) -> Row {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let submission = self.world.submission(number, self.scope(0));
        let id = submission.presentation.review_id();
        let desk = self.desk(Arc::clone(store));
        desk.submit(submission).wait().expect("the review is accepted");
        fill::real_row(store, &self.merchants[0], id.as_bytes())
    }

    pub(crate) fn issuer<S: Store>(&self, store: Arc<S>) -> Issuer<S> {
        let World { ring, platform, issuer, .. } = &self.world;
        Issuer::open(
            own(&store, Role::Orders),
            IssuerConfig { hold: 0, ..IssuerConfig::new(issuer.clone()) },
            ring.clone(),
            SecretBytes::random(&mut SystemRng::new()),
            Arc::clone(platform),
            Arc::new(EveryoneOfStanding),
            Environment::system(),
        )
        .expect("the configuration is sound")
    }

    /// Enrols accounts, reports due orders of theirs at all merchants, takes the offers, and
    /// asks: everything up to the requests' bytes.
    pub(crate) fn requests<S: Store>(
        &self,
        issuer: &Issuer<S>,
        count: usize,
        progress: &ProgressBar,
    ) -> Orders {
        let accounts: Vec<Name> = (0..ACCOUNTS).map(|number| name(&format!("account-{number:05}"))).collect();
        let wallets: Vec<Wallet> = accounts.iter().map(|_| Wallet::generate(&mut SystemRng::new())).collect();
        let enrolments: Vec<EnrolmentSubmission> = accounts
            .iter()
            .zip(&wallets)
            .map(|(account, wallet)| {
                let context = EnrolmentContext { issuer: &self.world.issuer, account, nonce: &NONCE };
                let enrolment = wallet.enrol(context, &mut SystemRng::new()).expect("enrols");
                EnrolmentSubmission { account: account.clone(), nonce: NONCE, enrolment }
            })
            .collect();
        assert!(issuer.enrol(&enrolments).iter().all(Result::is_ok), "every account is enrolled");
        let numbers: Vec<usize> = (0..count).collect();
        let ask = |numbers: &[usize]| {
            let of = |number: usize| (accounts[number % ACCOUNTS].clone(), self.merchant_of(number).clone());
            let reports: Vec<OrderReport> = numbers
                .iter()
                .map(|number| {
                    let (account, merchant) = of(*number);
                    let order_id = number.to_be_bytes().to_vec();
                    OrderReport { order_id, account, merchant, class: 0, due_at: DUE_AT }
                })
                .collect();
            let handles = issuer.report_orders(&reports).into_iter();
            let offers: Vec<OfferRequest> = handles
                .zip(numbers)
                .map(|(handle, number)| {
                    let (account, merchant) = of(*number);
                    OfferRequest { account, merchant, handle: handle.expect("the order is due") }
                })
                .collect();
            let dead = |OfferRequest { merchant, handle, .. }: &OfferRequest| NumbersDead {
                merchant: merchant.clone(),
                handle: *handle,
                at: DUE_AT,
            };
            let ended = issuer.numbers_dead(&offers.iter().map(dead).collect::<Vec<_>>());
            assert!(ended.iter().all(Result::is_ok), "every order is eligible");
            let request = |(offer, number): (Result<Offer, IssuerError>, &usize)| {
                let account = number % ACCOUNTS;
                let (rng, trust) = (&mut SystemRng::new(), &self.world.trust);
                let offer = offer.expect("a scope is on offer");
                let (merchant, handle) = (self.merchant_of(*number), offer.handle);
                let (_, request) = wallets[account]
                    .request(&self.world.issuer, merchant, handle, &offer, trust, rng)
                    .expect("the keys are pinned");
                progress.inc(1);
                Asked { account, request: request.to_bytes() }
            };
            let offered = issuer.offers(&offers);
            offered.into_par_iter().zip(numbers).map(request).collect::<Vec<Asked>>()
        };
        let requests = numbers.chunks(1_000).flat_map(ask).collect();
        Orders { accounts, requests }
    }

    /// Not in step with the accounts, so that every account shops at many merchants.
    fn merchant_of(&self, number: usize) -> &Name {
        &self.merchants[(number / ACCOUNTS + number) % MERCHANTS]
    }
}

/// Has all of `requests` granted.
pub(crate) fn grant<S: Store>(
    issuer: &Issuer<S>,
    accounts: &[Name],
    requests: &[Asked],
    callers: usize,
) -> Load {
    drive(
        requests,
        callers,
        IN_FLIGHT,
        |request| {
            let account = accounts[request.account].clone();
            issuer.grant(account, request.decode())
        },
        |pending| {
            pending.wait().expect("every request is granted");
        },
    )
}
