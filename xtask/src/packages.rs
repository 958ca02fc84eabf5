//! Debian packages that tests and demo need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{command, run};

/// Programs, and the Debian package that holds each.
const NEEDED: &[(&str, &str)] =
    &[("nft", "nftables"), ("ip", "iproute2"), ("python3", "python3"), ("cc", "build-essential"), ("strace", "strace")];
/// Those of `cargo xtask package --try`.
const NEEDED_BY_TRIAL: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("lintian", "lintian"),
    ("rpmlint", "rpmlint"),
];
/// The C compiler for the C library that is linked into the static binary.
const NEEDED_BY_STATIC: &[(&str, &str)] = &[("musl-gcc", "musl-tools")];
/// Those of `cargo xtask package --static --try`.
const NEEDED_BY_IMAGE_TRIAL: &[(&str, &str)] =
    &[("podman", "podman"), ("crun", "crun"), ("skopeo", "skopeo"), ("umoci", "umoci"), ("curl", "curl")];
/// Those of the tests: servers of etcd and Kubernetes, a look at the units, and shells that complete words.
const NEEDED_BY_TESTS: &[(&str, &str)] = &[
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("openssl", "openssl"),
    ("socat", "socat"),
    ("systemd-analyze", "systemd"),
    ("zsh", "zsh"),
    ("fish", "fish"),
];
/// Those of the rig that measures the cost of packets: programs, and headers of libraries.
const NEEDED_BY_RIG: &[(&str, &str)] = &[
    ("make", "make"),
    ("clang-19", "clang-19"),
    ("bpftool", "bpftool"),
    ("ipset", "ipset"),
    ("iptables-legacy-restore", "iptables"),
    ("setpriv", "util-linux"),
    ("/usr/include/bpf/libbpf.h", "libbpf-dev"),
    ("/usr/include/libnftnl/set.h", "libnftnl-dev"),
    ("/usr/include/libmnl/libmnl.h", "libmnl-dev"),
];

/// Makes sure that the programs are there: installs them as root, names the packages otherwise.
pub(crate) fn ensure() -> Result<()> {
    ensure_all(NEEDED)
}

/// Makes sure that what only the tests need is there, servers of etcd and Kubernetes among it.
pub(crate) fn ensure_servers() -> Result<()> {
    ensure_all(NEEDED_BY_TESTS)?;
    if !is_there("go") {
        bail!(
            "the Kubernetes API server of the tests is built with Go 1.26 or newer, and there is no `go`: install it"
        );
    }
    run(&mut command("tools/kube-apiserver/build.sh", &[]))
}

/// Where the servers lie that are built.
pub(crate) fn servers() -> PathBuf {
    let cache = std::env::var_os("KUBE_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/kube-test");
    cache.unwrap_or_else(home).join("bin")
}

/// Makes sure that the programs are there which make a system to try packages on.
pub(crate) fn ensure_trial() -> Result<()> {
    if !is_root() {
        bail!("please run this as root: it makes a system of its own, with a network of its own");
    }
    ensure_all(NEEDED_BY_TRIAL)
}

/// Makes sure that the static binary can be linked.
pub(crate) fn ensure_static() -> Result<()> {
    ensure_all(NEEDED_BY_STATIC)
}

/// Makes sure that the programs are there which look at an image and run it.
pub(crate) fn ensure_image_trial() -> Result<()> {
    if !is_root() {
        bail!("please run this as root: it runs containers");
    }
    ensure_all(NEEDED_BY_IMAGE_TRIAL)
}

/// Makes sure that what builds and runs the rig in `perf` is there.
pub(crate) fn ensure_rig() -> Result<()> {
    ensure_all(NEEDED_BY_RIG)
}

fn ensure_all(needed: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!("please install {} (Debian packages), or run this as root", missing.join(", "));
    }
    run(&mut command("apt-get", &["update", "-q"]))?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    run(command("apt-get", &arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Whether a program is installed, or a file is there whose whole path is given.
pub(crate) fn is_there(program: &str) -> bool {
    let places = std::env::var("PATH").unwrap_or_default();
    let places = places.split(':').map(str::to_owned).chain(["/usr/sbin".to_owned(), "/sbin".to_owned()]);
    places.into_iter().any(|place| std::path::Path::new(&place).join(program).is_file())
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
