"""Files are whole or not there: after an exception, a kill, or with several writers at once."""

import errno
import multiprocessing as mp
import os
import signal
import stat
from functools import partial

import pytest
import torch
from limits import no_file_beyond
from matplotlib.figure import Figure

from ot_gen.execution import remove_leftovers, save_checkpoint, write_text, written
from ot_gen.measures import FullMixture, Reference
from ot_gen.priors import save_prior
from ot_gen.runs.claim import LOCK, claimed
from ot_gen.runs.figures import save


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with written(path) as temporary:
        assert temporary.parent == tmp_path and not temporary.exists()
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("started", [True, False])
def test_an_exception_leaves_the_old_file_and_nothing_else(error, started, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), written(path) as temporary:
        if started:
            temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), written(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"


def test_the_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.fstat(file).st_size), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("renamed"), replace(*paths)))
    write_text(tmp_path / "a.txt", "whole")
    assert events == [5, "renamed"]


def test_writers_inside_each_other_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with written(path) as first:
        first.write_text("first")
        with written(path) as second:
            second.write_text("second")
        assert path.read_text() == "second" and first.read_text() == "first"
    assert path.read_text() == "first" and names(tmp_path) == ["a.txt"]


def write_often(path, word):
    for _ in range(50):
        write_text(path, word * 10_000)


def test_processes_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "a.txt"
    writers = [mp.get_context("fork").Process(target=write_often, args=(path, word)) for word in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            assert path.read_text() in ("a" * 10_000, "b" * 10_000)
    assert [writer.exitcode for writer in writers] == [0, 0] and names(tmp_path) == ["a.txt"]


WRITERS = {
    "text": lambda path: write_text(path, "words"),
    "checkpoint": lambda path: save_checkpoint(path, {"net": torch.nn.Linear(2, 2)}, {}, {"step": 1}),
    "figure": lambda path: save(Figure(figsize=(1, 1)), path),
    "prior": lambda path: save_prior(
        Reference(FullMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])), path, overwrite=True
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk_is_named_and_leaves_the_old_file_and_nothing_else(name, tmp_path):
    (tmp_path / "ours").write_text("old")
    with no_file_beyond(3), pytest.raises(OSError, match="too large") as caught:
        WRITERS[name](tmp_path / "ours")
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / "ours")
    assert (tmp_path / "ours").read_text() == "old" and names(tmp_path) == ["ours"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_a_file_that_was_opened(name, mask, tmp_path):
    before = os.umask(mask)
    try:
        WRITERS[name](tmp_path / "ours")
        (tmp_path / "plain").touch()
    finally:
        os.umask(before)
    ours, plain = (stat.S_IMODE((tmp_path / file).stat().st_mode) for file in ("ours", "plain"))
    assert ours == plain


def killed(path):
    with written(path) as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_kill_leaves_goes_when_the_file_is_written_again(tmp_path):
    writer = mp.get_context("fork").Process(target=partial(killed, tmp_path / "a.txt"))
    writer.start()
    writer.join()
    assert len(names(tmp_path)) == 1
    write_text(tmp_path / "b.txt", "another")
    assert len(names(tmp_path)) == 2
    with written(tmp_path / "a.txt") as slow:  # a writer that lives keeps its own
        slow.write_text("slow")
        write_text(tmp_path / "a.txt", "new")
        assert names(tmp_path) == ["a.txt", slow.name, "b.txt"]
    assert names(tmp_path) == ["a.txt", "b.txt"] and (tmp_path / "a.txt").read_text() == "slow"


def test_what_a_kill_leaves_goes_when_the_folder_is_claimed(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    (tmp_path / "mine.tmp").touch()
    writer = mp.get_context("fork").Process(target=partial(killed, tmp_path / "a.txt"))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL and len(names(tmp_path)) == 3
    with claimed(tmp_path):
        assert set(names(tmp_path)) - {LOCK} == {"a.txt", "mine.tmp"}
    assert (tmp_path / "a.txt").read_text() == "old"
    remove_leftovers(tmp_path)
    assert set(names(tmp_path)) - {LOCK} == {"a.txt", "mine.tmp"}


def test_text_is_utf_8_wherever_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    write_text(str(tmp_path / "a.txt"), "ζ → W₂²\n")
    assert (tmp_path / "a.txt").read_bytes().decode("utf-8") == "ζ → W₂²\n"


def test_no_file_replaces_a_pipe_or_a_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ValueError, match=rf"{name} is a folder, a pipe or a device"):
            write_text(tmp_path / name, "text")
    assert (tmp_path / "pipe").is_fifo() and {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}
