"""Signals that stop reach the code that waits for them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ot_gen.execution import exit_code, interruptible, stop_signal

STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Deaf:
    """Where an exception is lost: a finaliser."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


def test_an_interruption_that_a_finaliser_swallows_comes_once_more():
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), interruptible():
        Deaf()
        for _ in range(100):
            time.sleep(0.05)


@pytest.mark.parametrize("number", STOPS)
def test_handlers_and_hooks_are_put_back(number):
    before, hook = signal.getsignal(number), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt) as stop, interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before and sys.unraisablehook is hook
    assert exit_code(stop.value) == 128 + number


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_hang_up_that_the_shell_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
        with stop_signal() as stopped:
            signal.raise_signal(signal.SIGHUP)
            assert not stopped()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_program_that_imports_ot_gen_keeps_its_handlers():
    code = "import signal, ot_gen; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True"
