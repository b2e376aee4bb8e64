"""`make reliability`: try what docs/reliability.md promises, and print a table of counts and every fault.

python tests/reliability/run.py --kills 200 --disks 40 --damaged 150 --foreign 100 --calls 10000 --seed 0
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import seed as seeded

sys.path.insert(0, str(Path(__file__).parents[1]))

from reliability import trials


def main() -> int:
    """Returns the exit code: 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("kills", 200), ("disks", 40), ("damaged", 150), ("foreign", 100), ("calls", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    every: list[Callable[[], trials.Trial]] = [
        lambda: trials.kills(options.kills, rng),
        lambda: trials.full_disks(options.disks, rng),
        lambda: trials.damage(options.damaged, rng),
        lambda: trials.foreign_folders(options.foreign, rng),
        lambda: fuzzed(options.calls, options.seed),
    ]
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(f"Seed {options.seed}\n\n| trial | counts | faults | seconds |\n|---|---|---|---|")
        for make in every:
            start = time.monotonic()
            trial = make()
            counts = ", ".join(f"{what}: {count:,}" for what, count in sorted(trial.counts.items()))
            print(f"| {trial.name} | {counts} | {len(trial.faults)} | {time.monotonic() - start:.0f} |", flush=True)
            for fault in trial.faults:
                print(f"    {' '.join(fault.split())}", file=sys.stderr, flush=True)
            faults += len(trial.faults)
        os.chdir("/")
    return int(faults > 0)


def fuzzed(count: int, seed: int) -> trials.Trial:
    """Calls of the library with malformed arguments."""
    os.environ["FUZZ_CALLS"] = str(count)  # read when the test is imported
    import test_fuzz

    faults = []
    try:
        seeded(seed)(test_fuzz.test_a_malformed_call_is_refused_in_our_words)()
    except AssertionError as error:
        faults.append(str(error))
    return trials.Trial("fuzzed call", Counter(test_fuzz.COUNTS), faults)


if __name__ == "__main__":
    sys.exit(main())
