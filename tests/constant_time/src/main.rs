//! Does anything branch on a secret, or use one as an address?
//!
//! Secrets are marked undefined for valgrind's memcheck (as ctgrind did), which follows every
//! value computed from them and reports each conditional jump and each address that depends
//! on one. What the protocol makes public is marked defined where the library gives it out.
//! `public_by_protocol.supp` lists the places inside the library that look at a value which
//! is public by the protocol before it is given out, each with its reason.
//!
//! Not seen: instructions whose time depends on their operands (a division, on some
//! processors a multiplication), and code that these calls do not reach.
//!
//! `constant-time` runs the operations; `constant-time planted` runs leaks, and fails if one
//! of them is not reported.

mod memcheck;
mod operations;
mod planted;
mod secret_rng;

use std::process::ExitCode;

fn main() -> ExitCode {
    if !memcheck::is_running() {
        eprintln!("run this under valgrind: without it nothing is checked");
        return ExitCode::from(2);
    }
    match std::env::args().nth(1).as_deref() {
        None => operations::run(),
        Some("planted") => planted::run(),
        Some(_) => {
            eprintln!("usage: valgrind constant-time [planted]");
            ExitCode::from(2)
        }
    }
}

/// One line for what ran, with the number of errors that memcheck found in it.
fn report<T>(name: &str, work: impl FnOnce() -> T) -> (T, usize) {
    let before = memcheck::errors();
    let value = work();
    let found = memcheck::errors() - before;
    println!("{name:<48} {found:>3} errors");
    (value, found)
}
