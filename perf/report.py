"""Tables of what product.py found, and comparison with the committed figures."""
import datetime, json, os, platform, re

from common import HERE, sh

COMMITTED = os.path.join(HERE, "packets.json")
PAGE = os.path.join(HERE, "../docs/benchmarks.md")
BEGIN, END = "<!-- `cargo xtask bench packets --write` writes this table. -->", "<!-- end of the table -->"
# The most that a packet of the product may cost, as a ratio to connection tracking alone in the same run.
GOAL_ESTABLISHED = 1.1
GOALS_NEW = {"a": 1.8, "b": 1.8, "b-set": 1.8, "c": 2.0, "d-any": 1.8, "d-named": 1.8, "e-a": 1.8, "e-c": 2.0, "both": 3.0}
KINDS = {"new-udp": "NEW, UDP", "new-tcp": "NEW, TCP", "denied": "NEW, denied", "est-udp": "established, UDP",
         "est-tcp": "established, TCP"}
LINEAR = {"nftlin": "linear nftables, NEW, UDP", "ipt": "linear iptables, NEW, UDP"}


def goal(row):
    return GOAL_ESTABLISHED if row["kind"].startswith("est") else GOALS_NEW[row["shape"]]


def machine():
    kind = "machine" if sh("systemd-detect-virt --vm", ck=False).stdout.strip() in ("", "none") else "virtual machine"
    kernel = ".".join(re.findall(r"\d+", platform.release())[:2])
    return f"{kind} with {os.cpu_count()} cores, kernel {kernel}"


def result(rows, rounds):
    return {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": rounds, "rows": rows}


def save(path, found):
    """One row a line, so that a difference can be read."""
    head = json.dumps({name: value for name, value in found.items() if name != "rows"})[:-1]
    lines = ",\n".join("  " + json.dumps(row) for row in found["rows"])
    with open(path, "w") as out: out.write(f'{head}, "rows": [\n{lines}\n]}}\n')


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(row):
    ratio = number(row["to_conntrack"]["median"])
    if row["to_conntrack"]["median"] > goal(row): ratio = f"**{ratio}**"
    return f"{row['ns']:,.0f} ns, {number(row['to_none']['median'])}, {ratio}"


def line(rows):
    """What the product costs in one world, to be read while others are measured."""
    mine = [row for row in rows if row["variant"] == "product"]
    return "of conntrack alone: " + ", ".join(f"{KINDS[row['kind']]} {number(row['to_conntrack']['median'])}" for row in mine)


def table(found):
    """Markdown: a row for each world."""
    by = {(row["what"], row["variant"], row["kind"]): row for row in found["rows"]}
    names = list(dict.fromkeys(row["what"] for row in found["rows"]))
    load = f"{found['date']}, {found['machine']}, {found['rounds']} rounds"
    head = [load, "goals", *KINDS.values(), *LINEAR.values()]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        mine = [by[name, "product", kind] for kind in KINDS]
        cells = [f"({mine[0]['shape']}) {name}", f"{goal(mine[0])}, {GOAL_ESTABLISHED}", *map(cell, mine)]
        for variant in LINEAR:
            row = by.get((name, variant, "new-udp"))
            cells.append(number(row["to_conntrack"]["median"]) if row else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def put_in_page(begin, end, text):
    """Replaces what stands between two lines of docs/benchmarks.md."""
    with open(PAGE) as page: whole = page.read()
    before, rest = whole.split(begin)
    _, after = rest.split(end)
    with open(PAGE, "w") as page: page.write(f"{before}{begin}\n\n{text}\n{end}{after}")


def write(found):
    put_in_page(BEGIN, END, table(found))
    save(COMMITTED, found)


def worse(found):
    """Ratios of the product to connection tracking alone that are above the committed ones, with no overlap of what the
    middle half of the rounds said."""
    with open(COMMITTED) as lines: then = json.load(lines)
    key = lambda row: (row["shape"], row["size"], row["kind"])
    old = {key(row): row["to_conntrack"] for row in then["rows"] if row["variant"] == "product"}
    out = []
    for row in found["rows"]:
        if row["variant"] != "product" or key(row) not in old: continue
        now, was = row["to_conntrack"], old[key(row)]
        if now["p25"] > was["p75"]:
            out.append(f"{row['what']}, {KINDS[row['kind']]}: {now['median']:.2f} ({now['p25']:.2f} to {now['p75']:.2f}) of "
                       f"conntrack alone, was {was['median']:.2f} ({was['p25']:.2f} to {was['p75']:.2f})")
    return out
