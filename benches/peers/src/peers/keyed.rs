//! Keyed-verification credentials by the crate `cmz` (µCMZ, Orrù's 2024/1552, on ristretto255),
//! set up to say what unjoin's token says: a public scope, a hidden user whose key `U` the
//! request proves, a hidden serial that the showing reveals, and at the showing a verifiable
//! ElGamal encryption of `U` to a trustees' key. The encryption's randomness is an attribute.

#![allow(non_snake_case, reason = "the macros want points in capitals")]

use crate::measure::{Step, prepared, repeated};
use crate::steps::{FINISH, ISSUE, PRESENT, REDEEM, REQUEST};
use cmz::*;
use group::Group;
use older_dalek::{RistrettoPoint as G, Scalar};
use rand::rngs::OsRng;
use rand::{CryptoRng, RngCore};
use sha2::Sha512;
use std::rc::Rc;

pub const SCHEME: &str = "cmz (µCMZ)";

CMZ! { Ticket: scope, serial, user, blind }

muCMZProtocol! { grant<@U, @B>,
    ,
    T: Ticket { scope: I, serial: H, user: H, blind: H },
    U = T.user * B
}

muCMZProtocol! { show<@E1, @E2, @B, @Y>,
    T: Ticket { scope: I, serial: R, user: H, blind: H },
    ,
    E1 = T.blind * B,
    E2 = T.user * B + T.blind * Y
}

/// What a showing is bound to: the review's digest would stand here.
const SESSION: &[u8] = &[7; 32];

pub(super) fn steps() -> Vec<Step> {
    cmz_group_init(G::hash_from_bytes::<Sha512>(b"generator A"));
    let (private, public) = Ticket::mucmz_gen_keys(&mut OsRng);
    let (private, public) = (Rc::new(private), Rc::new(public));
    let random = || Scalar::random(&mut OsRng);
    let (scope, serial, user, blind) = (random(), random(), random(), random());
    let (B, Y) = (G::generator(), G::random(&mut OsRng));
    let U = B * user;

    let request = move || {
        let mut ticket = Ticket::using_pubkey(&public);
        ticket.scope = Some(scope);
        ticket.serial = Some(serial);
        ticket.user = Some(user);
        ticket.blind = Some(blind);
        let (request, state) =
            grant::prepare(&mut OsRng, SESSION, ticket, &grant::Params { U, B }).expect("asks");
        (request.as_bytes(), state)
    };
    let key = Rc::clone(&private);
    let issue = move |request: &[u8]| {
        let request = grant::Request::try_from(request).expect("decodes");
        let fill = |T: &mut Ticket| {
            T.set_privkey(&key);
            T.scope = Some(scope);
            Ok(grant::Params { U, B })
        };
        let (reply, _) =
            grant::handle(&mut OsRng, SESSION, request, fill, |_: &Ticket| Ok(())).expect("grants");
        reply.as_bytes()
    };
    let finish = |(reply, state): (Vec<u8>, grant::ClientState)| {
        let reply = grant::Reply::try_from(&reply[..]).expect("decodes");
        state.finalize(reply).map_err(|(error, _)| error).expect("the reply holds")
    };
    let (sent, state) = request();
    let ticket = finish((issue(&sent), state));
    let present = move || {
        let params = show::Params { E1: B * blind, E2: U + Y * blind, B, Y };
        let (request, _) = show::prepare(&mut OsRng, SESSION, &ticket, &params).expect("shows");
        request.as_bytes()
    };
    let shown = present();
    let redeem = move || {
        let request = show::Request::try_from(&shown[..]).expect("decodes");
        let fill = |T: &mut Ticket| {
            T.set_privkey(&private);
            T.scope = Some(scope);
            Ok(show::Params { E1: B * blind, E2: U + Y * blind, B, Y })
        };
        show::handle(&mut OsRng, SESSION, request, fill, |_: &Ticket| Ok(())).expect("the showing holds")
    };
    let step = |name, run| Step::new(SCHEME, name, run);
    let (asking, answering) = (request.clone(), issue.clone());
    vec![
        step(REQUEST, repeated(request)),
        step(ISSUE, repeated(move || issue(&sent))),
        step(
            FINISH,
            prepared(
                move || {
                    let (sent, state) = asking();
                    (answering(&sent), state)
                },
                finish,
            ),
        ),
        step(PRESENT, repeated(present)),
        step(REDEEM, repeated(redeem)),
    ]
}
