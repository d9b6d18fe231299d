//! Privacy Pass with privately verifiable tokens: a verifiable oblivious PRF (RFC 9497). Type 1
//! of RFC 9578 is the one on P-384; that on ristretto255 stands on our group.
//!
//! The server's issue makes the DLEQ proof, the device's finish checks it, and redeeming
//! evaluates the PRF anew and compares.

use crate::measure::{Step, repeated};
use crate::steps::{FINISH, ISSUE, REDEEM, REQUEST};
use rand::rngs::OsRng;
use std::rc::Rc;
use voprf::{BlindedElement, EvaluationElement, Proof, VoprfClient, VoprfServer};

pub const RISTRETTO255: &str = "VOPRF ristretto255";
pub const P384: &str = "VOPRF P-384";

/// A token's nonce.
const INPUT: &[u8; 32] = &[7; 32];

// A macro, because the crate's own bounds on a suite are longer than the steps.
macro_rules! steps {
    ($function:ident, $scheme:ident, $suite:ty) => {
        pub(super) fn $function() -> Vec<Step> {
            let server = Rc::new(VoprfServer::<$suite>::new(&mut OsRng).expect("a key"));
            let key = server.get_public_key();
            let blind = || VoprfClient::<$suite>::blind(INPUT, &mut OsRng).expect("blinds");
            let client = blind();
            let request = client.message.serialize();
            let issue = {
                let server = Rc::clone(&server);
                move || {
                    let blinded = BlindedElement::<$suite>::deserialize(&request).expect("decodes");
                    let answer = server.blind_evaluate(&mut OsRng, &blinded);
                    (answer.message.serialize(), answer.proof.serialize())
                }
            };
            let (element, proof) = issue();
            let finish = move || {
                let element = EvaluationElement::<$suite>::deserialize(&element).expect("decodes");
                let proof = Proof::<$suite>::deserialize(&proof).expect("decodes");
                client.state.finalize(INPUT, &element, &proof, key).expect("the proof holds")
            };
            let token = finish();
            let redeem = move || assert_eq!(server.evaluate(INPUT).expect("evaluates"), token);
            let step = |name, run| Step::new($scheme, name, run);
            vec![
                step(REQUEST, repeated(move || blind().message.serialize())),
                step(ISSUE, repeated(issue)),
                step(FINISH, repeated(finish)),
                step(REDEEM, repeated(redeem)),
            ]
        }
    };
}

steps!(ristretto255, RISTRETTO255, voprf::Ristretto255);
steps!(p384, P384, p384::NistP384);
