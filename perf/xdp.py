"""What a denied packet costs where it is dropped early, beside the rules of the same policy and an nftables interval set, in
the same run. `cargo xtask bench xdp` calls this; README.md says more."""
import argparse, ipaddress, json, os, random, socket, statistics, sys

import report, worlds
from agent import Agent, RigError, must
from common import HERE, UDP, W, bpfl, cleanup, ent, inj, mkns, sh, trace

ENTRIES, PACKETS = 100_000, 32_768
ROUNDS, ROUNDS_QUICK = 15, 7
SET_MAX = 10_000            # networks of one network set
GOAL = 4                    # times the drop rate of the interval set
COMMITTED = os.path.join(HERE, "xdp.json")
BEGIN, END = "<!-- `cargo xtask bench xdp --write` writes this table. -->", "<!-- end of the table of early drops -->"


class World:
    """100,000 denied sources, as untracked policy."""
    more_interfaces = 0

    def __init__(self, what, family, nets):
        self.what, self.family, self.nets = what, family, nets

    def resources(self):
        for number in range(0, len(self.nets), SET_MAX):
            nets = [str(net) for net in self.nets[number:number + SET_MAX]]
            yield worlds.resource("GlobalNetworkSet", f"denied{number}", {"nets": nets}, {"list": "denied"})
        yield worlds.resource("GlobalNetworkPolicy", "open", {"order": 2, "selector": "all()", "types": ["Ingress"],
                                                              "ingress": [{"action": "Allow"}]})
        yield worlds.resource("GlobalNetworkPolicy", "denied", {
            "order": 1, "selector": "all()", "doNotTrack": True, "applyOnForward": True, "types": ["Ingress"],
            "ingress": [{"action": "Deny", "source": {"selector": "list == 'denied'"}}]})
        yield worlds.resource("HostEndpoint", "h", {"node": worlds.NODE, "interfaceName": "eth0"}, {"role": "bench"})

    def packets(self, rnd):
        """Of denied sources, and of others."""
        host = worlds.HOST[self.family]
        denied = [rnd.choice(self.nets) for _ in range(PACKETS)]
        denied = [net[rnd.randrange(net.num_addresses)] for net in denied]
        others = ipaddress.ip_network("10.64.0.0/12" if self.family == 4 else "fd77::/64")
        others = [others[rnd.randrange(1 << 20)] for _ in range(PACKETS)]
        each = lambda name, sources: trace(name, [ent(source, host, 5000, worlds.PORT, UDP) for source in sources])
        return each("denied", denied), each("others", others)

    def interval_set(self):
        """The rule by which people drop a list before connection tracking."""
        ip, kind = ("ip", "ipv4_addr") if self.family == 4 else ("ip6", "ipv6_addr")
        lines = [f"table {ip} d {{ set d {{ type {kind}; flags interval; auto-merge; size 2000000; }}",
                 f" chain p {{ type filter hook prerouting priority -300; {ip} saddr @d drop; }}", "}"]
        for number in range(0, len(self.nets), 20_000):
            part = ", ".join(map(str, self.nets[number:number + 20_000]))
            lines.append(f"add element {ip} d d {{ {part} }}")
        return "\n".join(lines) + "\n"


def drawn(rnd):
    """Distinct blocks below 64.0.0.0, which no other packet of the rig comes from."""
    blocks = rnd.sample(range(11 << 16, 64 << 16), ENTRIES)
    singles = [ipaddress.ip_network((block << 8 | rnd.randrange(1, 255), 32)) for block in blocks]
    mixed = [ipaddress.ip_network((block << 8, rnd.randint(24, 32))) for block in blocks]
    base = int(ipaddress.ip_address("fd20::"))
    six = [ipaddress.ip_network((base + (block << 80) + 1, 128)) for block in blocks]
    six_nets = [ipaddress.ip_network((base + (block << 80), rnd.randint(48, 64))) for block in blocks]
    return [World("100,000 IPv4 addresses", 4, singles), World("100,000 IPv4 networks, /24 to /32", 4, mixed),
            World("100,000 IPv6 addresses", 6, six), World("100,000 IPv6 networks, /48 to /64", 6, six_nets)]


def namespace(ns, world):
    mkns(ns)
    if world.family == 6: must(sh(f". {HERE}/lib.sh; ip6ns {ns}"), "IPv6 in a namespace")


def early(agent):
    """What the agent tells of early drops on eth0; without counters of rules, which a list of this length makes slow."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(agent.socket)
        asked.sendall(b"GET /v1/status HTTP/1.0\r\nHost: localhost\r\n\r\n")
        body = b"".join(iter(lambda: asked.recv(65536), b"")).split(b"\r\n\r\n", 1)[1]
    interfaces = json.loads(body)["interfaces"]
    return next(one for one in interfaces if one["name"] == "eth0").get("early_drop")


def measure(world, rounds, rnd):
    print(world.what, file=sys.stderr)
    agents = []
    try:
        for ns in ("feed", "interval", "rules", "early"): namespace(ns, world)
        path = f"{W}/interval.nft"
        with open(path, "w") as out: out.write(world.interval_set())
        must(sh(f"ip netns exec interval nft -f {path}", ck=False), "the interval set")
        for ns, is_enabled in (("rules", "false"), ("early", "true")):
            agents.append(Agent(ns, world, {"FELIX_XDPENABLED": is_enabled}))
        # The others come by the same way as to a driver with XDP, by a program that lets everything pass.
        for ns in ("interval", "rules"): bpfl("fw.o", "xpass", "xdp", ns)
        # What is left of a packet's cost when nothing is asked: that of the traffic source.
        bpfl("fw.o", "xdrop", "xdp", "feed")
        told = early(agents[1])
        if told is None or told["mode"] != "driver": raise RigError(f"there are no early drops: {told}")
        denied, others = world.packets(rnd)
        # All are fed alike: by a redirection into the other end of the link, whose receiving side is a driver's.
        found = inj(rounds, PACKETS, [f"feed:denied,feed,eth0,{denied},-,gen0", f"interval:denied,interval,eth0,{denied},-,gen0", f"rules:denied,rules,eth0,{denied},-,gen0",
                                      f"early:denied,early,eth0,{denied},-,gen0", f"rules:others,rules,eth0,{others},e,gen0",
                                      f"early:others,early,eth0,{others},e,gen0"], worlds.PORT)
        verify(world, found, rounds, told["dropped_packets"], early(agents[1])["dropped_packets"])
        return row(world, found, told["entries"])
    finally:
        for agent in agents: agent.stop()
        cleanup()


def verify(world, found, rounds, before, after):
    """What was measured is what was meant: denied packets are dropped, by the program where there is one; others arrive."""
    for label, got in found.items():
        want = 0 if label.endswith("denied") else rounds * got[6]
        if got[5] != want: raise RigError(f"{world.what}, {label}: {got[5]:.0f} packets were delivered, not {want:.0f}")
    # One more round warms up.
    sent = (rounds + 1) * PACKETS
    if after - before != sent: raise RigError(f"{world.what}: {after - before} of {sent} packets were dropped early")


def row(world, found, entries):
    out = {"what": world.what, "entries": entries}
    for label, got in found.items(): out[label] = round(got[0], 1)
    each = {label: got[7:] for label, got in found.items()}
    own = lambda label: [cost - feed for cost, feed in zip(each[label], each["feed:denied"])]
    for name, a, b in (("rate", each["interval:denied"], each["early:denied"]), ("own", own("interval:denied"), own("early:denied")),
                       ("pass", each["early:others"], each["rules:others"])):
        ratios = [x / y for x, y in zip(a, b)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        out[name] = {"median": round(middle, 2), "p25": round(low, 2), "p75": round(high, 2)}
    return out


def table(found):
    head = [f"{found['date']}, {found['machine']}, {found['rounds']} rounds", "nftables interval set", "rules of the product",
            "early drops", "times the rate of the interval set", "the same without the traffic source's own cost",
            "what passes: to a program that looks at nothing"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    cost = lambda ns: f"{ns:,.0f} ns, {1000 / ns:.2f} million/s"
    for one in found["rows"]:
        rate = report.number(one["rate"]["median"])
        if one["rate"]["median"] < GOAL: rate = f"**{rate}**"
        cells = [one["what"], cost(one["interval:denied"]), cost(one["rules:denied"]), cost(one["early:denied"]), rate,
                 report.number(one["own"]["median"]), report.number(one["pass"]["median"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(found):
    report.put_in_page(BEGIN, END, table(found))
    report.save(COMMITTED, found)


def worse(found):
    """Drop rates below the committed ones, and costs of what passes above them, with no overlap of their middle halves."""
    with open(COMMITTED) as lines: old = {row["what"]: row for row in json.load(lines)["rows"]}
    out = []
    for row in found["rows"]:
        if row["what"] not in old: continue
        for name, what, is_lower in (("rate", "times the rate of the interval set", True), ("pass", "of a program that looks at nothing", False)):
            now, was = row[name], old[row["what"]][name]
            if now["p75"] < was["p25"] if is_lower else now["p25"] > was["p75"]:
                out.append(f"{row['what']}: {now['median']} {what}, was {was['median']}")
    return out


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench xdp", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{ROUNDS_QUICK} rounds instead of {ROUNDS}")
    parser.add_argument("--json", metavar="FILE", help="write what was found there as well")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md and perf/xdp.json")
    parser.add_argument("--compare", action="store_true", help="fail where it is worse than in perf/xdp.json by more than the noise")
    options = parser.parse_args()
    rounds = ROUNDS_QUICK if options.quick else ROUNDS
    rnd = random.Random(480)
    found = report.result([measure(world, rounds, rnd) for world in drawn(rnd)], rounds)
    print(table(found))
    if options.json: report.save(options.json, found)
    bad = worse(found) if options.compare else []
    if options.write: write(found)
    for line in bad: print(f"worse: {line}")
    slow = [one["what"] for one in found["rows"] if one["rate"]["median"] < GOAL]
    for what in slow: print(f"less than {GOAL} times the drop rate of the interval set: {what}")
    return 1 if slow or bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RigError as error:
        sys.exit(f"error: {error}")
