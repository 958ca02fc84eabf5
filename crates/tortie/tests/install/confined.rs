//! The agent with what its unit leaves it: capabilities, and a file system that is read-only. The filter of system calls
//! needs systemd, and is tried by `cargo xtask package --try`.

use std::process::Command;

use tortie_testkit::sandbox::die_with_parent;

use crate::packaging;

/// The bounding set of a unit, as `setpriv` wants it.
fn capabilities(unit: &str) -> String {
    let text = std::fs::read_to_string(packaging(unit)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split_whitespace().map(|name| format!(",+{}", name.strip_prefix("CAP_").unwrap().to_lowercase())).collect()
}

#[test]
fn the_agent_lives_with_the_capabilities_and_folders_of_its_unit() {
    let (agent, restore) = (capabilities("tortie-agent.service"), capabilities("tortie-restore.service"));
    assert_eq!((agent.as_str(), restore.as_str()), (",+net_admin,+bpf,+chown", ",+net_admin"));
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
        .arg(include_str!("confined.sh"))
        .args(["confined.sh", env!("CARGO_BIN_EXE_tortie"), &agent, &restore]);
    let output = die_with_parent(&mut command).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("all is well\n"), "{out}{err}");
}
