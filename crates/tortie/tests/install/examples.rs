//! The examples of the packages: they are correct, and whoever applies them as they stand, or for a host of theirs, is not
//! locked out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tortie_testkit::probe::{Answer, Transport, echo_tcp, probe};

use crate::host::on_a_host;
use crate::packaging;

fn examples() -> Vec<PathBuf> {
    let files = std::fs::read_dir(packaging("examples")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

#[test]
fn examples_are_valid_together_and_alone() {
    for file in examples() {
        crate::tortie(&["validate", "--strict", "-f", file.to_str().unwrap()]);
    }
    crate::tortie(&["validate", "--strict", "-f", packaging("examples").to_str().unwrap()]);
}

#[test]
fn examples_lock_nobody_out_and_deny_what_they_say() {
    on_a_host(|host| {
        let neighbour = host.neighbour();
        // A public address, to which the example of databases speaks.
        host.sh("ip addr add 198.51.100.1/24 dev eth0");
        neighbour.run(|| crate::host::sh("ip addr add 198.51.100.2/24 dev eth0"));
        for port in [22, 80, 5432, 8055] {
            echo_tcp(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        }
        let ask = |port: u16, patience: u64| {
            neighbour.run(move || {
                let to = SocketAddr::from(([198, 51, 100, 1], port));
                probe(Transport::Tcp, to, Duration::from_millis(patience)).unwrap()
            })
        };
        let _agent = host.agent();
        let install = |text: &str| host.apply(text);
        for file in examples() {
            install(&std::fs::read_to_string(&file).unwrap());
            for port in [22, 80, 5432, 8055] {
                assert_eq!(ask(port, 20_000), Answer::Passes, "{port}: as it stands, {} is for nobody", file.display());
            }
        }
        for file in examples() {
            install(&std::fs::read_to_string(&file).unwrap().replace("node: myhost", "node: n1"));
            for port in [22, 80, 8055] {
                assert_eq!(ask(port, 20_000), Answer::Passes, "{port} after {}", file.display());
            }
        }
        assert_eq!(ask(5432, 300), Answer::Silence, "that is what the example is for");
    });
}
