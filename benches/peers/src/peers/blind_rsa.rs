//! Privacy Pass with publicly verifiable tokens: RFC 9474 with 2048 bits, SHA-384, PSS and no
//! randomizer, as type 2 of RFC 9578 has it.

use crate::measure::{Step, repeated};
use crate::steps::{FINISH, ISSUE, REDEEM, REQUEST};
use blind_rsa_signatures::{DefaultRng, KeyPairSha384PSSDeterministic, Signature};
use std::rc::Rc;

pub const SCHEME: &str = "blind RSA-2048";

/// A token's nonce.
const MESSAGE: &[u8; 32] = &[7; 32];

pub(super) fn steps() -> Vec<Step> {
    let pair = KeyPairSha384PSSDeterministic::generate(&mut DefaultRng, 2048).expect("a key");
    let key = Rc::new(pair.pk);
    let blinded = key.blind(&mut DefaultRng, MESSAGE).expect("blinds");
    let request = blinded.blind_message.clone();
    let issue = move || pair.sk.blind_sign(&request).expect("signs");
    let answer = issue();
    let k = Rc::clone(&key);
    let finish = move || k.finalize(&answer, &blinded, MESSAGE).expect("the signature holds");
    let signature: Signature = finish();
    let k = Rc::clone(&key);
    let redeem = move || k.verify(&signature, None, MESSAGE).expect("the signature holds");
    let step = |name, run| Step::new(SCHEME, name, run);
    vec![
        step(REQUEST, repeated(move || key.blind(&mut DefaultRng, MESSAGE).expect("blinds").blind_message)),
        step(ISSUE, repeated(issue)),
        step(FINISH, repeated(finish)),
        step(REDEEM, repeated(redeem)),
    ]
}
