//! `cargo xtask package --try`: the packages on systems of their own, which run systemd and are thrown away; and the image,
//! in containers without a network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{command, root, run};

/// A system to try something on; `packaging/try/NAME.sh` says what.
pub(super) struct System {
    name: &'static str,
    /// What it holds beside what every system here holds.
    packages: &'static str,
}

/// All of them.
const SYSTEMS: [System; 4] = [
    System { name: "packages", packages: "" },
    System { name: "rpm", packages: ",rpm,dnf" },
    System { name: "ufw", packages: ",ufw,openssh-server" },
    System { name: "firewalld", packages: ",firewalld" },
];
/// What each system holds beside what every Debian holds.
const PACKAGES: &str =
    "systemd-sysv,dbus,nftables,iproute2,netcat-openbsd,init-system-helpers,iputils-ping,netbase,sudo";
/// Runs a script and switches the system off, however that ends.
const UNIT: &str = "[Unit]
After=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/try/NAME.sh
StandardOutput=file:/try/report
StandardError=inherit
";
/// The last line of each script when all is well.
const GOOD: &str = "every promise is kept";
/// How the line of a promise begins that is kept.
const KEPT: &str = "ok ";

/// The packages, and those of a higher version.
pub(super) struct Tried {
    pub(super) deb: PathBuf,
    pub(super) newer_deb: PathBuf,
    pub(super) rpm: PathBuf,
    pub(super) newer_rpm: PathBuf,
}

/// A folder that goes with the value.
struct Root(PathBuf);

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} stays: {error}", self.0.display());
        }
    }
}

/// The systems of these names; all without any.
pub(super) fn chosen(names: &[&str]) -> Result<Vec<&'static System>> {
    let known = SYSTEMS.map(|system| system.name);
    if let Some(other) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no system `{other}`: {}", known.join(", "));
    }
    Ok(SYSTEMS.iter().filter(|system| names.is_empty() || names.contains(&system.name)).collect())
}

/// Tries out the packages on these systems, one after the other.
pub(super) fn trial(tried: &Tried, systems: &[&System]) -> Result<()> {
    crate::packages::ensure_trial()?;
    run(&mut command("lintian", &["--fail-on", "error", "--tag-display-limit", "0", &tried.deb.to_string_lossy()]))?;
    let configuration = "--config=packaging/rpm/rpmlint.toml";
    run(&mut command("rpmlint", &[configuration, &tried.rpm.to_string_lossy()]))?;
    let mut counts = Vec::new();
    for system in systems {
        counts.push(format!("{} {}", system.name, try_on(system, tried)?));
    }
    println!("promises kept: {}", counts.join(", "));
    Ok(())
}

/// Tries out the image in containers of this system, which have no network.
pub(super) fn image(archive: &Path, name: &str) -> Result<()> {
    crate::packages::ensure_image_trial()?;
    let report = Root(std::env::temp_dir().join(format!("tortie-try-{}", std::process::id())));
    fs::create_dir(&report.0)?;
    // What podman does to a network and to mounts goes with the namespaces.
    let (script, folder) = (root().join("packaging/try/image.sh"), report.0.to_string_lossy());
    let arguments = ["--net", "--mount", &script.to_string_lossy(), &archive.to_string_lossy(), name, &folder];
    run(&mut command("unshare", &arguments))
}

/// Makes the system, boots it and counts the promises that were kept.
fn try_on(system: &System, tried: &Tried) -> Result<usize> {
    let name = format!("tortie-try-{}-{}", system.name, std::process::id());
    let folder = Root(std::env::temp_dir().join(&name));
    let shown = folder.0.to_string_lossy();
    // A snapshot of the archive may be older than its signature says.
    let options = ["--aptopt=Acquire::Check-Valid-Until \"false\"", "--aptopt=Acquire::Check-Date \"false\""];
    let include = format!("--include={PACKAGES}{}", system.packages);
    let arguments = ["--quiet", "--variant=minbase", &include, options[0], options[1], "bookworm", &shown];
    run(&mut command("mmdebstrap", &arguments))?;
    prepare(&folder.0, system, tried)?;
    let booted = boot(&folder.0, &name);
    let report = fs::read_to_string(folder.0.join("try/report")).context("the system has not reported anything")?;
    print!("{report}");
    booted?;
    if report.lines().next_back() != Some(GOOD) {
        bail!("a promise is broken on the system `{}`; the last lines above say which", system.name);
    }
    Ok(report.lines().filter(|line| line.starts_with(KEPT)).count())
}

/// Runs the system until it switches itself off. Network, processes, mounts and units are its own.
fn boot(folder: &Path, name: &str) -> Result<()> {
    let (directory, machine) = (format!("--directory={}", folder.display()), format!("--machine={name}"));
    // `timeout` is for one that hangs.
    let mut arguments = vec!["--kill-after=10", "900", "systemd-nspawn", "--quiet", &directory, &machine, "--boot"];
    arguments.extend(["--private-network", "--register=no", "--keep-unit", "--console=pipe"]);
    let booted = run(&mut command("timeout", &arguments));
    // Its place for mounts from outside stays otherwise.
    let _ = fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(name));
    booted
}

/// Puts packages and scripts into the system, and has it run its own at boot.
fn prepare(folder: &Path, system: &System, tried: &Tried) -> Result<()> {
    let put = |from: &Path, to: &str| {
        let to = folder.join("try").join(to);
        fs::copy(from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    fs::create_dir(folder.join("try"))?;
    for script in fs::read_dir(root().join("packaging/try"))? {
        let script = script?;
        put(&script.path(), &script.file_name().to_string_lossy())?;
    }
    // The guide that two of them follow.
    put(&root().join("docs/from-ufw-firewalld.md"), "from-ufw-firewalld.md")?;
    let packages = [
        (&tried.deb, "old.deb"),
        (&tried.newer_deb, "new.deb"),
        (&tried.rpm, "old.rpm"),
        (&tried.newer_rpm, "new.rpm"),
    ];
    for (from, to) in packages {
        put(from, to)?;
    }
    // The host of the examples.
    fs::write(folder.join("etc/hostname"), "myhost\n")?;
    let units = folder.join("etc/systemd/system");
    fs::write(units.join("try.service"), UNIT.replace("NAME", system.name))?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    std::os::unix::fs::symlink("../try.service", wants.join("try.service"))?;
    Ok(())
}
