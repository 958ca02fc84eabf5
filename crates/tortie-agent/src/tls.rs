//! Metrics by TLS (E-626): certificates as the settings name them, and connections after their handshake.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::server::TlsStream;
use tortie_calc::settings::operation::{ClientAuth, Prometheus};

use crate::bounded;

/// Bytes of a file of certificates, or of a key.
const FILE_LEN_MAX: u64 = 4 << 20;
/// How long a client may take to shake hands.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes at one time; more wait.
const HANDSHAKES_MAX: usize = 64;

/// What TLS is made of: files of PEM, and whether clients must show a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_auth: ClientAuth,
}

impl Tls {
    /// `None` where no file is named: then metrics are plain text.
    pub(crate) fn of(settings: &Prometheus) -> Option<Tls> {
        let Prometheus { ca_file, cert_file, key_file, client_auth, .. } = settings;
        let is_wanted = [ca_file, cert_file, key_file].into_iter().any(Option::is_some);
        is_wanted.then(|| Tls {
            ca: ca_file.clone(),
            certificate: cert_file.clone(),
            key: key_file.clone(),
            client_auth: *client_auth,
        })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the setting or file. What was to be encrypted is never served in the clear.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let certificate = named(self.certificate.as_deref(), "prometheusMetricsCertFile")?;
        let key = named(self.key.as_deref(), "prometheusMetricsKeyFile")?;
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| unreadable(key, &error))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = match self.verifier(&provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| format!("certificate and key: {error}"))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Who looks at the certificates of clients.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        let signed = || {
            let file = named(self.ca.as_deref(), "prometheusMetricsCAFile")?;
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| unreadable(file, &error))?;
            }
            Ok::<_, String>(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()))
        };
        let built = match self.client_auth {
            ClientAuth::None => return Ok(None),
            ClientAuth::RequireAny => return Ok(Some(Arc::new(AnyCertificate(provider.clone())))),
            ClientAuth::RequireAndVerify => signed()?.build(),
            ClientAuth::VerifyIfGiven => signed()?.allow_unauthenticated().build(),
        };
        built.map(|verifier| Some(verifier as _)).map_err(|error| format!("prometheusMetricsCAFile: {error}"))
    }
}

fn named<'a>(file: Option<&'a Path>, setting: &str) -> Result<&'a Path, String> {
    file.ok_or_else(|| format!("`{setting}` is not set"))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    match CertificateDer::pem_slice_iter(&read(file)?).collect::<Result<Vec<_>, _>>() {
        Ok(list) if list.is_empty() => Err(format!("`{}` holds no certificate", file.display())),
        Ok(list) => Ok(list),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Reads a file that the settings name. Whoever writes a stored configuration may name any: a device, for instance.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    bounded::read_regular(file, FILE_LEN_MAX).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot use `{}`: {error}", file.display())
}

/// `RequireAnyClientCert`: the client must have the key of the certificate it shows, whoever signed it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Gives connections after their handshake; a slow client keeps nobody else waiting.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor, handshakes: JoinSet::new() }
    }

    fn shake_hands(&mut self, stream: TcpStream, peer: SocketAddr) {
        let handshake = self.acceptor.accept(stream);
        self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_PATIENCE, handshake).await {
                Ok(Ok(stream)) => Some((stream, peer)),
                Ok(Err(error)) => {
                    tracing::debug!("metrics: {peer}: {error}");
                    None
                }
                Err(_) => None,
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next(), if !self.handshakes.is_empty() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES_MAX => match accepted {
                    Ok((stream, peer)) => self.shake_hands(stream, peer),
                    // Such as too many open files: others may end meanwhile.
                    Err(error) => {
                        tracing::warn!("metrics: cannot accept: {error}");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::Router;
    use axum::routing::get;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::ClientConfig;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tortie_calc::settings::Operation;

    use crate::http;

    use super::*;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        /// Certificate and key, PEM.
        fn sign(&self, name: &str) -> (String, String) {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
            (certificate.pem(), key.serialize_pem())
        }
    }

    /// Asks once; `None` when the server hangs up.
    async fn ask(at: SocketAddr, authority: &Authority, own: Option<&(String, String)>) -> Option<String> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let stream = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("agent.test").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: agent.test\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.lines().last().map(str::to_owned)
    }

    #[tokio::test]
    async fn clients_are_asked_for_certificates_as_the_settings_say_e626() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (Authority::new(), Authority::new());
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            Some(file)
        };
        let (certificate, key) = own.sign("agent.test");
        let (ca, certificate, key) = (file("ca", &own.0.pem()), file("cert", &certificate), file("key", &key));
        let (known, stranger) = (own.sign("client"), other.sign("client"));
        for (client_auth, nobody_may, known_may, stranger_may) in [
            (ClientAuth::None, true, true, true),
            (ClientAuth::VerifyIfGiven, true, true, false),
            (ClientAuth::RequireAny, false, true, true),
            (ClientAuth::RequireAndVerify, false, true, false),
        ] {
            let tls = Tls { ca: ca.clone(), certificate: certificate.clone(), key: key.clone(), client_auth };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let listener = TlsListener::new(listener, tls.acceptor().unwrap());
            let app = Router::new().route("/", get(|| async { "told" }));
            let server = tokio::spawn(http::serve(listener, app, http::Limits::default(), std::future::pending()));
            // One that never speaks keeps nobody waiting.
            let _silent = TcpStream::connect(at).await.unwrap();
            for (client, may) in [(None, nobody_may), (Some(&known), known_may), (Some(&stranger), stranger_may)] {
                let answer = ask(at, &own, client).await;
                assert_eq!(answer.as_deref() == Some("told"), may, "{client_auth:?}: {answer:?}");
            }
            server.abort();
        }
    }

    #[test]
    fn what_is_missing_or_broken_is_named_and_nothing_is_served_in_the_clear_e626() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = Authority::new().sign("agent.test");
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            Some(file)
        };
        let (certificate, key, empty) = (file("cert", &certificate), file("key", &key), file("empty", ""));
        let good = Tls { ca: None, certificate, key, client_auth: ClientAuth::None };
        assert!(good.acceptor().is_ok());
        let settings = Prometheus { key_file: good.key.clone(), ..Operation::default().prometheus };
        for (tls, part) in [
            (Tls::of(&settings).unwrap(), "`prometheusMetricsCertFile` is not set"),
            (Tls { key: None, ..good.clone() }, "`prometheusMetricsKeyFile` is not set"),
            (Tls { certificate: empty.clone(), ..good.clone() }, "holds no certificate"),
            (Tls { key: empty, ..good.clone() }, "empty`: "),
            (Tls { client_auth: ClientAuth::RequireAndVerify, ..good.clone() }, "`prometheusMetricsCAFile` is not set"),
            (Tls { certificate: Some("/nowhere".into()), ..good.clone() }, "cannot use `/nowhere`"),
            (Tls { certificate: Some("/dev/zero".into()), ..good.clone() }, "`/dev/zero`: it is not a regular file"),
            (Tls { key: Some("/dev/zero".into()), ..good.clone() }, "`/dev/zero`: it is not a regular file"),
        ] {
            let error = tls.acceptor().err().unwrap();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(Tls::of(&Operation::default().prometheus), None);
    }
}
