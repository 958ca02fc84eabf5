//! `cargo xtask conformance`: the packet-level kit against the release binary.

use anyhow::{Result, bail};

use crate::run::{capture, cargo, command, root, run};

/// The two values of `compatibility` (D-1): what the agent is told, the features that belong to the other mode, and
/// whether workloads must be declared because unknown ones are dropped (E-442).
const MODES: [(&str, &str, &str); 2] = [("Safe", "mode.strict", "0"), ("Strict", "mode.safe", "1")];

/// The stores that the kit runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Embedded,
    Etcd,
    Kubernetes,
}

/// Features of scenarios that cannot be on Kubernetes, and why.
const NOT_ON_KUBERNETES: [(&str, &str); 2] = [
    ("profile.own", "profiles are namespaces and service accounts, and nobody writes one"),
    ("store.foreign", "the API server checks whoever writes, so nothing gets past all checks"),
];

/// A few scenarios of each part, for a store that CI does not run all of them on.
const SMOKE: [&str; 8] = [
    "default-deny-wildcard",
    "profile-default-allow",
    "policy-order",
    "label-change",
    "selector-expected-ips",
    "networkset-basic",
    "agent-restart",
    "refused-changes-change-nothing",
];

pub(crate) fn conformance(arguments: &[String]) -> Result<()> {
    crate::packages::ensure()?;
    let (store, rest) = match arguments {
        [flag, store, rest @ ..] if flag == "--store" => (parse(store)?, rest),
        [first, rest @ ..] if first.starts_with("--store=") => (parse(&first["--store=".len()..])?, rest),
        _ => (Store::Embedded, arguments),
    };
    kit_on(store, rest).map(|_| ())
}

fn parse(store: &str) -> Result<Store> {
    match store {
        "embedded" => Ok(Store::Embedded),
        "etcd" => Ok(Store::Etcd),
        "kubernetes" => Ok(Store::Kubernetes),
        other => bail!("the kit does not run on `{other}`: write embedded, etcd or kubernetes"),
    }
}

/// Runs the kit on the embedded store in both modes; gives what it printed last.
pub(crate) fn kit(arguments: &[String]) -> Result<String> {
    kit_on(Store::Embedded, arguments)
}

/// Runs some scenarios of the kit on the other stores; gives what it printed last.
pub(crate) fn smoke() -> Result<String> {
    let names = SMOKE.map(|name| format!("conformance/scenarios/{name}.json"));
    Ok([kit_on(Store::Etcd, &names)?, kit_on(Store::Kubernetes, &names)?].join("\n"))
}

fn kit_on(store: Store, arguments: &[String]) -> Result<String> {
    run(&mut command(&cargo(), &["build", "--release", "--package", "tortie"]))?;
    run(&mut command(&cargo(), &["build", "--package", "tortie-storetest", "--example", "put"]))?;
    if store != Store::Embedded {
        crate::packages::ensure_servers()?;
    }
    let mut ends = Vec::new();
    for (mode, left_out, workloads) in MODES {
        // Workloads are pods there, which nobody can be told of by their interfaces.
        if store == Store::Kubernetes && workloads == "1" {
            continue;
        }
        println!("-- store: {store:?}, compatibility: {mode}");
        ends.push(kit_in_mode(store, arguments, mode, left_out, workloads)?);
    }
    Ok(ends.join("\n"))
}

fn kit_in_mode(store: Store, arguments: &[String], mode: &str, left_out: &str, workloads: &str) -> Result<String> {
    let mut kit = command("python3", &["conformance/run.py", "--adapter", "cli"]);
    kit.args(arguments)
        .env("TORTIE_BIN", root().join("target/release/tortie"))
        .env("TORTIE_SETTLED", "{bin} status --socket {dir}/{host}.sock --wait --timeout {timeout}s")
        .env("TORTIE_REFUSED", "3")
        .env("TORTIE_SKIP", left_out)
        .env("TORTIE_WORKLOADS", workloads)
        .env_remove("TORTIE_STORE");
    let agent = "agent --node {host} --socket {dir}/{host}.sock";
    let put = root().join("target/debug/examples/put");
    let put = put.display();
    let mut settings = format!("TORTIE_COMPATIBILITY={mode}");
    match store {
        Store::Embedded => {
            settings += ",TORTIE_STORE=embedded:{dir}/store.db";
            kit.env("TORTIE_AGENT", format!("{{bin}} {agent}")).env("TORTIE_PUT", format!("{put} {{dir}}/store.db"));
        }
        Store::Etcd => {
            // The recent one: 3.4 knows no socket files that lie anywhere but in its working directory.
            let programs = crate::packages::servers();
            let programs = programs.display();
            let client = "unix://{dir}/etcd.sock";
            settings += &format!(",ETCD_ENDPOINTS={client}");
            let peer = "unix://{dir}/peer.sock";
            let server = format!(
                "{programs}/etcd --data-dir {{dir}}/etcd --log-level warn --listen-client-urls {client} \
                 --advertise-client-urls {client} --listen-peer-urls {peer} --initial-advertise-peer-urls {peer} \
                 --initial-cluster default={peer}"
            );
            kit.env("TORTIE_SERVER", server)
                .env("TORTIE_SERVER_READY", format!("{programs}/etcdctl --endpoints {client} endpoint health"))
                .env("TORTIE_AGENT", format!("{{bin}} {agent}"))
                .env("TORTIE_PUT", format!("{put} etcd={client}"));
        }
        Store::Kubernetes => {
            let script = root().join("conformance/stores/kubernetes.sh");
            let script = script.display();
            settings += ",KUBECONFIG={dir}/kube/kubeconfig";
            let mut skipped = left_out.to_owned();
            for (feature, why) in NOT_ON_KUBERNETES {
                println!("-- left out is what needs {feature}: {why}");
                skipped += &format!(",{feature}");
            }
            kit.env("TORTIE_SKIP", skipped)
                .env("TORTIE_SERVER", format!("{script} server {{dir}} {{bin}}"))
                .env("TORTIE_SERVER_READY", "test -e {dir}/ready")
                .env("TORTIE_AGENT", format!("{script} agent {{dir}} {{bin}} {{host}} --socket {{dir}}/{{host}}.sock"));
        }
    }
    kit.env("TORTIE_APPLY", "{bin} apply -f -").env("TORTIE_DELETE", "{bin} delete -f -").env("TORTIE_ENV", settings);
    let (is_good, text) = capture(&mut kit)?;
    if !is_good {
        bail!("the conformance kit failed on {store:?} with `compatibility: {mode}`");
    }
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// Runs the kit against its own reference and the broken mutants of it.
pub(crate) fn self_test() -> Result<String> {
    let (is_good, text) = capture(&mut command("python3", &["conformance/run.py", "--self-test"]))?;
    if !is_good {
        bail!("the conformance kit's self-test failed");
    }
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
