//! Many interfaces, and what one event of one of them costs (E-113, E-114, E-118).

use serde_json::Value;

use crate::host::{Host, endpoint, on_a_host, sh};

/// Pairs of links: twice as many interfaces.
const PAIRS: usize = 100;
/// Endpoints, by name and by address in turn.
const ENDPOINTS: usize = 50;

/// What it may cost that an endpoint loses or gets its only interface: its own chains, once or twice, and no others.
const ONE_PROGRAM: [u64; 2] = [6, 160];

/// A script, the most that it may cost, and who governs what afterwards.
type Row = (&'static str, [u64; 2], &'static [(&'static str, Option<&'static str>)]);

fn address(number: usize) -> String {
    format!("10.9.{number}.1")
}

/// Transactions and operations that the agent has committed.
fn cost(status: &Value) -> [u64; 2] {
    ["transactions", "operations"].map(|name| status["kernel"][name].as_u64().unwrap())
}

/// Which endpoint governs an interface: what the agent says, and what the kernel's map for local packets says, which must
/// be the same.
fn governs(host: &Host, status: &Value, interface: &str) -> Option<String> {
    let found = status["interfaces"].as_array().unwrap().iter().find(|one| one["name"] == interface)?;
    let said = found["endpoint"].as_str().map(str::to_owned);
    let table = host.table();
    let in_map = table
        .split(&format!("\"{interface}\" : goto in/"))
        .nth(1)
        .map(|rest| rest.split([',', ' ', '\n', '}']).next().unwrap().to_owned());
    assert_eq!(said.is_some(), in_map.is_some(), "{interface}: {said:?}, {in_map:?}");
    if let (Some(said), Some(in_map)) = (&said, &in_map) {
        assert_eq!(in_map.split("..").next(), Some(said.as_str()), "{interface}: {said}, {in_map}");
    }
    said
}

#[test]
fn an_event_of_one_link_among_200_costs_one_small_plan_e113() {
    on_a_host(|host| {
        let pairs = (0..PAIRS).map(|n| format!("link add e{n} type veth peer name p{n}\n"));
        let up =
            (0..PAIRS).map(|n| format!("addr add {}/24 dev e{n}\nlink set e{n} up\nlink set p{n} up\n", address(n)));
        let batch = host.path("links");
        std::fs::write(&batch, pairs.chain(up).collect::<String>()).unwrap();
        sh(&format!("ip -batch {}", batch.display()));
        let endpoints = (0..ENDPOINTS).map(|n| {
            let by = if n % 2 == 0 { format!("interfaceName: e{n}") } else { format!("expectedIPs: [{}]", address(n)) };
            endpoint(&format!("h{n}"), &by)
        });
        host.store(&endpoints.collect::<String>());
        let _agent = host.agent();
        let status = host.status();
        for n in 0..PAIRS {
            let wanted = (n < ENDPOINTS).then(|| format!("h{n}"));
            assert_eq!(governs(host, &status, &format!("e{n}")), wanted);
        }

        let rows: [Row; 9] = [
            ("ip link set e60 down", [0, 0], &[("e60", None)]),
            ("ip link set e60 up", [0, 0], &[("e60", None)]),
            // By address: the map of each stage loses one name and gets another.
            ("ip link set e1 down; ip link set e1 name wan1; ip link set wan1 up", [2, 24], &[("wan1", Some("h1"))]),
            // By name: the rules wait for the name (E-115), and the new name has none.
            ("ip link set e2 down; ip link set e2 name wan2; ip link set wan2 up", [0, 0], &[("wan2", None)]),
            ("ip link set wan2 down; ip link set wan2 name e2; ip link set e2 up", [0, 0], &[("e2", Some("h2"))]),
            // The address moves to another link.
            (
                "ip addr del 10.9.3.1/24 dev e3; ip addr add 10.9.3.1/24 dev e70",
                ONE_PROGRAM,
                &[("e3", None), ("e70", Some("h3"))],
            ),
            // Unplugged, and plugged in again under the same name.
            ("ip link del e5; ip link add e5 type veth peer name p5", ONE_PROGRAM, &[("e5", None)]),
            ("ip addr add 10.9.5.1/24 dev e5", ONE_PROGRAM, &[("e5", Some("h5"))]),
            ("ip link del e4", [0, 0], &[]),
        ];
        for (script, most, wanted) in rows {
            let before = cost(&host.status());
            host.sh(script);
            host.settle();
            let status = host.status();
            let after = cost(&status);
            for (n, what) in ["transactions", "operations"].iter().enumerate() {
                assert!(after[n] - before[n] <= most[n], "`{script}` cost {} {what}", after[n] - before[n]);
            }
            for (interface, endpoint) in wanted {
                assert_eq!(governs(host, &status, interface).as_deref(), *endpoint, "after `{script}`");
            }
        }
        let status = host.status();
        let state = |name: &str| {
            let found = status["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
            found["state"].as_str().unwrap().to_owned()
        };
        assert_eq!((state("h4"), state("h2"), state("h3")), ("error".to_owned(), "up".to_owned(), "up".to_owned()));
    });
}
