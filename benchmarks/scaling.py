"""Constants behind docs/scaling.md: the streamed c-transform on one core and Gloo between two processes, measured.

python benchmarks/scaling.py                         about two minutes on two cores
"""

import argparse
import math
import statistics
import time

import torch
import torch.distributed as dist

from ot_gen import ShardedAtoms, SquaredEuclidean, c_transform, launch

DIM, ATOMS, QUERIES = 784, 20_000, 1024
SIZES = (2**10, 2**14, 2**18, 2**22)  # bytes


# Published, not measured here: NVIDIA H100 SXM (https://glennklockwood.com/garden/processors/h100), float32 off the
# tensor cores, memory, and the links; the last two are assumptions.
FLOPS, MEMORY_RATE = 66.9e12, 3.35e12
SHARE_OF_PEAK, LATENCY = 0.5, {8: 20e-6, 64: 40e-6, 512: 60e-6}
PEAKS = {"float32": FLOPS, "TF32": 494.7e12, "bf16": 989.4e12}  # of its matrix products, without sparsity
PRODUCT_SHARE = 0.75  # of a peak that a large product attains: an assumption


def paper(m=10**7, batch=2**11):
    """What m atoms of d = 784 cost in shards: memory, time of a batch, and hours to see a marginal error."""
    for tol in (0.1, 0.05, 0.01):
        print(f"marginal error {tol}: {2 * m / (math.pi * tol**2):.3g} samples")
    for gpus, latency in LATENCY.items():
        product = 2 * batch * m * DIM / gpus / (FLOPS * SHARE_OF_PEAK)
        traffic = (4 * m * DIM + 2 * 4 * batch * m) / gpus / MEMORY_RATE  # atoms once, scores written and read
        seconds = product + traffic + 2 * latency
        hours = [2 * m / (math.pi * tol**2) / batch * seconds / 3600 for tol in (0.1, 0.05, 0.01)]
        print(
            f"{gpus:4} GPUs: {4 * m * (DIM + 1) / gpus / 1e9:6.3f} GB each, product {1e3 * product:7.2f} ms, "
            f"memory {1e3 * traffic:6.2f} ms, exchange {2e3 * latency:5.2f} ms, batch {1e3 * seconds:7.2f} ms; "
            f"hours at .1, .05, .01: {hours[0]:.2f}, {hours[1]:.2f}, {hours[2]:.1f}"
        )


def one_gpu(m=10**6, batch=2**11, tol=0.1):
    """The c-transform on one GPU, and the least time to a marginal error: a pass for the steps, one for the tests."""
    batches = 2 * m / (math.pi * tol**2) / batch
    for name, peak in PEAKS.items():
        product = 2 * batch * m * DIM / (peak * PRODUCT_SHARE)
        atoms, scores = 4 * m * DIM / MEMORY_RATE, 2 * 4 * batch * m / MEMORY_RATE
        for how, seconds in (("", product + atoms + scores), (", fused", product + atoms)):
            share, minutes = product / seconds, 2 * batches * seconds / 60
            print(
                f"{name + how:15} {1e3 * seconds:6.2f} ms a batch, {share:4.0%} of a product's speed, "
                f"{share * PRODUCT_SHARE:4.0%} of the peak; two passes {minutes:5.1f} min"
            )


def cpu_seconds(task, repeats):
    """The median of the CPU seconds that a call takes: other processes' load does not count."""
    task()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        task()
        times.append(time.process_time() - began)
    return statistics.median(times)


def transforms(repeats):
    """The c-transform of QUERIES points over ATOMS atoms: name -> (seconds, GFLOP/s of its product, GB/s of atoms)."""
    torch.manual_seed(0)
    x, y = torch.randn(QUERIES, DIM), torch.randn(ATOMS, DIM)
    h_tilde = torch.zeros(ATOMS)
    flop, size = 2 * QUERIES * ATOMS * DIM, y.numel() * y.element_size()
    found = {}
    for name, epsilon in (("hard", 0.0), ("soft", 100.0)):
        seconds = cpu_seconds(lambda e=epsilon: c_transform(SquaredEuclidean(), x, y, h_tilde, e), repeats)
        found[name] = seconds, flop / seconds / 1e9, size / seconds / 1e9
    product = cpu_seconds(lambda: x @ y[:2048].T, 4 * repeats)
    found["product alone"] = product, 2 * QUERIES * 2048 * DIM / product / 1e9, 2048 * DIM * 4 / product / 1e9
    return found


def exchanges(processes, repeats):
    """The all-reduce of so many bytes -> (least, median) wall seconds; and a sharded c-transform, its CPU seconds."""
    torch.set_num_threads(1)
    found = {}
    for size in SIZES:
        x = torch.zeros(size // 4)
        times = []
        for _ in range(repeats):
            dist.barrier()
            began = time.perf_counter()
            processes.sum(x)
            times.append(time.perf_counter() - began)
        found[size] = min(times), statistics.median(times)
    torch.manual_seed(0)
    x, y = torch.randn(QUERIES, DIM), torch.randn(ATOMS, DIM)
    shard = ShardedAtoms(processes, processes.own(y).clone())
    h_tilde = torch.zeros(len(shard.atoms))
    return found, cpu_seconds(lambda: shard.c_transform(SquaredEuclidean(), x, h_tilde), 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--paper", action="store_true")
    arguments = parser.parse_args()
    if arguments.paper:
        paper()
        one_gpu()
        return
    repeats = arguments.repeats
    torch.set_num_threads(1)
    print(f"c-transform, {QUERIES} points, {ATOMS} atoms, d = {DIM}, float32, one core")
    for name, (seconds, gflops, gbs) in transforms(repeats).items():
        print(f"  {name:14} {seconds:8.3f} CPU s   {gflops:7.1f} GFLOP/s   {gbs:7.3f} GB/s of atoms")
    found, seconds = launch(exchanges, 20 * repeats, size=2)
    print("Gloo all-reduce between two processes of this machine, wall time")
    for size, (least, median) in found.items():
        print(f"  {size:9} bytes   least {1e6 * least:9.0f} us   median {1e6 * median:9.0f} us")
    print(f"hard c-transform over atoms in two shards: {seconds:.3f} CPU s in each process")


if __name__ == "__main__":
    main()
