//! Nobody takes what is printed.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::host::{Host, allow_udp, endpoint, on_a_host};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn run(host: &Host, arguments: &[&str], change: impl Fn(&mut Command)) -> (Option<i32>, String) {
    let mut command = host.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    change(&mut command);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn results_that_cannot_be_written_are_a_failure_and_no_panic() {
    on_a_host(|host| {
        host.store(&(0..40).map(|n| endpoint(&format!("h{n}"), "interfaceName: eth0")).collect::<String>());
        for arguments in [
            &["get", "hostendpoints"][..],
            &["get", "hostendpoints", "-o", "yaml"],
            &["version"],
            &["completion", "bash"],
        ] {
            let (code, err) = run(host, arguments, |command| {
                command.stdout(full());
            });
            assert_eq!(code, Some(1), "{arguments:?}: {err}");
            assert_eq!(err, "error: cannot write to standard output: No space left on device (os error 28)\n");
            // A reader that has seen enough is no failure.
            let (code, err) = run(host, arguments, |command| {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                command.stdout(writer);
            });
            assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        }
        // Nor does it keep anybody from the exit code.
        let (code, _) = run(host, &["get", "hostendpoint", "none"], |command| {
            command.stderr(full());
        });
        assert_eq!(code, Some(4));
        let yaml = host.path("policy.yaml");
        std::fs::write(&yaml, (0..5).map(|n| allow_udp(&format!("p{n}"), "80")).collect::<String>()).unwrap();
        let (code, _) = run(host, &["apply", "-f", yaml.to_str().unwrap()], |command| {
            command.stdout(full());
        });
        assert_eq!(code, Some(1));
        let (_, out, _) = host.tortie(&["get", "globalnetworkpolicies", "-o", "name"], "");
        assert_eq!(out.lines().count(), 5, "all of it is done: {out}");
    });
}
