"""What a change of policy costs, from the store to the kernel, as ratios to a durable write of the store in the same run.
`cargo xtask bench change` calls this; the bench itself is `crates/tortie/benches/change`."""
import argparse, json, os, subprocess, sys, tempfile

import report
from common import HERE

COMMITTED = os.path.join(HERE, "change.json")
BEGIN, END = "<!-- `cargo xtask bench change --write` writes this table. -->", "<!-- end of the table of changes -->"
BASELINE = "durable write alone, embedded (baseline)"


def measure(parts, is_etcd):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        command = [os.environ.get("CARGO", "cargo"), "bench", "--package", "tortie", "--bench", "change", "--", *parts,
                   *(["--etcd"] if is_etcd else []), f"--json={path}"]
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=os.path.join(HERE, ".."))
        with open(path) as rows: return json.load(rows)


def baseline(found):
    return next((row["p50"] for row in found["rows"] if row["what"] == BASELINE), None)


def time(ms):
    return f"{ms:.2f} ms" if ms < 10 else f"{ms:,.0f} ms"


def table(found):
    base = baseline(found)
    lines = [f"| {found['date']}, {found['machine']} | p50 | p99 | p50 to a durable write |", "|---|---|---|---|"]
    for row in found["rows"]:
        if "value" in row: cells = [row["value"], "", ""]
        else:
            ratio = report.number(row["p50"] / base) if base else ""
            cells = [time(row["p50"]), time(row["p99"]) if row["samples"] > 1 else "", ratio]
        lines.append("| " + " | ".join([row["what"], *cells]) + " |")
    return "\n".join(lines) + "\n"


def worse(found):
    """Times that are above the committed ones, both as ratios to a durable write, with no overlap of their middle halves."""
    with open(COMMITTED) as lines: then = json.load(lines)
    base, was_base = baseline(found), baseline(then)
    if not base: sys.exit("error: --compare needs the part `write`, whose durable write is the baseline")
    old = {row["what"]: row for row in then["rows"] if "p50" in row}
    out = []
    for row in found["rows"]:
        if row["what"] not in old or "p50" not in row: continue
        now, was = ({at: one[at] / of for at in ("p25", "p50", "p75")} for one, of in ((row, base), (old[row["what"]], was_base)))
        if now["p25"] > was["p75"]:
            out.append(f"{row['what']}: {now['p50']:.2f} ({now['p25']:.2f} to {now['p75']:.2f}) of a durable write, was "
                       f"{was['p50']:.2f} ({was['p25']:.2f} to {was['p75']:.2f})")
    return out


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench change", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="parts of the bench; all by default")
    parser.add_argument("--etcd", action="store_true", help="on an etcd of its own instead of the embedded store")
    parser.add_argument("--json", metavar="FILE", help="write what was found there as well")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md and perf/change.json")
    parser.add_argument("--compare", action="store_true",
                        help="fail where a time is worse than the one in perf/change.json by more than the noise")
    options = parser.parse_args()
    if options.write and (options.parts or options.etcd): parser.error("--write needs all parts, on the embedded store")
    found = report.result(measure(options.parts, options.etcd), 1)
    print(table(found))
    if options.json: report.save(options.json, found)
    bad = worse(found) if options.compare else []
    if options.write:
        report.put_in_page(BEGIN, END, table(found))
        report.save(COMMITTED, found)
    for line in bad: print(f"worse: {line}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
