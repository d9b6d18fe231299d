//! The connection string: what is taken of it, and what is said about the rest.

use super::PostgresConfig;
use super::error::PostgresError;
use super::pool::GRACE;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// libpq's options that are not taken, and what to do instead.
const INSTEAD: [(&str, &str); 20] = [
    ("sslrootcert", CERTIFICATES),
    ("sslcert", CERTIFICATES),
    ("sslkey", CERTIFICATES),
    ("sslpassword", CERTIFICATES),
    ("sslcrl", CERTIFICATES),
    ("sslcrldir", CERTIFICATES),
    ("sslsni", CERTIFICATES),
    ("sslcertmode", CERTIFICATES),
    ("ssl_min_protocol_version", CERTIFICATES),
    ("ssl_max_protocol_version", CERTIFICATES),
    ("sslcompression", "sslcompression is not known: leave it out, nothing is compressed"),
    ("passfile", "passfile is not read: give the password itself, as password=.."),
    (
        "service",
        "service files are not read: write host=.., user=.. and dbname=.. into the connection string",
    ),
    (
        "servicefile",
        "service files are not read: write host=.., user=.. and dbname=.. into the connection string",
    ),
    (
        "require_auth",
        "require_auth is not known: leave it out, and say in pg_hba.conf how the user is to prove itself",
    ),
    ("gssencmode", "GSSAPI is not spoken: leave gssencmode out, and encrypt with TLS"),
    ("krbsrvname", "GSSAPI is not spoken: leave krbsrvname out, and give a password"),
    (
        "requirepeer",
        "requirepeer is not known: leave it out, and let the socket's directory be the server's own",
    ),
    ("fallback_application_name", "fallback_application_name is not known: write application_name=.."),
    ("client_encoding", "client_encoding cannot be chosen: leave it out, all text is UTF-8"),
];

const CERTIFICATES: &str = "certificates and TLS versions (sslrootcert, sslcert, sslkey, sslcrl ..) are not read from the \
    connection string: give them to a TLS connector and open the store with it";

/// Options that are taken, and what their values may be.
const VALUES: [(&str, &str); 13] = [
    (
        "sslmode",
        "sslmode is disable, prefer or require: for verify-ca and verify-full write sslmode=require and open the store with \
         a TLS connector, which checks the server's certificate and name",
    ),
    (
        "target_session_attrs",
        "target_session_attrs is read-write: a store is opened only on a server that accepts writes (for primary write \
         read-write; standbys are not read)",
    ),
    ("port", "port is a number from 1 to 65535, or one for each host, with commas"),
    ("host", "host is a name, an address or a socket's directory, or several with commas"),
    ("hostaddr", "hostaddr is an IP address, or one for each host, with commas"),
    ("connect_timeout", "connect_timeout is a number of seconds"),
    ("tcp_user_timeout", "tcp_user_timeout is a number of seconds"),
    ("keepalives", "keepalives is 0 or 1"),
    ("keepalives_idle", "keepalives_idle is a number of seconds"),
    ("keepalives_interval", "keepalives_interval is a number of seconds"),
    ("keepalives_retries", "keepalives_retries is a number (libpq calls it keepalives_count)"),
    ("channel_binding", "channel_binding is disable, prefer or require"),
    (
        "load_balance_hosts",
        "load_balance_hosts is left out: there is one primary, and it is looked for on all hosts",
    ),
];

const PERCENT: &str = "in a URL the characters @ : / ? # and % of a user's name or password are written as %40 %3A %2F \
    %3F %23 and %25; or use the form host=.. user=.. password='..'";
const FORM: &str = "the connection string is neither name=value pairs with blanks between them (a value with blanks, or an \
    empty one, stands in '..'; ' and \\ in it have a \\ in front) nor a postgresql:// URL";
const UNKNOWN: &str = "an option of the connection string is unknown to PostgreSQL: if it is a part of a value, put that \
    value in '..'";

/// What is wrong with a string that does not parse. It may hold a password in any place, so no
/// word of it is shown that is not in the tables above.
fn told(error: &tokio_postgres::Error) -> &'static str {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let quoted = cause.split('`').nth(1).unwrap_or_default();
    let among = |table: &[(&str, &'static str)]| {
        table.iter().find_map(|(name, words)| (*name == quoted).then_some(*words))
    };
    if cause.starts_with("unknown option") {
        return among(&INSTEAD).unwrap_or(UNKNOWN);
    }
    if cause.starts_with("invalid value") {
        return among(&VALUES).unwrap_or(FORM);
    }
    FORM
}

/// Whether an `@` of a URL stands where libpq and the client library would part it otherwise than its
/// writer meant: `//user:p@ss@host`, `//host/name?user=me@corp`.
fn misplaces_at(connection: &str) -> bool {
    let url = connection.strip_prefix("postgres://").or_else(|| connection.strip_prefix("postgresql://"));
    url.is_some_and(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.matches('@').count() > 1 || !authority.contains('@') && rest.contains('@')
    })
}

/// The servers of the connection string, one each, with limits where it has none: without them a
/// host that is gone without a word is waited for as long as the system likes.
pub(super) fn servers(config: &PostgresConfig, preferred: SslMode) -> Result<Vec<Config>, PostgresError> {
    let connection = &config.connection;
    if misplaces_at(connection) {
        return Err(PostgresError::Config(PERCENT));
    }
    let mut server: Config = connection.parse().map_err(|error| PostgresError::Config(told(&error)))?;
    if server.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
        return Err(PostgresError::Config(
            "target_session_attrs=read-only: a store is opened only on a server that accepts writes (read-write)",
        ));
    }
    if server.get_connect_timeout().is_none() {
        server.connect_timeout(GRACE);
    }
    if server.get_tcp_user_timeout().is_none() {
        server.tcp_user_timeout(config.statement_timeout);
    }
    if server.get_application_name().is_none() {
        server.application_name("unjoin");
    }
    // Whoever stands in between can answer that the server has no TLS.
    if server.get_ssl_mode() == SslMode::Prefer {
        server.ssl_mode(preferred);
    }
    let (hosts, addresses, ports) = (server.get_hosts(), server.get_hostaddrs(), server.get_ports());
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(PostgresError::Config("the connection string names no host"));
    }
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(PostgresError::Config("the connection string has not as many hostaddr as host"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(PostgresError::Config(
            "the connection string has neither one port nor one for each host",
        ));
    }
    Ok((0..count).map(|at| of_host(&server, at)).collect())
}

/// The same with this host alone.
fn of_host(all: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(at) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        #[cfg(unix)]
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(at).or_else(|| all.get_ports().first()) {
        one.port(*port);
    }
    all.get_user().map(|user| one.user(user));
    all.get_password().map(|password| one.password(password));
    all.get_dbname().map(|name| one.dbname(name));
    all.get_options().map(|options| one.options(options));
    all.get_application_name().map(|name| one.application_name(name));
    all.get_connect_timeout().map(|limit| one.connect_timeout(*limit));
    all.get_tcp_user_timeout().map(|limit| one.tcp_user_timeout(*limit));
    all.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
    all.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
    one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
    one.channel_binding(all.get_channel_binding());
    // Of several hosts, and even of one: a store that cannot write is none.
    one.target_session_attrs(TargetSessionAttrs::ReadWrite);
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(connection: &str) -> &'static str {
        match servers(&PostgresConfig::new(connection), SslMode::Prefer) {
            Err(PostgresError::Config(words)) => words,
            Err(other) => panic!("{connection}: {other}"),
            Ok(_) => panic!("{connection} was taken"),
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_to_write_instead() {
        for (connection, named, instead) in [
            ("host=a sslmode=verify-full", "sslmode", "sslmode=require"),
            ("host=a sslmode=allow", "sslmode", "TLS connector"),
            ("host=a sslrootcert=system", "sslrootcert", "TLS connector"),
            ("host=a sslkey=k sslcert=c", "sslkey", "TLS connector"),
            ("host=a passfile=.pgpass", "passfile", "password="),
            ("host=a service=orders", "service", "host="),
            ("host=a target_session_attrs=primary", "target_session_attrs", "read-write"),
            ("host=a target_session_attrs=standby", "target_session_attrs", "read-write"),
            ("host=a target_session_attrs=read-only", "target_session_attrs", "read-write"),
            ("host=a gssencmode=prefer", "gssencmode", "TLS"),
            ("host=a keepalives_count=3", "unknown", "'..'"),
            ("host=a port=x", "port", "65535"),
            ("host=a,b,c port=1,2", "port", "each host"),
            ("host=a,b hostaddr=::1", "hostaddr", "as many"),
            ("host=a connect_timeout=soon", "connect_timeout", "seconds"),
            ("host=a channel_binding=yes", "channel_binding", "require"),
            ("host=a password=correct horse", "connection string", "'..'"),
            ("host=a password=correct horse=4", "unknown", "'..'"),
            ("host=a password='correct", "connection string", "'..'"),
            ("user=tester", "host", "host"),
            ("nonsense", "connection string", "postgresql://"),
            ("postgresql://desk:p@ss@db/reviews", "URL", "%40"),
            ("postgresql://desk:p/ss@db/reviews", "URL", "%2F"),
            ("postgresql://desk:p?ss@db/reviews", "URL", "%3F"),
            ("postgresql://desk:p#ss@db/reviews", "URL", "%23"),
            ("postgresql://db/reviews?user=desk@corp", "URL", "%40"),
            ("postgresql://desk:pass@db:x/reviews", "port", "65535"),
            ("postgresql://desk:pass@db/reviews?sslmode=verify-full", "sslmode", "TLS connector"),
            ("postgresql://desk:pass@db/reviews?sslrootcert=a@b", "sslrootcert", "TLS connector"),
        ] {
            let words = refused(connection);
            assert!(words.contains(named) && words.contains(instead), "{connection}: {words}");
            for secret in ["correct", "horse", "ss@", "p/s", "pass@", "desk"] {
                assert!(!words.contains(secret), "{connection}: {words}");
            }
        }
    }

    #[test]
    fn each_host_is_a_server_of_its_own_with_all_the_rest() {
        let text = "host=a,b port=1,2 user=u password='p@ss word' dbname=d options=o sslmode=require \
                    application_name=n connect_timeout=3 tcp_user_timeout=4 keepalives=0 keepalives_idle=5 \
                    keepalives_interval=6 keepalives_retries=7 channel_binding=require \
                    target_session_attrs=read-write";
        let found = servers(&PostgresConfig::new(text), SslMode::Prefer).unwrap();
        let one = |host: &str, port: &str| -> Config {
            text.replace("host=a,b", &format!("host={host}"))
                .replace("port=1,2", &format!("port={port}"))
                .parse()
                .unwrap()
        };
        assert_eq!(found, [one("a", "1"), one("b", "2")]);
        let url = "postgresql://u:p%40ss%2F@db:5433/d?target_session_attrs=any";
        let found = servers(&PostgresConfig::new(url), SslMode::Require).unwrap();
        let [server] = &found[..] else { panic!("one server") };
        assert_eq!(server.get_password(), Some(&b"p@ss/"[..]));
        assert_eq!(server.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(server.get_ssl_mode(), SslMode::Require);
    }
}
