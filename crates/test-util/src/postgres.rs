//! A PostgreSQL server of a test's own.
//!
//! `initdb` makes it in a temporary directory, `postgres` serves it on a socket there, and on
//! loopback at a free port; both are those in PATH, or the newest under `/usr/lib/postgresql`
//! (`apt-get install postgresql`). The server refuses to run as root: a test that does runs it as
//! `postgres` or `nobody`. It ends, and its directory is removed, when the last handle is dropped,
//! also by a panic; and the kernel ends it with a test process that is killed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use unjoin_store::StoreError;
use unjoin_store::postgres::{PostgresConfig, PostgresStore};

pub const USER: &str = "tester";
pub const PASSWORD: &str = "correct horse";

/// A store of this configuration: made by the first call, opened by later ones.
pub fn store_of(config: PostgresConfig) -> Result<PostgresStore, StoreError> {
    match PostgresStore::create(config.clone()) {
        Err(StoreError::Exists) => PostgresStore::open(config),
        created => created,
    }
}

pub struct Server {
    directory: PathBuf,
    data: PathBuf,
    pub port: u16,
    running: Mutex<Option<(Running, JoinHandle<()>)>>,
}

#[derive(Clone, Copy)]
struct Running {
    process: u32,
}

impl Server {
    /// The server that the tests of one program share. Each uses a schema of its own.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(&[]));
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A fresh server with these settings beside the usual.
    pub fn start(settings: &[&str]) -> Self {
        let server = Self::directory();
        let password = server.directory.join("password");
        fs::write(&password, PASSWORD).expect("writing the password file");
        give(&password);
        let data = server.data.to_str().expect("a path in UTF-8").to_owned();
        let file = password.to_str().expect("a path in UTF-8").to_owned();
        let pwfile = format!("--pwfile={file}");
        let arguments = [
            "-D",
            &data,
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            &pwfile,
            "--no-sync",
            "-E",
            "UTF8",
            "--no-locale",
        ];
        let output = run("initdb", &arguments);
        assert!(output.status.success(), "initdb failed: {}", text(&output));
        server.configure(settings);
        server.serve();
        server
    }

    /// A standby that follows this server, with these settings beside the usual.
    pub fn standby(&self, settings: &[&str]) -> Self {
        let server = Self::directory();
        let data = server.data.to_str().expect("a path in UTF-8").to_owned();
        let source = format!("{} dbname=postgres application_name=standby", self.address());
        let output = run("pg_basebackup", &["-D", &data, "-d", &source, "-X", "stream", "-R", "-c", "fast"]);
        assert!(output.status.success(), "pg_basebackup failed: {}", text(&output));
        server.configure(settings);
        server.serve();
        server
    }

    fn directory() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("unjoin-postgres-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("creating a directory");
        give(&directory);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        Self { data: directory.join("data"), directory, port, running: Mutex::new(None) }
    }

    fn configure(&self, settings: &[&str]) {
        let socket = self.directory.to_str().expect("a path in UTF-8");
        let mut lines = vec![
            format!("listen_addresses = '{}'", Ipv4Addr::LOCALHOST),
            format!("port = {}", self.port),
            format!("unix_socket_directories = '{socket}'"),
            "max_connections = 200".to_owned(),
            "shared_buffers = 64MB".to_owned(),
        ];
        lines.extend(settings.iter().map(ToString::to_string));
        let mut file = fs::read_to_string(self.data.join("postgresql.conf")).expect("its configuration");
        file.push('\n');
        file.push_str(&lines.join("\n"));
        file.push('\n');
        fs::write(self.data.join("postgresql.conf"), file).expect("writing its configuration");
    }

    /// Starts the server on what lies in its directory, and waits until it answers.
    pub fn serve(&self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("its log");
        let mut command = unprivileged("postgres", true);
        command.arg("-D").arg(&self.data).stdin(Stdio::null()).stdout(log.try_clone().expect("its log"));
        command.stderr(log);
        let (tell, told) = mpsc::channel();
        // The kernel ends the server with the thread that started it, which therefore waits for it.
        let keeper = thread::spawn(move || {
            let mut child = command.spawn().expect("starting postgres");
            let _ = tell.send(child.id());
            let _ = child.wait();
        });
        let process = told.recv().expect("postgres started");
        *self.running() = Some((Running { process }, keeper));
        let until = Instant::now() + Duration::from_secs(60);
        while run("pg_isready", &["-q", "-h", &self.socket(), "-p", &self.port.to_string()]).status.code()
            != Some(0)
        {
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(Instant::now() < until, "the server does not come up: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Running, JoinHandle<()>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server wrote about itself.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// A path that goes with the server.
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    fn socket(&self) -> String {
        self.directory.to_str().expect("a path in UTF-8").to_owned()
    }

    /// The connection string's part for the server, through its socket.
    pub fn address(&self) -> String {
        format!("host={} port={} user={USER} password='{PASSWORD}'", self.socket(), self.port)
    }

    /// A store's configuration, in this schema.
    pub fn config(&self, schema: &str) -> PostgresConfig {
        let mut config = PostgresConfig::new(format!("{} dbname=postgres", self.address()));
        schema.clone_into(&mut config.schema);
        config
    }

    /// A store in a schema that no other test has.
    pub fn store(&self) -> PostgresStore {
        PostgresStore::create(self.config(&fresh_schema())).expect("opening the store")
    }

    /// What this statement answers, one row a line, columns between bars.
    pub fn sql(&self, statement: &str) -> String {
        let output = self.psql(statement);
        assert!(output.status.success(), "{statement}: {}", text(&output));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    pub fn psql(&self, statement: &str) -> Output {
        let address = format!("{} dbname=postgres", self.address());
        run("psql", &["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &address, "-c", statement])
    }

    /// Holds what this statement locks, from when this call returns until the answer is dropped.
    pub fn hold(&self, statement: &str) -> Lock {
        let address = format!("{} dbname=postgres", self.address());
        let mut command = unprivileged("psql", true);
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &address]);
        let mut session =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starting psql");
        let mut input = session.stdin.take().expect("its input");
        writeln!(input, "BEGIN; {statement};\n\\echo held").expect("telling psql");
        let mut said = String::new();
        let output = session.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut said).expect("hearing psql");
        assert_eq!(said, "held\n", "{statement}");
        Lock { session, input: Some(input) }
    }

    /// Ends it at once, as a power cut does, and waits until it is gone.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Ends it in order.
    pub fn stop(&self) {
        self.end("INT");
    }

    fn end(&self, signal: &str) {
        if let Some((running, keeper)) = self.running().take() {
            let mut processes = vec![running.process.to_string()];
            if signal == "KILL" {
                // Those that serve connections outlive it for a moment, and would answer.
                processes.extend(children(&running.process.to_string()));
            }
            let kill = Command::new("kill").arg(format!("-{signal}")).args(&processes).status();
            assert!(kill.is_ok_and(|status| status.success()) || thread::panicking(), "kill");
            let _ = keeper.join();
            while processes.iter().any(|process| is_running(process)) {
                thread::yield_now();
            }
        }
    }

    /// Stops it and all its sessions as they are; its death is the next that can happen to it.
    pub fn freeze(&self) {
        if let Some((running, _)) = &*self.running() {
            let process = running.process.to_string();
            let all = [vec![process.clone()], children(&process)].concat();
            let _ = Command::new("kill").arg("-STOP").args(&all).status();
        }
    }

    pub fn signal(&self, signal: &str) {
        if let Some((running, _)) = &*self.running() {
            let _ = Command::new("kill").args([&format!("-{signal}"), &running.process.to_string()]).status();
        }
    }

    /// The processor time that all of its processes have taken so far, those that have ended included.
    pub fn processor(&self) -> Duration {
        let Some((running, _)) = &*self.running() else { return Duration::ZERO };
        let process = running.process.to_string();
        // The kernel tells user, system, and both of the children that were waited for, in hundredths of a second.
        let ticks = |process: &String, fields: usize| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let told = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11);
            told.take(fields).filter_map(|field| field.parse::<u64>().ok()).sum()
        };
        let served: u64 = children(&process).iter().map(|child| ticks(child, 2)).sum();
        Duration::from_millis(10 * (ticks(&process, 4) + served))
    }

    /// Lets everybody in without a password, for what stands between it and a store.
    pub fn trust(&self) {
        fs::write(self.data.join("pg_hba.conf"), "local all all trust\nhost all all all trust\n")
            .expect("its file");
        self.sql("SELECT pg_reload_conf()");
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        let data = self.data.to_str().expect("a path in UTF-8");
        let output = run("pg_ctl", &["promote", "-D", data, "-w", "-t", "60"]);
        assert!(output.status.success(), "promoting: {}", text(&output));
    }
}

/// The processes that this one has started and that are there.
fn children(process: &str) -> Vec<String> {
    let listed = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    listed.split_whitespace().map(str::to_owned).collect()
}

/// Whether it can still do anything: a process that has ended may wait to be reaped.
fn is_running(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("CONT");
        self.end("QUIT");
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A transaction that holds a lock until it is dropped.
pub struct Lock {
    session: Child,
    input: Option<ChildStdin>,
}

impl Drop for Lock {
    /// psql ends with its input, and its transaction with it. Whoever waited goes on afterwards.
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.session.wait();
    }
}

pub fn fresh_schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Where a program of PostgreSQL lies.
fn program(name: &str) -> PathBuf {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    places.push("/usr/sbin".into());
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.filter_map(Result::ok).map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
    places.extend(versions.into_iter().map(|path| path.join("bin")));
    places.into_iter().map(|place| place.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "no `{name}` in PATH or under /usr/lib/postgresql: install it with `apt-get install postgresql`"
        )
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// The user that the server runs as, if this process is root's.
fn server_user() -> Option<&'static str> {
    let known =
        |user: &&str| Command::new("id").arg(user).output().is_ok_and(|output| output.status.success());
    is_root().then(|| ["postgres", "nobody"].into_iter().find(known).expect("a user to run the server as"))
}

/// A program of PostgreSQL, or another, that runs as somebody who is not root, and may end with this process.
pub fn unprivileged(name: &str, with_parent: bool) -> Command {
    let program = program(name);
    let mut command = Command::new("setpriv");
    if with_parent {
        command.arg("--pdeathsig=KILL");
    }
    if let Some(user) = server_user() {
        let id = |flag: &str| {
            let output = Command::new("id").args([flag, user]).output().expect("id");
            String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
        };
        command
            .arg(format!("--reuid={}", id("-u")))
            .arg(format!("--regid={}", id("-g")))
            .arg("--clear-groups");
    }
    command.arg("--").arg(program).current_dir(std::env::temp_dir());
    command
}

fn run(name: &str, arguments: &[&str]) -> Output {
    unprivileged(name, false).args(arguments).stdin(Stdio::null()).output().expect("running it")
}

/// Makes the server's user the owner, and nobody else may look.
pub fn give(path: &Path) {
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    if let Some(user) = server_user() {
        let changed = Command::new("chown").arg(format!("{user}:")).arg(path).status();
        assert!(changed.is_ok_and(|status| status.success()), "chown {user}");
    }
}
