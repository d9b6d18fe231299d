//! A process that is killed, with SIGKILL on Unix, at a random moment: the very test that kills
//! it, told by its environment to live instead.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

/// Tells a child what it is, which makes it a child.
const TOLD: &str = "UNJOIN_CHILD";
/// What a child's lines begin with: the test's harness writes others between them.
const SAID: &str = "said ";
const ENDED: &str = "a child ended by itself: its fault stands above";

/// How many kills there are to be, if the environment does not say.
pub fn kills(usual: u64) -> u64 {
    env::var("UNJOIN_KILLS").map_or(usual, |kills| kills.parse().unwrap())
}

/// What this process was told, if it is a child.
pub fn told() -> Option<String> {
    env::var(TOLD).ok()
}

/// Says a line to the test. A child ends when nobody listens any more: there is nothing left to
/// live for.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "\n{SAID}{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// A child that does not outlive the test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `test` (its full name) as a child that is told this, until it is killed: so long after the
/// first line for which `moment` names a delay. Gives all that it said.
pub fn live_until_killed(
    test: &str,
    told: String,
    mut moment: impl FnMut(&str) -> Option<Duration>,
) -> Vec<String> {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(TOLD, told)
        .stdout(Stdio::piped())
        .spawn();
    let mut victim = Victim(child.unwrap());
    let said = BufReader::new(victim.0.stdout.take().unwrap());
    let mut lines = Vec::new();
    thread::scope(|threads| {
        let mut waiting = Some(victim);
        // What a killed process wrote before stays in the pipe: it was acknowledged.
        for line in said.lines().map(Result::unwrap) {
            let Some(line) = line.strip_prefix(SAID) else { continue };
            if waiting.is_some()
                && let Some(delay) = moment(line)
            {
                let mut victim = waiting.take().unwrap();
                // Reading goes on meanwhile, so that a full pipe does not choose the moment. The
                // delay waits for nothing: it is what is random.
                threads.spawn(move || {
                    thread::sleep(delay);
                    assert!(victim.0.try_wait().unwrap().is_none(), "{ENDED}");
                });
            }
            lines.push(line.to_owned());
        }
        assert!(waiting.is_none(), "{ENDED}");
    });
    lines
}
