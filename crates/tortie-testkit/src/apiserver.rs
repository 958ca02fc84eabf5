//! A real Kubernetes API server with an etcd of its own, by the scripts of `tools/kube-apiserver` (see the README there).
//!
//! One server takes three seconds to start and 330 MiB: the tests of a program share [`ApiServer::shared`] and give their
//! objects names of their own. A test that stops its server, or needs flags, starts one by [`ApiServer::start`].

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// How long a server may take to heed what it was told. It takes a second or two on an idle machine.
const HEED_TIMEOUT: Duration = Duration::from_secs(60);

/// Who speaks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May do everything; identified by a client certificate.
    Admin,
    /// Identified by a token, and may do what [`ApiServer::grant`] says.
    Agent,
    /// The same.
    Controller,
    /// The same.
    Nobody,
}

impl User {
    /// The name by which the server knows the user.
    pub fn name(self) -> &'static str {
        match self {
            User::Admin => "admin",
            User::Agent => "agent",
            User::Controller => "controller",
            User::Nobody => "nobody",
        }
    }
}

/// A running API server. It ends, and its files go, when this is dropped or when the program ends, however it ends.
#[derive(Debug)]
pub struct ApiServer {
    state: PathBuf,
    programs: PathBuf,
    url: String,
}

impl ApiServer {
    /// The server that all tests of this program share, started on first use. It is never stopped, killed or paused.
    ///
    /// # Panics
    /// As [`ApiServer::start`].
    pub fn shared() -> &'static ApiServer {
        static SHARED: OnceLock<ApiServer> = OnceLock::new();
        SHARED.get_or_init(|| ApiServer::start(&[]))
    }

    /// Starts a server and waits until it is ready. `arguments` are those of `up.sh`, for instance
    /// `["--args", "--watch-cache=false"]`.
    ///
    /// # Panics
    /// When the server was not built or does not start.
    pub fn start(arguments: &[&str]) -> ApiServer {
        let cache = cache();
        let programs = cache.join("bin");
        for program in ["kube-apiserver", "kubectl", "etcd", "etcdctl"] {
            let program = programs.join(program);
            assert!(
                program.is_file(),
                "{} is missing: this test needs a Kubernetes API server, run tools/kube-apiserver/build.sh once \
                 (five minutes; it needs Go)",
                program.display()
            );
        }
        let owner = std::process::id().to_string();
        let mut up = Command::new(script("up.sh"));
        up.arg("--cache").arg(&cache).args(["--owner", &owner]).args(arguments);
        // Its daemons are detached, and must not hold a pipe that somebody reads to its end.
        let kubeconfig = PathBuf::from(succeed(up.stdin(Stdio::null())).trim_end());
        let state = kubeconfig.parent().expect("a kubeconfig lies in a directory").to_owned();
        let url = exported(&state, "KUBE_SERVER");
        ApiServer { state, programs, url }
    }

    /// Where the server listens, `https://ADDRESS:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory of everything the server has: `pki/`, logs, pid files.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The kubeconfig of a user.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        match user {
            User::Admin => self.state.join("kubeconfig"),
            _ => self.state.join(format!("kubeconfig.{}", user.name())),
        }
    }

    /// The certificate authority that signed the server's certificate.
    pub fn authority(&self) -> PathBuf {
        self.state.join("pki/ca.crt")
    }

    /// `kubectl` as a user, with no arguments yet.
    pub fn kubectl_command(&self, user: User) -> Command {
        let mut command = Command::new(self.programs.join("kubectl"));
        command
            .env("KUBECONFIG", self.kubeconfig(user))
            .env("KUBECACHEDIR", self.state.join("kubectl-cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `kubectl` as the administrator, with `input` on its standard input.
    ///
    /// # Panics
    /// When it cannot be run. A refusal of the server is in the output.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.kubectl_command(User::Admin);
        run_with(command.args(arguments), input)
    }

    /// The same for a request that must succeed; gives what it printed. What fails because the server has only just
    /// been given a definition is asked again.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl_ok(&self, arguments: &[&str], input: &str) -> String {
        let end = Instant::now() + HEED_TIMEOUT;
        loop {
            let output = self.kubectl(arguments, input);
            if output.status.success() {
                return text(&output.stdout);
            }
            let error = text(&output.stderr);
            let is_passing = NOT_YET.iter().any(|part| error.contains(part)) && Instant::now() < end;
            assert!(is_passing, "kubectl {arguments:?}: {error}");
        }
    }

    /// Grants a user what RBAC `rules` say (a list of `PolicyRule`), in the whole cluster. Granting under a name that
    /// exists replaces what it granted.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn grant(&self, user: User, name: &str, rules: &Value) {
        let group = "rbac.authorization.k8s.io";
        let role = json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        });
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user.name()}],
        });
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
        self.kubectl_ok(&["apply", "-f", "-"], &list.to_string());
    }

    /// Takes back what was granted under a name. A watch that runs goes on; the next request is refused.
    ///
    /// # Panics
    /// When nothing was granted under that name.
    pub fn revoke(&self, name: &str) {
        self.kubectl_ok(&["delete", "clusterrolebinding,clusterrole", name], "");
    }

    /// Applies the definitions of `crds.sh`, which accept anything, and waits until they are served. `group` is `native`
    /// or `classic`.
    ///
    /// # Panics
    /// When the server refuses them.
    pub fn apply_lax_definitions(&self, group: &str) {
        let definitions = succeed(Command::new(script("crds.sh")).arg(group).stdin(Stdio::null()));
        self.apply_definitions(&definitions);
    }

    /// Applies definitions (YAML or JSON) and waits until they are served.
    ///
    /// # Panics
    /// When the server refuses them.
    pub fn apply_definitions(&self, definitions: &str) {
        self.kubectl_ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], definitions);
        self.kubectl_ok(&["wait", "--for", "condition=Established", "--timeout", "60s", "crd", "--all"], "");
    }

    /// Ends the server as a rolling update would; its data stay.
    ///
    /// # Panics
    /// When the script fails.
    pub fn stop(&self) {
        self.control("stop");
    }

    /// Ends the server by SIGKILL; its data stay.
    ///
    /// # Panics
    /// When the script fails.
    pub fn kill(&self) {
        self.control("kill");
    }

    /// Starts the server again on the same port and data, and waits until it is ready.
    ///
    /// # Panics
    /// When it runs already, or does not start.
    pub fn start_again(&self) {
        self.control("start");
    }

    /// Compacts etcd at its present revision.
    ///
    /// # Panics
    /// When the script fails.
    pub fn compact(&self) {
        self.control("compact");
    }

    /// Stops the server by SIGSTOP: connections are accepted, and nothing is answered.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a paused server go on.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn control(&self, verb: &str) {
        succeed(Command::new(script("server.sh")).arg(verb).arg(&self.state).stdin(Stdio::null()));
    }

    fn signal(&self, signal: Signal) {
        let file =
            fs::read_to_string(self.state.join("apiserver.pid")).expect("a server that was started has a pid file");
        let pid = file.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid file begins with the pid");
        kill(Pid::from_raw(pid), signal).expect("the server runs, and is ours");
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let down = Command::new(script("down.sh")).arg(&self.state).stdin(Stdio::null()).output();
        // A second panic would end the program without a word on the first.
        if let Err(error) = down
            && !std::thread::panicking()
        {
            panic!("the API server of {} was not ended: {error}", self.state.display());
        }
    }
}

/// Asks until the answer is yes: a server heeds new definitions and admission policies a moment after it has taken them,
/// and says so nowhere else.
///
/// # Panics
/// When a minute has passed.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + HEED_TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "a minute has passed and it is not so: {what}");
    }
}

/// What is said where admission policies do not know a definition yet, and what `kubectl wait` says of a definition that has
/// no conditions yet.
const NOT_YET: [&str; 2] = [
    "There can be a delay between when CustomResourceDefinitions are created",
    ".status.conditions accessor error: <nil>",
];

/// A script of `tools/kube-apiserver` in the source tree that this was built from.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/kube-apiserver").join(name)
}

/// Where `build.sh` puts what it builds.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("KUBE_CACHE") {
        return cache.into();
    }
    let home = std::env::var_os("HOME").expect("HOME or KUBE_CACHE says where the API server was built");
    Path::new(&home).join(".cache/kube-test")
}

/// A value of the file `env` that `up.sh` writes: `export NAME=VALUE NAME=VALUE`.
fn exported(state: &Path, name: &str) -> String {
    let file = fs::read_to_string(state.join("env")).expect("up.sh writes the file `env`");
    let value = file.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("`env` of up.sh has no {name}")).to_owned()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", text(&output.stderr));
    text(&output.stdout)
}

fn run_with(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        // Beside the reading: each side may fill its pipe before it has read the other.
        scope.spawn(move || {
            // A program that refuses its arguments reads nothing, and its own message says why.
            let _ = stdin.write_all(input.as_bytes());
        });
        child.wait_with_output().expect("a child of ours can be waited for")
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
