//! An authority of a test's own, and what it signs.

use crate::server::give;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The name that stores ask for.
pub(crate) const HOST: &str = "db.example";

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server's certificate for this name or address, with its key and the authority's certificate.
    pub(crate) fn files(&self, host: &str) -> Files {
        self.write(CertificateParams::new([host.to_owned()]).unwrap())
    }

    /// One that has been over for years.
    pub(crate) fn expired(&self, host: &str) -> Files {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.write(params)
    }

    fn write(&self, mut params: CertificateParams) -> Files {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &*self.0).unwrap();
        let files = Files::new();
        files.write("server.crt", &certificate.pem());
        files.write("server.key", &key.serialize_pem());
        files.write("authority.crt", &self.0.pem());
        files
    }

    /// A connector that believes this authority and no other.
    pub(crate) fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(
            ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth(),
        )
    }

    /// One that shows a certificate of this user's besides.
    pub(crate) fn connector_as(&self, user: &str) -> MakeRustlsConnect {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &*self.0).unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(self.roots());
        MakeRustlsConnect::new(config.with_client_auth_cert(vec![certificate.der().clone()], secret).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

/// Files that only the server's user may read; they go with this.
pub(crate) struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("unjoin-postgres-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        give(&path);
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        give(&self.path(name));
    }

    /// The server's settings for TLS with these files.
    pub(crate) fn settings(&self) -> Vec<String> {
        let is = |setting: &str, path: &Path| format!("{setting} = '{}'", path.display());
        vec![
            "ssl = on".to_owned(),
            is("ssl_cert_file", &self.path("server.crt")),
            is("ssl_key_file", &self.path("server.key")),
            is("ssl_ca_file", &self.path("authority.crt")),
        ]
    }

    /// The setting that puts these rules into the place of pg_hba.conf.
    pub(crate) fn host_based(&self, rules: &str) -> String {
        self.write("hba", rules);
        format!("hba_file = '{}'", self.path("hba").display())
    }

    /// The other files' content, at these paths.
    pub(crate) fn replace_by(&self, other: &Self) {
        for name in ["server.crt", "server.key", "authority.crt"] {
            self.write(name, &fs::read_to_string(other.path(name)).unwrap());
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
