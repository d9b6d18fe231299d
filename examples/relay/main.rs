//! The relay of Oblivious HTTP (RFC 9458): it sees who asks and not what; the gateway behind it sees what and not who.
//! **Run it where the platform has no say**: another company, another domain, another network. Whoever runs both has the
//! addresses and the reviews.
//!
//! ```text
//! cargo run --release --example relay -- --listen ADDRESS --gateway /shop=http://gateway.example:8080/gateway
//! ```
//!
//! It forwards to the gateways that are named at its start, and to no other; of a request the body and its type, of an
//! answer the status, the body and its type, over connections that all clients share. It adds nothing, sets no cookie,
//! writes nothing to a disk, and logs no request. Its limits are in `limits`. In front of it stands what ends TLS, and
//! keeps no access log either.

#![forbid(unsafe_code)]

mod limits;
#[path = "../shared/program.rs"]
mod program;
mod relay;
#[cfg(test)]
mod tests;
mod upstream;
#[path = "../shared/url.rs"]
mod url;

use clap::Parser;
use relay::{Relay, Settings};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use upstream::Gateway;

/// Forwards sealed questions to gateways, and nothing about who asked.
#[derive(Parser)]
struct Arguments {
    /// Where devices are served.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)))]
    listen: SocketAddr,
    /// PATH=URL: what is posted to this path goes to that gateway; may be given more than once. The URL begins with
    /// http://: for a gateway behind TLS, a proxy on this machine speaks it.
    #[arg(long = "gateway", required = true)]
    gateways: Vec<Gateway>,
    /// So many questions a minute are taken from one network (IPv4: /24, IPv6: /48).
    #[arg(long, default_value_t = 600)]
    per_minute: u32,
    /// So many questions may be under way.
    #[arg(long, default_value_t = 4096)]
    in_flight: usize,
    /// So many connections of clients are kept.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// So many connections are kept to each gateway.
    #[arg(long, default_value_t = 64)]
    pooled: usize,
    /// Networks are told apart by the last address in this header, which the proxy in front sets, and not by the
    /// connection's.
    #[arg(long)]
    address_header: Option<String>,
    /// The most seconds that a question may take to come, and its answer: each.
    #[arg(long, default_value_t = 15)]
    patience: u64,
}

fn main() -> ExitCode {
    program::run("relay", || start(Arguments::parse()))
}

fn start(arguments: Arguments) -> Result<(), Box<dyn Error + Send + Sync>> {
    let settings = Settings {
        gateways: arguments.gateways,
        per_minute: arguments.per_minute,
        in_flight: arguments.in_flight,
        connections: arguments.connections,
        pooled: arguments.pooled,
        address_header: arguments.address_header.map(|name| name.parse()).transpose()?,
        patience: Duration::from_secs(arguments.patience),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let end = program::end_is_asked()?;
        let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
            format!("cannot listen on {} ({error}): give --listen another address", arguments.listen)
        })?;
        println!("relay on {}", listener.local_addr()?);
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(relay::serve(listener, Relay::new(settings)?, stopped));
        end.await;
        let _ = stop.send(true);
        let _ = serving.await;
        println!("ended");
        Ok(())
    })
}
