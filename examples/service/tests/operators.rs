//! Everything that whoever operates relay, gateway, service and stores together holds, with every log at its most
//! talkative: nothing that is one submission's alone is on the accounts' side, and nothing that is one order's alone
//! is on the reviews'.

use super::gateway::{Way, newest};
use super::{Bounds, FORTNIGHT_LATER, HOST, MERCHANT, MONDAY, World, log, submission};
use crate::device::{handle_of, without_numbers};
use crate::hex::hex;
use base64ct::{Base64UrlUnpadded, Encoding};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use unjoin::Name;
use unjoin::secret::SystemRng;
use unjoin::store::{Bucket, MemoryStore, Store};
use unjoin::token::DoorMessage;
use unjoin::wire::Message;
use unjoin_door::{KeyConfig, seal};

const CUSTOMERS: u32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_operators_hold_joins_a_submission_to_a_grant() {
    let logged = log().len();
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    // Before anybody was there: whose stores these are, which each of them says.
    let empty = rows(&world, 0);
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        customers.push(world.buy(&account(number), MERCHANT).await);
        let mut internal = world.connect_internal();
        without_numbers(&mut internal, MERCHANT, &handle(&world, number), MONDAY).await.unwrap();
    }
    let manifest = world.close().await.to_bytes();
    assert!(world.service.tick().unwrap().failed.is_empty());

    // What the desk has of a cohort before anybody has written: its manifest, in rows of its own.
    let unwritten = rows(&world, 1);
    // Those who bought last submit first; each from an address of its own.
    let (way, key) = (Way::to(&world).await, KeyConfig::from(&newest(&world, FORTNIGHT_LATER)));
    let (mut submitted, mut addresses, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (device, token)) in customers.iter().enumerate().rev() {
        let message = submission(device, token, "It shines.");
        let asked = DoorMessage::from_bytes(&message).unwrap();
        let (sealed, waiting) = seal(&key, HOST, &asked, &mut SystemRng::new()).unwrap();
        let (address, _, answered) = way.post(number as u32, &sealed).await;
        let answer = waiting.open(&answered).unwrap();
        assert_eq!(answer.status(), 200);
        submitted.push([&message[5..], answer.body()].concat());
        addresses.push(address);
        passed.extend([sealed, answered]);
    }
    let (log, page) = (log().split_off(logged), world.metrics().await);
    assert!(log.contains("tick"), "nothing was logged");
    let [orders, reviews, phones, ledgers] = [0, 1, 2, 3].map(|at| rows(&world, at));
    let told = [log.into_bytes(), page.into_bytes()];

    // What is one submission's alone, in any form: the desk has it, and nobody else.
    let own = alone(&submitted, &[]);
    assert!(own.parts.len() > 300 * CUSTOMERS as usize, "a submission has much of its own");
    assert!(own.are_in(&reviews), "the desk keeps its reviews");
    let planted = own.parts.iter().next().unwrap();
    let base64 = Base64UrlUnpadded::encode_string(&[&b"abc"[..], planted.as_slice()].concat());
    for form in [planted.clone(), hex(planted).into_bytes(), base64.into_bytes()] {
        assert!(
            own.are_in(&[[&b"a line of "[..], &form[..], &b" something"[..]].concat()]),
            "a search that finds nothing"
        );
    }
    for held in [&orders, &phones, &ledgers, &told.to_vec()] {
        assert!(!own.are_in(held), "something of a submission is beyond the desk");
    }
    // What is one order's alone, or one customer's: the order service has it, and neither what is told nor what the
    // desk holds or was sent. Bindings are logged, as commitments.
    let bought: Vec<_> = (0..CUSTOMERS).map(|number| rows_of(&orders, &world, number)).collect();
    let own = alone(&bought, &[&empty.concat(), &manifest, &unwritten.concat()]);
    assert!(own.parts.len() > 100 * CUSTOMERS as usize && own.are_in(&orders));
    for held in [&told.to_vec(), &reviews, &submitted] {
        assert!(!own.are_in(held), "something of an order is beyond the order service");
    }
    for number in 0..CUSTOMERS {
        let handle = handle(&world, number);
        let raw = handle_of(&handle).unwrap().0.to_vec();
        assert!(contain(&orders, account(number).as_bytes()));
        for name in [account(number).into_bytes(), handle.into_bytes(), raw] {
            for held in [&reviews, &phones, &ledgers, &told.to_vec()] {
                assert!(!contain(held, &name), "a name is beyond the order service");
            }
        }
    }
    // What the relay saw, sealed, is nowhere in the service: no arrival can be looked up by it.
    let heads: Vec<Vec<u8>> = passed.iter().map(|sealed| sealed[..200].to_vec()).collect();
    let sealed = alone(&heads, &[]);
    for held in [&orders, &reviews, &phones, &ledgers, &told.to_vec()] {
        assert!(!sealed.are_in(held), "something sealed is kept");
    }
    // Whose addresses they were nobody wrote down, nor what the clients said of themselves.
    for address in addresses {
        let IpAddr::V4(ip) = address.ip() else { panic!("IPv4") };
        let port = address.port();
        for text in
            [address.to_string(), ip.to_string(), format!(":{port}"), "phone-".into(), "session=".into()]
        {
            assert!(!contain(&told, text.as_bytes()), "{text} is kept");
        }
        let octets = [&ip.octets()[..], &port.to_be_bytes()].concat();
        for held in [&orders, &reviews, &phones, &ledgers] {
            assert!(!contain(held, &octets));
        }
    }
    world.end().await;
}

fn account(number: u32) -> String {
    format!("customer-{number}")
}

fn handle<S: Store>(world: &World<S>, number: u32) -> String {
    let (merchant, id) = (Name::new(MERCHANT).unwrap(), format!("order-of-{}", account(number)));
    world.service.platform.issuer().handle(&merchant, id.as_bytes()).to_string()
}

/// What the order service holds of one order and its customer: their rows, one after another.
fn rows_of<S: Store>(orders: &[Vec<u8>], world: &World<S>, number: u32) -> Vec<u8> {
    let names = [account(number).into_bytes(), handle_of(&handle(world, number)).unwrap().0.to_vec()];
    let is_theirs = |row: &&Vec<u8>| names.iter().any(|name| contain(std::slice::from_ref(row), name));
    orders.iter().filter(is_theirs).flatten().copied().collect()
}

/// Every row of a store but its mark, which is the same in all of them.
fn rows<S: Store>(world: &World<S>, store: usize) -> Vec<Vec<u8>> {
    let rows = Bucket::all().flat_map(|bucket| world.stores[store].scan(bucket, &[], None, 10_000).unwrap());
    rows.filter(|row| row.key != b"sm").map(|row| [row.key, row.value].concat()).collect()
}

fn contain(held: &[Vec<u8>], part: &[u8]) -> bool {
    held.iter().any(|held| held.windows(part.len()).any(|window| window == part))
}

const WINDOW: usize = 12;
const RUN: usize = 4;

/// The parts of some bytes that look random: what two places have in common by chance is told from what is not.
fn windows(bytes: &[u8]) -> BTreeSet<&[u8]> {
    let is_telling = |window: &&[u8]| window.iter().collect::<BTreeSet<_>>().len() > WINDOW / 2;
    bytes.windows(WINDOW).filter(is_telling).collect()
}

/// The parts that are in one of these alone, and in none of what is everybody's.
///
/// No four bytes in a row of a part are another's or everybody's. The end of an escrow's id and one random byte are in
/// one submission only, too, but that byte stands behind the same id elsewhere once in 256 times; so a part at either
/// end of something public has at most three bytes of it, and at least nine of its own.
fn alone(of: &[Vec<u8>], public: &[&[u8]]) -> Marks {
    let mut met: HashMap<&[u8], u32> = HashMap::new();
    for bytes in of {
        let runs: HashSet<&[u8]> = bytes.windows(RUN).collect();
        runs.into_iter().for_each(|run| *met.entry(run).or_default() += 1);
    }
    for run in public.iter().flat_map(|bytes| bytes.windows(RUN)) {
        met.remove(run);
    }
    let is_own = |part: &&[u8]| part.windows(RUN).all(|run| met.get(run) == Some(&1));
    let parts: BTreeSet<Vec<u8>> =
        of.iter().flat_map(|bytes| windows(bytes)).filter(is_own).map(<[u8]>::to_vec).collect();
    let digits = parts.iter().map(|part| hex(part).into_bytes()).collect();
    // Of a longer string some part begins where the encoding does.
    let base64 = parts.iter().map(|part| Base64UrlUnpadded::encode_string(part).into_bytes()).collect();
    Marks { forms: [parts.iter().cloned().collect(), digits, base64], parts }
}

/// Parts, and what they look like as they are, in hexadecimal, and in base64.
struct Marks {
    parts: BTreeSet<Vec<u8>>,
    forms: [HashSet<Vec<u8>>; 3],
}

impl Marks {
    /// Whether any of them is there.
    fn are_in(&self, held: &[Vec<u8>]) -> bool {
        self.forms.iter().any(|forms| {
            let length = forms.iter().next().map_or(1, Vec::len);
            held.iter().any(|held| held.windows(length).any(|window| forms.contains(window)))
        })
    }
}
