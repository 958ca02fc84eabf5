//! Settings that change only how an agent runs: never a rule, never a verdict.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How an agent runs (enforcement.md section 6, D-12).
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// How often everything of ours in the kernel is read again and repaired (E-619); `None` is never, written 0.
    pub table_refresh: Option<Duration>,
    /// The same for sets (E-620).
    pub set_refresh: Option<Duration>,
    /// The same for XDP programs (E-620).
    pub xdp_refresh: Option<Duration>,
    /// The same for links and addresses (E-620).
    pub interface_refresh: Option<Duration>,
    /// What becomes of tracked flows that a new policy denies (E-731).
    pub on_tighten: OnTighten,
    /// What an empty kernel gets when nothing is known yet (E-708).
    pub boot_policy: BootPolicy,
    /// Whether the connection to the store counts as a failsafe while it stands (E-467).
    pub pins_datastore: bool,
    /// What becomes of an object that is invalid in the store (D-11).
    pub invalid_object_policy: InvalidObjectPolicy,
    /// The server of `/readiness` and `/liveness` (E-625, E-750).
    pub health: Health,
    /// The server of metrics (E-626).
    pub prometheus: Prometheus,
    /// Whether states of endpoints are written to the store (E-627, E-741); on unless it is set.
    pub reports_endpoints: bool,
    /// How long such a report waits for further changes (E-627).
    pub endpoint_report_delay: Duration,
    /// How often the host says that it lives (E-628); `None` is never.
    pub report_interval: Option<Duration>,
    /// How long that stays true without renewal (E-628).
    pub report_ttl: Duration,
    /// What is logged, and where (E-629).
    pub log: Log,
    /// How long one programming may take before the agent counts as not live (E-630); 20 s at least (E-751).
    pub dataplane_watchdog_timeout: Duration,
    /// Whether untracked denies may use XDP (E-623).
    pub xdp: Xdp,
}

/// `onTighten` (E-731).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTighten {
    /// They go on until they end.
    #[default]
    Keep,
    /// They are judged again and cut.
    Recheck,
}

/// `bootPolicy` (E-708).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootPolicy {
    /// Nothing: the host is open.
    #[default]
    Open,
    /// Only failsafe ports are open.
    FailsafeOnly,
}

/// `invalidObjectPolicy` (D-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidObjectPolicy {
    /// Its last valid form stays in force.
    #[default]
    Hold,
    /// It counts as missing.
    Calico,
}

/// `healthEnabled`, `healthHost`, `healthPort`, `healthTimeoutOverrides`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it is served.
    pub is_enabled: bool,
    /// The address or host name to listen on; empty is all addresses.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Limits of components, by their names, that replace the built-in ones.
    pub timeouts: BTreeMap<String, Duration>,
}

/// `prometheusMetrics*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Whether metrics are served.
    pub is_enabled: bool,
    /// The address or host name to listen on; empty is all addresses.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Authorities that client certificates are checked against, PEM.
    pub ca_file: Option<PathBuf>,
    /// The server's certificate, PEM. TLS is used where certificate and key are both given.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
}

/// `prometheusMetricsClientAuth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// A certificate that one of the authorities signed.
    RequireAndVerify,
    /// Any certificate.
    RequireAny,
    /// None, but one that is shown must be signed by one of the authorities.
    VerifyIfGiven,
    /// None.
    #[default]
    None,
}

/// `logSeverity*`, `logFilePath`. `None` as a severity is no logging there, written `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severity that is written to standard error.
    pub screen: Option<Severity>,
    /// The least severity that is written to [`Log::file_path`].
    pub file: Option<Severity>,
    /// The least severity that is sent to syslog.
    pub syslog: Option<Severity>,
    /// The log file; none by default.
    pub file_path: Option<PathBuf>,
}

/// A severity, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    Fatal,
}

/// `xdpEnabled`, `genericXDPEnabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Whether XDP is used where a driver has it.
    pub is_enabled: bool,
    /// Whether it is used where no driver has it.
    pub is_generic_enabled: bool,
}

impl Operation {
    /// The shorter one of [`Operation::table_refresh`] and [`Operation::set_refresh`]: who reads both together reads
    /// them that often.
    pub fn ruleset_refresh(&self) -> Option<Duration> {
        self.table_refresh.into_iter().chain(self.set_refresh).min()
    }
}

impl Default for Operation {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            table_refresh: Some(seconds(180)),
            set_refresh: Some(seconds(90)),
            xdp_refresh: Some(seconds(90)),
            interface_refresh: Some(seconds(90)),
            on_tighten: OnTighten::Keep,
            boot_policy: BootPolicy::Open,
            pins_datastore: true,
            invalid_object_policy: InvalidObjectPolicy::Hold,
            health: Health { is_enabled: false, host: "localhost".to_owned(), port: 9099, timeouts: BTreeMap::new() },
            prometheus: Prometheus {
                is_enabled: false,
                host: String::new(),
                port: 9091,
                ca_file: None,
                cert_file: None,
                key_file: None,
                client_auth: ClientAuth::None,
            },
            reports_endpoints: true,
            endpoint_report_delay: seconds(1),
            report_interval: Some(seconds(30)),
            report_ttl: seconds(90),
            log: Log {
                screen: Some(Severity::Info),
                file: Some(Severity::Info),
                syslog: Some(Severity::Info),
                file_path: None,
            },
            dataplane_watchdog_timeout: seconds(90),
            xdp: Xdp { is_enabled: true, is_generic_enabled: false },
        }
    }
}
