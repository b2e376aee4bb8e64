"""One table of ratios to peers: the benchmarks in a small form, one after the other, in at most fifteen minutes.

    make benchmark-table   # installs the peers, runs this, and writes docs/benchmarks.md
    python benchmarks/table.py [--minutes 15] [--only "exact plans" ...] [--json FILE] [--markdown FILE]
    python benchmarks/table.py --from FILE   # draws the page of figures that were measured before

Each benchmark is a process of its own, one thread, CPU time, contenders in turns. What it printed when its time is up
counts; the rest is named as not finished. A ratio is the median of the peer over ours, above 1 where we are faster. Its
range is that of the slowest and fastest repeats: the peer's fastest over our slowest, to the peer's slowest over our
fastest. The JSON holds all figures, machine, versions, threads and load.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
START, END = "<!-- figures -->", "<!-- end of figures -->"
PACKAGES = ("torch", "numpy", "scipy", "POT", "geomloss", "lapx", "ott-jax", "jax")
NUMBER = r"[\d.]+(?:e[+-]?\d+)?"
SPREAD = re.compile(rf"({NUMBER}) \(({NUMBER})–({NUMBER})\)")  # median (min–max)
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@dataclass(frozen=True)
class Entry:
    """A benchmark in its small form: our column, the columns of peers, and the unit of their cells."""

    name: str
    command: tuple[str, ...]
    ours: str
    peers: dict[str, str]
    unit: str = "ms"


ENTRIES = (
    Entry(
        "exact plans",
        ("exact_plan.py", "--quick", "--repeats", "3"),
        "ot_gen",
        {"POT": "POT emd", "SciPy": "scipy", "lapx": "lapx"},
    ),
    Entry(
        "Sinkhorn divergence",
        ("sinkhorn_divergence.py", "--quick", "--repeats", "3"),
        "ot_gen, tol 1e-3",
        {"GeomLoss, scaling .9": "GeomLoss .9", "OTT-JAX": "OTT-JAX, threshold 1e-3"},
    ),
    Entry(
        "c-transform",
        ("c_transform.py", "--repeats", "3", "--problems", "hard:100000:2", "hard:10000:784", "soft:5000:64"),
        "ot_gen",
        {"bare tiled product": "best product", "OTT-JAX": "OTT-JAX", "POT": "POT"},
    ),
    Entry(
        "kept cells against the stream",
        ("c_transform.py", "--repeats", "3", "--index", "20000"),
        "LaguerreCells",
        {"c_transform": "c_transform"},
    ),
    Entry(
        "semi-discrete",
        ("semidiscrete.py", "--quick", "--repeats", "3"),
        "**ot_gen**",
        {"OTT-JAX tuned": "OTT-JAX tuned", "POT tuned": "POT tuned"},
        "s",
    ),
)


def rows(entry, lines):
    """Problem, ours and peers, each (median, min, max), of the tables that hold our column, or that are races."""
    split = [[cell.strip() for cell in line.strip("|\n ").split("|")] if line[:1] == "|" else [line] for line in lines]
    return races(entry, split) or list(columns(entry, split))


def races(entry, lines):
    """Tables with a contender a line, each raced to a target, under a heading: ours first, `> n` where one is late."""
    problem, ours, found = "", None, []
    for first, *cells in lines:
        problem = first.removeprefix("### ") if first.startswith("### ") else problem
        if first == entry.ours and (ours := figures(cells[1])):
            found.append({"problem": f"{problem} to {cells[0]}", "ot_gen": ours, "peers": {}})
        name = first.split(":")[0]
        if found and name in entry.peers and (peer := figures(cells[1])):
            found[-1]["peers"][name] = compared(peer, found[-1]["ot_gen"])
    return found


def columns(entry, lines):
    """Tables with a contender a column."""
    header = []
    for cells in lines:
        if entry.ours in cells:
            header = cells
        elif header and len(cells) == len(header) and (ours := figures(cells[header.index(entry.ours)])):
            peers = {
                name: found
                for name, column in entry.peers.items()
                if column in header and (found := figures(cells[header.index(column)]))
            }
            yield {"problem": cells[0], "ot_gen": ours, "peers": {n: compared(p, ours) for n, p in peers.items()}}


def figures(cell):
    match = SPREAD.search(cell)
    return dict(zip(("median", "min", "max"), map(float, match.groups()), strict=True)) if match else None


def compared(peer, ours):
    low, high = peer["min"] / ours["max"], peer["max"] / ours["min"]
    return peer | {"ratio": peer["median"] / ours["median"], "ratio_low": low, "ratio_high": high}


def run(entry, seconds):
    """What the benchmark printed within this time, and whether it finished."""
    command = [sys.executable, "-u", "-W", "ignore", str(ROOT / "benchmarks" / entry.command[0]), *entry.command[1:]]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=os.environ | THREADS, cwd=ROOT
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode().splitlines(), "not finished in time"
    return done.stdout.splitlines(), "finished" if done.returncode == 0 else f"failed: {done.stderr[-500:]}"


def measured(entries, minutes):
    began = time.monotonic()
    table = []
    for entry in entries:
        left = 60 * minutes - (time.monotonic() - began)
        lines, state = run(entry, max(left, 1))
        found = rows(entry, lines)
        table.append(
            {"benchmark": entry.name, "command": entry.command, "unit": entry.unit, "state": state, "rows": found}
        )
        print(f"{entry.name}: {len(found)} rows, {state}", file=sys.stderr, flush=True)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "threads": 1,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seconds": round(time.monotonic() - began),
        "benchmarks": table,
    }


def processor():
    try:
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def drawn(record):
    """The record as Markdown."""
    machine, versions = record["machine"], record["versions"]
    yield (
        f"Measured on {record['date']} in {record['seconds']} s: {machine['processor']}, {machine['cores']} cores, "
        f"load {machine['load'][0]:.1f}; one thread; "
        + ", ".join(f"{name} {value}" for name, value in versions.items())
        + "."
    )
    for table in record["benchmarks"]:
        names = list(dict.fromkeys(name for row in table["rows"] for name in row["peers"]))
        unit, script = table["unit"], table["command"][0]
        yield f"\n**{table['benchmark']}**, CPU {unit} (`benchmarks/{script}`{note(table)})\n"
        if not names:
            continue
        yield "| problem | ot_gen | " + " | ".join(f"{name}: {unit}, ratio" for name in names) + " |"
        yield "|" + " --- |" * (len(names) + 2)
        for row in table["rows"]:
            cells = [row["problem"], spread(row["ot_gen"])]
            yield "| " + " | ".join([*cells, *(ratio(row["peers"].get(name)) for name in names)]) + " |"


def note(table):
    return "" if table["state"] == "finished" else f"; {table['state'].splitlines()[0]}"


def spread(times):
    return f"{times['median']:.3g} ({times['min']:.3g}–{times['max']:.3g})"


def ratio(peer):
    if peer is None:
        return ""
    return f"{peer['median']:.3g}, **{peer['ratio']:.2g}** ({peer['ratio_low']:.2g}–{peer['ratio_high']:.2g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--only", nargs="+", choices=[entry.name for entry in ENTRIES])
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "table.json")
    parser.add_argument("--markdown", type=Path, default=PAGE, help="the page whose figures are replaced")
    parser.add_argument("--from", type=Path, dest="kept", help="a JSON file: nothing is measured")
    arguments = parser.parse_args()
    if arguments.kept:
        record = json.loads(arguments.kept.read_text(encoding="utf-8"))
    else:
        chosen = [entry for entry in ENTRIES if not arguments.only or entry.name in arguments.only]
        record = measured(chosen, arguments.minutes)
        arguments.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = arguments.markdown.read_text(encoding="utf-8")
    before, after = page.split(START)[0], page.split(END)[1]
    shown = "\n".join(drawn(record))
    arguments.markdown.write_text(f"{before}{START}\n{shown}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
