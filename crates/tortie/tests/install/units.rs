//! `tortie install systemd`, and what systemd says of the units.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::{packaging, tortie};

const UNITS: [&str; 3] = ["tortie-agent.service", "tortie-controller.service", "tortie-restore.service"];
/// Ten times the exposure that no unit may exceed: below 3.
const EXPOSURE_MAX: &str = "--threshold=29";

fn systemd_analyze(arguments: &[&str], unit: &Path) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze of the Debian package `systemd` is needed: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "systemd-analyze {arguments:?} {}: {said}", unit.display());
    // Settings that it does not know are warnings only; it knows all of ours.
    if arguments[0] == "verify" {
        let unit = unit.file_name().unwrap().to_string_lossy();
        assert!(!said.contains(&*unit), "{said}");
    }
}

#[test]
fn the_written_units_are_verified_and_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("units");
    tortie(&["install", "systemd", "--dir", dir.to_str().unwrap()]);
    for name in UNITS {
        systemd_analyze(&["verify", "--man=no"], &dir.join(name));
        systemd_analyze(&["security", "--offline=true", "--no-pager", EXPOSURE_MAX], &dir.join(name));
    }
    let written = std::fs::read_dir(&dir).unwrap().count();
    let shipped = std::fs::read_dir(packaging("")).unwrap();
    let shipped = shipped.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".service"));
    assert_eq!((written, shipped.count()), (UNITS.len(), UNITS.len()), "all of them are written");
}

#[test]
fn units_are_written_once_replaced_when_they_differ_and_printed_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let install = || tortie(&["install", "systemd", "--dir", dir]);
    let agent = folder.path().join(UNITS[0]);

    assert!(install().contains(&format!("wrote {}", agent.display())));
    let text = std::fs::read_to_string(&agent).unwrap();
    assert!(text.contains(&format!("ExecStart={} agent\n", env!("CARGO_BIN_EXE_tortie"))), "{text}");
    assert!(install().contains(&format!("{} is as it should be", agent.display())));
    std::fs::write(&agent, "[Service]\n").unwrap();
    assert!(install().contains(&format!("{} was another one, and is replaced", agent.display())));
    assert_eq!(std::fs::read_to_string(&agent).unwrap(), text);
    let printed = tortie(&["install", "systemd"]);
    for name in UNITS {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(printed.contains(&format!("# {name}\n{text}")), "{name}");
    }
    let mode = std::fs::metadata(&agent).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0, "units are no programs");
}

#[test]
fn uninstalling_removes_units_that_are_as_written_and_the_rules_e707() {
    crate::host::on_a_host(|host| {
        let dir = host.path("units");
        let dir_text = dir.to_str().unwrap();
        tortie(&["install", "systemd", "--dir", dir_text]);
        let changed = dir.join(UNITS[2]);
        std::fs::write(&changed, "[Service]\nExecStart=/bin/true\n").unwrap();
        host.store(&crate::host::endpoint("h", "interfaceName: eth0"));
        host.agent().stop();
        assert!(!host.table().is_empty());
        let (code, out, err) = host.tortie(&["uninstall", "--dir", dir_text], "");
        assert_eq!(code, 0, "{err}");
        for name in &UNITS[..2] {
            assert!(!dir.join(name).exists() && out.contains(&format!("removed {dir_text}/{name}")), "{out}");
        }
        assert!(changed.exists() && err.contains("is not as it was written"), "{err}");
        assert!(out.contains("removed table inet tortie"), "{out}");
        assert_eq!(host.table(), "");
    });
}
