# What stands before policy: one rule behind different frames (connection state, invalid, failsafes, dispatch by interface,
# family), against connection tracking alone. `q8.py [TEXT...]` runs the variants whose name holds one of them.
import re, statistics
from common import *
PORTS = [("tcp", p) for p in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)] + [("udp", 68)]
FAILSAFE = ", ".join(f"{p} . {d}" for p, d in PORTS)
# Policy is the same in all: one set of sources, one port.
POLICY = "meta l4proto udp ip saddr @src th dport 1004 counter accept; counter drop"
ESSENTIALS = "icmpv6 type 133 accept"
def sized(text, n): return f"size {n}; {text}" if n else text
def table(base, chains, size=0, kind="iifname", extra="", est="ct-state"):
    """The objects that frames are made of; `size` gives hash sets a fixed number of buckets."""
    key = {"iifname": "ifname", "iif": "iface_index"}[kind]
    o = ["table inet f {", " set src { type ipv4_addr; elements = { " + ", ".join(f"10.70.1.{i}" for i in range(1, 251)) + " }; }",
         f" set failsafe {{ type inet_proto . inet_service; {sized('', size and 16)} elements = {{ {FAILSAFE} }}; }}", re.sub(r"\} (map|set|chain) ", r"}\n \1 ", extra)]
    for name, rules in chains.items(): o.append(f" chain {name} {{ {rules}; }}")
    o += [f" map inif {{ type {key} : verdict; {sized('', size)} elements = {{ \"eth0\" : goto ep }}; }}" if "ep" in chains else "",
          f" chain i {{ type filter hook input priority 0; {base}; }}", "}"]
    return "\n".join(o)
STATES = "established : accept, related : accept"
def states(size=0, more="", name="cts"): return f" map {name} {{ type ct_state : verdict; {sized('', size)} elements = {{ {STATES}{more} }}; }}"
INV = " chain inv { counter drop; }"
P4, P6 = {"in4": POLICY}, {"in6": ESSENTIALS + "; counter drop"}
FAM = "meta nfproto ipv4 goto in4; meta nfproto ipv6 goto in6"
FS = "meta l4proto . th dport @failsafe counter accept"
V = {
 # What connection tracking alone may be, and the least that a verdict costs.
 "ct": table("ct state established accept", {}),
 "ct-equal": table("ct state == established accept", {}),
 "ct-vmap-anonymous": table(f"ct state vmap {{ {STATES} }}", {}),
 "ct-vmap-named": table("ct state vmap @cts", {}, extra=states()),
 "ct-vmap-sized": table("ct state vmap @cts", {}, extra=states(4)),
 "least": table(f"ct state established accept; {POLICY}", {}),
 # The frame of the product, and one step changed at a time.
 "today": table("iifname vmap @inif", {"ep": f"ct state vmap @cts; ct state invalid counter drop; {FS}; {FAM}", **P4, **P6}, extra=states()),
 "today, any-map": table("iifname vmap @inif; meta nfproto vmap @any", {"ep": f"ct state vmap @cts; ct state invalid counter drop; {FS}; {FAM}", **P4, **P6}, extra=states() + " map any { type nf_proto : verdict; }"),
 "sized": table("iifname vmap @inif", {"ep": f"ct state vmap @cts; ct state invalid counter drop; {FS}; {FAM}", **P4, **P6}, size=4, extra=states(4)),
 "invalid in the map": table("iifname vmap @inif", {"ep": f"ct state vmap @cts; {FS}; {FAM}", **P4, **P6}, extra=INV + states(0, ", invalid : goto inv")),
 "no invalid test": table("iifname vmap @inif", {"ep": f"ct state vmap @cts; {FS}; {FAM}", **P4, **P6}, extra=states()),
 "no failsafes": table("iifname vmap @inif", {"ep": f"ct state vmap @cts; ct state invalid counter drop; {FAM}", **P4, **P6}, extra=states()),
 "no family": table("iifname vmap @inif", {"ep": f"ct state vmap @cts; ct state invalid counter drop; {FS}; goto in4", **P4}, extra=states()),
 "iif": table("iif vmap @inif", {"ep": f"ct state vmap @cts; ct state invalid counter drop; {FS}; {FAM}", **P4, **P6}, kind="iif", extra=states()),
 # Connection state before dispatch.
 "base: state map": table("ct state vmap @cts; iifname vmap @inif", {"ep": f"ct state invalid counter drop; {FS}; {FAM}", **P4, **P6}, extra=states()),
 "base: equal": table("ct state == established accept; iifname vmap @inif", {"ep": f"ct state vmap @cts; {FS}; {FAM}", **P4, **P6}, extra=INV + " map cts { type ct_state : verdict; size 4; elements = { related : accept, invalid : goto inv }; }"),
 "base: equal, new": table("ct state == established accept; iifname vmap @inif", {"ep": f"ct state == new goto new; ct state vmap @cts; goto new", "new": f"{FS}; {FAM}", **P4, **P6}, extra=INV + " map cts { type ct_state : verdict; size 4; elements = { related : accept, invalid : goto inv }; }"),
}
# Established first by one comparison, new flows by another, sized maps, and the rest varied.
REST = " map cts { type ct_state : verdict; size 4; elements = { related : accept, invalid : goto inv }; }"
def best(new, dispatch="iifname vmap @inif", kind="iifname", extra="", **chains):
    return table(f"ct state == established accept; {dispatch}", {"ep": f"ct state != new ct state vmap @cts; {new}", **P4, **P6, **chains}, size=4, kind=kind, extra=INV + REST + extra)
V |= {
 "best": best(f"{FS}; {FAM}"),
 "best, iif": best(f"{FS}; {FAM}", "iif vmap @inif", "iif"),
 "best, family map": best(f"{FS}; meta nfproto vmap @fam", extra=" map fam { type nf_proto : verdict; size 2; elements = { ipv4 : goto in4, ipv6 : goto in6 }; }"),
 "best, v4 falls through": best(f"{FS}; meta nfproto ipv6 goto in6; goto in4"),
 "best, no failsafes": best(FAM),
 "best, failsafes after policy": best(FAM, in4=POLICY.replace("counter drop", f"{FS}; counter drop")),
 "best, failsafes by protocol": best(f"meta l4proto udp th dport @fu counter accept; meta l4proto tcp th dport @ft counter accept; {FAM}", extra=" set fu { type inet_service; elements = { 68 }; }" + " set ft { type inet_service; elements = { 22, 179, 2379, 2380, 5473, 6443, 6666, 6667 }; }"),
 "best, failsafes of privileged": best(f"th dport != 1000-1100 {FS}; {FAM}"),
 "best, family . interface": best("counter drop", "meta nfproto . iifname vmap @nf", extra=f" map nf {{ typeof meta nfproto . iifname : verdict; size 8; elements = {{ ipv4 . \"eth0\" : goto e4, ipv6 . \"eth0\" : goto e6 }}; }}", e4=f"ct state != new ct state vmap @cts; {FS}; goto in4", e6=f"ct state != new ct state vmap @cts; {FS}; goto in6"),
 "best, one interface compared": best(f"{FS}; {FAM}", 'iifname "eth0" goto ep'),
 "best, failsafes as elements": best(FAM, in4="meta l4proto . th dport vmap @ports; " + POLICY, extra=f" map ports {{ type inet_proto . inet_service : verdict; size 32; elements = {{ {', '.join(f'{p} . {d} : accept' for p, d in PORTS)}, udp . 1004 : goto src4 }}; }}", src4="ip saddr @src counter accept; counter drop"),
 "best, bare dispatch": best(FAM.replace("goto in4", "counter accept")),
 "best, no counters": best(f"{FS}; {FAM}".replace("counter ", ""), in4=POLICY.replace("counter ", "")),
 "best, policy without set": best(f"{FS}; {FAM}", in4="counter accept"),
}
def as_new(text):
    """The same frame, to which a known flow is new: it walks the way of a new one without the cost of making an entry of
    connection tracking, which varies more than all that is compared here."""
    text = re.sub(r"established : |ct state (== )?established", lambda m: m[0].replace("established", "untracked"), text)
    return re.sub(r"(ct state [!=]=) new", r"\1 established", text)
# Most packets' ports are no failsafe's of any protocol: a set of two bytes is a bitmap.
GUARD, SIX = "th dport @fp jump fs", "meta nfproto ipv6 goto in6; goto in4"
FPORTS = " set fp { type inet_service; elements = { 22, 68, 179, 2379, 2380, 5473, 6443, 6666, 6667 }; } chain fs { " + FS + "; }"
V |= {
 "best, failsafes behind a bitmap": best(f"{GUARD}; {FAM}", extra=FPORTS),
 "cheapest": best(f"{GUARD}; {SIX}", "iif vmap @inif", "iif", FPORTS),
 "cheapest, iifname": best(f"{GUARD}; {SIX}", extra=FPORTS),
 "cheapest, one interface compared": best(f"{GUARD}; {SIX}", "iif eth0 goto ep", extra=FPORTS),
 "cheapest, failsafes after policy": best(SIX, "iif vmap @inif", "iif", in4=POLICY.replace("counter drop", f"{FS}; counter drop")),
 "cheapest, no failsafes": best(SIX, "iif vmap @inif", "iif"),
}
KINDS = {"new": "f", "est": "e", "walk": "e"}
if __name__ == "__main__":
    names = ["ct"] + [n for n in V if n != "ct" and (not sys.argv[1:] or any(t in n for t in sys.argv[1:]))]
    te = [ent(f"10.70.1.{i % 250 + 1}", "10.255.0.1", 1024 + i // 250, 1004) for i in range(1024)]
    T = {"new": trace("new", [ent(f"10.70.1.{i % 250 + 1}", "10.255.0.1", 1024 + i // 250, 1004) for i in range(16384)])}
    T["est"] = T["walk"] = trace("est", te)
    S = []
    for i, name in enumerate(names):
        for ns, text in ((f"f{i}", V[name]), (f"w{i}", as_new(V[name]))):
            mkns(ns); f = f"{W}/{ns}.nft"; open(f, "w").write(text)
            r = nx(ns, f"nft -f {f}")
            if r.returncode: sys.exit(f"{name}: {r.stderr}")
        S += [f"{i}:{kind},{'w' if kind == 'walk' else 'f'}{i},eth0,{T[kind]},{flags}" for kind, flags in KINDS.items()]
    rounds = int(os.environ.get("R", "21")); r = inj(rounds, 16384, S)
    print("more than conntrack alone in ns (quartiles), ratio: new flows | known flows | known flows on the way of new ones")
    for i, name in enumerate(names):
        out = []
        for kind in KINDS:
            mine, base = r[f"{i}:{kind}"], r[f"0:{kind}"]
            assert mine[5] == rounds * mine[6], f"{name}: {mine[5]:.0f} of {rounds * mine[6]:.0f} delivered"
            q = statistics.quantiles([a - b for a, b in zip(mine[7:], base[7:])], n=4)
            out.append(f"{q[1]:+5.0f} ({q[0]:+5.0f} {q[2]:+5.0f}) x{statistics.median(a / b for a, b in zip(mine[7:], base[7:])):.3f}")
        print(f"{name:30} {' | '.join(out)}", flush=True)
