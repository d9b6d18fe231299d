//! What the customers' devices do: enrol, ask for tokens, present, and send when they said they would.

use super::{DAY, IN_FLIGHT, Marketplace, Order, Result, label, timestamp};
use crate::extortion::{Gang, TakenBack};
use rayon::prelude::*;
use std::collections::HashSet;
use std::time::Instant;
use unjoin::issuer::{EnrolmentSubmission, IssuerError, OfferRequest, OrderReport};
use unjoin::review::Submission;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::Store;
use unjoin::token::{EnrolmentContext, Grant, Review, ReviewStanding, ReviewState};
use unjoin::wire::Message;
use unjoin::{Name, Pending};
use unjoin_wallet::{AuthorRequest, ManifestEvidence, PendingToken, Token, WalletError};

impl<'a, S: Store> Marketplace<'a, S> {
    /// Enrols the customers who have an order due for the first time.
    pub(super) fn enrol(&mut self, due: &[usize]) -> Result<()> {
        let mut new: Vec<&'a str> = Vec::new();
        for &order in due {
            let customer = self.orders[order].customer.as_str();
            if self.enrolled.insert(customer, ()).is_none() {
                new.push(customer);
            }
        }
        let (wallets, issuer) = (&self.wallets, &self.issuer_name);
        let submissions: Result<Vec<EnrolmentSubmission>> = new
            .par_iter()
            .map(|customer| {
                let rng = &mut SystemRng::new();
                let account = Name::new(customer)?;
                let nonce = *SecretBytes::<32>::random(rng).expose();
                let context = EnrolmentContext { issuer, account: &account, nonce: &nonce };
                let enrolment = wallets[customer].enrol(context, rng)?;
                Ok(EnrolmentSubmission { account, nonce, enrolment })
            })
            .collect();
        for answer in self.platform.issuer().enrol(&submissions?) {
            answer?;
        }
        Ok(())
    }

    /// What is made of each of these orders, with the names of its account and merchant.
    fn of_each<T>(
        &self,
        orders: &[usize],
        make: impl Fn(usize, &Order, Name, Name) -> Result<T>,
    ) -> Result<Vec<T>> {
        let made = orders.iter().map(|&index| {
            let order = &self.orders[index];
            make(index, order, Name::new(&order.customer)?, Name::new(&order.merchant)?)
        });
        made.collect()
    }

    /// Reports the orders that are due.
    pub(super) fn deliver(&mut self, due: &[usize]) -> Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        let issuer = self.platform.issuer();
        let reports = self.of_each(due, |_, order, account, merchant| {
            let (order_id, due_at) = (order.order_id.as_bytes().to_vec(), timestamp(order.due_at()));
            let class = u8::from(self.classes && order.late_or_failed());
            Ok(OrderReport { order_id, account, merchant, class, due_at })
        })?;
        for (&order, handle) in due.iter().zip(issuer.report_orders(&reports)) {
            self.handles[order] = Some(handle?);
        }
        Ok(())
    }

    /// Has the devices of these orders ask for their tokens; the answer is those that got one. A customer with
    /// another order in the cohort that gathers asks again once it is sealed.
    pub(super) fn ask(&mut self, asked: &[usize]) -> Result<Vec<usize>> {
        let issuer = self.platform.issuer();
        let asking = self.of_each(asked, |index, _, account, merchant| {
            let handle = self.handles[index].ok_or("an order that was not reported")?;
            Ok(OfferRequest { account, merchant, handle })
        })?;
        let answers = issuer.offers(&asking);
        let mut one_each = HashSet::new();
        let (mut due, mut asking_now, mut offers) = (Vec::new(), Vec::new(), Vec::new());
        for ((&order, asking), offer) in asked.iter().zip(asking).zip(answers) {
            match offer {
                // Of two that ask at once one has a token and the other hears so at its grant.
                Ok(offer) if one_each.insert((asking.account.clone(), offer.scope.clone())) => {
                    due.push(order);
                    asking_now.push(asking);
                    offers.push(offer);
                }
                Ok(_) | Err(IssuerError::Later) => {
                    self.later.entry(asking.merchant).or_default().push(order);
                }
                Err(error) => return Err(error.into()),
            }
        }
        for offer in &offers {
            let number = self.labels.len() as u64;
            self.labels.entry(offer.scope.clone()).or_insert_with(|| label(number, self.seed));
        }
        let requests: Result<Vec<_>> = due
            .par_iter()
            .zip(&offers)
            .map(|(&order, offer)| {
                let wallet = &self.wallets[self.orders[order].customer.as_str()];
                Ok(wallet.request(
                    &self.issuer_name,
                    offer.scope.merchant(),
                    offer.handle,
                    offer,
                    &self.trust,
                    &mut SystemRng::new(),
                )?)
            })
            .collect();
        let started = Instant::now();
        let mut pending = Vec::with_capacity(due.len());
        let mut answers = Vec::with_capacity(due.len());
        for ((pending_token, request), asked) in requests?.into_iter().zip(&asking_now) {
            let answer = issuer.grant(asked.account.clone(), request);
            pending.push((pending_token, answer));
            if pending.len() == IN_FLIGHT {
                wait_for_grants(&mut pending, &mut answers)?;
            }
        }
        wait_for_grants(&mut pending, &mut answers)?;
        self.figures.granted.add(answers.len(), started.elapsed());
        let tokens: Result<Vec<Token>> = due
            .par_iter()
            .zip(answers)
            .map(|(&order, (pending_token, grant))| {
                let wallet = &self.wallets[self.orders[order].customer.as_str()];
                Ok(wallet.finish(pending_token, &grant, &mut SystemRng::new())?)
            })
            .collect();
        for (&order, token) in due.iter().zip(tokens?) {
            self.members.entry(token.scope().clone()).or_default().push(order);
            self.devices[order].token = Some(token);
        }
        Ok(due)
    }

    /// Presents written reviews through the recommended door, or has them wait for their
    /// cohort's manifest.
    pub(super) fn present(&mut self, ready: &[usize]) -> Result<()> {
        use unjoin::Clock;
        let now = self.clock.now();
        let mut presenting = Vec::new();
        for &order in ready {
            let Some(token) = &self.devices[order].token else { continue };
            match self.manifests.get(token.scope()) {
                Some(manifest) => presenting.push((order, token, manifest)),
                None => self.waiting.entry(token.scope().clone()).or_default().push(order),
            }
        }
        let scheduled: Vec<_> = presenting
            .par_iter()
            .map(|&(order, token, manifest)| {
                let wallet = &self.wallets[self.orders[order].customer.as_str()];
                let evidence = ManifestEvidence::Signed(manifest.clone());
                let review = self.review(order)?;
                let rng = &mut SystemRng::new();
                Ok((order, wallet.present(token, &review, &evidence, &self.trust, now, rng)))
            })
            .collect::<Result<_>>()?;
        for (order, scheduled) in scheduled {
            match scheduled {
                Ok(scheduled) => {
                    self.author_of.insert(scheduled.presentation.review_id(), order);
                    let day = scheduled.send_at.as_unix_seconds() / DAY;
                    self.sending.entry(day).or_default().push((order, scheduled.presentation));
                }
                Err(WalletError::WindowOver) => self.figures.too_late += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends what the wallets had planned for this day.
    pub(super) fn submit(&mut self, day: u64) -> Result<()> {
        let Some(sending) = self.sending.remove(&day) else { return Ok(()) };
        let mut submissions = Vec::with_capacity(sending.len());
        for (order, presentation) in sending {
            let bytes = presentation.to_bytes().len();
            self.figures.largest_presentation = self.figures.largest_presentation.max(bytes);
            submissions.push(Submission { presentation, review: self.review(order)? });
        }
        let (count, started) = (submissions.len(), Instant::now());
        while !submissions.is_empty() {
            let rest = submissions.split_off(submissions.len().min(IN_FLIGHT));
            for receipt in self.platform.desk().submit_all(submissions) {
                let receipt = receipt.wait()?;
                let id = receipt.terms().review_id;
                let order = self.author_of.get(&id).map(|order| &self.orders[*order]);
                if order.is_some_and(|order| self.cast.has_shop(&order.merchant)) {
                    self.receipts.insert(id, receipt);
                }
            }
            submissions = rest;
        }
        self.figures.submitted.add(count, started.elapsed());
        Ok(())
    }

    /// Plays what the gang sees at the door while an author withdraws a held review: nothing.
    pub(super) fn take_back(&mut self, day: u64) -> Result<()> {
        use unjoin::Clock;
        let Some(sending) = self.sending.get_mut(&day) else { return Ok(()) };
        let Some(at) = sending.iter().position(|(order, _)| self.cast.is_pressed(*order)) else {
            return Ok(());
        };
        let (order, presentation) = sending.swap_remove(at);
        let token = self.devices[order].token.as_ref().ok_or("a review without a token")?;
        let wallet = &self.wallets[self.orders[order].customer.as_str()];
        let sent = Submission { presentation, review: self.review(order)? };
        let (desk, now, rng) = (self.platform.desk(), self.clock.now(), &mut SystemRng::new());
        let receipt = desk.submit(sent.clone()).wait()?;
        let terms = receipt.terms();
        let held = ReviewState {
            review_id: terms.review_id,
            last_sequence: 0,
            digest_in_force: terms.review_digest,
            standing: ReviewStanding::Held,
            published_at: terms.publish_by,
        };
        let withdrawal = wallet.act(token, &held, AuthorRequest::Withdraw, now, rng)?;
        let gang = Gang::new(token.scope(), &sent, now)?;
        let before = gang.sees(&self.platform)?;
        self.clock.set(withdrawal.send_at);
        let answer = desk.act(token.scope(), &withdrawal.action, &[])?;
        withdrawal.check_receipt(&answer, &self.trust, self.clock.now())?;
        if gang.sees(&self.platform)? != before {
            return Err("the gang sees that a held review was withdrawn".into());
        }
        let question = wallet.ask_state(token, self.clock.now(), rng)?;
        if desk.state(token.scope(), &question)? != held.after(&withdrawal.action) {
            return Err("the author is not told that the review is withdrawn".into());
        }
        self.taken_back =
            Some(TakenBack { review_id: terms.review_id, day: now, questions: gang.questions() });
        Ok(())
    }

    /// The set holds stars and no text.
    fn review(&self, order: usize) -> Result<Review> {
        Ok(Review::new(self.orders[order].stars.unwrap_or_default(), "", Vec::new())?)
    }
}

type PendingGrant = (PendingToken, Pending<Grant, IssuerError>);

fn wait_for_grants(pending: &mut Vec<PendingGrant>, answers: &mut Vec<(PendingToken, Grant)>) -> Result<()> {
    for (token, answer) in pending.drain(..) {
        answers.push((token, answer.wait()?));
    }
    Ok(())
}
