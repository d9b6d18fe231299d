//! Leaks that the check must find: if it finds nothing here, it finds nothing anywhere.

use crate::secret_rng::secret_rng;
use crate::{memcheck, report};
use std::hint::black_box;
use std::process::ExitCode;
use unjoin::Name;
use unjoin::secret::SystemRng;
use unjoin::token::EnrolmentContext;
use unjoin_wallet::Wallet;

/// A leak with its name.
type Leak = (&'static str, fn());

const LEAKS: [Leak; 4] = [
    ("planted: a branch on a byte", branch),
    ("planted: a table looked up at a byte", look_up),
    ("planted: bytes compared until one differs", compare),
    ("planted: a multiplication in variable time", multiply),
];

pub fn run() -> ExitCode {
    let mut missed = 0;
    for (name, leak) in LEAKS {
        if report(name, leak).1 == 0 {
            eprintln!("not reported: {name}");
            missed += 1;
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) }
}

fn secret() -> [u8; 32] {
    let mut bytes = [7; 32];
    memcheck::mark_secret(&mut bytes);
    black_box(bytes)
}

fn branch() {
    if secret()[3] > 100 {
        black_box("large");
    }
}

fn look_up() {
    static TABLE: [u8; 256] = [1; 256];
    black_box(black_box(&TABLE)[usize::from(secret()[3])]);
}

fn compare() {
    black_box(secret().iter().zip(&black_box([7; 32])).position(|(one, other)| one != other));
}

/// The weights of a verification enter a variable-time multiplication, being nobody's secret:
/// here they are marked.
fn multiply() {
    let name = Name::new("name").expect("a name");
    let context = EnrolmentContext { issuer: &name, account: &name, nonce: &[9; 32] };
    let rng = &mut SystemRng::new();
    let enrolment = Wallet::generate(rng).enrol(context, rng).expect("enrols");
    black_box(enrolment.verify(context, &mut secret_rng())).ok();
}
