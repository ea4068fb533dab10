//! A server that takes encrypted connections.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;

use crate::error::ServerError;
use crate::launch::{self, Program};
use crate::recipe::{Ports, Recipe, Started};

const AUTHORITY: &str = "authority.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";
/// Both in one file.
const IDENTITY: &str = "identity.pem";

/// How a kind of server is told to encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    Postgres,
    Mariadb,
    /// On a port of its own; the other one stays as it is.
    Redis,
    /// Its nodes tell clients of that port.
    RedisCluster,
    Mongod,
    MongoReplacement,
}

/// A server with a certificate for `127.0.0.1`, which an authority of its own has signed.
#[derive(Debug)]
pub(crate) struct Encrypted {
    pub(crate) recipe: Box<dyn Recipe>,
    pub(crate) encryption: Encryption,
}

/// The certificate of the authority that signed for the server in this folder.
pub(crate) fn authority(folder: &Path) -> PathBuf {
    folder.join(AUTHORITY)
}

impl Recipe for Encrypted {
    fn prepare(&self, folder: &Path, log: &Path) -> Result<(), ServerError> {
        write_certificates(folder)?;
        self.recipe.prepare(folder, log)
    }

    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError> {
        let program = self.recipe.program(folder, ports)?;
        let path = |name| folder.join(name).display().to_string();
        Ok(match self.encryption {
            Encryption::Postgres => program
                .arguments(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", path(CERTIFICATE))])
                .arguments(["-c", &format!("ssl_key_file={}", path(KEY))]),
            Encryption::Mariadb => program
                .argument(format!("--ssl-cert={}", path(CERTIFICATE)))
                .argument(format!("--ssl-key={}", path(KEY))),
            Encryption::Redis | Encryption::RedisCluster => program
                .arguments(["--tls-cluster", if self.encryption == Encryption::RedisCluster { "yes" } else { "no" }])
                .arguments(["--tls-port", &ports.encrypted.to_string(), "--tls-auth-clients", "no"])
                .arguments(["--tls-cert-file", &path(CERTIFICATE), "--tls-key-file", &path(KEY)])
                .arguments(["--tls-ca-cert-file", &path(AUTHORITY)]),
            Encryption::Mongod => program
                .arguments(["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", &path(IDENTITY)])
                .arguments(["--tlsCAFile", &path(AUTHORITY), "--tlsAllowConnectionsWithoutCertificates"]),
            Encryption::MongoReplacement => {
                program.arguments(["--tls-cert-file", &path(CERTIFICATE), "--tls-key-file", &path(KEY)])
            }
        })
    }

    fn is_ready(&self, started: Started<'_>) -> bool {
        self.recipe.is_ready(started)
    }

    fn ends_by(&self) -> Signal {
        self.recipe.ends_by()
    }

    fn clean(&self, folder: &Path) {
        self.recipe.clean(folder);
    }
}

/// The certificate (PEM) of an authority that has signed for no server.
///
/// # Errors
/// The system gives no randomness.
pub fn another_authority() -> Result<String, ServerError> {
    new_authority().map(|(_, pem)| pem).map_err(|error| not_made(&error))
}

fn new_authority() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Apart from every other by its name.
    params.distinguished_name.push(DnType::CommonName, format!("quota {:016x}", fastrand::u64(..)));
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

/// A certificate for `127.0.0.1`, and its key.
fn signed_by(issuer: &Issuer<'_, KeyPair>) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let address = CertificateParams::new(["127.0.0.1".to_owned()])?;
    Ok((address.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn not_made(error: &rcgen::Error) -> ServerError {
    ServerError::Answer(format!("no certificate could be made: {error}"))
}

fn write_certificates(folder: &Path) -> Result<(), ServerError> {
    let (issuer, authority) = new_authority().map_err(|error| not_made(&error))?;
    let (certificate, key) = signed_by(&issuer).map_err(|error| not_made(&error))?;
    let identity = format!("{certificate}{key}");
    for (name, text) in [(AUTHORITY, &authority), (CERTIFICATE, &certificate), (KEY, &key), (IDENTITY, &identity)] {
        let path = folder.join(name);
        write(&path, text).map_err(ServerError::file(&path))?;
        // A server refuses a key that others may read.
        set_permissions(&path, Permissions::from_mode(0o600)).map_err(ServerError::file(&path))?;
        launch::hand_over(&path)?;
    }
    Ok(())
}
