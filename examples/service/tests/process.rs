//! The program in a process of its own: the test's own executable, which runs one test that turns
//! into the program.

use super::MERCHANT;
use crate::client::Connection;
use crate::device::{Device, Order, Pins, introduce, report, without_numbers};
use crate::{Arguments, start};
use clap::Parser;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{env, fs};
use unjoin::Timestamp;
use unjoin_wallet::Token;

/// So that what such a start has granted is closed by the next one, whose clock is right.
pub(super) const BEHIND: [&str; 6] = ["--k", "2", "--hold-hours", "0", "--days-behind", "15"];
/// When the orders were due.
const DUE: u64 = 1_500_000_000;

/// The program's arguments, one a line; they make a child of whoever runs a test.
const CHILD: &str = "UNJOIN_SERVICE_CHILD";

/// For the first line of each test that starts processes: whether this is one, which has served
/// and has ended.
pub(super) fn has_served() -> bool {
    let Ok(arguments) = env::var(CHILD) else { return false };
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    if let Err(error) = start(Arguments::parse_from(["service"].into_iter().chain(arguments.lines()))) {
        eprintln!("service: {error}");
        std::process::exit(1);
    }
    true
}

pub(super) struct Process {
    child: Child,
    pub(super) public: SocketAddr,
    pub(super) internal: SocketAddr,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program on this store, on ports of its own, with the secrets in `directory`, and
    /// waits until it serves. `test` is the name of the test that calls this.
    pub(super) fn start(test: &str, directory: &Path, store: &str, log: &str, more: &[&str]) -> Self {
        let secrets = directory.join("secrets");
        let own = [
            "--listen",
            "[::1]:0",
            "--internal",
            "[::1]:0",
            "--drain",
            "0",
            "--directory",
            secrets.to_str().unwrap(),
        ];
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, [&own[..], more].concat().join("\n"))
            // It may hold a password.
            .env("UNJOIN_STORE", store)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(directory.join(log)).unwrap())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = |what: &str| loop {
            let mut line = String::new();
            let said = || fs::read_to_string(directory.join(log)).unwrap_or_default();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended early: {}", said());
            if let Some((_, address)) = line.split_once(what) {
                return address.trim().parse().unwrap();
            }
        };
        let (public, internal) = (address("devices on "), address("internal on "));
        Self { child, public, internal, output }
    }

    /// The program as a child that runs one of its commands, or does not get as far as to serve. The directory's secrets, and
    /// this store, are its.
    pub(super) fn command(test: &str, directory: &Path, store: &str, more: &[&str]) -> Command {
        let secrets = directory.join("secrets");
        let own = ["--directory", secrets.to_str().unwrap(), "--drain", "0"];
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, [&own[..], more].concat().join("\n"))
            .env("UNJOIN_STORE", store)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// SIGKILL.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end.
    pub(super) fn signal(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Whether it ended in order, and what it said last.
    pub(super) fn wait(mut self) -> bool {
        let mut rest = String::new();
        let lines = self.output.read_to_string(&mut rest);
        self.child.wait().unwrap().success() && lines.is_ok() && rest.contains("ended")
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.signal();
        assert!(self.wait(), "the service did not end in order");
    }
}

/// A customer with a token for an order that has no number. Six of them are sealed at their first boundary.
pub(super) async fn buy(process: &Process, pins: &Pins, account: &str) -> (Device, Token) {
    let (mut devices, mut internal) = (Connection::to(process.public), Connection::to(process.internal));
    let device = Device::new(account.to_owned());
    device.enrol(&mut devices, pins).await.unwrap();
    introduce(&mut internal, MERCHANT, 0).await.unwrap();
    let id = format!("order-of-{account}");
    let order = Order { id: &id, merchant: MERCHANT, class: 0, due_at: DUE };
    let handle = report(&mut internal, account, &order).await.unwrap();
    let dead = Timestamp::from_unix_seconds(DUE);
    without_numbers(&mut internal, MERCHANT, &handle, dead).await.unwrap();
    let token = device.token(&mut devices, pins, MERCHANT, &handle).await.unwrap();
    (device, token)
}

/// Nobody is left behind by a test that panics.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
