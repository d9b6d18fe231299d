//! The door tells nobody who watches it what was asked, or what became of it.

use super::{Bounds, FORTNIGHT_LATER, Held, World, ask_door, submission};
use crate::device::question;
use crate::door::sealed;
use crate::guard::ACCOUNT;
use crate::problem::Problem;
use axum::response::IntoResponse;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;
use unjoin::QueueError;
use unjoin::review::DeskError;
use unjoin::secret::SystemRng;
use unjoin::store::StoreError;
use unjoin::token::{DoorAnswer, DoorMessage, DoorQuestion, Receipt, Review};
use unjoin::wire::Message;
use unjoin_test_util::Faulty;
use unjoin_wallet::AuthorRequest;

/// An answer as it passes on the network: its head without the date, and its body.
fn exchange(public: SocketAddr, method: &str, header: &str, message: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(public).unwrap();
    let length = message.len();
    let head =
        format!("{method} /door HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
    stream.write_all(&[head.as_bytes(), header.as_bytes(), b"\r\n", message].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    let head: Vec<&str> = head.lines().filter(|line| !line.to_lowercase().starts_with("date:")).collect();
    (head.join("\n"), body)
}

/// All that a device may ask, and all that it may be told: questions have one length, and answers
/// have one length, one status and one set of headers.
#[tokio::test(flavor = "multi_thread")]
async fn every_question_looks_like_every_other_and_so_does_every_answer() {
    let bounds = Bounds { in_flight: 1, patience: Duration::from_secs(6), ..Bounds::default() };
    let world = World::start(Faulty::in_memory, bounds).await;
    let [(ann, token), (ben, other)] = world.closed(["ann", "ben"]).await;
    let (public, rng) = (world.public, &mut SystemRng::new());
    let short = submission(&ann, &token, "");
    let long = submission(&ann, &token, &"x".repeat(4_096));
    let of_ben = submission(&ben, &other, "It shines.");

    let receipt = Receipt::from_bytes(&ask_door(&mut world.connect(), short.clone()).await.unwrap()).unwrap();
    let review = Review::new(1, "", vec![]).unwrap();
    let DoorQuestion::Submission { presentation, .. } =
        DoorMessage::from_bytes(&short).unwrap().into_question()
    else {
        panic!("no submission")
    };
    let terms = receipt.terms();
    assert_eq!((terms.review_digest, terms.presentation_hash), (review.digest(), presentation.hash()));
    let state = unjoin::token::ReviewState {
        review_id: terms.review_id,
        last_sequence: 0,
        digest_in_force: terms.review_digest,
        standing: unjoin::token::ReviewStanding::Held,
        published_at: terms.publish_by,
    };
    let mut act = |wanted, review: Vec<u8>| {
        let action = ann.wallet.act(&token, &state, wanted, FORTNIGHT_LATER, rng).unwrap().action;
        question(DoorQuestion::Action { scope: token.scope().clone(), action, review })
    };
    let edited = Review::new(5, "y".repeat(4_096), vec![]).unwrap();
    let edit = act(AuthorRequest::Edit(&edited), edited.to_bytes());
    let withdrawal = act(AuthorRequest::Withdraw, Vec::new());
    let ask_state = |now| {
        let asked = ann.wallet.ask_state(&token, now, &mut SystemRng::new()).unwrap();
        question(DoorQuestion::State { scope: token.scope().clone(), question: asked })
    };
    let (today, yesterday) = (ask_state(FORTNIGHT_LATER), ask_state(super::MONDAY));

    let mut asked = vec![short.clone(), long.clone(), of_ben.clone()];
    asked.extend([edit.clone(), withdrawal.clone(), today.clone(), yesterday.clone()]);
    for message in &asked {
        assert_eq!(message.len(), DoorMessage::LENGTH);
    }

    let mut seen = Vec::new();
    let mut heads = Vec::new();
    let mut meet = |method: &str, header: &str, message: &[u8]| {
        let (head, body) = exchange(public, method, header, message);
        assert_eq!(body.len(), DoorAnswer::LENGTH, "{head}");
        let answer = DoorAnswer::from_bytes(&body).unwrap();
        let said = if answer.status() == 200 { "ok".into() } else { String::from_utf8_lossy(answer.body()) };
        seen.push((answer.status(), said.into_owned()));
        heads.push(head);
    };
    let too_long = vec![0; DoorMessage::LENGTH + 1];
    for (method, header, message) in [
        ("POST", "", &*short),
        ("POST", "", &*long),
        ("POST", "", &*edit),
        ("POST", "", &*today),
        ("POST", "", &*yesterday),
        ("POST", "", &*withdrawal),
        ("POST", "", &[0; DoorMessage::LENGTH]),
        ("POST", "", &[][..]),
        ("POST", "", &*too_long),
        ("POST", "Cookie: session=7\r\n", &*of_ben),
        ("POST", "Authorization: Bearer 7\r\n", &*of_ben),
        ("POST", &format!("{ACCOUNT}: ann\r\n"), &*of_ben),
        ("PUT", "", &*of_ben),
    ] {
        meet(method, header, message);
    }
    // One is under way that takes too long; another comes meanwhile; and one when the service ends.
    let held = Held::next_read_of(&world.stores[1]);
    let (mut connection, message) = (world.connect(), of_ben.clone());
    let late = tokio::spawn(async move { connection.post("/door", None, message).await.unwrap() });
    held.until_it_waits();
    meet("POST", "", &of_ben);
    let late = late.await.unwrap();
    assert_eq!(late.door().unwrap().unwrap_err(), "service.timeout");
    assert_eq!((late.status.as_u16(), late.body.len()), (200, DoorAnswer::LENGTH));
    held.let_go();
    meet("POST", "", &of_ben);
    world.service.stopping.store(true, Ordering::SeqCst);
    meet("POST", "", &of_ben);

    let expected = [
        (200, "ok"),
        (400, "desk.spent"),
        (400, "desk.held"),
        (200, "ok"),
        (400, "desk.refused"),
        (200, "ok"),
        (400, "desk.malformed"),
        (400, "desk.malformed"),
        (400, "service.too_large"),
        (400, "service.session"),
        (400, "service.session"),
        (400, "service.session"),
        (400, "service.method"),
        (503, "service.busy"),
        (200, "ok"),
        (503, "service.stopping"),
    ];
    assert_eq!(seen, expected.map(|(status, said)| (status, said.to_owned())));
    assert!(heads[0].starts_with("HTTP/1.1 200 OK\n"), "{}", heads[0]);
    assert!(heads[0].to_lowercase().contains("cache-control: no-store"), "{}", heads[0]);
    for head in &heads {
        assert_eq!(head, &heads[0]);
    }
    world.end().await;
}

/// A session beside a review is a mistake that shows, and the review is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_comes_with_a_session_is_refused() {
    let world = World::start(Faulty::in_memory, Bounds::default()).await;
    let [(ann, token), _] = world.closed(["ann", "ben"]).await;
    let (good, before) = (submission(&ann, &token, "The lamp came broken."), world.rows());
    for header in ["Cookie: session=7", "Authorization: Bearer 7", &format!("{ACCOUNT}: ann")] {
        let (_, body) = exchange(world.public, "POST", &format!("{header}\r\n"), &good);
        assert_eq!(DoorAnswer::from_bytes(&body).unwrap().body(), b"service.session");
    }
    assert_eq!(world.rows(), before);
    world.end().await;
}

/// What may be asked again unchanged says so, also when this instance ends.
#[tokio::test]
async fn an_error_of_the_desk_s_is_answered_as_the_desk_answers_it() {
    let errors: [(fn() -> DeskError, u16); 8] = [
        (|| DeskError::Queue(QueueError::Full), 503),
        (|| DeskError::Queue(QueueError::Stopped), 503),
        (|| DeskError::Queue(QueueError::Lost), 503),
        (|| DeskError::Store(StoreError::Contended), 503),
        (|| DeskError::NoManifest, 503),
        (|| DeskError::UnknownKey, 400),
        (|| DeskError::Spent, 400),
        (|| DeskError::Refused, 400),
    ];
    for (error, status) in errors {
        let answered = sealed(Problem::from(error()).into_response()).into_body();
        let answered = axum::body::to_bytes(answered, DoorAnswer::LENGTH).await.unwrap();
        let expected = error().door_answer();
        assert_eq!((&*answered, expected.status()), (&*expected.to_bytes(), status), "{}", error());
    }
}
