//! Inputs that are too large to be kept: many, deep, long, and what a few lines can be blown up to.

const OBJECT: &str = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: a}\nspec:\n";

/// Inputs: target, name, bytes.
pub(crate) fn inputs() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut inputs = Vec::new();
    inputs.extend(texts().map(|(name, text)| ("resources", name, text.into_bytes())));
    inputs.extend(selectors().map(|(name, text)| ("selector", name, text.into_bytes())));
    inputs.extend(objects().map(|(name, text)| ("stored", name, text.into_bytes())));
    inputs.extend(settings().map(|(name, text)| ("settings", name, text.into_bytes())));
    inputs.extend(answers().map(|(name, text)| ("agent_answer", name, text.into_bytes())));
    inputs.push(("nftables", "many empty messages", message(0, &[]).repeat(20_000)));
    inputs.push(("nftables", "one long message", message(0x0a06, &vec![b'x'; 1 << 20])));
    inputs.push(("flows", "many empty messages", message(0x0100, &[2, 0, 0, 0]).repeat(20_000)));
    inputs
}

fn texts() -> impl Iterator<Item = (&'static str, String)> {
    let deep = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let laughs = |fan: usize, levels: usize| {
        let line = |level: usize| {
            let aliases = vec![format!("*a{}", level - 1); fan].join(", ");
            format!("a{level}: &a{level} [{aliases}]\n")
        };
        format!("a0: &a0 [lol]\n{}", (1..=levels).map(line).collect::<String>())
    };
    let nested_anchors: String = (0..95).map(|level| format!("&a{level} [")).collect();
    let keys = |count: usize| (0..count).map(|key| format!("k{key}: 1\n")).collect::<String>();
    let rules = |rule: &str, count: usize| {
        let rules = format!("  - {rule}\n").repeat(count);
        format!("{}  ingress:\n{rules}", OBJECT.replace("GlobalNetworkSet", "GlobalNetworkPolicy"))
    };
    let nets: String =
        (0..20_000).map(|net| format!("  - 10.{}.{}.{}/32\n", net >> 16, net >> 8 & 255, net & 255)).collect();
    [
        ("deep lists", deep("[", "]", 100_000)),
        ("deep objects", deep("{a: ", "}", 100_000)),
        ("deep JSON", deep("{\"a\":[", "]}", 100_000)),
        ("deep blocks", "- ".repeat(100_000)),
        ("lists that do not end", "[".repeat(100_000)),
        ("question marks", "? ".repeat(100_000)),
        ("tags", "!a ".repeat(100_000)),
        ("billion laughs", laughs(10, 9)),
        ("many laughs", laughs(2, 60)),
        ("a long text repeated", format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(10_000))),
        ("anchors in anchors", format!("{nested_anchors}{}{}", "x,".repeat(50_000), "]".repeat(95))),
        ("merges", format!("a: &a {{x: 1}}\nb: {{<<: [{}]}}\n", "*a, ".repeat(50_000))),
        ("many keys", keys(20_000)),
        ("one key many times", "k: 1\n".repeat(100_000)),
        ("many documents", "---\na: 1\n".repeat(10_000)),
        ("many JSON documents", "{}".repeat(10_000)),
        ("many JSON nulls", format!("{{}}{}", "null ".repeat(10_000))),
        ("a long word", "x".repeat(1 << 20)),
        ("a long unknown field", format!("{OBJECT}  {}: 1\n", "n".repeat(1 << 20))),
        ("a long kind", format!("apiVersion: projectcalico.org/v3\nkind: {}\n", "k".repeat(1 << 20))),
        ("a long name of a label", format!("{OBJECT}  labels: {{{}: 1}}\n", "a.".repeat(200_000))),
        ("many nets", format!("{OBJECT}  nets:\n{nets}")),
        ("many wrong nets", format!("{OBJECT}  nets:\n{}", "  - x\n".repeat(20_000))),
        ("many empty rules", rules("{}", 20_000)),
        ("many rules without action", rules("{protocol: TCP}", 15_000)),
        ("many rules with unknown fields", rules("{action: Allow, sauce: {}}", 15_000)),
        ("many profiles", endpoint("profiles", "p")),
        ("many addresses", endpoint("expectedIPs", "192.0.2.1")),
        ("many directives", "%YAML 1.2\n".repeat(50_000)),
        ("many comments", "# x\n".repeat(200_000)),
        ("many spaces", " ".repeat(1 << 20)),
        ("many tabs", "\t".repeat(1 << 20)),
        ("many quotes", "\"\n\n".repeat(100_000)),
        ("a folded text of blank lines", format!("a: >\n{}", "\n".repeat(1 << 20))),
    ]
    .into_iter()
}

fn endpoint(field: &str, item: &str) -> String {
    let items = format!("  - {item}\n").repeat(20_000);
    let spec = format!("  node: n1\n  interfaceName: eth0\n  {field}:\n{items}");
    format!("{}{spec}", OBJECT.replace("GlobalNetworkSet", "HostEndpoint"))
}

fn selectors() -> impl Iterator<Item = (&'static str, String)> {
    const LEN: usize = 64 << 10;
    let fill = |part: &str, end: &str| {
        let count = (LEN - end.len()) / part.len();
        format!("{}{end}", part.repeat(count))
    };
    let values = |operator: &str| (0..5000).map(|v| format!("a=='{v}'")).collect::<Vec<_>>().join(operator);
    let labels = |operator: &str| (0..5000).map(|v| format!("l{v}=='x'")).collect::<Vec<_>>().join(operator);
    let nested = |open: &str, close: &str| {
        let depth = 250;
        format!("{}all(){}", open.repeat(depth), close.repeat(depth))
    };
    [
        ("parentheses", fill("(", "")),
        ("negations", fill("!", "all()")),
        ("negations of parentheses", fill("!(", "")),
        ("many terms of and", fill("all()&&", "all()")),
        ("many terms of or", fill("all()||", "all()")),
        ("many values", values("||")),
        ("many different values", values("&&")),
        ("many labels of or", labels("||")),
        ("many labels of and", labels("&&")),
        ("a long set", format!("a in {{{}}}", "'x',".repeat(16_000))),
        ("a long text", format!("a == '{}'", "x".repeat(LEN - 7))),
        ("longer than the limit", " ".repeat(1 << 20)),
        ("nested lists", nested("(a=='x'&&(b=='y'||", "))")),
        ("nested lists of negations", nested("!(a=='x'&&!(!b=='y'||", "))")),
    ]
    .into_iter()
}

/// Objects of a store, behind the number of their kind.
fn objects() -> impl Iterator<Item = (&'static str, String)> {
    let policy = |rule: &str, count: usize| {
        let rules = vec![rule; count].join(",");
        format!("\u{1}{{\"metadata\":{{\"name\":\"a\"}},\"spec\":{{\"ingress\":[{rules}]}}}}")
    };
    let endpoint = |field: &str, items: Vec<String>| {
        let spec = format!("\"node\":\"n\",\"interfaceName\":\"eth0\",\"{field}\":[{}]", items.join(","));
        format!("\0{{\"metadata\":{{\"name\":\"a\"}},\"spec\":{{{spec}}}}}")
    };
    let numbers = 0..40_000_u32;
    [
        ("deep lists", format!("\0{}", "[".repeat(1 << 20))),
        ("many rules", policy("{\"action\":\"Allow\"}", 20_000)),
        ("many rules that deny", policy("{\"action\":\"Deny\",\"source\":{\"nets\":[\"10.0.0.0/8\"]}}", 10_000)),
        ("many wrong rules", policy("{\"action\":\"x\"}", 20_000)),
        ("many profiles", endpoint("profiles", numbers.clone().map(|n| format!("\"p{n}\"")).collect())),
        (
            "many addresses",
            endpoint("expectedIPs", numbers.map(|n| format!("\"10.0.{}.{}\"", n >> 8, n & 255)).collect()),
        ),
    ]
    .into_iter()
}

fn settings() -> impl Iterator<Item = (&'static str, String)> {
    let lines: String = (0..20_000).map(|n| format!("Setting{n} = {n}\n")).collect();
    [
        ("many unknown settings", lines),
        ("many failsafe ports", format!("FailsafeInboundHostPorts = {}\n", "tcp:22,".repeat(20_000))),
        ("many interfaces", format!("InterfacePrefix = {}\n", "cali,".repeat(20_000))),
        ("many patterns", format!("InterfaceExclude = {}\n", "/^veth/,".repeat(200))),
        ("a pattern that grows", "InterfaceExclude = /((((a{100}){100}){100}){100}){100}/\n".to_owned()),
        ("a pattern of many words", format!("InterfaceExclude = /{}/\n", "\\w{50}".repeat(50))),
        ("a deep pattern", format!("InterfaceExclude = /{}{}/\n", "(".repeat(50_000), ")".repeat(50_000))),
    ]
    .into_iter()
}

fn answers() -> impl Iterator<Item = (&'static str, String)> {
    [("deep lists", "[".repeat(1 << 20)), ("many members", format!("{{{}\"z\":1}}", "\"a\":1,".repeat(50_000)))]
        .into_iter()
}

/// A netlink message.
fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((16 + payload.len() as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
