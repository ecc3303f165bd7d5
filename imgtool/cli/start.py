"""The entry point: what makes the program start sooner."""

from __future__ import annotations

import gc
import signal
import sys


def main() -> None:
    """Load the command line and run it.

    Loading makes many objects that stay: the garbage collector is off meanwhile (a verb turns it on again). Who
    interrupts it then ends it, without a trace of where; later it is heard.
    """
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _later("pdb")
    from imgtool.cli.main import main as run
    from imgtool.cli.signals import end_at_once

    try:
        run()
    except SystemExit as end:  # taking everything down costs as much as a quarter of loading it
        end_at_once(end.code if isinstance(end.code, int) else 0)


def _later(name: str) -> None:
    """Have a module of the standard library loaded when something in it is asked for. (construct imports a debugger
    for a class that nothing here uses.)"""
    from importlib.util import LazyLoader, find_spec, module_from_spec

    spec = None if name in sys.modules else find_spec(name)
    if spec is not None and spec.loader is not None:
        spec.loader = LazyLoader(spec.loader)
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
