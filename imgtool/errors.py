"""Every failure imgtool can end with: class, stable code, exit status.

A *failure* means "we could not do what you asked". What is wrong inside an image is never a
failure: that is a finding (room `findings`).
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_NO = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_TOOL = 4
EXIT_OUTPUT = 5
EXIT_REFUSED = 6
EXIT_BUG = 70
EXIT_HUNG_UP = 129
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
EXIT_TERMINATED = 143

#: Meaning of each exit status, shown at the end of each command's help.
EXIT_TABLE: tuple[tuple[int, str], ...] = (
    (EXIT_DONE, "done"),
    (EXIT_NO, "done, and the answer is no (findings at the threshold, a digest that differs)"),
    (EXIT_USAGE, "usage or configuration"),
    (EXIT_INPUT, "input unreadable, unsupported or not found"),
    (EXIT_TOOL, "an external tool is missing or failed"),
    (EXIT_OUTPUT, "the output or the store cannot be written"),
    (EXIT_REFUSED, "refused by the catalog"),
    (EXIT_BUG, "a bug in imgtool (trace on stderr)"),
    (EXIT_HUNG_UP, "the terminal went away"),
    (EXIT_INTERRUPTED, "interrupted"),
    (EXIT_PIPE, "the reader of the output went away"),
    (EXIT_TERMINATED, "terminated"),
)

#: Of many inputs, the status that wins, worst first.
EXIT_ORDER: tuple[int, ...] = (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    EXIT_HUNG_UP,
    EXIT_BUG,
    EXIT_OUTPUT,
    EXIT_TOOL,
    EXIT_INPUT,
    EXIT_REFUSED,
    EXIT_NO,
    EXIT_USAGE,
    EXIT_DONE,
)


class ImgtoolError(Exception):
    """Base of every failure. `code` is stable; `exit_status` is what the command ends with."""

    code = "error"
    exit_status = EXIT_BUG


class UsageError(ImgtoolError):
    """The call or the configuration is wrong: one fault or more, each told in a line of its own."""

    code = "usage"
    exit_status = EXIT_USAGE

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InputError(ImgtoolError):
    """The input cannot be read."""

    code = "input-unreadable"
    exit_status = EXIT_INPUT


class NotFoundError(InputError):
    """The input does not exist."""

    code = "not-found"


class NotRegularError(InputError):
    """The input is a directory, device, FIFO or socket."""

    code = "not-a-regular-file"


class UnsupportedError(InputError):
    """What was asked cannot be done with this input."""

    code = "unsupported"


class ToolError(ImgtoolError):
    """An external program or an optional library is missing, or failed."""

    code = "tool-failed"
    exit_status = EXIT_TOOL


class ToolMissingError(ToolError):
    """An external program or an optional library is missing."""

    code = "tool-missing"


class OutputError(ImgtoolError):
    """The output cannot be written."""

    code = "output"
    exit_status = EXIT_OUTPUT


class ExistsError(OutputError):
    """The output is there already, and is not to be replaced."""

    code = "exists"


class RejectedError(ImgtoolError):
    """An image is not let through: `findings` are what stands against it (imgtool.findings.core.Finding)."""

    code = "rejected"
    exit_status = EXIT_NO

    def __init__(self, message: str, findings: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class ContentError(OutputError):
    """What was written does not read back as what was to be written; it was thrown away."""

    code = "content-differs"


class DamagedError(ImgtoolError):
    """What is kept is not what its recorded digest says."""

    code = "damaged"
    exit_status = EXIT_NO


class RefusedError(ImgtoolError):
    """The catalog refuses: access, status, protection, conflict or quota."""

    code = "refused"
    exit_status = EXIT_REFUSED


#: All failures, in one table: class, code, exit status.
FAILURES: tuple[type[ImgtoolError], ...] = (
    UsageError,
    InputError,
    NotFoundError,
    NotRegularError,
    UnsupportedError,
    ToolError,
    ToolMissingError,
    OutputError,
    ExistsError,
    ContentError,
    DamagedError,
    RejectedError,
    RefusedError,
)


def worst(statuses: list[int]) -> int:
    """The exit status of a command over many inputs: the highest in `EXIT_ORDER`."""
    return min(statuses, key=EXIT_ORDER.index, default=EXIT_DONE)
