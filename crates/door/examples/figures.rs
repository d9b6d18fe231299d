//! What the door's envelope costs: bytes, and microseconds on this machine.
//!
//! ```console
//! $ cargo run --release -p unjoin-door --example figures
//! ```

use std::error::Error;
use std::time::Instant;
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{DoorAnswer, DoorMessage, DoorQuestion};
use unjoin_core::{Timestamp, WEEK};
use unjoin_door::{Gateway, GatewayKey, seal};

const HOST: &str = "desk.example";
const ROUNDS: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let rng = &mut SystemRng::new();
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let mut gateway = Gateway::new(HOST, 1 << 20)?;
    let key = GatewayKey::generate(1, rng);
    let config = *key.config();
    gateway.serve(key, now..now.saturating_add(WEEK));
    let question = DoorQuestion::Bundle { boundary: now, shard: 0, piece: 0 };
    let question = DoorMessage::new(question).ok_or("it fits")?;
    let answer = DoorAnswer::accepted(vec![7; DoorAnswer::MAX_BODY]);

    let mut steps =
        [("seal a question", 0, 0), ("open it", 0, 0), ("seal an answer", 0, 0), ("open it", 0, 0)];
    for _ in 0..ROUNDS {
        let since = Instant::now();
        let (sealed, waiting) = seal(&config, HOST, &question, rng)?;
        let asked = since.elapsed();
        let (_, reply) = gateway.open(&sealed, now)?;
        let opened = since.elapsed();
        let answered = reply.seal(&answer, rng);
        let replied = since.elapsed();
        let read = waiting.open(&answered)?;
        let spent = [asked, opened - asked, replied - opened, since.elapsed() - replied];
        assert_eq!(read, answer);
        let sizes = [sealed.len(), DoorMessage::LENGTH, answered.len(), DoorAnswer::LENGTH];
        for ((step, spent), size) in steps.iter_mut().zip(spent).zip(sizes) {
            step.1 += spent.as_nanos();
            step.2 = size;
        }
    }
    println!("{:<16} {:>6} {:>8}", "", "bytes", "µs");
    for (what, nanoseconds, size) in steps {
        println!("{what:<16} {size:>6} {:>8.1}", nanoseconds as f64 / ROUNDS as f64 / 1_000.0);
    }
    Ok(())
}
