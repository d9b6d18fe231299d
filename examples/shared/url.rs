//! Where somebody is asked over HTTP. No TLS: a proxy on this machine speaks it.

/// What follows `http://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// HOST:PORT
    pub(crate) address: String,
    /// As it stands, with its port or without.
    pub(crate) host: String,
    /// Begins with `/`, or is empty.
    pub(crate) path: String,
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or(
            "the URL begins with http://: for somebody behind TLS, a proxy on this machine speaks it",
        )?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { address, host: host.to_owned(), path: path.to_owned() })
    }
}
