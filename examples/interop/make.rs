//! Makes lines: the life of a few tokens, the openings of their reviews, and the same lines
//! corrupted.

use crate::generator::{Draw, Generator};
use crate::line::{Line, Mistake, hex};
use unjoin::Name;
use unjoin::algebra::Element;
use unjoin::ledger::WarrantAction;
use unjoin::opening::same_author::{Blind, BlindingFactor, CheckedRound, Pair};
use unjoin::opening::{
    Committee, DecryptionShare, ShareContext, TrusteeShare, combine, insecure_test_dealer,
};
use unjoin::secret::SecretBytes;
use unjoin::token::{
    Accepted, EnrolmentContext, Grant, IssuerKey, Offer, OrderHandle, PlatformKey, Presentation, Review,
    Scope,
};
use unjoin::wire::Message;
use unjoin_wallet::{AuthorRequest, ReviewState, Token, TrustRoots, Wallet};

type Made<T> = Result<T, Box<dyn std::error::Error>>;

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
pub(crate) fn lines(rng: &mut Generator) -> Made<Vec<Line>> {
    let mut valid = Vec::new();
    for (threshold, trustees, name) in
        [(1, 1, vec![0x00]), (2, 3, b"orders.example".to_vec()), (3, 5, vec![0xff; 64])]
    {
        let world = World::new(threshold, trustees, Name::new(name)?, rng)?;
        valid.extend(world.lines(rng)?);
    }
    let mut all = Vec::new();
    for line in valid {
        let refused = corrupted(&line, rng)?;
        all.push(line);
        all.extend(refused);
    }
    Ok(all)
}

impl World {
    fn new(threshold: u16, trustees: u16, issuer: Name, rng: &mut Generator) -> Made<Self> {
        let (committee, trustees) = insecure_test_dealer(threshold, trustees, rng)?;
        let issuer_key = IssuerKey::generate(rng);
        let platform_key = PlatformKey::generate(rng).public();
        let trust = TrustRoots::new(platform_key, 1, unjoin::Grid::Weekly)
            .pin(*issuer_key.public(), *committee.key())?;
        Ok(Self { issuer, issuer_key, committee, trustees, trust })
    }

    fn lines(&self, rng: &mut Generator) -> Made<Vec<Line>> {
        let wallets = [(); 2].map(|()| Wallet::from_seed(SecretBytes::random(rng)));
        let mut lines = vec![self.committee_fields("committee", "a committee")];
        for (wallet, account) in wallets.iter().zip([&b"a"[..], &[0x80; 64]]) {
            lines.push(self.enrolment(wallet, &Name::new(account)?, rng)?);
        }
        // The first author writes twice, the second once.
        let [first, second] = &wallets;
        let (short, long) = (b"m", rng.array::<64>());
        let broken = Review::new(1, "The lamp came broken.", vec![])?;
        let one = self.token(first, self.scope(short, 1)?, broken, &mut lines, rng)?;
        let empty = Review::new(5, "", vec![rng.array()])?;
        let two = self.token(first, self.scope(b"merchant-0002", u64::MAX)?, empty, &mut lines, rng)?;
        let text = "é".repeat(Review::MAX_TEXT / 2);
        let longest = Review::new(3, text, vec![rng.array(); Review::MAX_ATTACHMENTS])?;
        let cohort = u64::from_le_bytes(rng.array());
        let three = self.token(second, self.scope(&long, cohort)?, longest, &mut lines, rng)?;
        lines.extend(self.author(first, &one, rng)?);
        lines.extend(self.opening(&one, first.wallet_key(&self.issuer)?, rng)?);
        lines.extend(self.same_author(&one, &two, true, rng)?);
        lines.extend(self.same_author(&two, &three, false, rng)?);
        Ok(lines)
    }

    fn scope(&self, merchant: &[u8], cohort: u64) -> Made<Scope> {
        Ok(Scope::new(*self.issuer_key.public().id(), Name::new(merchant)?, cohort))
    }

    fn enrolment(&self, wallet: &Wallet, account: &Name, rng: &mut Generator) -> Made<Line> {
        let nonce = rng.array();
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
        rng: &mut Generator,
    ) -> Made<Reviewed> {
        let (key, escrow_key) = (self.issuer_key.public(), self.committee.key());
        let handle = OrderHandle(rng.array());
        let offer = Offer { handle, scope, issuer_key: *key, escrow_key: *escrow_key };
        let (pending, request) =
            wallet.request(&self.issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng)?;
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
        Ok(Reviewed { token, review, presentation })
    }

    /// An edit, a claim after it, and a withdrawal.
    fn author(&self, wallet: &Wallet, of: &Reviewed, rng: &mut Generator) -> Made<Vec<Line>> {
        let edited = Review::new(2, "They sent a new one.", vec![])?;
        let (audience, challenge) = (Name::new("claims.example")?, rng.array());
        let asked = [
            ("an edit", AuthorRequest::Edit(&edited)),
            ("a claim", AuthorRequest::Claim { audience: &audience, challenge: &challenge }),
            ("a withdrawal", AuthorRequest::Withdraw),
        ];
        let mut state = ReviewState::submitted(&of.review);
        let mut lines = Vec::new();
        for (name, request) in asked {
            let proof = wallet.author(&of.token, state, request, rng)?;
            let line = Line::new("author", name)
                .with_bytes("Y", self.committee.key().element().as_bytes())
                .with_bytes("E1", of.presentation.escrow().e1.as_bytes())
                .with_bytes("E2", of.presentation.escrow().e2.as_bytes())
                .with_bytes("review_id", of.presentation.review_id().as_bytes())
                .with("sequence", (state.last_sequence + 1).to_string())
                .with_bytes("previous_digest", state.digest_in_force)
                .with("action", proof.statement().action as u64)
                .with_bytes("new_digest", proof.statement().new_digest)
                .with_bytes("wire", proof.to_bytes());
            lines.push(match request {
                AuthorRequest::Claim { .. } => {
                    line.with_bytes("audience", audience.as_bytes()).with_bytes("challenge", challenge)
                }
                _ => line,
            });
            state = state.after(&proof);
        }
        Ok(lines)
    }

    fn committee_fields(&self, kind: &str, name: &str) -> Line {
        let committee = &self.committee;
        let shares = committee.verification_shares().iter().map(|share| hex(share.as_bytes()));
        Line::new(kind, name)
            .with("t", committee.threshold())
            .with("n", committee.verification_shares().len())
            .with("epoch", committee.epoch())
            .with_bytes("Y", committee.key().element().as_bytes())
            .with("Y_shares", shares.collect::<Vec<String>>())
            .with_bytes("escrow_id", committee.key().id())
    }

    /// t shares under `context`, a line each.
    fn shares(
        &self,
        context: &ShareContext,
        name: &str,
        lines: &mut Vec<Line>,
        rng: &mut Generator,
    ) -> Made<Vec<DecryptionShare>> {
        let mut shares = Vec::new();
        for trustee in self.trustees.iter().rev().take(usize::from(self.committee.threshold())) {
            let share = DecryptionShare::answer(trustee, &self.committee, context, rng)?;
            lines.push(
                with_context(self.committee_fields("share", name), context)
                    .with("action", context.action as u64)
                    .with("index", share.index())
                    .with_bytes("wire", share.to_bytes()),
            );
            shares.push(share);
        }
        Ok(shares)
    }

    fn opening(&self, of: &Reviewed, author: Element, rng: &mut Generator) -> Made<Vec<Line>> {
        let context = ShareContext {
            warrant_digest: rng.array(),
            action: WarrantAction::Open,
            subject: *of.presentation.review_id().as_bytes(),
            escrow: *of.presentation.escrow(),
        };
        let mut lines = Vec::new();
        let shares = self.shares(&context, "a share of an opening", &mut lines, rng)?;
        let opened = combine(&self.committee, &context, &shares, rng)?;
        if opened != author {
            return Err(Mistake::new("the review opens to somebody else").into());
        }
        lines.push(
            with_context(self.committee_fields("opening", "an opening"), &context)
                .with_bytes("U", author.as_bytes())
                .with("shares", wires(&shares)),
        );
        Ok(lines)
    }

    fn same_author(
        &self,
        one: &Reviewed,
        other: &Reviewed,
        same: bool,
        rng: &mut Generator,
    ) -> Made<Vec<Line>> {
        let mut reviews = [one, other].map(|of| (of.presentation.review_id(), *of.presentation.escrow()));
        reviews.sort_by_key(|(id, _)| *id);
        let [a, b] = reviews;
        let (pair, warrant, round): (_, [u8; 32], u16) =
            (Pair::new(a, b)?, rng.array(), 1 + rng.below(9) as u16);
        let with_pair = |mut line: Line| {
            line = line.with_bytes("warrant_digest", warrant).with("round", round);
            for (side, (id, escrow)) in [("a", a), ("b", b)] {
                line = line
                    .with_bytes(&format!("review_id_{side}"), id.as_bytes())
                    .with_bytes(&format!("E1{side}"), escrow.e1.as_bytes())
                    .with_bytes(&format!("E2{side}"), escrow.e2.as_bytes());
            }
            line
        };
        let (mut lines, mut blinds) = (Vec::new(), Vec::new());
        let members: Vec<u16> = self.trustees.iter().map(TrusteeShare::index).collect();
        for index in &members {
            let factor = BlindingFactor::random(rng);
            let blind = Blind::new(*index, round, &factor, &warrant, &pair, rng)?;
            lines.push(
                with_pair(Line::new("blind", "a blind"))
                    .with("n", members.len())
                    .with("index", *index)
                    .with_bytes("wire", blind.to_bytes()),
            );
            blinds.push(blind);
        }
        let checked = CheckedRound::new(&self.committee, &warrant, round, &pair, &members, &blinds, rng)?;
        let shares = self.shares(checked.context(), "a share of a round", &mut lines, rng)?;
        lines.push(
            with_pair(self.committee_fields("same_author", "a same-author round"))
                .with("members", members)
                .with("own_blind", wires(&blinds).swap_remove(0))
                .with("blinds", wires(&blinds))
                .with("shares", wires(&shares))
                .with("same", same),
        );
        Ok(lines)
    }
}

fn with_context(line: Line, context: &ShareContext) -> Line {
    line.with_bytes("warrant_digest", context.warrant_digest)
        .with_bytes("review_id", context.subject)
        .with_bytes("E1", context.escrow.e1.as_bytes())
        .with_bytes("E2", context.escrow.e2.as_bytes())
}

fn wires<M: Message>(messages: &[M]) -> Vec<String> {
    messages.iter().map(|message| hex(&message.to_bytes())).collect()
}

/// Fields of the context that every kind that has them must be bound to. Elements are not
/// among them: few changed bits leave one.
const BOUND: [&str; 12] = [
    "issuer_name",
    "account",
    "host_nonce",
    "handle",
    "scope",
    "review_digest",
    "escrow_id",
    "review_id",
    "previous_digest",
    "new_digest",
    "warrant_digest",
    "challenge",
];

/// The line with one bit of its message flipped, with its message cut short, with one bit of
/// each bound field flipped, and with another answer.
fn corrupted(line: &Line, rng: &mut Generator) -> Result<Vec<Line>, Mistake> {
    let refused = |what: &str| {
        Line::clone(line).with("name", format!("{}: {what}", line.name())).with("expect", "refused")
    };
    let mut lines = Vec::new();
    if line.has("wire") {
        let wire = line.bytes("wire")?;
        for place in ["header", "body"] {
            let bit = if place == "header" { rng.below(16) } else { 16 + rng.below(wire.len() * 8 - 16) };
            lines.push(refused(&format!("bit {bit} flipped")).with_bytes("wire", flipped(&wire, bit)));
        }
        let length = rng.below(wire.len());
        lines.push(
            refused("cut short").with_bytes("wire", wire.iter().copied().take(length).collect::<Vec<_>>()),
        );
        lines.push(refused("a byte too long").with_bytes("wire", [wire.as_slice(), &[0]].concat()));
    }
    for field in BOUND.into_iter().filter(|field| line.has(field)) {
        let bytes = line.bytes(field)?;
        let changed = flipped(&bytes, rng.below(bytes.len() * 8));
        lines.push(refused(&format!("{field} changed")).with_bytes(field, changed));
    }
    if line.has("sequence") {
        lines.push(refused("another number").with("sequence", (line.number("sequence")? + 1).to_string()));
    }
    if line.has("same") {
        lines.push(refused("the other answer").with("same", !line.truth("same")?));
        lines.push(refused("of another round").with("round", line.number("round")? + 1));
    }
    if line.kind() == "committee" && line.number("n")? > 1 {
        lines.push(refused("another threshold").with("t", line.number("t")? % line.number("n")? + 1));
    }
    if line.kind() == "opening" {
        lines.push(refused("no share").with("shares", Vec::<String>::new()));
        lines.push(refused("another author").with("U", hex(&line.bytes("Y")?)));
    }
    Ok(lines)
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut other = bytes.to_vec();
    if let Some(byte) = other.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    other
}
