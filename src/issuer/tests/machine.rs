//! Random histories against a plain model.

#[path = "model.rs"]
mod model;

use super::*;
use model::{ACCOUNTS, CLASSES, Id, MERCHANTS, Model, handle};
use proptest::prelude::*;

/// So many orders of each merchant are reported from the start.
const ORDERS: u8 = 14;

#[derive(Clone, Debug)]
enum Op {
    Enrol {
        account: usize,
        wallet: u8,
    },
    Erase {
        account: usize,
    },
    Report {
        merchant: usize,
        order: u8,
        account: usize,
        class: usize,
        due: i64,
    },
    Offer {
        merchant: usize,
        order: u8,
        account: usize,
    },
    /// Asks for the order, for the `scope`-th scope ever offered, or for its offer.
    Grant {
        merchant: usize,
        order: u8,
        account: usize,
        wallet: u8,
        variant: u64,
        scope: Option<usize>,
    },
    /// What a wallet does: offer and request.
    Buy {
        merchant: usize,
        order: u8,
    },
    NumbersDead {
        merchant: usize,
        order: u8,
        at: i64,
    },
    /// The host ends the numbers of all the merchant's orders.
    AllNumbersDead {
        merchant: usize,
    },
    Tick,
    Pass {
        seconds: u64,
    },
    Confirm,
    Rotate,
    Retire,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let (merchant, account, order) = (0..MERCHANTS.len(), 0..ACCOUNTS.len(), 0..ORDERS + 2);
    let (class, merchants) = (0..CLASSES.len(), merchant.clone());
    let days = |from: i64, to: i64| (from * DAY as i64)..(to * DAY as i64);
    let at = (merchant.clone(), order.clone());
    prop_oneof![
        2 => (account.clone(), 0..2u8).prop_map(|(account, wallet)| Op::Enrol { account, wallet }),
        1 => account.clone().prop_map(|account| Op::Erase { account }),
        6 => (at.clone(), account.clone(), class, prop_oneof![5 => Just(0), 1 => days(-3, 2)]).prop_map(
            |((merchant, order), account, class, due)| Op::Report { merchant, order, account, class, due }
        ),
        2 => (at.clone(), account.clone())
            .prop_map(|((merchant, order), account)| Op::Offer { merchant, order, account }),
        3 => (at.clone(), account, 0..2u8, 0..3u64, proptest::option::of(0..12usize)).prop_map(
            |((merchant, order), account, wallet, variant, scope)| {
                Op::Grant { merchant, order, account, wallet, variant, scope }
            }
        ),
        12 => at.clone().prop_map(|(merchant, order)| Op::Buy { merchant, order }),
        8 => (at, prop_oneof![3 => Just(0), 1 => days(-5, 20), 1 => days(360, 370)])
            .prop_map(|((merchant, order), at)| Op::NumbersDead { merchant, order, at }),
        5 => merchants.prop_map(|merchant| Op::AllNumbersDead { merchant }),
        4 => Just(Op::Tick),
        6 => (0..9 * DAY).prop_map(|seconds| Op::Pass { seconds }),
        1 => Just(Op::Confirm),
        1 => Just(Op::Rotate),
        1 => Just(Op::Retire),
        1 => Just(Op::Restart),
    ]
}

fn shifted(time: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_unix_seconds(time.as_unix_seconds().checked_add_signed(by).unwrap())
}

/// An account, and one of its two wallets.
fn person((account, wallet): (usize, u8)) -> Person {
    Person::with(ACCOUNTS[account], wallet.into())
}

/// Asks for a token, and compares the answer with the model's.
fn ask(shop: &Shop<MemoryStore>, model: &mut Model, id: Id, asker: (usize, u8), variant: u64, scope: &Scope) {
    let person = person(asker);
    let request = person.request(handle(id), scope, variant);
    let before = dump(&*shop.store);
    let answer = shop.grant(&person, &request);
    let expected = model.grant(id, asker, variant, scope, shop.now());
    match answer {
        Ok(grant) => {
            assert_eq!(expected, "done");
            assert!(person.holds(&shop.ring, &request, &grant));
            model.granted(id, tag(&grant));
        }
        Err(error) => {
            assert_eq!(error.code(), expected);
            assert_eq!(dump(&*shop.store), before, "{expected} changed a row");
        }
    }
}

fn step(shop: &mut Shop<MemoryStore>, model: &mut Model, op: Op) {
    let now = shop.now();
    let newest = *shop.ring.newest().issuer_key.public().id();
    match op {
        Op::Enrol { account, wallet } => {
            let wallet = 2 * account as u8 + wallet;
            let answer = shop.enrol(&person((account, wallet)));
            assert_eq!(code(answer), model.enrol(account, wallet, now));
        }
        Op::Erase { account } => {
            shop.issuer.erase_account(&name(ACCOUNTS[account])).unwrap();
            model.erase(account);
        }
        Op::Report { merchant, order, account, class, due } => {
            // An order's due time is one function of its number, but for the odd wrong report.
            let due_at = if due == 0 { MONDAY } else { shifted(now, due) };
            let report = OrderReport {
                order_id: vec![order],
                account: name(ACCOUNTS[account]),
                merchant: name(MERCHANTS[merchant]),
                class: CLASSES[class].0,
                due_at,
            };
            let answer = shop.issuer.report_orders(&[report]).pop().unwrap();
            assert!(answer.as_ref().is_ok_and(|h| *h == handle((merchant, order))) || answer.is_err());
            assert_eq!(code(answer), model.report((merchant, order), account, class, due_at, now));
        }
        Op::Offer { merchant, order, account } => {
            let (id, person) = ((merchant, order), Person::new(ACCOUNTS[account]));
            let answer = shop.offer(&person, &name(MERCHANTS[merchant]), handle(id));
            model.offered(id, account, answer, newest, now);
        }
        Op::Grant { merchant, order, account, wallet, variant, scope } => {
            let id = (merchant, order);
            let granted = || model.orders.get(&id)?.grant.as_ref().map(|(scope, ..)| scope);
            let named = scope.map_or_else(granted, |at| model.scopes.get(at));
            let Some(scope) = named.cloned() else { return };
            ask(shop, model, id, (account, 2 * account as u8 + wallet), variant, &scope);
        }
        Op::Buy { merchant, order } => {
            let id = (merchant, order);
            let Some(account) = model.orders.get(&id).map(|order| order.account) else { return };
            let Some((wallet, _)) = model.accounts.get(&account).copied() else { return };
            let offer = shop.offer(&person((account, wallet)), &name(MERCHANTS[merchant]), handle(id));
            let scope = offer.as_ref().ok().map(|offer| offer.scope.clone());
            model.offered(id, account, offer, newest, now);
            // None before the order is eligible, while another order of the account is in the cohort, and once
            // the window of what it was granted is over.
            let Some(scope) = scope else { return };
            ask(shop, model, id, (account, wallet), 1, &scope);
        }
        Op::NumbersDead { merchant, order, at } => {
            let (id, at) = ((merchant, order), shifted(now, at));
            let answer = shop.numbers_dead(&name(MERCHANTS[merchant]), handle(id), at);
            assert_eq!(code(answer), model.numbers_dead(id, at, now));
        }
        Op::AllNumbersDead { merchant } => {
            for (merchant, order) in model.ringing(merchant) {
                step(shop, model, Op::NumbersDead { merchant, order, at: 0 });
            }
        }
        Op::Tick => {
            let report = shop.issuer.tick().unwrap();
            model.ticked(&report, &shop.platform, now);
        }
        Op::Pass { seconds } => shop.pass(seconds),
        Op::Confirm => {
            let scopes: Vec<Scope> = model.sealed.iter().cloned().collect();
            shop.issuer.confirm_admitted(&scopes).unwrap();
            model.confirmed.extend(scopes);
        }
        Op::Rotate => {
            let (key, escrow) = new_key();
            let ring = shop.ring.with(key, escrow).unwrap();
            shop.use_ring(ring);
        }
        Op::Retire => {
            let others: Vec<[u8; 32]> =
                model.scopes.iter().map(|scope| *scope.key_id()).filter(|id| *id != newest).collect();
            if let Some(oldest) = others.first() {
                model.retired.insert(*oldest);
                let ring = shop.ring.retire(oldest).unwrap();
                shop.use_ring(ring);
            }
        }
        Op::Restart => *shop = shop.again(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn every_history_keeps_the_rules(ops in proptest::collection::vec(op(), 1..160)) {
        let (mut shop, mut model) = (Shop::new(), Model::default());
        for account in 0..5 {
            step(&mut shop, &mut model, Op::Enrol { account, wallet: 0 });
        }
        for (merchant, order) in (0..ORDERS).flat_map(|order| [(0, order), (1, order)]) {
            let (account, class) = (usize::from(order) % ACCOUNTS.len(), usize::from(order / 3) % 2);
            step(&mut shop, &mut model, Op::Report { merchant, order, account, class, due: 0 });
        }
        for op in ops {
            step(&mut shop, &mut model, op);
        }
        // Whatever a history left open: two more boundaries.
        for _ in 0..2 {
            step(&mut shop, &mut model, Op::Pass { seconds: WEEK });
            step(&mut shop, &mut model, Op::Tick);
        }
        step(&mut shop, &mut model, Op::Pass { seconds: 5 * WEEK });
        step(&mut shop, &mut model, Op::Tick);
        for (merchant, order) in (0..ORDERS).flat_map(|order| [(0, order), (1, order)]) {
            step(&mut shop, &mut model, Op::Grant { merchant, order, account: 0, wallet: 0, variant: 1, scope: None });
            step(&mut shop, &mut model, Op::Buy { merchant, order });
        }
    }
}
