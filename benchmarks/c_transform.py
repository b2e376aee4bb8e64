"""Milliseconds of `ot_gen.c_transform` (value and argmin) against a bare matrix product, OTT-JAX and POT.

    pip install ott-jax==0.6.0   # the peer that ot_gen does not bring itself
    python benchmarks/c_transform.py [--quick] [--repeats 9] [--batch 256] [--device cuda]
    python benchmarks/c_transform.py --problems hard:60000:784 soft:5000:64 | --index 20000

One process, one thread, CPU time (on one thread that of an idle core, deaf to other processes), contenders in turns,
medians with minimum and maximum; neither compilation nor a cold cache is counted. The bare product writes x yᵀ to a
kept buffer, a tile at a time, in both orientations and with several tile sizes: the best of these is the limit. Peers
are taken at their best: OTT-JAX jitted, POT with its NumPy and its torch backend. Extra memory is the growth of the
peak resident set over the call, in a process of its own (Linux). The last table runs over (n, m, d), beside
the minimum over the whole matrix of costs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

# Set before the libraries below are imported, which read them once.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import device  # noqa: E402
import torch  # noqa: E402

import ot_gen  # noqa: E402

CASES = [("hard", 60_000, 784), ("hard", 100_000, 2), ("soft", 60_000, 784), ("soft", 100_000, 2)]
CASES += [("hard", 10_000, 784), ("hard", 5_000, 64), ("hard", 1_000, 2)]
SIZES = [(n, m, d) for d in (2, 16, 64, 784) for n in (256, 2_048, 8_192) for m in (16, 64, 256, 1_000, 5_000, 20_000)]
SIZES = [(n, m, d) for n, m, d in SIZES if n * m * d <= 2**33]
FITS = 2**24  # bytes of a matrix of costs that is small enough for a plain minimum
QUICK = [(kind, 2_000, d) for kind in ("hard", "soft") for d in (16, 2)]
TILES = (512, 1024, 4096)
COST = ot_gen.SquaredEuclidean()


def problem(m, d, batch):
    """Standard normal points, atoms and potentials; ε = 0.1 d is a tenth of the mean squared length."""
    x, y, h_tilde = device.draw(batch * d + m * d + m, seed=0).split([batch * d, m * d, m])
    return x.view(batch, d), y.view(m, d), h_tilde


def products(x, y):
    """Bare tiled products, by a name that says tile and orientation."""
    n = len(x)
    for tile in TILES if device.WHERE.type == "cpu" else (*TILES, 2**16):
        buffer = torch.empty(tile * n)

        def rows(tile=tile, buffer=buffer):
            for part in y.split(tile):
                torch.mm(x, part.T, out=buffer[: len(part) * n].view(n, -1))

        def columns(tile=tile, buffer=buffer):
            for part in y.split(tile):
                torch.mm(part, x.T, out=buffer[: len(part) * n].view(-1, n))

        yield f"product, x yᵀ, tile {tile}", rows
        yield f"product, y xᵀ, tile {tile}", columns


def ott_contenders(x, y, h_tilde, epsilon):
    try:
        import jax
        import jax.numpy as jnp
        from ott.geometry import costs, pointcloud
        from ott.problems.linear import linear_problem
    except ImportError:
        print("OTT-JAX is missing: pip install ott-jax==0.6.0", file=sys.stderr)
        return
    x, y, g = (jax.device_put(jnp.asarray(tensor.cpu().numpy())) for tensor in (x, y, h_tilde))

    def scores(x, y, g):
        return g[None, :] - pointcloud.PointCloud(x, y, cost_fn=costs.SqEuclidean()).cost_matrix

    @jax.jit
    def hard(x, y, g):
        z = scores(x, y, g)  # as its semi-discrete solver's hard assignment does
        return -z.max(axis=1), z.argmax(axis=1)

    @jax.jit
    def soft(x, y, g):
        geometry = pointcloud.PointCloud(x, y, cost_fn=costs.SqEuclidean(), epsilon=epsilon)
        return linear_problem.LinearProblem(geometry)._c_transform(g, epsilon=epsilon, axis=1)[0]

    @jax.jit
    def logsumexp(x, y, g):
        return -epsilon * jax.scipy.special.logsumexp(scores(x, y, g) / epsilon, axis=1)

    if epsilon:
        yield "OTT-JAX, its own", lambda: jax.block_until_ready(soft(x, y, g))
        yield "OTT-JAX, logsumexp of its costs", lambda: jax.block_until_ready(logsumexp(x, y, g))
    else:
        yield "OTT-JAX", lambda: jax.block_until_ready(hard(x, y, g))


def pot_contenders(x, y, h_tilde, epsilon):
    from ot.semidiscrete import semidiscrete_atom_weights, semidiscrete_c_transform

    for backend, (a, b, g) in (
        ("NumPy", tuple(tensor.cpu().numpy() for tensor in (x, y, h_tilde))),
        ("torch", (x, y, h_tilde)),
    ):
        # The atom comes from the one-hot weights, the value from another call: either alone is POT's fastest.
        if epsilon:
            yield f"POT, {backend}", lambda a=a, b=b, g=g: semidiscrete_c_transform(b, a, g, reg=epsilon)
        else:
            yield f"POT, {backend}, value only", lambda a=a, b=b, g=g: semidiscrete_c_transform(b, a, g)
            yield f"POT, {backend}, atom only", lambda a=a, b=b, g=g: semidiscrete_atom_weights(b, a, g)


def measure(contenders, repeats):
    """Milliseconds of each, in turns, each right after a call of its own that is not counted: none starts cold."""
    found = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            run()
            began = device.now()
            run()
            found[name].append(1e3 * (device.now() - began))
    return found


def shown(times):
    return f"{statistics.median(times):.3g} ({min(times):.3g}–{max(times):.3g})"


def best(found, prefix):
    return min((statistics.median(times), name) for name, times in found.items() if name.startswith(prefix))


def extra_memory(m, d, batch, epsilon):
    """Growth of the peak over one call, in MB: of a GPU's memory, or of the resident set of a fresh process."""
    if device.WHERE.type == "cuda":
        x, y, h_tilde = problem(m, d, batch)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        ot_gen.c_transform(COST, x, y, h_tilde, epsilon)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if device.WHERE.type != "cpu":
        return math.nan
    command = [sys.executable, __file__, "--memory", str(m), str(d), str(batch), str(epsilon)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def grown(m, d, batch, epsilon):
    ot_gen.c_transform(COST, *problem(10, d, batch), epsilon)
    x, y, h_tilde = problem(m, d, batch)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak()
    ot_gen.c_transform(COST, x, y, h_tilde, epsilon)
    return peak() - before


def peak():
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def row(m, d, batch, repeats, soft):
    x, y, h_tilde = problem(m, d, batch)
    epsilon = 0.1 * d if soft else 0.0
    contenders = {"ot_gen": lambda: ot_gen.c_transform(COST, x, y, h_tilde, epsilon)}
    for peers in (products(x, y), ott_contenders(x, y, h_tilde, epsilon), pot_contenders(x, y, h_tilde, epsilon)):
        contenders |= dict(peers)
    found = measure(contenders, repeats)
    ours = statistics.median(found["ot_gen"])
    cells = [f"{'soft' if soft else 'hard'} {m:,} x {d}", shown(found["ot_gen"])]
    cells.append(f"{extra_memory(m, d, batch, epsilon):.1f}")
    for prefix in ("product", "OTT-JAX", "POT"):
        if not any(name.startswith(prefix) for name in found):
            cells += ["missing", ""]
            continue
        median, name = best(found, prefix)
        ratio = ours / median if prefix == "product" else median / ours
        cells += [f"{shown(found[name])}, {name.partition(', ')[2] or name}", f"{ratio:.2f}"]
    four = best(found, "product, x yᵀ, tile 4096")[0]
    cells.append(f"{ours / four:.2f}")
    print("| " + " | ".join(cells) + " |", flush=True)


def kept_index(m, batch, repeats):
    y = problem(m, 2, batch)[1]
    tables = {
        "h̃ = 0": torch.zeros(m),
        "h̃ = −0.3 ‖y‖²": -0.3 * y.square().sum(1),
        "h̃ noise of deviation 0.01": 0.01 * device.draw(m, seed=1),
    }
    for name, h_tilde in tables.items():
        began = device.now()
        cells = ot_gen.LaguerreCells(COST, y, h_tilde)
        built = device.now() - began
        for n in (batch, 32 * batch):
            points = device.draw(n, 2, seed=2)
            sides = {
                "kept": lambda p=points, cells=cells: cells(p),
                "streamed": lambda p=points, h=h_tilde: ot_gen.c_transform(COST, p, y, h),
            }
            found = measure(sides, repeats)
            ratio = statistics.median(found["streamed"]) / statistics.median(found["kept"])
            line = (
                f"{m:,} x 2, {name}, {n:,} points",
                f"{built:.2f} s",
                shown(found["kept"]),
                shown(found["streamed"]),
            )
            print("| " + " | ".join([*line, f"{ratio:.1f}"]) + " |", flush=True)


def index_table(m, batch, repeats):
    print("\n| kept index | built in | LaguerreCells | c_transform | ratio |\n|" + " --- |" * 5)
    kept_index(m, batch, repeats)


def against_the_matrix(sizes, repeats):
    """c_transform beside the minimum over the whole matrix of costs, where that is small enough to be made."""
    print("\n| n | m | d | c_transform | minimum of the matrix | ratio |\n|" + " --- |" * 6)
    for n, m, d in sizes:
        x, y, h_tilde = problem(m, d, n)
        sides = {"ot_gen": lambda x=x, y=y, h=h_tilde: ot_gen.c_transform(COST, x, y, h)}
        if 4 * n * m <= FITS:
            sides["matrix"] = lambda x=x, y=y, h=h_tilde: (COST.matrix(x, y) - h).min(1)
        times = measure(sides, repeats)
        cells = [f"{n:,}", f"{m:,}", str(d), shown(times["ot_gen"])]
        if "matrix" in times:
            ratio = statistics.median(times["ot_gen"]) / statistics.median(times["matrix"])
            cells += [shown(times["matrix"]), f"{ratio:.2f}"]
        else:
            cells += ["", ""]
        print("| " + " | ".join(cells) + " |", flush=True)


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def main() -> None:
    parser = device.with_device(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--quick", action="store_true", help="small problems, to see that it runs")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument(
        "--problems", nargs="+", default=[], metavar="KIND:M:D", help="these rows of the first table alone"
    )
    parser.add_argument("--index", type=int, metavar="M", help="the table of kept indices of M atoms alone")
    parser.add_argument("--memory", nargs=4, metavar=("M", "D", "BATCH", "EPSILON"), help="used by the script itself")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device.use(arguments.device)
    if arguments.memory:
        m, d, batch, epsilon = arguments.memory
        print(grown(int(m), int(d), int(batch), float(epsilon)))
        return
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "ott-jax", "jax", "POT", "numpy"))
    print(
        f"{versions}; {platform.processor() or platform.machine()}; one thread, float32, batch {arguments.batch}, ",
        end="",
    )
    print(f"{arguments.repeats} repeats; ms of {device.clock()}, median (min–max)\n")
    if arguments.index:
        return index_table(arguments.index, arguments.batch, arguments.repeats)
    print("| problem | ot_gen | extra MB | best product | ot_gen / product | OTT-JAX | OTT-JAX / ot_gen ", end="")
    print("| POT | POT / ot_gen | ot_gen / product of 4096-tiles |")
    print("|" + " --- |" * 10)
    chosen = [(kind, int(m), int(d)) for kind, m, d in (problem.split(":") for problem in arguments.problems)]
    for kind, m, d in chosen or (QUICK if arguments.quick else CASES):
        row(m, d, arguments.batch, arguments.repeats, kind == "soft")
    if chosen:
        return
    index_table(2_000 if arguments.quick else 100_000, arguments.batch, arguments.repeats)
    against_the_matrix(SIZES[:4] if arguments.quick else SIZES, arguments.repeats)


if __name__ == "__main__":
    main()
