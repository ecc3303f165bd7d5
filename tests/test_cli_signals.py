"""However a signal comes out of the work that it interrupts, the program ends with its status and without a trace."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: A command line whose work meets a signal in a place that makes something else of it.
PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from imgtool.cli import frame, main
from imgtool.errors import OutputError
where, number = sys.argv[1], int(sys.argv[2])

def meet(error):
    try:
        os.kill(os.getpid(), number)
        time.sleep(10)
    except BaseException:
        raise error from None

def app(args):
    if where == "library":
        meet(RuntimeError("release unlocked lock"))
    if where == "verb":
        frame.verb(lambda: meet(OutputError("x: cannot write")))()
    if where == "finalizer":
        one = Finalized()
        del one  # the signal comes in here, and cannot be raised
        time.sleep(10)
    if where == "end":
        print("done")
        raise SystemExit(0)

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), number)
        time.sleep(10)

def late():
    os.kill(os.getpid(), number)
    time.sleep(10)

main.app = app
if where == "end":
    main.unhear = late
main.main()
"""


@pytest.mark.parametrize("where", ["library", "verb", "finalizer", "end"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_was_heard_decides(where: str, number: int, status: int) -> None:
    """A library that makes a failure of it, a verb's own error because of it, a place where nothing
    can be raised, the very end of the program."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where, str(int(number))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout == ("done\n" if where == "end" else "")


def test_who_asked_to_go_on_without_a_terminal_goes_on() -> None:
    """Under nohup SIGHUP is ignored, and stays so."""
    program = "from imgtool.cli.signals import hear\nimport os, signal\nhear()\nos.kill(os.getpid(), signal.SIGHUP)"
    ignoring = f"import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n{program}\nprint('on')"
    done = subprocess.run([sys.executable, "-c", ignoring], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")
