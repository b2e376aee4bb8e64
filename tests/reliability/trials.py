"""The trials: kills, full disks, damaged files, foreign folders. Each returns its counts and the faults that it saw."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf

from ot_gen.training import CHECKPOINT_NAME
from reliability.folders import TINY, content, is_finished, same_weights, torn
from reliability.processes import Ended, command, ended, page
from reliability.strangers import FOREIGN, PLACES

Task = Callable[[], None]


class Trial(NamedTuple):
    """What was tried, how often what came of it, and each fault in a line."""

    name: str
    counts: Counter[str]
    faults: list[str]


def train(folder: Path, *overrides: str) -> Task:
    return command("solver=primal/vae", "data=eight_gaussians", *TINY, *overrides, f"hydra.run.dir={folder}")


def finished(folder: Path) -> Path:
    """A run that nothing disturbed."""
    came = ended(train(folder))
    assert came.code == 0 and is_finished(folder), came.err
    return folder


def kills(count: int, rng: random.Random) -> Trial:
    """SIGKILL at any moment of training, judging and writing the page; then the same work is done to its end."""
    trial = Trial("SIGKILL", Counter(), [])
    whole = finished(Path("whole"))
    before = content(whole)
    for number, work in enumerate(itertools.cycle(["train", "judge", "train", "page", "train"])):
        if trial.counts["kills"] >= count:
            break
        place = Path(f"kill-{number}")
        reached, again = WORKS[work](place, whole)
        killed = _killed_until_done(again, place, rng, trial, work)
        _note(trial, reached(), f"{work} {place}: not the result of work that nothing disturbed, after {killed} kills")
        _note(trial, content(whole) == before, f"{work} {place}: a finished run was changed")
        shutil.rmtree(place, ignore_errors=True)
    return trial


def _training(place: Path, whole: Path) -> tuple[Callable[[], bool], Callable[[], Task]]:
    def again() -> Task:
        return train(place, *([f"resume={place}"] if (place / CHECKPOINT_NAME).exists() else []))

    return lambda: is_finished(place) and same_weights(place, whole), again


def _judging(place: Path, whole: Path) -> tuple[Callable[[], bool], Callable[[], Task]]:
    task = command("evaluate", "--run", whole, "--output", place, "metrics=none", "evaluation.samples=40")
    return lambda: is_finished(place), lambda: task


def _showing(place: Path, whole: Path) -> tuple[Callable[[], bool], Callable[[], Task]]:
    return lambda: any(place.rglob("*.html")), lambda: page([whole], place)


WORKS = {"train": _training, "judge": _judging, "page": _showing}


def _killed_until_done(again: Callable[[], Task], place: Path, rng: random.Random, trial: Trial, work: str) -> int:
    """Start the work, kill it, and start it again, until it ends by itself; the times are spread over its length."""
    killed = 0
    while killed < 12:  # then it may end in peace
        came = ended(again(), kill_after=rng.uniform(0, SECONDS[work]))
        trial.counts["kills"] += came.code == -9
        trial.counts[f"kills of {work}"] += came.code == -9
        _note(trial, not torn(place), f"{work} {place}: torn {torn(place)}")
        if came.code != -9:
            SECONDS[work] = 0.7 * SECONDS[work] + 0.3 * came.seconds
            _note(trial, came.code == 0, f"{work} {place}: refused to go on: {came.err[-300:]}")
            return killed
        killed += 1
    came = ended(again())
    _note(trial, came.code == 0, f"{work} {place}: refused to go on: {came.err[-300:]}")
    return killed


SECONDS = {"train": 3.0, "judge": 2.0, "page": 1.0}  # at first; then as measured


def full_disks(count: int, rng: random.Random) -> Trial:
    """No file can grow over some size, in a new folder, and where a stopped run continues."""
    trial = Trial("full disk", Counter(), [])
    half = Path("half")
    came = ended(train(half, "trainer.steps=12"))
    assert came.code == 0, came.err
    largest = max(map(len, content(half).values()))
    for number in range(count):
        place = Path(f"full-{number}")
        goes_on = rng.random() < 0.5
        if goes_on:
            shutil.copytree(half, place)
        before, more = content(place), [f"resume={place}"] if goes_on else []
        came = ended(train(place, *more), largest_file=int(largest * rng.uniform(0.001, 1.1)))
        trial.counts["limited writes"] += 1
        trial.counts["refused in one line" if came.code == 2 else "fitted"] += 1
        _note(trial, came.code == 0 or came.is_one_line, f"{place}: code {came.code}: {came.err[-400:]}")
        _note(trial, not torn(place), f"{place}: torn {torn(place)}")
        _note(trial, not list(place.rglob("*.tmp")), f"{place}: left {list(place.rglob('*.tmp'))}")
        kept = content(place).get(CHECKPOINT_NAME) if goes_on else b""
        _note(trial, not goes_on or kept is not None, f"{place}: lost its checkpoint of {len(before)} files")
        shutil.rmtree(place, ignore_errors=True)
    return trial


def damage(count: int, rng: random.Random) -> Trial:
    """A byte is flipped, files are cut, doubled, emptied, replaced; then every command that reads a folder reads it."""
    trial = Trial("damaged file", Counter(), [])
    whole = finished(Path("sound"))
    names = sorted(content(whole))
    for number in range(count):
        place, name = Path(f"damage-{number}"), rng.choice(names)
        shutil.copytree(whole, place)
        way = rng.choice(sorted(WAYS))
        WAYS[way](place / name, rng)
        verb = rng.choice(sorted(READERS))
        came = ended(READERS[verb](place))
        trial.counts["damaged files read"] += 1
        trial.counts["refused in one line" if came.code == 2 else "read"] += 1
        _note(trial, _is_told(came, verb), f"{verb} of {name}, {way}: code {came.code}: {came.err[-500:]}")
        shutil.rmtree(place)
        shutil.rmtree("read", ignore_errors=True)
    return trial


def _is_told(came: Ended, verb: str) -> bool:
    return came.is_one_line or (came.code == 0 and "Traceback" not in came.err)


READERS: dict[str, Callable[[Path], Task]] = {
    "evaluate": lambda run: command(
        "evaluate", "--run", run, "--output", "read", "metrics=none", "evaluation.samples=40"
    ),
    "geometry": lambda run: command("geometry", "--run", run, "pairs=2", "segments=4", "grid=4"),
    "sample": lambda run: command("sample", "--run", run, "-n", "40", "--output", "read/samples.npy"),
    "resume": lambda run: train(Path("read"), f"resume={run}"),
    "compare": lambda run: page([run], Path("read")),
}


def _flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes() or b"\0")
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(data))


def _cut(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data) + 1)])


def _insert(file: Path, rng: random.Random) -> None:
    data, at = file.read_bytes(), rng.randrange(file.stat().st_size + 1)
    file.write_bytes(
        data[:at] + rng.choice([b"\t", b"\0", b"&a *a", b"\xff\xfe", b"{" * 5000, b'"', b"1e999"]) + data[at:]
    )


def _replace(file: Path, rng: random.Random) -> None:
    file.write_bytes(rng.choice([b"", b"null", b"[]", b"\x00" * 100, b"a: &a [*a]", b"{}", b"\xff" * 64, b"1"]))


def _folder(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


WAYS = {
    "a flipped bit": _flip,
    "cut": _cut,
    "inserted bytes": _insert,
    "replaced": _replace,
    "a folder": _folder,
    "removed": lambda file, rng: file.unlink(),
}


def foreign_folders(count: int, rng: random.Random) -> Trial:
    """Every payload in every place of a run's configuration, judged and measured; nothing of it may run."""
    trial = Trial("foreign folder", Counter(), [])
    whole = finished(Path("theirs"))
    every = [(name, place, verb) for name in FOREIGN for place in PLACES for verb in READERS]
    rng.shuffle(every)
    for name, place, verb in every[:count]:
        run = Path("foreign")
        shutil.copytree(whole, run)
        config = OmegaConf.load(run / "config.yaml")
        OmegaConf.update(config, place, FOREIGN[name], merge=False)
        (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
        came = ended(READERS[verb](run))
        trial.counts["foreign folders read"] += 1
        ran = [path for path in Path().glob("ran*")]
        _note(trial, not ran, f"{verb} of {name} at {place}: it ran")
        _note(trial, "Traceback" not in came.err, f"{verb} of {name} at {place}: {came.err[-300:]}")
        if verb in ("evaluate", "geometry", "sample"):
            _note(trial, came.is_one_line, f"{verb} of {name} at {place}: code {came.code}: {came.err[-300:]}")
        for left in (*ran, run, Path("read")):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return trial


def _note(trial: Trial, right: bool, fault: str) -> None:
    if not right:
        trial.faults.append(fault)
