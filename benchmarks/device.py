"""Where a benchmark computes, `--device`, and the clock that fits: part of the other scripts.

On one thread of the CPU it counts CPU time: that of an idle core, deaf to other processes. Elsewhere it counts wall
time. A device computes while Python goes on, so it is read when the device has done all that it was asked for.
"""

from __future__ import annotations

import argparse
import time

import torch

WHERE = torch.device("cpu")


def with_device(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser with --device."""
    parser.add_argument("--device", type=available, default=WHERE, help="cpu, cuda, cuda:1, mps")
    return parser


def available(name: str) -> torch.device:
    """The device of this name, or an error of the command line where there is none."""
    try:
        torch.empty(1, device=name).item()
    except Exception as error:  # each device has its own
        raise argparse.ArgumentTypeError(f"{name} is not available here ({str(error).splitlines()[0]})") from error
    return torch.device(name)


def use(device: torch.device) -> None:
    """Compute there: tensors and networks of the benchmark are born there, and `now` is its clock."""
    global WHERE
    WHERE = device
    if device.type != "cpu":
        torch.set_default_device(device)


def now() -> float:
    """Seconds."""
    if WHERE.type != "cpu":
        torch.get_device_module(WHERE).synchronize()
    return time.process_time() if _counts_cpu() else time.perf_counter()


def draw(*shape: int, seed: int) -> torch.Tensor:
    """Standard normal numbers there, the same on every device."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), device="cpu").to(WHERE)


def clock() -> str:
    """What `now` counts, in words."""
    return "CPU time" if _counts_cpu() else f"wall time, device {WHERE}"


def _counts_cpu() -> bool:
    return WHERE.type == "cpu" and torch.get_num_threads() == 1
