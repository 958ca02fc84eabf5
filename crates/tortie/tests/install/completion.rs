//! What shells complete: the answers of the program, and the scripts in shells themselves (cli.md section 2.3, 2.10 number 4).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tortie_testkit::sandbox::die_with_parent;

use crate::manual::commands;
use crate::terminal::Terminal;

const OBJECTS: &str = include_str!("../support/words.yaml");

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: staging
contexts:
- {name: staging, context: {cluster: a, user: a}}
- {name: production, context: {cluster: b, user: b}}
";

/// A user with a store, and nothing of the machine's own configuration.
pub(crate) struct User {
    folder: TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        let user = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(user.path("my files")).unwrap();
        for (name, text) in
            [("objects.yaml", OBJECTS), ("kubeconfig", KUBECONFIG), ("notes.txt", ""), ("my files/a.yaml", "")]
        {
            std::fs::write(user.path(name), text).unwrap();
        }
        let output = user
            .of_user(&mut Command::new(env!("CARGO_BIN_EXE_tortie")))
            .args(["apply", "-qf", "objects.yaml"])
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        user
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets what a command finds around it.
    pub(crate) fn of_user<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_tortie")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        die_with_parent(command)
            .env_clear()
            .env("PATH", format!("{}:{path}", binary.display()))
            .env("HOME", self.folder.path())
            .env("TERM", "dumb")
            .env("TORTIE_STORE", format!("embedded:{}", self.path("store.db").display()))
            .current_dir(self.folder.path())
    }

    fn asked(&self, shell: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        self.of_user(&mut command).env("_TORTIE_COMPLETE", shell).envs(variables.iter().copied());
        command.args(["--", "tortie"]).args(words).output().unwrap()
    }

    /// What the program answers about the last of the words.
    fn answer_in(&self, words: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let output = self.asked("elvish", words, variables);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{words:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn answer(&self, words: &[&str]) -> Vec<String> {
        self.answer_in(words, &[])
    }
}

fn set(words: &[String]) -> BTreeSet<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn each_command_and_each_flag_is_offered_and_no_other() {
    let user = User::new();
    let commands = commands();
    for (words, flags) in &commands {
        let line = |last: &'static str| words.iter().map(String::as_str).chain([last]).collect::<Vec<_>>();
        let offered = user.answer(&line("--"));
        assert_eq!(set(&offered), set(flags), "{words:?}: flags");
        assert!(!offered.iter().any(|flag| flag == "--allow-version-mismatch"), "hidden flags stay hidden");
        let below = commands.keys().filter(|other| other.len() == words.len() + 1 && other.starts_with(words));
        let below: BTreeSet<&str> = below.map(|other| other[words.len()].as_str()).collect();
        let offered = user.answer(&line(""));
        if !below.is_empty() {
            let help = BTreeSet::from(["help"]);
            assert_eq!(set(&offered), &below | &help, "{words:?}: commands");
        }
    }
}

#[test]
fn what_stands_in_the_store_is_offered() {
    let user = User::new();
    let check = |line: &str, expected: &[&str]| {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(user.answer(&words), expected, "`{line}`");
    };
    check("get h", &["hostendpoints", "hep"]);
    check("get hep,ti", &["hep,tiers"]);
    check("get hep ", &["db1-eth0", "web1-eth0"]);
    check("get hep w", &["web1-eth0"]);
    check("get hep web1-eth0 ", &["db1-eth0"]);
    check("get hep/", &["hep/db1-eth0", "hep/web1-eth0"]);
    check("get hep/web1-eth0 hep/", &["hep/db1-eth0"]);
    check("delete HostEndpoint w", &["web1-eth0"]);
    check("patch tier s", &["security"]);
    check("label hep d", &["db1-eth0"]);
    check("edit tiers s", &["security"]);
    check("get networksets ", &[]);
    check("get networksets -n shop ", &["office"]);
    check("-n shop get networksets o", &["office"]);
    check("get -A networksets ", &["office"]);
    check("get -n ", &["default", "shop"]);
    check("get --namespace=s", &["--namespace=shop"]);
    check("get nothing ", &[]);
    check("get hep -o j", &["json", "jsonl", "jsonpath=", "jsonpath-file="]);
    check("get hep -o custom-columns=N", &["custom-columns=NAME", "custom-columns=NODE", "custom-columns=NAMESPACE"]);
    check(
        "get tier -o custom-columns=NAME,",
        &["ORDER", "DEFAULTACTION", "NAMESPACE"]
            .map(|c| format!("custom-columns=NAME,{c}"))
            .each_ref()
            .map(String::as_str),
    );
    check("get hep --sort-by .spec.int", &[".spec.interfaceName"]);
    check("docs hep.spec.interf", &["hep.spec.interfaceName"]);
    check("docs gnp.ing", &["gnp.ingress"]);
    check("status -o ", &["text", "json"]);
    check("--store e", &["embedded:", "etcd://", "etcds://"]);
    check("--store=embedded:obj", &["--store=embedded:objects.yaml"]);
    check("datastore copy --from k", &["kubernetes"]);
    check("apply -f o", &["objects.yaml"]);
    check("apply -f n", &[]);
    check("config set etcdE", &["etcdEndpoints"]);
    check("config set datastoreType k", &["kubernetes"]);
    let kubeconfig = user.path("kubeconfig").display().to_string();
    assert_eq!(user.answer_in(&["get", "--context", ""], &[("KUBECONFIG", &kubeconfig)]), ["production", "staging"]);
}

/// The line decides which store is asked, and who cannot be asked is not waited for.
#[test]
fn a_store_that_does_not_answer_is_passed_over_in_silence() {
    let user = User::new();
    assert_eq!(user.answer(&["--store", "embedded:none.db", "get", "hep", ""]), [""; 0]);
    assert!(!user.path("none.db").exists(), "looking makes no store");
    assert_eq!(user.answer(&["--config", "none.cfg", "--store", "", "get", "hep", ""]), [""; 0]);
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("etcd://{}", silent.local_addr().unwrap());
    let start = Instant::now();
    assert_eq!(user.answer(&["--store", &url, "get", "hep", ""]), [""; 0]);
    assert!(start.elapsed() < Duration::from_secs(10), "a second, and time for a busy machine: {:?}", start.elapsed());
    // Nonsense is answered by silence, too.
    for shell in ["nonsense", "bash"] {
        for words in [&["get", "--nonsense", "hep", "w"][..], &["nonsense", ""], &["-"], &["\u{1}"]] {
            let output = user.asked(shell, words, &[]);
            assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{words:?}");
        }
    }
    let output =
        user.of_user(&mut Command::new(env!("CARGO_BIN_EXE_tortie"))).env("_TORTIE_COMPLETE", "bash").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));
}

#[test]
fn names_are_kept_where_the_user_keeps_caches_and_nothing_depends_on_it() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    assert_eq!(user.answer(&["get", "hep", "w"]), ["web1-eth0"]);
    let folder = user.path(".cache/tortie/completion");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // What is kept is what is told.
    std::fs::write(files[0].path(), "web7-eth7\n").unwrap();
    assert_eq!(user.answer(&["get", "hep", "w"]), ["web7-eth7"]);
    for place in ["/dev/null", "/proc", "relative", ""] {
        let answer = user.answer_in(&["get", "hep", "w"], &[("XDG_CACHE_HOME", place), ("HOME", "/proc")]);
        assert_eq!(answer, ["web1-eth0"], "{place}");
    }
    assert!(!user.path("relative").exists());
}

/// Scripts of packages are made where no store is.
#[test]
fn scripts_ask_the_program_by_the_variable_it_listens_to() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_tortie")).args(["completion", shell]).env_clear().output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("_TORTIE_COMPLETE"), "{shell}: {script}");
        assert!(!script.contains(env!("CARGO_BIN_EXE_tortie")), "{shell}: it names no path of this machine");
    }
    // PowerShell and elvish have no Debian packages: what their scripts send is sent here.
    let user = User::new();
    let told = |shell: &str, words: &[&str]| String::from_utf8(user.asked(shell, words, &[]).stdout).unwrap();
    assert_eq!(told("powershell", &["get", "hep", "w"]), "web1-eth0\n");
    assert!(told("powershell", &["datastore", "ch"]).starts_with("check\tCheck the integrity"));
    assert_eq!(told("elvish", &["datastore", "ch"]), "check\n");
    assert!(told("fish", &["datastore", "ch"]).starts_with("check\tCheck the integrity"));
}

/// What is typed at a prompt, and the line that a tabulator makes of it.
const AT_ANY_PROMPT: [(&str, &str); 12] = [
    ("tortie datast", "tortie datastore "),
    ("tortie get hostend", "tortie get hostendpoints "),
    ("tortie get hep w", "tortie get hep web1-eth0 "),
    ("tortie get hep -o custom-columns=NAME,INT", "tortie get hep -o custom-columns=NAME,INTERFACE "),
    ("tortie get hep -o cust", "tortie get hep -o custom-columns="),
    ("tortie get hep --output=wi", "tortie get hep --output=wide "),
    ("tortie --store emb", "tortie --store embedded:"),
    ("tortie -n sho", "tortie -n shop "),
    ("tortie get hep/w", "tortie get hep/web1-eth0 "),
    ("tortie apply -f my", "tortie apply -f my\\ files/"),
    ("tortie apply -f my\\ files/", "tortie apply -f my\\ files/a.yaml "),
    ("tortie docs hep.spec.interf", "tortie docs hep.spec.interfaceName "),
];

#[test]
fn bash_completes_at_its_prompt() {
    let user = User::new();
    std::fs::write(user.path("rc"), "source <(tortie completion bash)\nbind 'set bell-style none'\nbind -x '\"\\C-t\": echo \"<$READLINE_LINE>\"'\nPS1='ready'\"> \"\n").unwrap();
    let mut terminal = Terminal::start(&user, &["bash", "--noprofile", "--rcfile", "rc", "-i"]);
    let of_bash = [
        ("tortie --store=embedded:sto", "tortie --store=embedded:store.db"),
        ("tortie apply -f 'my", "tortie apply -f 'my files/'"),
        ("tortie get hep --sort-by .sp", "tortie get hep --sort-by .spec."),
        ("A=1 tortie get hep w", "A=1 tortie get hep web1-eth0 "),
    ];
    for (typed, line) in AT_ANY_PROMPT.into_iter().chain(of_bash) {
        assert_eq!(terminal.completed(typed), line, "{typed}");
    }
}

#[test]
fn zsh_completes_at_its_prompt() {
    let user = User::new();
    // As a package installs it: the file is read when it is first needed, and that question counts as well.
    std::fs::create_dir(user.path("site")).unwrap();
    let script = Command::new(env!("CARGO_BIN_EXE_tortie")).args(["completion", "zsh"]).output().unwrap().stdout;
    std::fs::write(user.path("site/_tortie"), script).unwrap();
    std::fs::write(user.path(".zshrc"), "fpath=($HOME/site $fpath)\nautoload -Uz compinit && compinit -u -D\nunsetopt BEEP\nshow() { print -r -- \"<$BUFFER>\" }\nzle -N show\nbindkey '^T' show\nPS1='ready'\"> \"\n").unwrap();
    let mut terminal = Terminal::start(&user, &["zsh", "-o", "no_global_rcs", "-i"]);
    for (typed, line) in AT_ANY_PROMPT {
        assert_eq!(terminal.completed(typed), line, "{typed}");
    }
}

#[test]
fn fish_offers_what_the_program_says() {
    let user = User::new();
    for (typed, expected) in [
        ("tortie datast", &["datastore"][..]),
        ("tortie get hep ", &["db1-eth0", "web1-eth0"]),
        ("tortie get hep -o custom-columns=NAME,INT", &["custom-columns=NAME,INTERFACE"]),
        ("tortie get hep --output=wi", &["--output=wide"]),
        ("tortie -n sh", &["shop"]),
        ("tortie get hep/w", &["hep/web1-eth0"]),
        ("tortie apply -f obj", &["objects.yaml"]),
    ] {
        let script = format!("tortie completion fish | source; complete -C '{typed}'");
        let output = user.of_user(&mut Command::new("fish")).args(["--no-config", "-c", &script]).output();
        let output = output.unwrap_or_else(|error| panic!("this test needs Debian package fish: {error}"));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{typed}");
        let text = String::from_utf8(output.stdout).unwrap();
        let offered: Vec<&str> = text.lines().map(|line| line.split('\t').next().unwrap_or(line)).collect();
        assert_eq!(offered, expected, "{typed}");
    }
}
