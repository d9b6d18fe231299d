//! Makes lines: the life of a few tokens, the openings of their reviews and which of them have
//! one author.

use crate::corrupt::corrupted;
use crate::line::{Line, hex};
use crate::values::scripted;
use crate::words::Outcome;
use rand_core::Rng;
use serde_json::{Value, json};
use unjoin::algebra::{Element, Escrow};
use unjoin::ledger::{Members, WarrantAction, blind_commitment};
use unjoin::opening::same_author::{Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonShare};
use unjoin::opening::{
    Committee, DecryptionShare, ShareContext, TrusteeShare, combine, insecure_test_dealer,
};
use unjoin::secret::SecretBytes;
use unjoin::token::{
    Accepted, DoorMessage, DoorQuestion, EnrolmentContext, Grant, IssuerKey, Offer, OrderHandle, PlatformKey,
    Presentation, Review, ReviewId, ReviewStanding, ReviewState, Scope,
};
use unjoin::wire::Message;
use unjoin::{Grid, Name, Timestamp};
use unjoin_test_util::Seeded;
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet, derive};

/// A platform: an issuing key and its trustees.
struct World {
    issuer: Name,
    issuer_key: IssuerKey,
    committee: Committee,
    trustees: Vec<TrusteeShare>,
    trust: TrustRoots,
}

struct Reviewed {
    token: Token,
    review: Review,
    presentation: Presentation,
}

/// All lines: each valid one, followed by corrupted ones that must be refused.
pub(crate) fn lines(rng: &mut Seeded) -> Outcome<Vec<Line>> {
    let mut valid = Vec::new();
    for (threshold, trustees, name) in
        [(1, 1, vec![0x00]), (2, 3, b"orders.example".to_vec()), (3, 5, vec![0xff; 64])]
    {
        let world = World::new(threshold, trustees, Name::new(name)?, rng)?;
        valid.extend(world.lines(rng)?);
    }
    let mut all = Vec::new();
    for line in valid {
        let refused = corrupted(&line, rng);
        all.push(line);
        all.extend(refused);
    }
    Ok(all)
}

impl World {
    fn new(threshold: u16, trustees: u16, issuer: Name, rng: &mut Seeded) -> Outcome<Self> {
        let (committee, trustees) = insecure_test_dealer(threshold, trustees, rng)?;
        let issuer_key = IssuerKey::generate(rng);
        let platform_key = PlatformKey::generate(rng).public();
        let trust =
            TrustRoots::new(platform_key, 1, Grid::Weekly).pin(*issuer_key.public(), *committee.key())?;
        Ok(Self { issuer, issuer_key, committee, trustees, trust })
    }

    fn lines(&self, rng: &mut Seeded) -> Outcome<Vec<Line>> {
        let seeds: [[u8; 32]; 2] = [array(rng), array(rng)];
        let wallets = seeds.map(|seed| Wallet::from_seed(SecretBytes::new(seed)));
        let mut lines = vec![self.committee_fields("committee", "a committee")];
        for (wallet, account) in wallets.iter().zip([&b"a"[..], &[0x80; 64]]) {
            lines.push(self.enrolment(wallet, &Name::new(account)?, rng)?);
        }
        // The first author writes twice, the second once.
        let [first, second] = &wallets;
        let (short, long) = (b"m", array::<64>(rng));
        let broken = Review::new(1, "The lamp came broken.", vec![])?;
        let one = self.token(first, self.scope(short, 1)?, broken, &mut lines, rng)?;
        let empty = Review::new(5, "", vec![array(rng)])?;
        let two = self.token(first, self.scope(b"merchant-0002", u64::MAX)?, empty, &mut lines, rng)?;
        let text = "é".repeat(Review::MAX_TEXT / 2);
        let longest = Review::new(3, text, vec![array(rng); Review::MAX_ATTACHMENTS])?;
        let scope = self.scope(&long, u64::from_le_bytes(array(rng)))?;
        let three = self.token(second, scope.clone(), longest, &mut lines, rng)?;
        for (seed, of) in [(seeds[0], &one), (seeds[1], &three)] {
            lines.push(self.wallet(seed, of, rng)?);
        }
        lines.extend(self.author(first, &one, rng)?);
        lines.extend(self.author(second, &three, rng)?);
        lines.extend(self.opening(&one, first.wallet_key(&self.issuer)?, rng)?);
        lines.extend(self.same_author(&[&[&one, &two]], rng)?);
        lines.extend(self.same_author(&[&[&two], &[&three]], rng)?);
        lines.extend(self.same_author(&[&[&three], &[&one, &two]], rng)?);
        lines.push(
            Line::new("scope", "a scope")
                .with_bytes("key_id", scope.key_id())
                .with_bytes("merchant", scope.merchant().as_bytes())
                .with("cohort", scope.cohort().to_string())
                .with_bytes("scope", scope.to_bytes())
                .with_bytes("m", scope.scalar().to_bytes()),
        );
        Ok(lines)
    }

    fn scope(&self, merchant: &[u8], cohort: u64) -> Outcome<Scope> {
        Ok(Scope::new(*self.issuer_key.public().id(), Name::new(merchant)?, cohort))
    }

    fn enrolment(&self, wallet: &Wallet, account: &Name, rng: &mut Seeded) -> Outcome<Line> {
        let nonce = array(rng);
        let context = EnrolmentContext { issuer: &self.issuer, account, nonce: &nonce };
        let enrolment = wallet.enrol(context, rng)?;
        Ok(Line::new("enrolment", "a device enrols")
            .with_bytes("issuer_name", self.issuer.as_bytes())
            .with_bytes("account", account.as_bytes())
            .with_bytes("host_nonce", nonce)
            .with_bytes("wire", enrolment.to_bytes()))
    }

    /// Request, grant, presentation (checked with and without the issuer's secret) and the
    /// desk's proof.
    fn token(
        &self,
        wallet: &Wallet,
        scope: Scope,
        review: Review,
        lines: &mut Vec<Line>,
        rng: &mut Seeded,
    ) -> Outcome<Reviewed> {
        let (key, escrow_key) = (self.issuer_key.public(), self.committee.key());
        let handle = OrderHandle(array(rng));
        let offer = Offer { handle, scope, issuer_key: *key, escrow_key: *escrow_key };
        let (pending, request) =
            wallet.request(&self.issuer, offer.scope.merchant(), handle, &offer, &self.trust, rng)?;
        let (scope, x) = (offer.scope.to_bytes(), key.element().as_bytes());
        lines.push(
            Line::new("request", "a token is asked for")
                .with_bytes("U", wallet.wallet_key(&self.issuer)?.as_bytes())
                .with_bytes("handle", handle.as_bytes())
                .with_bytes("scope", &scope)
                .with_bytes("wire", request.to_bytes()),
        );
        let grant = Grant::issue(&self.issuer_key, &offer.scope, request.commitment(), rng)?;
        lines.push(
            Line::new("grant", "a token is granted")
                .with_bytes("X", x)
                .with_bytes("scope", &scope)
                .with_bytes("C", request.commitment().as_bytes())
                .with_bytes("wire", grant.to_bytes()),
        );
        let token = wallet.finish(pending, &grant, rng)?;
        let presentation = wallet.presentation(&token, &review, rng)?;
        let accepted = Accepted::prove(&self.issuer_key, &presentation, &review.digest(), rng);
        let presented = Line::new("presentation", "a review is presented")
            .with_bytes("escrow_id", escrow_key.id())
            .with_bytes("Y", escrow_key.element().as_bytes())
            .with_bytes("review_digest", review.digest())
            .with_bytes("scope", &scope)
            .with_bytes("review_id", presentation.review_id().as_bytes())
            .with_bytes("P", presentation.author_key().as_bytes())
            .with_bytes("wire", presentation.to_bytes());
        // x, before the PRF key.
        let secrets = self.issuer_key.to_secret_bytes();
        let issuer_x: Vec<u8> = secrets.expose().iter().copied().take(32).collect();
        lines.push(presented.clone().with_bytes("issuer_x", issuer_x));
        lines.push(presented.with_bytes("X", x).with_bytes("accepted", accepted.to_bytes()));
        lines.push(
            Line::new("accepted", "the desk vouches for it")
                .with_bytes("X", x)
                .with_bytes("presentation", presentation.to_bytes())
                .with_bytes("review_digest", review.digest())
                .with_bytes("wire", accepted.to_bytes()),
        );
        let question = DoorQuestion::submission(presentation.clone(), &review);
        lines.push(
            Line::new("door", "a submission")
                .with("variant", 1)
                .with_bytes("presentation", presentation.to_bytes())
                .with_bytes("review", review.to_bytes())
                .with_bytes("wire", DoorMessage::new(question).ok_or("too long for the door")?.to_bytes()),
        );
        Ok(Reviewed { token, review, presentation })
    }

    /// What a wallet derives from its seed for a token.
    fn wallet(&self, seed: [u8; 32], of: &Reviewed, rng: &mut Seeded) -> Outcome<Line> {
        let (seed, token) = (SecretBytes::new(seed), &of.token);
        let author = derive::author(&seed, &self.issuer).ok_or("u is zero")?;
        let (scope, key) = (token.scope(), token.escrow_key());
        let secrets = derive::order(&seed, &self.issuer, scope, token.handle(), key);
        let (fresh, digest) = (array::<32>(rng), of.review.digest());
        let r = derive::randomizer(&seed, scope, &secrets.s, &digest, &mut scripted([fresh.to_vec()]));
        let mut line = Line::new("wallet", "what a wallet derives")
            .with_bytes("seed", seed.expose())
            .with_bytes("issuer_name", self.issuer.as_bytes())
            .with_bytes("scope", scope.to_bytes())
            .with_bytes("handle", token.handle().as_bytes())
            .with_bytes("Y", key.element().as_bytes())
            .with_bytes("U", author.wallet_key.as_bytes())
            .with_bytes("a", secrets.a.expose())
            .with_bytes("P", secrets.author_key().as_bytes())
            .with_bytes("r_fresh", fresh)
            .with_bytes("review_digest", digest);
        for (field, scalar) in
            [("u", &author.u), ("s", &secrets.s), ("b", &secrets.b), ("k", &secrets.k), ("r", &r)]
        {
            line = line.with_bytes(field, scalar.expose().to_bytes());
        }
        Ok(line)
    }

    /// Two edits and a withdrawal, each also as it passes the door.
    fn author(&self, wallet: &Wallet, of: &Reviewed, rng: &mut Seeded) -> Outcome<Vec<Line>> {
        let (edited, now) =
            (Review::new(2, "They sent a new one.", vec![])?, Timestamp::from_unix_seconds(1_700_000_000));
        let asked = [
            ("an edit", AuthorRequest::Edit(&edited)),
            ("an edit by the same review", AuthorRequest::Edit(&edited)),
            ("a withdrawal", AuthorRequest::Withdraw),
        ];
        let review_id = of.presentation.review_id();
        let mut state = ReviewState {
            review_id,
            last_sequence: rng.below(100),
            digest_in_force: of.review.digest(),
            standing: ReviewStanding::Published,
            published_at: now,
        };
        let (scope, mut lines) = (of.token.scope(), Vec::new());
        for (name, request) in asked {
            let action = wallet.act(&of.token, &state, request, now, rng)?.action;
            let said = action.statement();
            lines.push(
                Line::new("author", name)
                    .with_bytes("P", of.presentation.author_key().as_bytes())
                    .with_bytes("review_id", review_id.as_bytes())
                    .with("sequence", said.sequence.to_string())
                    .with_bytes("previous_digest", state.digest_in_force)
                    .with("action", said.kind as u64)
                    .with_bytes("new_digest", said.new_digest)
                    .with_bytes("wire", action.to_bytes()),
            );
            let review = match request {
                AuthorRequest::Edit(review) => review.to_bytes(),
                AuthorRequest::Withdraw => Vec::new(),
            };
            let line = Line::new("door", name)
                .with("variant", 2)
                .with_bytes("scope", scope.to_bytes())
                .with_bytes("author_action", action.to_bytes())
                .with_bytes("review", &review);
            state = state.after(&action);
            let question = DoorQuestion::Action { scope: scope.clone(), action, review };
            let message = DoorMessage::new(question).ok_or("too long for the door")?;
            lines.push(line.with_bytes("wire", message.to_bytes()));
        }
        Ok(lines)
    }

    fn committee_fields(&self, kind: &str, name: &str) -> Line {
        let committee = &self.committee;
        self.share_fields(kind, name)
            .with("t", committee.threshold())
            .with("n", committee.verification_shares().len())
            .with_bytes("Y", committee.key().element().as_bytes())
    }

    /// Of the committee, what a share is checked against.
    fn share_fields(&self, kind: &str, name: &str) -> Line {
        let committee = &self.committee;
        let shares = committee.verification_shares().iter().map(|share| hex(share.as_bytes()));
        Line::new(kind, name)
            .with("epoch", committee.epoch())
            .with("Y_shares", shares.collect::<Vec<String>>())
            .with_bytes("escrow_id", committee.key().id())
    }

    /// t shares, a line each, and what they open to.
    fn opening(&self, of: &Reviewed, author: Element, rng: &mut Seeded) -> Outcome<Vec<Line>> {
        let (warrant_digest, review_id) = (array(rng), of.presentation.review_id());
        let context = ShareContext { warrant_digest, review_id, escrow: *of.presentation.escrow() };
        let with_context = |line: Line| {
            line.with_bytes("warrant_digest", warrant_digest)
                .with_bytes("review_id", review_id.as_bytes())
                .with_bytes("E1", context.escrow.e1.as_bytes())
                .with_bytes("E2", context.escrow.e2.as_bytes())
        };
        let (mut lines, mut shares) = (Vec::new(), Vec::new());
        for trustee in self.some_trustees(self.committee.threshold(), rng) {
            let share = DecryptionShare::answer(trustee, &self.committee, &context, rng)?;
            lines.push(
                with_context(self.share_fields("share", "a share of an opening"))
                    .with("action", WarrantAction::Open as u64)
                    .with("index", share.index())
                    .with_bytes("wire", share.to_bytes()),
            );
            shares.push(share);
        }
        if combine(&self.committee, &context, &shares, rng)? != author {
            return Err("the review opens to somebody else".into());
        }
        lines.push(
            with_context(self.committee_fields("opening", "an opening"))
                .with_bytes("U", author.as_bytes())
                .with("shares", wires(&shares)),
        );
        Ok(lines)
    }

    /// A round over the reviews of these authors: the blinds of t members or more, the shares of t of
    /// them, and the answer.
    fn same_author(&self, authors: &[&[&Reviewed]], rng: &mut Seeded) -> Outcome<Vec<Line>> {
        let presented = || authors.iter().copied().flatten().map(|of| &of.presentation);
        let mut reviews: Vec<(ReviewId, Escrow)> =
            presented().map(|presentation| (presentation.review_id(), *presentation.escrow())).collect();
        reviews.sort_unstable_by_key(|(id, _)| *id);
        let compared = ComparedReviews::new(reviews.clone())?;
        let (warrant, round): ([u8; 32], u16) = (array(rng), 1 + rng.below(9) as u16);
        let review_fields: Vec<Value> = reviews
            .iter()
            .map(|(id, Escrow { e1, e2 })| {
                let [id, e1, e2] = [id.as_bytes(), e1.as_bytes(), e2.as_bytes()].map(hex);
                json!({ "review_id": id, "E1": e1, "E2": e2 })
            })
            .collect();
        let with_round = |line: Line| {
            line.with_bytes("warrant_digest", warrant)
                .with("round", round)
                .with("reviews", review_fields.clone())
        };

        let (t, n) = (self.committee.threshold(), self.trustees.len() as u16);
        let asked = self.some_trustees(t + rng.below(u64::from(n - t) + 1) as u16, rng);
        let (mut lines, mut blinds) = (Vec::new(), Vec::new());
        for trustee in &asked {
            let factor = BlindingFactor::derive(trustee, &warrant, round, &compared, rng);
            let blind = Blind::new(trustee.index(), round, &factor, &warrant, &compared, rng)?;
            lines.push(
                with_round(Line::new("blind", "a blind"))
                    .with("n", n)
                    .with("index", blind.index())
                    .with_bytes("wire", blind.to_bytes()),
            );
            blinds.push(blind);
        }
        let indices: Vec<u16> = asked.iter().map(|trustee| trustee.index()).collect();
        let members = Members::new(indices.iter().copied()).ok_or("a round has members")?;
        let checked = CheckedRound::new(&self.committee, &warrant, round, &compared, members, &blinds, rng)?;
        let context = checked.context();
        let sums: Vec<Value> = reviews
            .iter()
            .zip(&context.sums)
            .map(|((id, _), sum)| json!({ "review_id": hex(id.as_bytes()), "S1": hex(sum.as_bytes()) }))
            .collect();
        let mut shares = Vec::new();
        for trustee in asked.iter().rev().take(usize::from(t)) {
            let share = ComparisonShare::answer(trustee, &self.committee, context, rng)?;
            lines.push(
                self.share_fields("comparison_share", "a share of a round")
                    .with_bytes("warrant_digest", warrant)
                    .with_bytes("round_id", context.round_id)
                    .with("sums", sums.clone())
                    .with("index", share.index())
                    .with_bytes("wire", share.to_bytes()),
            );
            shares.push(share);
        }
        let commitments = blinds.iter().map(|blind| hex(blind_commitment(&warrant, &blind.to_bytes())));
        let classes = authors.iter().map(|author| {
            author.iter().map(|of| hex(of.presentation.review_id().as_bytes())).collect::<Vec<String>>()
        });
        lines.push(
            with_round(self.committee_fields("same_author", "a same-author round"))
                .with("members", indices)
                .with("commitments", commitments.collect::<Vec<String>>())
                .with("own_blind", wires(&blinds).swap_remove(0))
                .with("blinds", wires(&blinds))
                .with("shares", wires(&shares))
                .with("classes", json!(classes.collect::<Vec<_>>())),
        );
        Ok(lines)
    }

    /// So many of the trustees, in any order that is a rotation.
    fn some_trustees(&self, count: u16, rng: &mut Seeded) -> Vec<&TrusteeShare> {
        let mut trustees: Vec<&TrusteeShare> = self.trustees.iter().collect();
        let first = rng.below(trustees.len() as u64) as usize;
        trustees.rotate_left(first);
        trustees.truncate(usize::from(count));
        trustees
    }
}

fn wires<M: Message>(messages: &[M]) -> Vec<String> {
    messages.iter().map(|message| hex(message.to_bytes())).collect()
}

fn array<const N: usize>(rng: &mut Seeded) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}
