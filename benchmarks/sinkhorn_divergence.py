"""Milliseconds and errors of `ot_gen.transport.sinkhorn_divergence`, value and gradient in x, against its peers.

    pip install ott-jax==0.6.0   # the peer that ot_gen does not bring itself; left out where it is missing
    python benchmarks/sinkhorn_divergence.py [--large] [--quick] [--repeats 5]

One process, one thread, CPU time, contenders in turns, medians with minimum and maximum, after a call of each that is
not counted (OTT-JAX compiles in it). Cost ‖x − y‖², uniform masses, float32 points; ε = 0.05 of the mean cost, and for
a training batch of codes ε = 0.1. A cell holds the time, the relative error of the value and that of the gradient,
‖g − g*‖ / ‖g*‖. The reference is ours in float64 at tol 1e-7, on training batches 1e-5; that OTT-JAX is near it,
with an algorithm and code of its own, confirms it.

`--large` compares the two solves behind `sinkhorn_divergence`: dense matrices, and GeomLoss with streamed sweeps, which
`DENSE_BYTES` chooses between. Each call is a process of its own. Cells hold CPU seconds and the gigabytes that the call
added at its peak, medians of the repeats; the last cells are the ratio of the times and the differences of value and
gradient. GeomLoss alone (scaling 0.9, its multiscale solver, which needs KeOps and d <= 3) checks no tolerance. The
last line says from which sizes on the streamed solve is as quick as the dense one.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import math
import multiprocessing
import os
import platform
import resource
import statistics
import time

# Set before the libraries below are imported, which read them once.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import device  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from geomloss import SamplesLoss  # noqa: E402

from ot_gen.transport import large_clouds, sinkhorn_divergence  # noqa: E402

try:
    import jax
    import jax.numpy as jnp
    from ott.geometry import pointcloud
    from ott.tools.sinkhorn_divergence import sinkhorn_divergence as ott_divergence
except ImportError:
    jax = None

CASES = [(100, 8, 0.1), *((n, d, None) for n in (256, 1024, 4096) for d in (2, 64, 784))]
LARGE = [(n, d, share) for d in (2, 3, 16) for share in (0.05, 0.005) for n in (1000, 2000, 5000, 10_000, 20_000)]
QUICK_LARGE = [(1000, 2, 0.05), (1000, 16, 0.05)]
QUICK = [(100, 8, 0.1), (256, 2, None), (256, 64, None)]


def ours(tol, max_iterations=10_000):
    def run(x, y, epsilon):
        x = x.clone().requires_grad_()
        value = sinkhorn_divergence(x, y, epsilon=epsilon, tol=tol, max_iterations=max_iterations)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return run


def geomloss(scaling, backend="tensorized"):
    def run(x, y, epsilon):
        x = x.clone().requires_grad_()
        # GeomLoss halves the cost.
        loss = SamplesLoss("sinkhorn", p=2, blur=math.sqrt(epsilon / 2), scaling=scaling, backend=backend)
        value = 2 * loss(x, y)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return run


def ott(threshold):
    @jax.jit
    def both(x, y, epsilon):
        def value(x):
            options = {"threshold": threshold, "max_iterations": 100_000}
            return ott_divergence(pointcloud.PointCloud, x, y, epsilon=epsilon, solve_kwargs=options)[0]

        return jax.value_and_grad(value)(x)

    def run(x, y, epsilon):
        value, gradient = jax.block_until_ready(
            both(jnp.asarray(x.cpu().numpy()), jnp.asarray(y.cpu().numpy()), epsilon)
        )
        return torch.tensor(float(value)), torch.from_numpy(np.array(gradient)).to(x)

    return run


def row(n, d, epsilon, repeats):
    x, y = device.draw(2, n, d, seed=0)
    x = 0.8 * x + 0.3
    training = epsilon is not None
    epsilon = epsilon or 0.05 * float(torch.cdist(x, y).square().mean())
    contenders = {f"ot_gen, tol {tol:g}": ours(tol) for tol in (1e-2, 1e-3)}
    contenders |= {f"GeomLoss, scaling {scaling:g}": geomloss(scaling) for scaling in (0.5, 0.9)}
    if jax is not None:
        contenders["OTT-JAX"] = ott(1e-3)
    value, gradient = ours(1e-5 if training else 1e-7, 1_000_000)(x.double(), y.double(), epsilon)
    found = {name: [] for name in contenders}
    errors = {}
    for repeat in range(repeats + 1):
        for name, run in contenders.items():
            began = device.now()
            got, slope = run(x, y, epsilon)
            if repeat:
                found[name].append(1e3 * (device.now() - began))
            errors[name] = (abs(float(got / value) - 1), float((slope.double() - gradient).norm() / gradient.norm()))
    cells = [f"{n} x {d}, ε = {epsilon:.3g}"]
    cells += [f"{shown(found[name])}, {errors[name][0]:.0e}, {errors[name][1]:.0e}" for name in contenders]
    medians = {name: statistics.median(times) for name, times in found.items()}
    mine = medians["ot_gen, tol 0.001"]
    cells.append(f"{medians['GeomLoss, scaling 0.9'] / mine:.1f}")
    if jax is not None:
        cells.append(f"{medians['OTT-JAX'] / mine:.1f}")
    else:
        cells += ["missing"] * 2
    print("| " + " | ".join(cells) + " |", flush=True)


def measured(which, n, d, share, results):
    """Seconds, gigabytes, value and gradient of one call, in a process of its own."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, d, generator=generator) for _ in range(2))
    x = 0.8 * x + 0.3
    large_clouds.DENSE_BYTES = 0 if which == "streamed" else math.inf
    run = geomloss(0.9, "multiscale") if which == "GeomLoss" else ours(1e-3)
    run(x[:1000], y[:1000], share * d)  # KeOps compiles in it
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    value, gradient = run(x, y, share * d)
    seconds = time.process_time() - began
    results.put(
        (
            seconds,
            (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20,
            value.numpy(),
            gradient.numpy(),
        )
    )


def large_row(n, d, share, repeats):
    """One line of the table of `--large`; the ratio of the times, streamed / dense."""
    names = ["dense", "streamed"] + ["GeomLoss"] * (d <= 3 and importlib.util.find_spec("pykeops") is not None)
    runs = {name: [] for name in names}
    context = multiprocessing.get_context("spawn")
    for _ in range(repeats):
        for name in names:
            results = context.SimpleQueue()
            process = context.Process(target=measured, args=(name, n, d, share, results))
            process.start()
            while process.is_alive() and results.empty():
                time.sleep(0.05)
            if results.empty():
                raise SystemExit(f"{name} of {n} x {d} ended without an answer: out of memory?")
            runs[name].append(results.get())
            process.join()
    seconds, size = ({name: statistics.median(run[i] for run in runs[name]) for name in names} for i in (0, 1))
    cells = [f"{n} x {d}, ε = {share:g} of the variance"]
    cells += [f"{seconds[name]:.2f}, {size[name]:.2f}" if name in runs else "missing" for name in ("dense", "streamed")]
    cells += [f"{seconds['GeomLoss']:.2f}, {size['GeomLoss']:.2f}" if "GeomLoss" in runs else "missing"]
    (_, _, value, slope), (_, _, other, gradient) = runs["dense"][0], runs["streamed"][0]
    ratio = seconds["streamed"] / seconds["dense"]
    cells += [
        f"{ratio:.2f}",
        f"{abs(other / value - 1):.0e}, {np.linalg.norm(gradient - slope) / np.linalg.norm(slope):.0e}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    return ratio


def large(cases, repeats):
    print(
        f"{', '.join(f'{p} {version(p)}' for p in ('torch', 'geomloss', 'pykeops'))}; one thread, float32, tol 1e-3\n"
    )
    print("| problem | dense: s, GB | streamed: s, GB | GeomLoss alone: s, GB | streamed / dense | differences |")
    print("|" + " --- |" * 6)
    ratios = {case: large_row(*case, repeats) for case in cases}
    quick = [f"{n} x {d} at ε = {share:g}" for (n, d, share), ratio in ratios.items() if ratio <= 1]
    print(f"\nStreamed is as quick for: {'; '.join(quick) or 'none of them'}")


def shown(times):
    return f"{statistics.median(times):.3g} ({min(times):.3g}–{max(times):.3g})"


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def main() -> None:
    parser = device.with_device(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--quick", action="store_true", help="small problems, to see that it runs")
    parser.add_argument("--large", action="store_true", help="dense against streamed solves of large clouds")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device.use(arguments.device)
    if arguments.large:
        return large(QUICK_LARGE if arguments.quick else LARGE, arguments.repeats)
    if jax is None:
        print("OTT-JAX is missing and left out: pip install ott-jax==0.6.0")
    print(", ".join(f"{p} {version(p)}" for p in ("torch", "geomloss", "ott-jax", "jax", "numpy")), end="; ")
    print(f"{platform.processor() or platform.machine()}; one thread, float32, {arguments.repeats} repeats; ", end="")
    print(f"ms of {device.clock()}, median (min–max), error of the value, of the gradient\n")
    print(
        "| problem | ot_gen, tol 1e-2 | ot_gen, tol 1e-3 | GeomLoss .5 | GeomLoss .9 | OTT-JAX, threshold 1e-3 ", end=""
    )
    print("| GeomLoss .9 / ot_gen 1e-3 | OTT-JAX / ot_gen 1e-3 |\n|" + " --- |" * 8)
    for n, d, epsilon in QUICK if arguments.quick else CASES:
        row(n, d, epsilon, arguments.repeats)


if __name__ == "__main__":
    main()
