//! The connection to etcd: one member at a time, another one when it is gone, a new token when the old one ran out.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Duration;

use prost::Message;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tortie_datastore::kv::{FaultKind, KvError};

use crate::address;
use crate::fault::{self, Faults};
use crate::peers::Peers;
use crate::proto;
use crate::rpc::{self, Rpc};
use crate::settings::Settings;

/// The pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that answered, to one member.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    pub(crate) token: Option<AsciiMetadataValue>,
    /// The member's address.
    pub(crate) address: String,
    /// The version of its server, unless it does not tell that to everybody, as recent ones do.
    pub(crate) version: Option<String>,
    /// Tells this connection from those before and after it.
    serial: u64,
}

/// How to reach etcd, and the connection there is.
pub(crate) struct Link {
    settings: Settings,
    pub(crate) faults: Faults,
    state: Mutex<State>,
    found: std::sync::Mutex<Peers>,
}

struct State {
    current: Option<Connection>,
    serial: u64,
    /// Where to begin to look for a member.
    next: usize,
}

/// Why a member was not taken.
struct Refusal {
    kind: FaultKind,
    words: String,
}

impl Link {
    pub(crate) fn new(settings: Settings) -> Self {
        let faults = Faults {
            place: settings.place(),
            user: settings.user.as_ref().map(|(name, _)| name.clone()),
            has_certificate: settings.tls.cert.is_some(),
        };
        // Many agents that start at once do not all go to the first member.
        let next = usize::try_from(RandomState::new().hash_one(0) >> 33).unwrap_or(0);
        Self {
            settings,
            faults,
            state: Mutex::new(State { current: None, serial: 0, next }),
            found: Default::default(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The addresses of the members, as they were found for the last connection.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Finds where members listen, before the connection needs it: it may have to pass this host's own firewall.
    async fn find_peers(&self, addresses: &[String]) {
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found().name(addresses);
        let mut peers = found().clone();
        if timeout(self.settings.connect_timeout, peers.resolve()).await.is_ok() {
            found().learn(peers);
        }
    }

    /// The connection there is, or a new one to the first member that answers and has a leader.
    ///
    /// # Errors
    /// What each member said.
    pub(crate) async fn connection(&self, action: &'static str) -> Result<Connection, KvError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.current {
            return Ok(connection.clone());
        }
        let addresses = address::addresses(&self.settings).await.map_err(|hint| self.bad_settings(action, hint))?;
        self.find_peers(&addresses).await;
        let mut refusals = Vec::new();
        for step in 0..addresses.len() {
            let index = (state.next + step) % addresses.len();
            match self.connect(&addresses[index], state.serial + 1).await {
                Ok(connection) => {
                    state.next = index;
                    state.serial += 1;
                    state.current = Some(connection.clone());
                    return Ok(connection);
                }
                Err(refusal) => refusals.push((addresses[index].clone(), refusal)),
            }
        }
        Err(self.refused(action, refusals))
    }

    /// Forgets a connection; the next one is looked for at the next member first when `moves_on`.
    async fn forget(&self, connection: &Connection, moves_on: bool) {
        let mut state = self.state.lock().await;
        if state.current.as_ref().is_some_and(|current| current.serial == connection.serial) {
            state.current = None;
            state.next += usize::from(moves_on);
        }
    }

    /// Forgets a connection that failed in another way than by an answer.
    pub(crate) async fn failed(&self, connection: &Connection) {
        self.forget(connection, true).await;
    }

    async fn connect(&self, address: &str, serial: u64) -> Result<Connection, Refusal> {
        let settings_fault =
            |hint: String| Refusal { kind: FaultKind::BadSettings { hint: hint.clone() }, words: hint };
        let endpoint = address::endpoint(address, &self.settings).map_err(settings_fault)?;
        let patience = self.settings.connect_timeout;
        let silent = || Refusal { kind: FaultKind::Unavailable, words: format!("no answer within {patience:?}") };
        match timeout(patience, self.greet(endpoint, address, serial)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(silent()),
        }
    }

    /// Connects, asks the member for its state, and gets a token.
    async fn greet(
        &self,
        endpoint: tonic::transport::Endpoint,
        address: &str,
        serial: u64,
    ) -> Result<Connection, Refusal> {
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| Refusal { kind: self.faults.connect_kind(&error), words: fault::innermost(&error) })?;
        let address = address.to_owned();
        let mut connection = Connection { channel, token: None, address, version: None, serial };
        // First, since recent servers tell their state to users only.
        if let Some((name, password)) = &self.settings.user {
            connection.token = self.authenticate(&connection, name, password).await?;
        }
        match rpc::unary(&connection, rpc::STATUS, proto::Status {}).await {
            Ok(answer) if answer.leader == 0 => {
                Err(Refusal { kind: FaultKind::Unavailable, words: "this member has no leader".to_owned() })
            }
            Ok(answer) => {
                connection.version = Some(answer.version);
                Ok(connection)
            }
            // It answers; what is allowed is seen with the first request.
            Err(status) if !fault::is_passing(&status) => Ok(connection),
            Err(status) => Err(self.closed(&connection, &status)),
        }
    }

    /// What it means when a member takes a connection and does not answer its first request.
    fn closed(&self, connection: &Connection, status: &Status) -> Refusal {
        let mut kind = self.faults.connect_kind(status);
        let mut words = fault::words(status);
        // With TLS 1.3 a server looks at the certificate of who asks after the handshake is over for the other side, and
        // its alert can be lost in the end of the connection.
        let is_broken = status.source().is_some();
        if kind == FaultKind::Unavailable && is_broken && connection.address.starts_with("https://") {
            kind = self.faults.certificate_refused();
            words = format!("the connection was closed after the handshake ({words})");
        }
        Refusal { kind, words }
    }

    async fn authenticate(
        &self,
        connection: &Connection,
        name: &str,
        password: &str,
    ) -> Result<Option<AsciiMetadataValue>, Refusal> {
        let ask = proto::Authenticate { name: name.to_owned(), password: password.to_owned() };
        let status = match rpc::unary(connection, rpc::AUTHENTICATE, ask).await {
            Ok(answer) => match answer.token.parse() {
                Ok(token) => return Ok(Some(token)),
                Err(_) => Status::internal("its token is no text"),
            },
            // Whoever has no need for a password accepts everybody, as etcd's own clients take it.
            Err(status) if status.message().contains("authentication is not enabled") => return Ok(None),
            Err(status) => status,
        };
        if fault::is_passing(&status) {
            return Err(self.closed(connection, &status));
        }
        Err(Refusal { kind: self.faults.unauthenticated(), words: fault::words(&status) })
    }

    fn bad_settings(&self, action: &'static str, hint: String) -> KvError {
        KvError::Fault { store: self.faults.place.clone(), action, kind: FaultKind::BadSettings { hint }, cause: None }
    }

    /// No member was taken. What can be mended here counts more than that another member is away.
    fn refused(&self, action: &'static str, refusals: Vec<(String, Refusal)>) -> KvError {
        let kinds = refusals.iter().map(|(_, refusal)| &refusal.kind);
        let kind =
            kinds.clone().find(|kind| **kind != FaultKind::Unavailable).unwrap_or(&FaultKind::Unavailable).clone();
        if let FaultKind::BadSettings { hint } = kind {
            return self.bad_settings(action, hint);
        }
        let words: Vec<String> =
            refusals.iter().map(|(address, refusal)| format!("{address}: {}", refusal.words)).collect();
        self.faults.fault(action, kind, words.join("; "))
    }

    /// Sends one request, again where that is safe, and waits for its answer no longer than the settings say.
    ///
    /// # Errors
    /// What the request means to who asks for it.
    pub(crate) async fn call<Q, A>(&self, rpc: Rpc<Q, A>, action: &'static str, ask: Q) -> Result<A, KvError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let deadline = Instant::now() + self.settings.request_timeout;
        let attempts = self.settings.endpoints.len() + 2;
        for attempt in 1.. {
            let connection = match timeout_at(deadline, self.connection(action)).await {
                Ok(connection) => connection?,
                Err(_) => return Err(self.silent(action)),
            };
            let until = if rpc.is_read() { deadline.min(Instant::now() + self.share()) } else { deadline };
            let answer = timeout_at(until, rpc::unary(&connection, rpc, ask.clone())).await;
            let status = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", self.settings.request_timeout)),
            };
            if fault::is_stale_token(&status) {
                self.forget(&connection, false).await;
            } else if fault::is_passing(&status) {
                self.failed(&connection).await;
            }
            let may_repeat = fault::is_not_done(&status) || (rpc.is_read() && fault::is_passing(&status));
            if !may_repeat || attempt >= attempts || Instant::now() + PAUSE >= deadline {
                return Err(self.faults.of(action, &connection.address, &status));
            }
            if attempt > 1 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(self.silent(action))
    }

    fn silent(&self, action: &'static str) -> KvError {
        self.faults.unavailable(action, format!("no answer within {:?}", self.settings.request_timeout))
    }

    /// How long one member may take for a read, when there are others to ask.
    fn share(&self) -> Duration {
        let members = u32::try_from(self.settings.endpoints.len().clamp(1, 3)).unwrap_or(1);
        self.settings.request_timeout / members
    }

    /// Opens a stream of watches that needs a leader, and gives what to ask with and what answers.
    ///
    /// # Errors
    /// As [`Link::call`].
    pub(crate) async fn watch_stream(
        &self,
        connection: &Connection,
        action: &'static str,
        first: proto::WatchRequest,
    ) -> Result<(mpsc::Sender<proto::WatchRequest>, Streaming<proto::WatchAnswer>), KvError> {
        let (sender, receiver) = mpsc::channel(16);
        // The first request goes with the stream: a server may answer none before it.
        if sender.try_send(first).is_err() {
            unreachable!("an empty channel has room");
        }
        let opening = rpc::watch(connection, Request::new(ReceiverStream::new(receiver)));
        let status = match timeout(self.settings.request_timeout, opening).await {
            Ok(Ok(stream)) => return Ok((sender, stream)),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", self.settings.request_timeout)),
        };
        self.forget(connection, !fault::is_stale_token(&status)).await;
        Err(self.faults.of(action, &connection.address, &status))
    }

    /// The connection's token ran out.
    pub(crate) async fn renew(&self, connection: &Connection) {
        self.forget(connection, false).await;
    }
}
