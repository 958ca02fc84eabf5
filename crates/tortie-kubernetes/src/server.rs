//! Requests to one API server: who asks, how long is waited, what is repeated.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;
use tortie_datastore::KvError;
use tortie_datastore::kv::FaultKind;

use crate::failure::{Answer, Failure, Purpose};
use crate::group::{Chosen, Group};
use crate::limiter::Limiter;
use crate::settings::Settings;

/// JSON as it is stored.
const JSON: &str = "application/json";
/// An object as its manager wants it. JSON is YAML too.
const APPLY: &str = "application/apply-patch+yaml";
/// Lists without the objects' specs.
pub(crate) const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";
/// The longest time that a request is repeated because the server is busy, in request time-outs.
const BUSY_TIMEOUTS: u32 = 2;

/// How long a server may refuse everything before that is believed: one that has just been started does so for a moment.
const RIGHTS_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const RIGHTS_INTERVAL: Duration = Duration::from_millis(500);

/// How often the server's name is looked up.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(60);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) accept: &'static str,
    pub(crate) content: &'static str,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Ask {
        Ask { method: Method::GET, path: path.into(), query: Vec::new(), body: None, accept: JSON, content: JSON }
    }

    pub(crate) fn send(method: Method, path: impl Into<String>, body: Value) -> Ask {
        Ask { method, body: Some(body), ..Ask::get(path) }
    }

    /// Merges an object into the one at its path, or makes it (server-side apply).
    pub(crate) fn apply(path: impl Into<String>, body: Value) -> Ask {
        Ask { content: APPLY, ..Ask::send(Method::PATCH, path, body) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Ask {
        self.query.push((name, value.into()));
        self
    }

    fn request(&self) -> Result<Request<Body>, http::Error> {
        let query = self.query.iter().map(|(name, value)| format!("{name}={}", crate::source::segment(value)));
        let query = query.collect::<Vec<_>>().join("&");
        let uri = if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) };
        let body = self.body.as_ref().map(|body| body.to_string().into_bytes());
        let request = Request::builder().method(self.method.clone()).uri(uri);
        let request = request.header(ACCEPT, self.accept).header(CONTENT_TYPE, self.content);
        request.body(body.map_or_else(Body::empty, Body::from))
    }
}

/// One API server, and the credentials for it.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) place: String,
    /// What is connected to: the proxy, where there is one.
    reached: String,
    client: Mutex<Connected>,
    limiter: Option<Limiter>,
    peers: Mutex<Peers>,
    group: watch::Sender<Option<Chosen>>,
    /// What was found in the other group.
    beside: Mutex<Option<String>>,
}

/// Where the server listens, as it was looked up last.
#[derive(Clone, Default)]
struct Peers {
    addresses: Vec<SocketAddr>,
    at: Option<Instant>,
}

/// A client, and how many there were before it.
#[derive(Clone)]
struct Connected {
    client: Client,
    generation: u64,
}

impl Server {
    /// Reads the settings' files; asks nothing of the server. Must run inside a runtime.
    pub(crate) async fn new(settings: Settings) -> Result<Server, KvError> {
        let fault = |place: &str, failure: Failure| {
            let kind = match &failure {
                Failure::Settings(cause) => FaultKind::BadSettings { hint: cause.to_string() },
                _ => FaultKind::Other,
            };
            let action = "prepare the connection";
            KvError::Fault { store: place.to_owned(), action, kind, cause: Some(Box::new(failure)) }
        };
        let nameless = settings.api_endpoint.clone().unwrap_or_else(|| "kubernetes".to_owned());
        let (client, place, proxy) = connect(&settings).await.map_err(|failure| fault(&nameless, failure))?;
        let reached = proxy.unwrap_or_else(|| place.clone());
        let explicit =
            settings.api_group.map(|group| Chosen { group, why: "the settings name it".to_owned(), is_vacant: false });
        let limiter = Limiter::new(settings.qps, settings.burst, Instant::now());
        let client = Mutex::new(Connected { client, generation: 0 });
        let peers = Mutex::new(Peers { addresses: literal(&reached).into_iter().collect(), at: None });
        let group = watch::Sender::new(explicit);
        Ok(Server { settings, place, reached, client, limiter, peers, group, beside: Mutex::default() })
    }

    /// The addresses that are connected to, sorted.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).addresses.clone()
    }

    /// Looks up where the server, or the proxy to it, listens, now and then; a name that cannot be looked up leaves what is known.
    async fn look_up(&self) {
        let known = self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if literal(&self.reached).is_some() || known.at.is_some_and(|at| at.elapsed() < LOOK_UP_INTERVAL) {
            return;
        }
        let Some((host, port)) = host_and_port(&self.reached) else { return };
        if let Ok(found) = tokio::net::lookup_host((host.as_str(), port)).await {
            let mut addresses: Vec<SocketAddr> = found.collect();
            addresses.sort_unstable();
            addresses.dedup();
            let peers = Peers { addresses, at: Some(Instant::now()) };
            *self.peers.lock().unwrap_or_else(PoisonError::into_inner) = peers;
        }
    }

    /// What is known already of the group in use, and of objects beside it (section 3.1).
    pub(crate) fn remarks(&self) -> Vec<String> {
        let chosen = self.group.borrow().clone();
        let in_use = chosen.map(|Chosen { group, why, .. }| format!("API group {group}: {why}"));
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        in_use.into_iter().chain(beside).collect()
    }

    /// Keeps what was found in the group that is not in use; gives it back when it is news.
    pub(crate) fn set_beside(&self, found: Option<String>) -> Option<String> {
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *beside != found;
        beside.clone_from(&found);
        found.filter(|_| is_news)
    }

    fn connected(&self) -> Connected {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new client with credentials read afresh, unless somebody made one since `generation`.
    async fn reconnect(&self, generation: u64) -> Result<(), Failure> {
        if self.connected().generation == generation {
            let (client, ..) = connect(&self.settings).await?;
            let mut connected = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            *connected = Connected { client, generation: generation + 1 };
        }
        Ok(())
    }

    /// The answer to a request, once its head is there and tells success. Credentials that are no longer accepted are
    /// read afresh, once.
    pub(crate) async fn open(&self, ask: &Ask) -> Result<Response<Body>, Failure> {
        let generation = self.connected().generation;
        match self.open_once(ask).await {
            Err(failure) if failure.is_code(401) => match self.reconnect(generation).await {
                Ok(()) => self.open_once(ask).await,
                Err(error) => {
                    tracing::warn!("{}", tortie_api::with_causes(&error));
                    Err(failure)
                }
            },
            answer => answer,
        }
    }

    async fn open_once(&self, ask: &Ask) -> Result<Response<Body>, Failure> {
        let wait = self.limiter.as_ref().map(|limiter| limiter.take(Instant::now())).unwrap_or_default();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let request = ask.request().map_err(|error| Failure::Connection(Box::new(error)))?;
        let limit = self.settings.request_timeout;
        let client = self.connected().client;
        let response = tokio::time::timeout(limit, client.send(request)).await;
        let response = response.map_err(|_| Failure::TimedOut(limit))?.map_err(connection)?;
        self.look_up().await;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = collect(response, limit).await?;
        Err(Failure::Answered(Answer::read(code, retry_after.map(Duration::from_secs), &body)))
    }

    /// The whole answer, as what it says.
    pub(crate) async fn fetch(&self, ask: &Ask) -> Result<Value, Failure> {
        serde_json::from_slice(&self.fetch_bytes(ask).await?).map_err(Failure::Garbled)
    }

    /// The whole answer. A request that the server was too busy for is repeated, for a while.
    pub(crate) async fn fetch_bytes(&self, ask: &Ask) -> Result<impl Deref<Target = [u8]> + use<>, Failure> {
        let limit = self.settings.request_timeout;
        let until = Instant::now() + limit * BUSY_TIMEOUTS;
        loop {
            let failure = match self.open(ask).await {
                Ok(response) => return collect(response, limit).await,
                Err(failure) => failure,
            };
            match failure.repeat_after().filter(|wait| Instant::now() + *wait < until) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(failure),
            }
        }
    }

    /// The group in use; found out the first time.
    pub(crate) async fn group(&self) -> Result<Group, Failure> {
        let known = self.group.borrow().as_ref().map(|chosen| chosen.group);
        match known {
            Some(group) => Ok(group),
            None => Ok(self.detect().await?.group),
        }
    }

    /// The group in use, and why.
    pub(crate) async fn chosen(&self) -> Result<Chosen, Failure> {
        let known = self.group.borrow().clone();
        match known {
            Some(chosen) => Ok(chosen),
            None => self.detect().await,
        }
    }

    /// Tells when another group is in use.
    pub(crate) fn group_changes(&self) -> watch::Receiver<Option<Chosen>> {
        self.group.subscribe()
    }

    /// Asks whether the server has begun its work. One that has just been started knows no rights and no definitions for
    /// some seconds: it refuses what is granted, and misses what is there.
    ///
    /// # Errors
    /// When it has not, or does not answer.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        let until = Instant::now() + RIGHTS_PATIENCE;
        loop {
            match self.fetch(&Ask::get("/readyz")).await {
                Ok(_) => return Ok(()),
                // A text, as it should be.
                Err(Failure::Garbled(_)) => return Ok(()),
                // This user may not ask, or nobody may ask yet: whoever may ask something is known.
                Err(failure) if failure.is_code(401) || failure.is_code(403) => {
                    if Instant::now() >= until || self.fetch(&Ask::get("/apis")).await.is_ok() {
                        return Ok(());
                    }
                    tokio::time::sleep(RIGHTS_INTERVAL).await;
                }
                // Something on the way that passes only what it knows.
                Err(Failure::Answered(answer)) if answer.code < 500 && answer.code != 429 => return Ok(()),
                Err(Failure::Answered(answer)) if answer.code == 500 => return Err(Failure::Starting),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Looks again which group is there, as after a definition went missing.
    pub(crate) async fn detect(&self) -> Result<Chosen, Failure> {
        let known = self.group.borrow().clone();
        if let (Some(chosen), Some(_)) = (&known, self.settings.api_group) {
            return Ok(chosen.clone());
        }
        self.ready().await?;
        let chosen = match self.fetch(&Ask::get("/apis")).await {
            Ok(groups) => Chosen::choose_again(known.map(|chosen| chosen.group), &Chosen::served(&groups)),
            // Section 3.1: a server that does not say has the classic group.
            Err(Failure::Answered(answer)) if answer.code < 500 && answer.code != 401 && answer.code != 429 => known
                .unwrap_or(Chosen {
                    group: Group::Classic,
                    why: format!("the server does not tell its groups ({answer}), and older ones have this one"),
                    is_vacant: false,
                }),
            Err(failure) => return Err(failure),
        };
        self.group.send_if_modified(|current| {
            let is_other = current.as_ref().map(|chosen| chosen.group) != Some(chosen.group);
            *current = Some(chosen.clone());
            is_other
        });
        Ok(chosen)
    }

    /// A failure as callers are told it.
    pub(crate) fn told(&self, failure: Failure, action: &'static str, verb: &'static str, resource: String) -> KvError {
        failure.told(&self.place, action, &Purpose { verb, resource })
    }
}

/// Host, without brackets, and port of a server.
fn host_and_port(place: &str) -> Option<(String, u16)> {
    let uri: http::Uri = place.parse().ok()?;
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("http") => 80,
        Some("socks5") => 1080,
        _ => 443,
    });
    Some((uri.host()?.trim_matches(['[', ']']).to_owned(), port))
}

/// The address of a server that is named by it.
fn literal(place: &str) -> Option<SocketAddr> {
    let (host, port) = host_and_port(place)?;
    Some(SocketAddr::new(host.parse().ok()?, port))
}

/// A client, the place of the server, and the proxy to it.
async fn connect(settings: &Settings) -> Result<(Client, String, Option<String>), Failure> {
    let config = settings.config().await.map_err(|error| Failure::Settings(Box::new(error)))?;
    let place = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let proxy = config.proxy_url.as_ref().map(ToString::to_string);
    let client = Client::try_from(config).map_err(|error| Failure::Settings(Box::new(error)))?;
    Ok((client, place, proxy))
}

/// The error of a client without the layers that say nothing.
fn connection(error: kube::Error) -> Failure {
    match error {
        kube::Error::Service(cause) => Failure::Connection(cause),
        error => Failure::Connection(Box::new(error)),
    }
}

async fn collect(response: Response<Body>, limit: Duration) -> Result<impl Deref<Target = [u8]> + use<>, Failure> {
    let body = tokio::time::timeout(limit, response.into_body().collect()).await;
    let body = body.map_err(|_| Failure::TimedOut(limit))?.map_err(connection)?;
    Ok(body.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_named_by_its_address_is_there() {
        let listens = |place: &str| literal(place).map(|address| address.to_string());
        assert_eq!(listens("https://10.0.0.1:6443").as_deref(), Some("10.0.0.1:6443"));
        assert_eq!(listens("https://[fd00::1]").as_deref(), Some("[fd00::1]:443"));
        assert_eq!(listens("http://10.0.0.1").as_deref(), Some("10.0.0.1:80"));
        assert_eq!(listens("https://api.example:6443"), None);
        assert_eq!(host_and_port("https://api.example"), Some(("api.example".to_owned(), 443)));
    }
}
