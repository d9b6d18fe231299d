use super::*;
use unjoin_core::entry::{BindingEntry, Ledger};
use unjoin_core::wire::Message;

/// Whom the directory names for a wallet, if the openings ledger holds the commitment to it.
fn bound<S: Store>(shop: &Shop<S>, wallet: &Person) -> Option<Name> {
    let BoundAccount { account, blind } = shop.issuer.account_of(&wallet.wallet_key).unwrap()?;
    let entry = BindingEntry::new(&account, &wallet.wallet_key, &blind).to_bytes();
    assert_eq!(entries(&*shop.store, Ledger::Openings).iter().filter(|logged| **logged == entry).count(), 1);
    Some(account)
}

#[test]
fn a_binding_is_logged_once_and_opens() {
    let shop = Shop::new();
    let [ann, ben] = people(["ann", "ben"]);
    let batch = [ann.enrolment(), ben.enrolment(), ann.enrolment()];
    assert!(shop.issuer.enrol(&batch).iter().all(Result::is_ok));
    let before = dump(&*shop.store);
    assert!(shop.issuer.enrol(&batch).iter().all(Result::is_ok));
    assert_eq!(dump(&*shop.store), before);
    assert_eq!(bound(&shop, &ann), Some(name("ann")));
    assert_eq!(bound(&shop, &ben), Some(name("ben")));
    assert_eq!(bound(&shop, &Person::new("eve")), None);
    assert_eq!(entries(&*shop.store, Ledger::Openings).len(), 2);
}

/// So reviews of before the loss open to their account.
#[test]
fn enrolling_again_after_a_lost_store_makes_the_same_binding() {
    let (lost, restored) = (Shop::new(), Shop::new());
    let ann = Person::new("ann");
    restored.pass(20 * DAY);
    for shop in [&lost, &restored] {
        shop.enrol(&ann).unwrap();
        assert_eq!(bound(shop, &ann), Some(name("ann")));
    }
    let logged = |shop: &Shop<_>| entries(&*shop.store, Ledger::Openings);
    assert_eq!(logged(&restored), logged(&lost));
}

#[test]
fn an_account_has_one_live_wallet_and_old_ones_stay_for_openings() {
    let shop = Shop::new();
    let (old, new) = (Person::new("ann"), Person::with("ann", 2));
    shop.pass(DAY / 2);
    shop.enrol(&old).unwrap();
    let merchant = name("m");
    let handle = shop.report(&old, &merchant, ON_TIME, "1");
    let scope = shop.offer(&old, &merchant, handle).unwrap().scope;
    // Counted from the end of the day, which is all that is stored.
    let from = MONDAY.saturating_add(11 * DAY);
    shop.clock.set(from.saturating_sub(1));
    match shop.enrol(&new) {
        Err(IssuerError::ReEnrolmentTooEarly { from: said }) => assert_eq!(said, from),
        other => panic!("{other:?}"),
    }
    shop.clock.set(from);
    shop.enrol(&new).unwrap();
    assert_eq!(code(shop.grant(&old, &old.request(handle, &scope, 1))), "issuer.proof_refused");
    assert_eq!(code(shop.grant(&new, &new.request(handle, &scope, 1))), "done");
    assert_eq!(bound(&shop, &old), Some(name("ann")));
    assert_eq!(bound(&shop, &new), Some(name("ann")));
    // Back to the old one: its commitment stands, no second is logged.
    shop.pass(11 * DAY);
    shop.enrol(&old).unwrap();
    assert_eq!(bound(&shop, &old), Some(name("ann")));
    assert_eq!(entries(&*shop.store, Ledger::Openings).len(), 2);
}

#[test]
fn a_wallet_key_belongs_to_one_account_under_any_race() {
    let shop = Shop::new();
    let ann = Person::new("ann");
    let accounts: Vec<Name> = (0..8).map(|i| name(&format!("account {i}"))).collect();
    let results: Vec<bool> = std::thread::scope(|scope| {
        let enrol = |account| shop.issuer.enrol(&[ann.enrolment_for(account)]).pop().unwrap().is_ok();
        let threads: Vec<_> = accounts.iter().map(|account| scope.spawn(move || enrol(account))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|bound| **bound).count(), 1);
    let owner = bound(&shop, &ann).unwrap();
    assert!(results[accounts.iter().position(|account| *account == owner).unwrap()]);
}

#[test]
fn an_erased_account_is_named_nowhere_and_its_wallets_never_bind_again() {
    let shop = Shop::new();
    let (first, second) = (Person::new("ann-whose-name-is-long"), Person::with("ann-whose-name-is-long", 2));
    let ben = Person::new("ben");
    shop.enrol(&first).unwrap();
    shop.enrol(&ben).unwrap();
    shop.buy(&first, &name("m"), ON_TIME, "1");
    shop.pass(20 * DAY);
    shop.enrol(&second).unwrap();
    for _ in 0..2 {
        shop.issuer.erase_account(&first.account).unwrap();
    }
    for wallet in [&first, &second] {
        assert_eq!(bound(&shop, wallet), None);
        for account in [&first.account, &ben.account] {
            let again = shop.issuer.enrol(&[wallet.enrolment_for(account)]).pop().unwrap();
            assert_eq!(code(again), "issuer.wallet_key_taken");
        }
    }
    let named = |bytes: &[u8]| bytes.windows(4).any(|window| window == b"ann-");
    assert!(dump(&*shop.store).iter().all(|(_, row)| !named(&row.key) && !named(&row.value)));
    assert_eq!(bound(&shop, &ben), Some(name("ben")));
    shop.enrol(&Person::with("ann-whose-name-is-long", 3)).unwrap();
}
