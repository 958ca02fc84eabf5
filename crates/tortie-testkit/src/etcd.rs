//! A real etcd for tests, on a loopback port, with its data in a folder that goes with the test program.

mod cluster;
mod roles;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::apiserver::cache;
use crate::certificates::{Authority, Signed};
use crate::server::{Folder, Process, free_port};

pub use cluster::Cluster;
pub use roles::{PASSWORD, ROLES, ROOT, Role};

/// How long a server may take until it answers, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// How long is waited between two questions whether it answers.
const ASK_PAUSE: Duration = Duration::from_millis(30);

/// Which etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// That of Debian's package `etcd-server`, 3.4.
    Debian,
    /// A recent one, which `tools/kube-apiserver/build.sh` builds.
    Recent,
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which etcd.
    pub version: Version,
    /// Whether it speaks TLS and wants a certificate of who asks.
    pub has_tls: bool,
    /// Whether it wants a user and a password; see [`ROLES`].
    pub has_users: bool,
    /// How long a token counts, in seconds.
    pub token_ttl_s: u32,
    /// How large its data may grow, in bytes; 0 leaves that to it.
    pub quota_bytes: u64,
}

impl Options {
    /// Without TLS and users.
    pub fn plain(version: Version) -> Self {
        Self { version, has_tls: false, has_users: false, token_ttl_s: 300, quota_bytes: 0 }
    }
}

/// A server and what is needed to reach it.
pub struct Etcd {
    options: Options,
    process: Process,
    place: Place,
    authority: Authority,
    /// The certificate that clients of this fixture show.
    client: Signed,
    /// Whether the users are there by now.
    wants_user: bool,
    // After the process, which writes there.
    folder: Folder,
}

impl Version {
    fn server(self) -> PathBuf {
        self.program("etcd", "etcd-server")
    }

    fn control(self) -> PathBuf {
        self.program("etcdctl", "etcd-client")
    }

    fn program(self, name: &str, package: &str) -> PathBuf {
        let (path, remedy) = match self {
            Version::Debian => (Path::new("/usr/bin").join(name), format!("install the Debian package `{package}`")),
            Version::Recent => (cache().join("bin").join(name), "run tools/kube-apiserver/build.sh".to_owned()),
        };
        assert!(path.exists(), "there is no `{}`; {remedy}", path.display());
        path
    }
}

impl Etcd {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When there is no such etcd, with what to do about that, and when it does not answer in time.
    pub fn start(options: Options) -> Etcd {
        let folder = Folder::new().expect("a folder for etcd's data");
        let authority = Authority::new();
        let client = authority.sign("root");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file for etcd");
        let server = authority.sign("127.0.0.1");
        for (name, text) in [
            ("ca.pem", &authority.certificate()),
            ("server.pem", &server.certificate),
            ("server.key", &server.key),
            ("client.pem", &client.certificate),
            ("client.key", &client.key),
        ] {
            write(name, text);
        }
        let mut place = Place::alone();
        let mut process = place.run(&options, folder.path());
        // Somebody else may have taken the port in the meantime.
        while !wait_until_ready(&mut process, &folder.path().join(DATA), || ask(&options, folder.path(), &place, false))
        {
            place = Place::alone();
            process = place.run(&options, folder.path());
        }
        let mut etcd = Etcd { options, process, place, authority, client, wants_user: false, folder };
        if etcd.options.has_users {
            roles::set_up(&etcd);
            etcd.wants_user = true;
        }
        etcd
    }

    /// The address for clients.
    pub fn address(&self) -> String {
        self.place.address(&self.options)
    }

    /// Who signed the server's certificate, and signs those of clients.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A certificate that the server accepts.
    pub fn client_certificate(&self) -> &Signed {
        &self.client
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same data and port, and waits until it answers.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = self.place.run(&self.options, self.folder.path());
        let data = self.data();
        let ask = || ask(&self.options, self.folder.path(), &self.place, self.wants_user);
        assert!(wait_until_ready(&mut self.process, &data, ask), "somebody else took the port of etcd");
    }

    /// Stops the server in the middle of whatever it does: it keeps its connections and answers nobody.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Forgets the history before a revision.
    pub fn compact(&self, revision: u64) {
        self.control(&["compact", &revision.to_string()]);
    }

    /// Keeps a copy of all data, made while the server is away, under a name.
    pub fn save(&mut self, name: &str) {
        self.process.kill();
        copy(&self.data(), &self.folder.path().join(name)).expect("a copy of etcd's data");
        self.restart();
    }

    /// Puts a kept copy in the place of the data.
    pub fn restore(&mut self, name: &str) {
        self.process.kill();
        self.remove_data();
        copy(&self.folder.path().join(name), &self.data()).expect("the kept data");
        self.restart();
    }

    /// Writes a snapshot while the server runs, as `etcdctl snapshot save` does.
    pub fn snapshot(&self, name: &str) {
        let file = self.folder.path().join(name);
        self.control(&["snapshot", "save", &file.display().to_string()]);
    }

    /// Makes new data of a snapshot, as `etcdctl snapshot restore` does, which recent versions have no more: an option of
    /// the cluster's name makes it another cluster.
    pub fn restore_snapshot(&mut self, name: &str, cluster_token: &str) {
        self.process.kill();
        self.remove_data();
        let (file, data) = (self.folder.path().join(name), self.data());
        let mut command = Command::new(self.options.version.control());
        command.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(file).arg("--data-dir").arg(data);
        command.args(["--name", "default", "--initial-cluster", &format!("default={PEER}")]);
        command.args(["--initial-advertise-peer-urls", PEER, "--initial-cluster-token", cluster_token]);
        let output = command.output().expect("etcdctl starts");
        assert!(output.status.success(), "etcdctl snapshot restore: {}", String::from_utf8_lossy(&output.stderr));
        self.restart();
    }

    /// Takes all data away, as somebody does who sets the machine up anew.
    pub fn wipe(&mut self) {
        self.process.kill();
        self.remove_data();
        self.restart();
    }

    /// Runs `etcdctl` as root of the server; what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn control(&self, arguments: &[&str]) -> String {
        let all = [&["--command-timeout", "20s"], arguments].concat();
        let output = control(&self.options, self.folder.path(), &self.address(), self.wants_user, &all);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "etcdctl {}: {}", arguments.join(" "), text(&output.stderr));
        text(&output.stdout)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    fn remove_data(&self) {
        std::fs::remove_dir_all(self.data()).expect("etcd's data can be removed");
    }
}

/// The name of a lone member, and of the folder with its data.
const DATA: &str = "default";
/// Where a lone member listens for others, that never come.
const PEER: &str = "http://127.0.0.1:0";

/// Where one member is: its name, its ports, and whom it knows.
#[derive(Debug)]
struct Place {
    name: String,
    port: u16,
    /// Where it listens for other members.
    peer: String,
    /// All members: `NAME=PEER,…`.
    members: String,
}

impl Place {
    fn alone() -> Place {
        let members = format!("{DATA}={PEER}");
        Place { name: DATA.to_owned(), port: free_port(), peer: PEER.to_owned(), members }
    }

    fn address(&self, options: &Options) -> String {
        let scheme = if options.has_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    fn run(&self, options: &Options, folder: &Path) -> Process {
        let address = self.address(options);
        let data = folder.join(&self.name);
        let mut command = Command::new(options.version.server());
        command.args(["--name", &self.name]).arg("--data-dir").arg(&data);
        command.args(["--listen-client-urls", &address, "--advertise-client-urls", &address]);
        command.args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer]);
        command.args(["--initial-cluster", &self.members, "--log-level", "warn"]);
        command.args(["--auth-token-ttl", &options.token_ttl_s.to_string(), "--bcrypt-cost", "4"]);
        command.args(["--quota-backend-bytes", &options.quota_bytes.to_string()]);
        match options.version {
            Version::Debian => {
                command.args(["--logger", "zap", "--experimental-watch-progress-notify-interval", "300ms"])
            }
            Version::Recent => command.args(["--watch-progress-notify-interval", "300ms"]),
        };
        if options.has_tls {
            for (option, file) in
                [("--trusted-ca-file", "ca.pem"), ("--cert-file", "server.pem"), ("--key-file", "server.key")]
            {
                command.arg(option).arg(folder.join(file));
            }
            command.arg("--client-cert-auth");
        }
        Process::start(command, &log(&data)).expect("etcd starts")
    }
}

/// The file of what a member prints.
fn log(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// Runs `etcdctl`, as root of the server where it wants a user.
fn control(options: &Options, folder: &Path, address: &str, wants_user: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new(options.version.control());
    command.env("ETCDCTL_API", "3").args(["--endpoints", address]);
    if options.has_tls {
        for (option, file) in [("--cacert", "ca.pem"), ("--cert", "client.pem"), ("--key", "client.key")] {
            command.arg(option).arg(folder.join(file));
        }
    }
    if wants_user {
        command.args(["--user", &format!("{ROOT}:{PASSWORD}")]);
    }
    command.args(arguments).output().expect("etcdctl starts")
}

/// Asks a member for its state.
fn ask(options: &Options, folder: &Path, place: &Place, wants_user: bool) -> Output {
    let arguments = ["--dial-timeout", "2s", "--command-timeout", "5s", "endpoint", "status"];
    control(options, folder, &place.address(options), wants_user, &arguments)
}

/// Asks until it answers; `false` when it ended because somebody else has its port.
fn wait_until_ready(process: &mut Process, data: &Path, ask: impl Fn() -> Output) -> bool {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let output = ask();
        if !process.has_ended() && output.status.success() {
            return true;
        }
        let log = std::fs::read_to_string(log(data)).unwrap_or_default();
        if process.has_ended() && log.contains("address already in use") {
            return false;
        }
        assert!(!process.has_ended(), "etcd ended:\n{log}");
        assert!(Instant::now() < deadline, "etcd does not answer: {output:?}\n{log}");
        std::thread::sleep(ASK_PAUSE);
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
