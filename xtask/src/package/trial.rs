//! `cargo xtask package --try`: the packages on a system of their own, which runs systemd and is thrown away.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{command, root, run};

/// What the system holds beside what every Debian holds.
const PACKAGES: &str = "systemd-sysv,dbus,nftables,iproute2,netcat-openbsd,rpm,init-system-helpers";
/// Runs the promises and switches the system off, however that ends.
const UNIT: &str = "[Unit]
After=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/try/try.sh /try/old.deb /try/new.deb /try/tortie.rpm
StandardOutput=file:/try/report
StandardError=inherit
";
/// The last line of the script when all is well.
const GOOD: &str = "every promise is kept";

/// A folder that goes with the value.
struct Root(PathBuf);

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} stays: {error}", self.0.display());
        }
    }
}

/// Tries out `[the package, one of a higher version, the rpm]`.
pub(super) fn trial(packages: &[&Path; 3]) -> Result<()> {
    crate::packages::ensure_trial()?;
    let deb = packages[0].to_string_lossy();
    run(&mut command("lintian", &["--fail-on", "error", "--tag-display-limit", "0", &deb]))?;
    let name = format!("tortie-try-{}", std::process::id());
    let system = Root(std::env::temp_dir().join(&name));
    let shown = system.0.to_string_lossy();
    // A snapshot of the archive may be older than its signature says.
    let options = ["--aptopt=Acquire::Check-Valid-Until \"false\"", "--aptopt=Acquire::Check-Date \"false\""];
    let include = format!("--include={PACKAGES}");
    run(&mut command("mmdebstrap", &["--variant=minbase", &include, options[0], options[1], "bookworm", &shown]))?;
    prepare(&system.0, packages)?;
    // Network, processes, mounts and units are those of the system alone; `timeout` is for one that hangs.
    let directory = format!("--directory={shown}");
    let machine = format!("--machine={name}");
    let booted = run(&mut command(
        "timeout",
        &[
            "--kill-after=10",
            "900",
            "systemd-nspawn",
            "--quiet",
            &directory,
            &machine,
            "--boot",
            "--private-network",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
        ],
    ));
    let report = fs::read_to_string(system.0.join("try/report")).context("the system has not reported anything")?;
    print!("{report}");
    // Its place for mounts from outside stays otherwise.
    let _ = fs::remove_dir(Path::new("/run/systemd/nspawn/propagate").join(&name));
    booted?;
    if report.lines().next_back() != Some(GOOD) {
        bail!("a promise of the packages is broken; the last lines above say which");
    }
    Ok(())
}

/// Puts packages and script into the system, and has it run them at boot.
fn prepare(system: &Path, packages: &[&Path; 3]) -> Result<()> {
    let put = |from: &Path, to: &str| {
        let to = system.join(to);
        fs::copy(from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    fs::create_dir(system.join("try"))?;
    put(&root().join("packaging/try.sh"), "try/try.sh")?;
    for (from, to) in packages.iter().zip(["try/old.deb", "try/new.deb", "try/tortie.rpm"]) {
        put(from, to)?;
    }
    // The host of the examples.
    fs::write(system.join("etc/hostname"), "myhost\n")?;
    let units = system.join("etc/systemd/system");
    fs::write(units.join("try.service"), UNIT)?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    std::os::unix::fs::symlink("../try.service", wants.join("try.service"))?;
    Ok(())
}
