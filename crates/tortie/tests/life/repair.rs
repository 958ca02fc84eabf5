//! What foreign hands do to our table, and that all of it is undone at once (E-720, E-721).

use crate::host::{allow_udp, endpoint, on_a_host, policy};

/// What is done, as a script; `{...}` stands for what is looked up in the rules first.
const DEEDS: &[(&str, &str)] = &[
    ("everything is flushed", "nft flush ruleset"),
    ("our rules are flushed", "nft flush table inet tortie"),
    ("our table is deleted", "nft delete table inet tortie"),
    (
        "one rule is deleted",
        "nft delete rule inet tortie \
         $(nft -a list table inet tortie | awk '/^\\tchain/{c=$2} /policy GlobalNetworkPolicy web ingress/{print c, \"handle\", $NF; exit}' | tr -d '\"')",
    ),
    (
        "a rule is inserted",
        "nft insert rule inet tortie $(nft list table inet tortie | awk '/^\\tchain input/{print $2; exit}') accept",
    ),
    (
        "a rule is appended",
        "nft add rule inet tortie $(nft list table inet tortie | awk '/^\\tchain in4/{print $2; exit}' | tr -d '\"') drop",
    ),
    ("an element of a map is deleted", "nft delete element inet tortie {MAP} '{ \"eth0\" }'"),
    ("an element of a set is added", "nft add element inet tortie {SET} '{ 203.0.113.9 }'"),
    ("an element of a set is deleted", "nft delete element inet tortie {SET} '{ 10.1.2.3 }'"),
    ("a chain is added", "nft add chain inet tortie by-hand"),
    (
        "a base chain is added",
        "nft 'add chain inet tortie by-hand { type filter hook input priority 5 ; policy drop ; }'",
    ),
    ("a set is added", "nft 'add set inet tortie by-hand { type ipv4_addr ; }'"),
];

#[test]
fn whatever_is_done_to_our_table_is_undone_e720() {
    on_a_host(|host| {
        host.sh("ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up");
        let _agent = host.agent();
        host.apply(&endpoint("h", "interfaceName: eth0"));
        host.apply(&allow_udp("web", "8055"));
        let set = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: s, labels: {net: a}}\nspec: {nets: [10.1.2.3, 10.1.2.4]}\n---\n";
        host.apply(&format!(
            "{set}{}",
            policy(
                "from",
                "{selector: \"role == 'web'\", ingress: [{action: Allow, source: {selector: \"net == 'a'\"}}]}"
            )
        ));
        let before = host.lines();
        let find = |what: &str, marker: &str| {
            let table = host.table();
            let blocks = table.split("\n\t}").filter(|block| block.contains(&format!("\t{what} ")));
            let block = blocks
                .filter(|block| block.contains(marker))
                .last()
                .unwrap_or_else(|| panic!("no {what} with {marker}: {table}"));
            let line = block.lines().find(|line| line.starts_with(&format!("\t{what} "))).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        let repairs = || host.status()["kernel"]["repairs"].as_u64().unwrap();
        for (what, script) in DEEDS {
            let count = repairs();
            let script = if script.contains("{MAP}") {
                script.replace("{MAP}", &find("map", "\"eth0\""))
            } else {
                (*script).to_owned()
            };
            let script =
                if script.contains("{SET}") { script.replace("{SET}", &find("set", "10.1.2.3")) } else { script };
            host.sh(&script);
            host.wait(&format!("repair after `{what}`"), || repairs() > count && host.lines() == before);
        }
        let author = host.status()["kernel"]["last_repair_author"].as_str().unwrap().to_owned();
        assert!(author.starts_with("nft (process"), "{author}");
        // Tables of others are none of our business (E-722).
        let count = repairs();
        host.sh("nft add table inet other; nft 'add chain inet other c'; nft delete table inet other");
        host.apply(&allow_udp("web", "8055, 8057"));
        assert_eq!(repairs(), count);
    });
}
