//! Three nodes of etcd, Patroni and PostgreSQL, each in a network namespace of its own, and HAProxy and PgBouncer before
//! them in this process's. Runs inside namespaces that end with the test, and all that was started with them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use unjoin::store::StoreError;
use unjoin::store::postgres::{PostgresConfig, PostgresStore};
use unjoin_test_util::postgres::{give, unprivileged};

pub(crate) const NODES: usize = 3;
/// Clusters on those nodes, each with a PostgreSQL a node. The second is started when it is asked for.
pub(crate) const CLUSTERS: usize = 2;
/// Where HAProxy and PgBouncer listen, and the tests' own processes stand.
pub(crate) const OWN: &str = "10.77.0.254";
const PROGRAMS: [&str; 7] = ["etcd", "patroni", "haproxy", "pgbouncer", "ip", "nsenter", "unshare"];

pub(crate) fn address(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

/// Says what this machine lacks.
pub(crate) fn missing() -> Option<String> {
    let places: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .collect();
    let lacks = |name: &&&str| !places.iter().any(|place| place.join(name).is_file());
    let lacking: Vec<&str> = PROGRAMS.iter().filter(lacks).copied().collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "missing: {}. apt-get install patroni etcd-server haproxy pgbouncer postgresql python3-psycopg2 python3-etcd iproute2",
            lacking.join(", ")
        )
    })
}

struct Node {
    /// Holds the namespace.
    space: Child,
    etcd: Option<Child>,
    /// Of each cluster.
    patroni: [Option<Child>; CLUSTERS],
}

pub(crate) struct Cluster {
    directory: PathBuf,
    nodes: Vec<Node>,
    around: Vec<Child>,
}

fn ip(within: Option<u32>, words: &str) {
    let mut command = match within {
        Some(process) => {
            let mut command = Command::new("nsenter");
            command.args(["-t", &process.to_string(), "-n", "ip"]);
            command
        }
        None => Command::new("ip"),
    };
    let output = command.args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cluster {
    pub(crate) fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("unjoin-patroni-{name}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        give(&directory);
        ip(None, "link set lo up");
        ip(None, "link add hub type bridge");
        ip(None, &format!("addr add {OWN}/24 dev hub"));
        ip(None, "link set hub up");
        let nodes = (0..NODES).map(|node| {
            let space = Command::new("unshare").args(["-n", "sleep", "infinity"]).spawn().unwrap();
            let (process, there) = (space.id(), format!("/proc/{}/ns/net", space.id()));
            let own = fs::read_link("/proc/self/ns/net").unwrap();
            while fs::read_link(&there).is_ok_and(|space| space == own) {
                thread::yield_now();
            }
            ip(None, &format!("link add n{node} type veth peer name e0 netns {process}"));
            ip(None, &format!("link set n{node} master hub"));
            ip(None, &format!("link set n{node} up"));
            ip(Some(process), "link set lo up");
            ip(Some(process), &format!("addr add {}/24 dev e0", address(node)));
            ip(Some(process), "link set e0 up");
            Node { space, etcd: None, patroni: Default::default() }
        });
        let mut cluster = Self { nodes: nodes.collect(), directory, around: vec![] };
        (0..NODES).for_each(|node| cluster.start_etcd(node));
        cluster.start_cluster(0);
        cluster.start_around();
        cluster
    }

    pub(crate) fn start_cluster(&mut self, number: usize) {
        for node in 0..NODES {
            self.configure(number, node);
            self.start_patroni_of(number, node);
            if node == 0 {
                self.wait("a first primary", |cluster| cluster.leader_of(number).is_some());
            }
        }
        self.wait("a primary with its standbys", |cluster| cluster.has(number, NODES));
    }

    fn log(&self, name: &str) -> Stdio {
        let path = self.directory.join(format!("{name}.log"));
        fs::OpenOptions::new().create(true).append(true).open(path).unwrap().into()
    }

    /// This program of the node's, as the servers' user.
    fn spawn(&self, name: &str, node: Option<usize>, program: &str, arguments: &[&str]) -> Child {
        let own = unprivileged(program, false);
        let mut command = match node {
            Some(node) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &self.nodes[node].space.id().to_string(), "-n", "setpriv"]);
                command
            }
            None => Command::new("setpriv"),
        };
        command.args(own.get_args()).args(arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(self.log(name)).stderr(self.log(name)).spawn().unwrap()
    }

    pub(crate) fn start_etcd(&mut self, node: usize) {
        let (own, data) = (address(node), self.directory.join(format!("etcd{node}")));
        let url = |port| format!("http://{own}:{port}");
        let all: Vec<String> = (0..NODES).map(|n| format!("e{n}=http://{}:2380", address(n))).collect();
        let state = if data.exists() { "existing" } else { "new" };
        let (client, peer, all) = (url(2379), url(2380), all.join(","));
        let (name, data) = (format!("e{node}"), data.display().to_string());
        let arguments = [
            ["--name", &name],
            ["--data-dir", &data],
            ["--listen-client-urls", &client],
            ["--advertise-client-urls", &client],
            ["--listen-peer-urls", &peer],
            ["--initial-advertise-peer-urls", &peer],
            ["--initial-cluster", &all],
            ["--initial-cluster-state", state],
        ];
        let arguments = [arguments.as_flattened(), &["--enable-v2"]].concat();
        self.nodes[node].etcd = Some(self.spawn(&name, Some(node), "etcd", &arguments));
    }

    pub(crate) fn stop_etcd(&mut self, node: usize) {
        end(&mut self.nodes[node].etcd);
    }

    fn configure(&self, number: usize, node: usize) {
        let (own, directory, of) = (address(node), self.directory.display(), place(number, node));
        let (port, api) = (5432 + number, 8008 + number);
        let hosts: Vec<String> = (0..NODES).map(|n| format!("{}:2379", address(n))).collect();
        let hosts = hosts.join(",");
        let programs = unprivileged("initdb", false);
        // Links to some of them may lie elsewhere.
        let initdb = programs.get_args().last().map(fs::canonicalize).unwrap().unwrap();
        let programs = initdb.parent().unwrap().display();
        let text = format!(
            r#"
scope: unjoin{number}
name: p{node}
restapi: {{listen: "{own}:{api}", connect_address: "{own}:{api}"}}
# Over version 3 of etcd's interface, Patroni before 3.0.3 may overwrite the key of another leader.
etcd: {{hosts: "{hosts}"}}
bootstrap:
  dcs: {{ttl: 20, loop_wait: 5, retry_timeout: 5, maximum_lag_on_failover: 1048576, master_start_timeout: 0,
        synchronous_mode: true, postgresql: {{use_pg_rewind: true, parameters: {{max_connections: 60,
        shared_buffers: 32MB, wal_keep_size: 128MB, hot_standby: "on", wal_log_hints: "on"}}}}}}
  initdb: [{{encoding: UTF8}}, data-checksums, {{auth-local: trust}}, {{auth-host: trust}}]
  pg_hba: [host all all 10.77.0.0/24 trust, host replication all 10.77.0.0/24 trust, local all all trust]
postgresql:
  listen: {own}:{port}
  connect_address: {own}:{port}
  data_dir: {directory}/pg{of}
  bin_dir: {programs}
  pgpass: {directory}/pgpass{of}
  authentication: {{superuser: {{username: postgres}}, replication: {{username: replicator}}, rewind: {{username: postgres}}}}
  parameters: {{unix_socket_directories: "{directory}/socket{of}"}}
"#
        );
        let socket = self.directory.join(format!("socket{of}"));
        fs::create_dir(&socket).unwrap();
        give(&socket);
        let file = self.directory.join(format!("p{of}.yml"));
        fs::write(&file, text).unwrap();
        give(&file);
    }

    pub(crate) fn start_patroni(&mut self, node: usize) {
        self.start_patroni_of(0, node);
    }

    fn start_patroni_of(&mut self, number: usize, node: usize) {
        let of = place(number, node);
        let file = self.directory.join(format!("p{of}.yml")).display().to_string();
        let started = self.spawn(&format!("p{of}"), Some(node), "patroni", &[&file]);
        self.nodes[node].patroni[number] = Some(started);
    }

    /// The end of a node of the first cluster but for its etcd.
    pub(crate) fn lose(&mut self, node: usize) {
        end(&mut self.nodes[node].patroni[0]);
        self.kill_postmaster(node);
    }

    /// Of the first cluster.
    pub(crate) fn kill_postmaster(&self, node: usize) {
        let file = self.directory.join(format!("pg{}/postmaster.pid", place(0, node)));
        let text = fs::read_to_string(file).unwrap();
        kill(text.lines().next().unwrap());
    }

    /// Between this node and the two others, in both directions; everybody else reaches it as before.
    pub(crate) fn part(&self, node: usize, parted: bool) {
        let process = self.nodes[node].space.id();
        for other in (0..NODES).filter(|other| *other != node) {
            let what = if parted { "add" } else { "del" };
            ip(Some(process), &format!("route {what} blackhole {}/32", address(other)));
        }
    }

    /// Between this node and everybody, without a word to anyone.
    pub(crate) fn cut(&self, node: usize, cut: bool) {
        ip(None, &format!("link set n{node} {}", if cut { "down" } else { "up" }));
    }

    pub(crate) fn switch_over(&self, node: usize) {
        let told =
            ask(0, node, "POST /switchover", &format!(r#"{{"leader": "p{node}"}}"#)).unwrap_or_default();
        assert!(told.contains(" 200 "), "{told}");
    }

    /// Who holds the first cluster's leader's key and serves.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.leader_of(0)
    }

    pub(crate) fn leader_of(&self, number: usize) -> Option<usize> {
        let is_primary = |told: String| told.contains(" 200 ");
        (0..NODES).find(|node| ask(number, *node, "GET /primary", "").is_some_and(is_primary))
    }

    /// With this many members, one of them a synchronous standby. A member that has to be rewound may take minutes.
    fn has(&self, number: usize, members: usize) -> bool {
        let Some(told) = self.leader_of(number).and_then(|leader| ask(number, leader, "GET /cluster", ""))
        else {
            return false;
        };
        let ready =
            told.matches(r#""state": "running""#).count() + told.matches(r#""state": "streaming""#).count();
        ready >= members && told.contains("sync_standby")
    }

    /// Gives a member that is being rewound some time: cut from its source half-way, it does not come back.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.has(0, NODES) && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn wait_for(&self, members: usize) {
        self.wait("a primary with its standbys", |cluster| cluster.has(0, members));
    }

    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(90);
        while !holds(self) {
            if Instant::now() > until {
                let logs = (0..NODES).map(|node| {
                    let log = self.directory.join(format!("p{}.log", place(0, node)));
                    let text = fs::read_to_string(log).unwrap_or_default();
                    text.lines().rev().take(12).collect::<Vec<_>>().join("\n")
                });
                panic!("{what} did not come:\n{}", logs.collect::<Vec<_>>().join("\n--\n"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn start_around(&mut self) {
        let servers: Vec<String> = (0..NODES)
            .map(|node| format!("    server p{node} {}:5432 check port 8008", address(node)))
            .collect();
        let haproxy = format!(
            "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1m\n    timeout server 1m\n\
             listen primary\n    bind {OWN}:5000\n    option httpchk OPTIONS /primary\n    http-check expect status 200\n    \
             default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n{}\n",
            servers.join("\n")
        );
        let bouncer = format!(
            "[databases]\npostgres = host={OWN} port=5000 dbname=postgres user=postgres\n[pgbouncer]\nlisten_addr = {OWN}\n\
             listen_port = 6432\nauth_type = any\nunix_socket_dir =\npool_mode = session\ndefault_pool_size = 40\n\
             server_login_retry = 0.1\n"
        );
        for (name, text) in [("haproxy.cfg", haproxy), ("pgbouncer.ini", bouncer)] {
            fs::write(self.directory.join(name), text).unwrap();
            give(&self.directory.join(name));
        }
        self.around.push(self.spawn("haproxy", None, "haproxy", &["-db", "-f", "haproxy.cfg"]));
        // Until its first checks are over it leads to standbys too.
        let reached = || {
            let server = format!("host={OWN} port=5000 user=postgres dbname=postgres");
            matches!(PostgresStore::open(PostgresConfig::new(server)), Err(StoreError::Missing(_)))
        };
        self.wait("the primary through HAProxy", |_| (0..2 * NODES).all(|_| reached()));
        self.around.push(self.spawn("pgbouncer", None, "pgbouncer", &["pgbouncer.ini"]));
        self.wait("HAProxy and PgBouncer", |_| {
            [5000, 6432].iter().all(|port| TcpStream::connect((OWN, *port)).is_ok())
        });
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..NODES {
            end(&mut self.nodes[node].etcd);
            for number in 0..CLUSTERS {
                end(&mut self.nodes[node].patroni[number]);
                let file = self.directory.join(format!("pg{}/postmaster.pid", place(number, node)));
                if let Some(first) =
                    fs::read_to_string(file).ok().and_then(|text| Some(text.lines().next()?.to_owned()))
                {
                    kill(&first);
                }
            }
            let _ = self.nodes[node].space.kill();
        }
        self.around.iter_mut().for_each(|child| drop(child.kill()));
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn kill(process: &str) {
    let _ = Command::new("kill").args(["-KILL", process]).status();
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// In the names of files.
fn place(number: usize, node: usize) -> String {
    format!("{number}-{node}")
}

/// What the node's Patroni answers, if it does within a second.
fn ask(number: usize, node: usize, what: &str, body: &str) -> Option<String> {
    let limit = Duration::from_secs(if body.is_empty() { 1 } else { 30 });
    let place = format!("{}:{}", address(node), 8008 + number).parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&place, Duration::from_millis(300)).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(
        stream,
        "{what} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut told = String::new();
    let _ = stream.read_to_string(&mut told);
    Some(told)
}
