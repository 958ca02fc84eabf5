"""The linear layouts that are to be beaten, of the same policies: a chain for each policy, a rule of the kernel for each rule,
state bits in the mark. As `ipt` and `nftlin` of q1lib.py, with tiers, denies, Pass and everything that worlds.py uses.
"""
import re

ACCEPT, PASS = 0x10000, 0x20000
FAILSAFES = [("tcp", port) for port in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)] + [("udp", 68)]
COMMENT = '-m comment --comment "cali:abcdefghijklmnop"'
PROTOCOLS = {4: {"TCP": "tcp", "UDP": "udp", "ICMP": "icmp"}, 6: {"TCP": "tcp", "UDP": "udp", "ICMPv6": "ipv6-icmp"}}


def set_of(selector):
    return re.fullmatch(r"set == '(\w+)'", selector).group(1)


def spread(rule):
    """A rule for each network of a list: that is how a list of networks is written in these layouts."""
    nets = rule.get("source", {}).get("nets", [])
    if len(nets) < 2: return [rule]
    return [rule | {"source": rule["source"] | {"nets": [net]}} for net in nets]


def tiers(world):
    """For each tier: its default action, and for each policy its name and rules."""
    numbers = {}
    by_tier = {tier.name: (tier.default_action, []) for tier in world.tiers}
    for tier, name, rules in world.policies():
        numbers[name] = f"pi-{len(numbers)}"
        by_tier[tier][1].append((numbers[name], [one for rule in rules for one in spread(rule)]))
    return list(by_tier.values())


def nft_match(rule, family):
    ip = "ip" if family == 4 else "ip6"
    words = []
    if "protocol" in rule: words.append(f"meta l4proto {PROTOCOLS[family][rule['protocol']]}")
    for side, word in (("source", "saddr"), ("destination", "daddr")):
        entity = rule.get(side, {})
        for field, sign in (("selector", ""), ("notSelector", "!= ")):
            if field in entity: words.append(f"{ip} {word} {sign}@{set_of(entity[field])}")
        for field, sign in (("nets", ""), ("notNets", "!= ")):
            words += [f"{ip} {word} {sign}{net}" for net in entity.get(field, [])]
        for field, sign in (("ports", ""), ("notPorts", "!= ")):
            if field in entity:
                ports = ", ".join(str(port).replace(":", "-") for port in entity[field])
                words.append(f"th {'sport' if side == 'source' else 'dport'} {sign}{{ {ports} }}")
    if "icmp" in rule: words.append(f"{'icmp' if family == 4 else 'icmpv6'} type {rule['icmp']['type']}")
    return " ".join(words)


def nft_rule(rule, family):
    match = nft_match(rule, family) + " counter "
    if rule["action"] == "Deny": return [match + "drop"]
    bit = ACCEPT if rule["action"] == "Allow" else PASS
    return [f"{match}meta mark set meta mark or {bit:#x}", f"meta mark & {bit:#x} == {bit:#x} counter return"]


def nft(world):
    """The text of the linear nftables layout."""
    family = world.family
    kind = "ipv4_addr" if family == 4 else "ipv6_addr"
    out = [f"table {'ip' if family == 4 else 'ip6'} f {{"]
    for name, networks in world.sets.items():
        out.append(f" set {name} {{ type {kind}; flags interval; auto-merge; elements = {{ {', '.join(networks)} }}; }}")
    endpoint = ["ct state established,related accept", "ct state invalid drop", "counter jump fs",
                f"meta mark set meta mark & {0xffffffff ^ ACCEPT:#x}"]
    for default, policies in tiers(world):
        endpoint.append(f"meta mark set meta mark & {0xffffffff ^ PASS:#x}")
        for name, rules in policies:
            out += [f" chain {name} {{", *(f"  {line}" for rule in rules for line in nft_rule(rule, family)), " }"]
            endpoint += [f"meta mark & {PASS:#x} == 0 counter jump {name}", f"meta mark & {ACCEPT:#x} == {ACCEPT:#x} counter return"]
        if default == "Deny": endpoint.append(f"meta mark & {PASS:#x} == 0 counter drop")
    endpoint.append("counter drop")
    out += [" chain fs {", *(f"  {protocol} dport {port} counter accept" for protocol, port in FAILSAFES), " }"]
    out += [" chain fh {", *(f"  {line}" for line in endpoint), " }"]
    dispatch = '  iifname vmap { "eth0" : jump fh }' if world.interface != "*" else "  jump fh"
    out += [" chain i { type filter hook input priority 0;", f"  meta mark & {ACCEPT:#x} == {ACCEPT:#x} counter accept",
            "  meta mark set meta mark & 0xfff0ffff", dispatch, f"  meta mark & {ACCEPT:#x} == {ACCEPT:#x} counter accept",
            " }", "}", ""]
    return "\n".join(out)


def ipt_match(rule, family):
    words = []
    if "protocol" in rule: words.append(f"-p {PROTOCOLS[family][rule['protocol']]}")
    for side, flag, way in (("source", "-s", "src"), ("destination", "-d", "dst")):
        entity = rule.get(side, {})
        for field, sign in (("selector", ""), ("notSelector", "! ")):
            if field in entity: words.append(f"-m set {sign}--match-set {set_of(entity[field])} {way}")
        for field, sign in (("nets", ""), ("notNets", "! ")):
            words += [f"{sign}{flag} {net}" for net in entity.get(field, [])]
        for field, sign in (("ports", ""), ("notPorts", "! ")):
            if field in entity:
                ports = ",".join(map(str, entity[field]))
                words.append(f"-m multiport {sign}--{'sports' if side == 'source' else 'dports'} {ports}")
    if "icmp" in rule:
        words.append(f"-m {'icmp --icmp-type' if family == 4 else 'icmp6 --icmpv6-type'} {rule['icmp']['type']}")
    return " ".join(words)


def ipt_rule(chain, rule, family):
    match = f"-A {chain} {COMMENT} {ipt_match(rule, family)}"
    if rule["action"] == "Deny": return [f"{match} -j DROP"]
    bit = ACCEPT if rule["action"] == "Allow" else PASS
    return [f"{match} -j MARK --set-xmark {bit:#x}/{bit:#x}", f"-A {chain} {COMMENT} -m mark --mark {bit:#x}/{bit:#x} -j RETURN"]


def ipsets(world):
    """Input of `ipset restore`."""
    inet = "inet" if world.family == 4 else "inet6"
    lines = []
    for name, networks in world.sets.items():
        lines += [f"create {name} hash:net family {inet}", *(f"add {name} {net}" for net in networks)]
    return "\n".join(lines + [""])


def ipt(world):
    """Input of `iptables-legacy-restore`, or of its sibling for IPv6."""
    accepted = f"{COMMENT} -m mark --mark {ACCEPT:#x}/{ACCEPT:#x}"
    chains = ["cali-INPUT", "cali-fhe", "cali-fh", "cali-fs"]
    rules = [f"-A INPUT {COMMENT} -j cali-INPUT", f"-A cali-INPUT {accepted} -j ACCEPT",
             f"-A cali-INPUT {COMMENT} -j MARK --set-xmark 0/0xf0000", f"-A cali-INPUT {COMMENT} -j cali-fhe",
             f"-A cali-INPUT {accepted} -j ACCEPT",
             f"-A cali-fhe {COMMENT} {'' if world.interface == '*' else '-i eth0'} -g cali-fh"]
    rules += [f"-A cali-fs {COMMENT} -p {protocol} -m multiport --dports {port} -j ACCEPT" for protocol, port in FAILSAFES]
    rules += [f"-A cali-fh {COMMENT} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
              f"-A cali-fh {COMMENT} -m conntrack --ctstate INVALID -j DROP", f"-A cali-fh {COMMENT} -j cali-fs",
              f"-A cali-fh {COMMENT} -j MARK --set-xmark 0/{ACCEPT:#x}"]
    for default, policies in tiers(world):
        rules.append(f"-A cali-fh {COMMENT} -j MARK --set-xmark 0/{PASS:#x}")
        for name, mine in policies:
            chains.append(name)
            rules += [f"-A cali-fh {COMMENT} -m mark --mark 0/{PASS:#x} -j {name}", f"-A cali-fh {accepted} -j RETURN"]
            rules += [line for rule in mine for line in ipt_rule(name, rule, world.family)]
        if default == "Deny": rules.append(f"-A cali-fh {COMMENT} -m mark --mark 0/{PASS:#x} -j DROP")
    rules.append(f"-A cali-fh {COMMENT} -j DROP")
    return "\n".join(["*filter", ":INPUT ACCEPT", *(f":{name} -" for name in chains), *rules, "COMMIT", ""])
