"""The entry point. Loading the program makes many objects that stay; collecting garbage meanwhile is wasted."""

from __future__ import annotations

import gc


def main() -> None:
    """Load the command line without the garbage collector (a verb turns it on again) and run it."""
    gc.disable()
    from imgtool.cli.main import main as run

    run()
