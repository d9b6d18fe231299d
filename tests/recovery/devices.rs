//! Devices, honest and changed, and all that they were promised.

use crate::world::{Shop, merchant, name};
use std::collections::BTreeSet;
use unjoin::audit::{ReceiptVerdict, action_verdict, receipt_verdict};
use unjoin::issuer::{NumbersDead, OrderReport};
use unjoin::secret::SystemRng;
use unjoin::token::{
    ActionReceipt, AuthorAction, EnrolmentContext, Offer, Presentation, Receipt, Review, ReviewId,
    ReviewStanding,
};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Grid, Name, Platform};
use unjoin_test_util::Faulty;
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet};

/// Three different reviews; an honest device sends the first.
pub(crate) fn words(number: usize) -> Review {
    let (stars, text) = [(1, "bad"), (3, "so so"), (5, "great")][number % 3];
    Review::new(stars, text, vec![]).unwrap()
}

/// Somebody with one order and two wallets, the second of which asks for what the first was granted.
pub(crate) struct Customer {
    account: Name,
    wallets: [Wallet; 2],
    due_at: Option<unjoin::Timestamp>,
    heard: Vec<Offer>,
    /// Which wallet has it, and the token.
    tokens: Vec<(usize, Token)>,
    commitments: BTreeSet<[u8; 32]>,
    sent: Vec<(Presentation, Review)>,
    receipts: Vec<Receipt>,
    actions: Vec<(AuthorAction, Vec<u8>)>,
    promised: Vec<(ActionReceipt, AuthorAction)>,
    /// A withdrawal was accepted while the review was held.
    pub(crate) took_back: bool,
}

impl Customer {
    pub(crate) fn new(account: &str) -> Self {
        Self {
            account: name(account),
            wallets: [(); 2].map(|()| Wallet::generate(&mut SystemRng::new())),
            due_at: None,
            heard: Vec::new(),
            tokens: Vec::new(),
            commitments: BTreeSet::new(),
            sent: Vec::new(),
            receipts: Vec::new(),
            actions: Vec::new(),
            promised: Vec::new(),
            took_back: false,
        }
    }

    /// The host reports the order, as it did the first time.
    pub(crate) fn report(&mut self, shop: &Shop, platform: &Platform<Faulty>) {
        let order = OrderReport {
            order_id: self.account.as_bytes().to_vec(),
            account: self.account.clone(),
            merchant: merchant(),
            class: 0,
            due_at: *self.due_at.get_or_insert(shop.clock.now()),
        };
        platform.order_due(order).unwrap();
    }

    pub(crate) fn numbers_dead(&self, platform: &Platform<Faulty>) {
        let Some(at) = self.due_at else { return };
        let handle = platform.issuer().handle(&merchant(), self.account.as_bytes());
        let _ = platform.numbers_dead(NumbersDead { merchant: merchant(), handle, at });
    }

    /// One of the wallets asks for a token, by the present offer or by one that was heard of earlier.
    pub(crate) fn ask(&mut self, shop: &Shop, platform: &Platform<Faulty>, wallet: usize, earlier: usize) {
        let (rng, issuer) = (&mut SystemRng::new(), name("shop.example"));
        let wallet = wallet % 2;
        let context = EnrolmentContext { issuer: &issuer, account: &self.account, nonce: &[1; 32] };
        let enrolment = self.wallets[wallet].enrol(context, rng).unwrap();
        let _ = platform.enrol(self.account.clone(), [1; 32], enrolment);
        let handle = platform.issuer().handle(&merchant(), self.account.as_bytes());
        if let Ok(offer) = platform.offer(self.account.clone(), merchant(), handle)
            && self.heard.iter().all(|heard| heard.scope != offer.scope)
        {
            self.heard.push(offer);
        }
        let Some(offer) = self.heard.iter().rev().nth(earlier).cloned() else { return };
        let pair = shop.ring.newest();
        let trust = TrustRoots::new(*platform.public_key(), 2, Grid::Daily)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .unwrap();
        let asked = self.wallets[wallet].request(&issuer, &merchant(), handle, &offer, &trust, rng);
        let Ok((pending, request)) = asked else { return };
        let commitment = *request.commitment().as_bytes();
        if let Ok(grant) = platform.grant(self.account.clone(), request).wait()
            && self.commitments.insert(commitment)
        {
            self.tokens.push((wallet, self.wallets[wallet].finish(pending, &grant, rng).unwrap()));
        }
    }

    pub(crate) fn tokens(&self) -> usize {
        self.commitments.len()
    }

    pub(crate) fn id(&self) -> Option<ReviewId> {
        let (wallet, token) = self.tokens.first()?;
        Some(self.wallets[*wallet].review_id(token).unwrap())
    }

    fn send(&mut self, platform: &Platform<Faulty>, presentation: Presentation, review: Review) {
        if let Ok(receipt) = platform.submit(presentation.clone(), review.clone()).wait() {
            self.sent.push((presentation, review));
            self.receipts.push(receipt);
        }
    }

    pub(crate) fn submit(&mut self, platform: &Platform<Faulty>, number: usize) {
        let Some((wallet, token)) = self.tokens.first() else { return };
        let review = words(number);
        let shown = self.wallets[*wallet].presentation(token, &review, &mut SystemRng::new()).unwrap();
        self.send(platform, shown, review);
    }

    /// An edit, or a withdrawal.
    pub(crate) fn act(&mut self, shop: &Shop, platform: &Platform<Faulty>, new: Option<usize>) {
        let Some((wallet, token)) = self.tokens.first() else { return };
        let (rng, now, wallet) = (&mut SystemRng::new(), shop.clock.now(), &self.wallets[*wallet]);
        let question = wallet.ask_state(token, now, rng).unwrap();
        let Ok(state) = platform.desk().state(token.scope(), &question) else { return };
        let new = new.map(words);
        let request = new.as_ref().map_or(AuthorRequest::Withdraw, AuthorRequest::Edit);
        let Ok(scheduled) = wallet.act(token, &state, request, now, rng) else { return };
        let edited = new.map(|new| new.to_bytes()).unwrap_or_default();
        let is_held = state.standing == ReviewStanding::Held;
        if self.say(platform, scheduled.action, edited.clone()) {
            self.took_back |= is_held && edited.is_empty();
        }
    }

    fn say(&mut self, platform: &Platform<Faulty>, action: AuthorAction, edited: Vec<u8>) -> bool {
        let Some((_, token)) = self.tokens.first() else { return false };
        let answer = platform.act(token.scope(), &action, &edited);
        let is_accepted = answer.is_ok();
        self.promised.extend(answer.map(|receipt| (receipt, action.clone())));
        self.actions.push((action, edited));
        is_accepted
    }

    /// Unchanged, what it sent first and what it signed.
    pub(crate) fn send_again(&mut self, platform: &Platform<Faulty>) {
        if let Some((presentation, review)) = self.sent.first().cloned() {
            self.send(platform, presentation, review);
        }
        for (action, edited) in self.actions.clone() {
            self.say(platform, action, edited);
        }
    }

    /// Promises are kept; those of an era that has ended may be lost.
    pub(crate) fn check_promises(&self, shop: &Shop, platform: &Platform<Faulty>, era: u32) {
        let (history, key) = (shop.history(platform), platform.public_key());
        let check = |verdict, given: u32| {
            let is_lost = matches!(verdict, ReceiptVerdict::Lost { .. });
            assert!(verdict == ReceiptVerdict::Kept || (is_lost && given < era), "{verdict:?} of {given}");
        };
        let Some((_, token)) = self.tokens.first() else { return };
        for receipt in &self.receipts {
            let verdict = receipt_verdict(&history, receipt, token.scope(), key, DAY).unwrap();
            check(verdict, receipt.terms().era);
        }
        for (receipt, action) in &self.promised {
            let verdict = action_verdict(&history, receipt, action, key, DAY).unwrap();
            check(verdict, receipt.era());
        }
    }
}
