"""Policies that the cost of a packet is measured with, as v3 resources, and the packets that go with them.

A world says which packets its last rules allow (`hits`) and which no rule knows (`misses`); every other rule is one that
such a packet meets in a linear walk and does not match.
"""
import dataclasses, ipaddress, random

HOST = {4: "10.255.0.1", 6: "fd00::1"}
NODE = "bench"
PORT = 1004               # where what is allowed goes to
FREE = range(1000, 1010)  # ports that no other rule names
NETS_MAX = 250            # networks of one rule; 256 are allowed
OPEN_TIERS = 4            # in the mixed shape, before the tier `default`


@dataclasses.dataclass
class Tier:
    name: str
    policies: list                # of lists of rules
    order: int | None = None      # none: the tier `default`, which is there already
    default_action: str = "Deny"


@dataclasses.dataclass
class World:
    shape: str
    size: int
    what: str
    family: int
    tiers: list
    sets: dict = dataclasses.field(default_factory=dict)       # label -> networks
    hits: list = dataclasses.field(default_factory=list)       # networks whose packets to PORT are allowed
    interface: str = "eth0"
    more_interfaces: int = 0

    def policies(self):
        """Name of tier, name of policy, rules: in the order in which they are asked."""
        for tier in self.tiers:
            for number, rules in enumerate(tier.policies):
                yield tier.name, f"{tier.name}.p{number:05}", rules

    def resources(self):
        for name, networks in self.sets.items():
            yield resource("GlobalNetworkSet", name, {"nets": networks}, {"set": name})
        for tier in self.tiers:
            if tier.order is not None:
                yield resource("Tier", tier.name, {"order": tier.order, "defaultAction": tier.default_action})
        for number, (tier, name, rules) in enumerate(self.policies()):
            yield resource("GlobalNetworkPolicy", name, {
                "tier": tier, "order": number, "selector": "role == 'bench'", "types": ["Ingress"], "ingress": rules})
        names = [self.interface] + [f"more{number}" for number in range(self.more_interfaces)]
        for number, interface in enumerate(names):
            yield resource("HostEndpoint", f"e{number}", {"node": NODE, "interfaceName": interface}, {"role": "bench"})

    def flows(self, count):
        """Sources and source ports of `count` flows to PORT that are allowed: networks and single addresses in turn."""
        nets = [ipaddress.ip_network(text) for text in self.hits]
        sources = [[net[i] for i in range(1, min(net.num_addresses, 251))] if net.num_addresses > 1 else [net[0]]
                   for net in nets]
        for i in range(count):
            turn, of = divmod(i, len(sources))
            again, which = divmod(turn, len(sources[of]))
            yield str(sources[of][which]), 1024 + again

    def misses(self, count):
        """Source, source port and port of `count` flows that nothing allows: an unknown source, then a known one that
        asks for another port."""
        unknown = ipaddress.ip_network({4: "10.254.0.0/16", 6: "fd0b::/64"}[self.family])
        known = list(self.flows(count // 2))
        for i in range(count - count // 2):
            yield str(unknown[1 + i % 60000]), 1024 + i // 60000, PORT
            if i < len(known): yield *known[i], PORT + 1


def resource(kind, name, spec, labels=None):
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec}


def network(number, family):
    """A network of which there are enough: a /24 of 10.64.0.0/10 and what follows, or a /64."""
    if family == 4: return f"10.{64 + number // 256}.{number % 256}.0/24"
    return f"fd0a:0:{number:x}::/64"


def single(number, last, family):
    """An address of that network."""
    if family == 4: return network(number, 4).replace(".0/24", f".{last}/32")
    return network(number, 6).replace("::/64", f"::{last:x}/128")


def rule(action="Allow", protocol=None, source=None, destination=None, **more):
    parts = {"protocol": protocol, "source": source, "destination": destination, **more}
    return {"action": action, **{name: part for name, part in parts.items() if part}}


def members(number, family):
    """A few networks of different length that no other number has."""
    return [network(2 * number, family)] + [single(2 * number + 1, last, family) for last in (1, 2, 3)]


def known(label, ports, destination=None):
    """Allows what a set sends to some ports."""
    return [rule(protocol=protocol, source={"selector": f"set == '{label}'"},
                 destination={"ports": ports, **(destination or {})}) for protocol in ("TCP", "UDP")]


def policies(shape, count, family, what=None, **more):
    """(a) `count` policies of one rule each, by selector and port. The last but one is for TCP, the last for UDP, both for
    the same set."""
    sets = {f"s{i}": members(i, family) for i in range(count - 1)}
    one = [[known(f"s{i}", [8000 + i % 1000])[i % 2]] for i in range(count - 2)]
    last = f"s{count - 2}"
    tiers = [Tier("default", one + [[r] for r in known(last, [PORT])])]
    return World(shape, count, what or f"{count:,} policies of one rule", family, tiers, sets, sets[last], **more)


def many(count, family):
    """One in four a /24 or /64, the others single addresses; and two of the last as what is sent from."""
    nets = [network(i, family) if i % 4 == 0 else single(i, 7, family) for i in range(count)]
    return nets, [nets[count - 1 - (count - 1) % 4], nets[-1]]


def networks(shape, count, family):
    """(b) One policy with `count` networks, in rules as long as a rule may be."""
    nets, hits = many(count, family)
    rules = [one | {"source": {"nets": nets[at:at + NETS_MAX]}}
             for at in range(0, count, NETS_MAX) for one in known("", [PORT])]
    return World(shape, count, f"one policy, {count:,} networks", family, [Tier("default", [rules])], {}, hits)


def network_set(shape, count, family):
    """(b) The same networks as a network set that the policy selects."""
    nets, hits = many(count, family)
    tiers = [Tier("default", [known("many", [PORT])])]
    return World(shape, count, f"one policy, a network set of {count:,}", family, tiers, {"many": nets}, hits)


def both_sided(shape, count, family):
    """Policies of one rule each with a selector on both sides; half of the destination sets hold the host."""
    world = policies(shape, count, family, f"{count:,} policies, both sides by selector")
    for i in range(count - 1):
        host = [ipaddress.ip_network(HOST[family]).with_prefixlen] if i % 2 or i == count - 2 else []
        world.sets[f"d{i}"] = host + [single(20100 + i, 9, family)]
    for i, (_, _, rules) in enumerate(world.policies()):
        rules[0]["destination"]["selector"] = f"set == 'd{min(i, count - 2)}'"
    return world


def mixed(shape, family, seed=1):
    """(c) 50 policies of 20 rules in five tiers: verdicts in turn, port ranges, ICMP, negations, overlapping sets."""
    draw = random.Random(seed)
    pool = [network(i, family) for i in range(300)] + [single(i, 9, family) for i in range(0, 300, 2)]
    sets = {f"s{i}": sorted(draw.sample(pool, 5)) for i in range(200)}
    rules = [mixed_rule(i, draw, list(sets), pool, family) for i in range(1000)]
    sets["last"] = members(1000, family)
    chunks = [rules[i:i + 20] for i in range(0, 1000, 20)]
    tiers = []
    for number in range(OPEN_TIERS):
        # Two ways to leave the rest to the next tier.
        says_pass = number % 2 == 0
        mine = chunks[10 * number:10 * number + 10]
        if says_pass: mine[-1][-1] = rule("Pass")
        tiers.append(Tier(f"t{number}", mine, 100 + number, "Deny" if says_pass else "Pass"))
    chunks[-1][-2:] = known("last", [PORT])
    tiers.append(Tier("default", chunks[10 * OPEN_TIERS:]))
    return World(shape, 1000, "50 policies of 20 mixed rules, 5 tiers", family, tiers, sets, sets["last"])


def mixed_rule(number, draw, labels, pool, family):
    action = "Pass" if draw.random() < 0.05 else ("Allow", "Deny")[number % 2]
    of_set = {"selector": f"set == '{draw.choice(labels)}'"}
    kind = draw.random()
    if kind < 0.1:
        icmp = draw.choice((8, 3, 11) if family == 4 else (128, 1, 3))
        return rule(action, "ICMP" if family == 4 else "ICMPv6", of_set, icmp={"type": icmp})
    protocol = draw.choice(("TCP", "UDP"))
    ports = [ports_range(draw) for _ in range(draw.choice((1, 1, 2)))]
    destination = {"ports": ports}
    source = of_set
    if kind < 0.2: source = {"nets": draw.sample(pool, 2)}
    elif kind < 0.3: source = {"notSelector": of_set["selector"]}
    elif kind < 0.4: source = {"notNets": draw.sample(pool, 1)}
    elif kind < 0.5: destination = {"notPorts": ports}
    return rule(action, protocol, source, destination)


def ports_range(draw):
    """A port or a range that leaves out FREE and the failsafe ports."""
    first = draw.choice((1100, 3000, 8000, 9000, 15000, 30000)) + draw.randrange(200)
    return draw.choice((first, first, f"{first}:{first + 10}", f"{first}:{first + 1000}"))


# Shape -> sizes, and the world of each.
SHAPES = {
    "a": ((10, 100, 1000, 10000), lambda n: policies("a", n, 4)),
    "b": ((1000, 10000), lambda n: networks("b", n, 4)),
    "b-set": ((1000, 10000), lambda n: network_set("b-set", n, 4)),
    "c": ((1000,), lambda n: mixed("c", 4)),
    "d-any": ((100,), lambda n: policies("d-any", n, 4, f"wildcard endpoint, {n:,} policies", interface="*")),
    "d-named": ((100,), lambda n: policies("d-named", n, 4, f"51 named endpoints, {n:,} policies", more_interfaces=50)),
    "e-a": ((10, 100, 1000, 10000), lambda n: policies("e-a", n, 6, f"IPv6, {n:,} policies of one rule")),
    "e-c": ((1000,), lambda n: dataclasses.replace(mixed("e-c", 6), what="IPv6, 50 policies of 20 mixed rules, 5 tiers")),
    "both": ((100, 1000, 10000), lambda n: both_sided("both", n, 4)),
}


def chosen(shapes, sizes):
    """Worlds of these shapes and sizes; `e` stands for `e-a` and `e-c`."""
    for name, (all_sizes, make) in SHAPES.items():
        if shapes and not any(name == s or name.startswith(s + "-") for s in shapes): continue
        yield from (make(size) for size in all_sizes if not sizes or size in sizes)
