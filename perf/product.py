"""What a packet costs with the product, beside no firewall, connection tracking alone and the linear layouts, in the same
run. `cargo xtask bench packets` calls this; README.md says more."""
import argparse, statistics, sys, time

import linear, report, worlds
from agent import Agent, RigError, must
from common import ACK, HERE, TCP, UDP, W, cleanup, ent, inj, mkns, sh, trace

NEW, EST = 16384, 1024      # flows of a trace; also packets of a run
ROUNDS, ROUNDS_QUICK = 15, 7
BUDGET_MS = 150             # a run of a variant; slower ones send fewer packets
BUILD_MAX_S = 120           # of a linear layout
TIMED_OUT = 124             # as timeout(1) ends
PROTOCOL = {"udp": UDP, "tcp": TCP}
# Kind -> trace, flags of inj where connection tracking is on, and whether policy lets the packet in.
KINDS = {"new-udp": ("new-udp", "f", True), "new-tcp": ("new-tcp", "f", True), "denied": ("denied", "f", False),
         "est-udp": ("est-udp", "e", True), "est-tcp": ("est-tcp", "e", True)}


def traces(world):
    """The packets of a world, by kind."""
    host = worlds.HOST[world.family]
    out = {}
    for name, protocol in PROTOCOL.items():
        packets = [ent(source, host, port, worlds.PORT, protocol) for source, port in world.flows(NEW)]
        out[f"new-{name}"] = trace(f"new-{name}", packets)
        packets = [ent(source, host, port, worlds.PORT, protocol, ACK) for source, port in world.flows(EST)]
        out[f"est-{name}"] = trace(f"est-{name}", packets)
    out["denied"] = trace("denied", [ent(source, host, port, to, UDP) for source, port, to in world.misses(NEW)])
    return out


def conntrack_alone(ns, world):
    load(ns, f"table {'ip' if world.family == 4 else 'ip6'} f {{ chain i {{ type filter hook input priority 0;\n"
             " ct state established accept;\n}\n}\n")


class TooSlow(Exception):
    """A layout cannot be built in sensible time."""


def load(ns, text):
    path = f"{W}/{ns}.nft"
    with open(path, "w") as out: out.write(text)
    timed(ns, f"nft -f {path}")


def timed(ns, command, text=None):
    done = sh(f"timeout {BUILD_MAX_S} ip netns exec {ns} {command}", text, ck=False)
    if done.returncode == TIMED_OUT: raise TooSlow(f"more than {BUILD_MAX_S} s")
    must(done, command)


def linear_nft(ns, world):
    load(ns, linear.nft(world))


def linear_ipt(ns, world):
    timed(ns, "ipset restore", linear.ipsets(world))
    timed(ns, f"ip{'6' if world.family == 6 else ''}tables-legacy-restore", linear.ipt(world))


# Variant -> what builds it, whether its packets are tracked, whether it judges.
BASES = {"none": (lambda ns, world: None, False, False), "conntrack": (conntrack_alone, True, False),
         "nftlin": (linear_nft, True, True), "ipt": (linear_ipt, True, True)}
PRODUCT = (None, True, True)


def namespace(ns, world):
    mkns(ns)
    if world.family == 6: must(sh(f". {HERE}/lib.sh; ip6ns {ns}"), "IPv6 in a namespace")


def build(world, wanted):
    """Builds the wanted bases and the product; gives the names of all, and the agent."""
    built = []
    for variant, (make, _, judges) in BASES.items():
        if variant not in wanted: continue
        namespace(variant, world)
        start = time.perf_counter()
        try:
            make(variant, world)
        except TooSlow as why:
            print(f"  {variant} is left out: {why}", file=sys.stderr)
            continue
        if judges: print(f"  {variant}: built in {time.perf_counter() - start:.1f} s", file=sys.stderr)
        built.append(variant)
    namespace("product", world)
    agent = Agent("product", world)
    print(f"  product: resources stored in {agent.apply_s:.1f} s, start of the agent to rules in the kernel "
          f"{agent.settle_s:.1f} s, at most {agent.peak_mb():.0f} MB", file=sys.stderr)
    return [*built, "product"], agent


def verify(world, label, kind, result, rounds):
    """A packet that met another verdict than policy's was not measured, but something else."""
    _, _, lets_in = KINDS[kind]
    delivered, sent = result[5], rounds * result[6]
    want = sent if lets_in else 0
    if delivered != want:
        raise RigError(f"{world.shape} {world.size}, {label}: {delivered:.0f} of {sent:.0f} packets were delivered, not {want:.0f}")


def measure(world, wanted, rounds):
    """Rows of the report for one world."""
    print(f"{world.shape}, {world.what}", file=sys.stderr)
    built, agent = build(world, wanted)
    try:
        packets = traces(world)
        specs = []
        for variant in built:
            _, is_tracked, judges = BASES.get(variant, PRODUCT)
            specs += [f"{variant}:{kind},{variant},eth0,{packets[name]},{flags if is_tracked else '-'}"
                      for kind, (name, flags, lets_in) in KINDS.items() if lets_in or judges]
        found = inj(rounds, NEW, specs, worlds.PORT, BUDGET_MS)
        rows = []
        for variant in built:
            _, _, judges = BASES.get(variant, PRODUCT)
            for kind in [kind for kind, (_, _, lets_in) in KINDS.items() if lets_in or judges]:
                label = f"{variant}:{kind}"
                if label not in found: raise RigError(f"inj gave nothing for {label}")
                verify(world, label, kind, found[label], rounds)
                rows.append(row(world, variant, kind, found))
        print("  " + report.line(rows), file=sys.stderr)
        return rows
    finally:
        agent.stop()
        cleanup()


def row(world, variant, kind, found):
    """Ratios are taken round by round: what slows one round down slows all variants of it. What is denied is compared
    with new flows that arrive, since the bases deny nothing."""
    like = kind if KINDS[kind][2] else "new-udp"
    mine = found[f"{variant}:{kind}"]
    out = {"shape": world.shape, "size": world.size, "what": world.what, "variant": variant, "kind": kind,
           "ns": round(mine[0], 1)}
    for base in ("none", "conntrack"):
        ratios = [a / b for a, b in zip(mine[7:], found[f"{base}:{like}"][7:])]
        low, middle, high = statistics.quantiles(ratios, n=4)
        out[f"to_{base}"] = {"median": round(middle, 3), "p25": round(low, 3), "p75": round(high, 3)}
    return out


def arguments():
    parser = argparse.ArgumentParser(prog="cargo xtask bench packets", description=__doc__)
    parser.add_argument("--shape", default="", metavar="a,b", help="of " + ", ".join(worlds.SHAPES) + "; all by default")
    parser.add_argument("--sizes", default="", metavar="10,100", help="sizes of these shapes; all by default")
    parser.add_argument("--without", default="", metavar="ipt,nftlin", help="variants that are not built")
    parser.add_argument("--quick", action="store_true", help=f"{ROUNDS_QUICK} rounds instead of {ROUNDS}")
    parser.add_argument("--json", metavar="FILE", help="write what was found there as well")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md and perf/packets.json")
    parser.add_argument("--compare", action="store_true",
                        help="fail where a ratio of the product is worse than the one in perf/packets.json by more than the noise")
    found = parser.parse_args()
    found.shape = [word for word in found.shape.split(",") if word]
    known = list(worlds.SHAPES) + ["d", "e"]
    for word in found.shape:
        if word not in known: parser.error(f"there is no shape `{word}`: write some of {', '.join(known)}")
    try: found.sizes = [int(word) for word in found.sizes.split(",") if word]
    except ValueError: parser.error("--sizes takes numbers: 10,100")
    without = [word for word in found.without.split(",") if word]
    for word in without:
        if word not in ("ipt", "nftlin"): parser.error(f"`{word}` cannot be left out: only ipt and nftlin can")
    found.bases = [name for name in BASES if name not in without]
    return found


def main():
    options = arguments()
    rounds = ROUNDS_QUICK if options.quick else ROUNDS
    rows = []
    for world in worlds.chosen(options.shape, options.sizes):
        rows += measure(world, options.bases, rounds)
    if not rows: raise RigError("no shape has such a size")
    result = report.result(rows, rounds)
    print(report.table(result))
    if options.json: report.save(options.json, result)
    worse = report.worse(result) if options.compare else []
    if options.write: report.write(result)
    for line in worse: print(f"worse: {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RigError as error:
        sys.exit(f"error: {error}")
