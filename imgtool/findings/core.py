"""Findings: what is in an image, as data with a stable code; and the rules that yield them.

This room knows nothing of formats. A rule is a generator function over the facts of one kind,
decorated with `@rule`; its docstring is the page that `imgtool rule CODE` prints.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Literal, NamedTuple, TypeVar

from imgtool.limits import Limits

Severity = Literal["error", "warning", "note"]

#: Severities, worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

F = TypeVar("F")


class Finding(NamedTuple):
    """One thing seen in an image: `offset` and `length` are bytes of the file (or the member)."""

    code: str
    name: str
    severity: Severity
    message: str
    field: str | None = None
    offset: int | None = None
    length: int | None = None
    member: str | None = None


class Rule(Generic[F]):
    """A published check: code, name, severity and the function that looks at facts."""

    __slots__ = ("check", "code", "name", "page", "severity")

    def __init__(
        self, code: str, name: str, severity: Severity, check: Callable[[F, Limits], Iterator[Finding]]
    ) -> None:
        self.code = code
        self.name = name
        self.severity: Severity = severity
        self.check = check
        self.page = check.__doc__ or ""

    def __call__(self, facts: F, limits: Limits) -> Iterator[Finding]:
        return self.check(facts, limits)

    def __repr__(self) -> str:
        return f"<Rule {self.code} {self.name}>"

    def at(
        self,
        message: str,
        *,
        field: str | None = None,
        offset: int | None = None,
        length: int | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this rule. `severity` only where the page names a second one."""
        return Finding(self.code, self.name, severity or self.severity, message, field, offset, length)


def rule(
    code: str, name: str, severity: Severity = "error"
) -> Callable[[Callable[[F, Limits], Iterator[Finding]]], Rule[F]]:
    """Decorate a check. The docstring has the parts "What it checks", "Why it matters", "What to do"."""

    def wrap(check: Callable[[F, Limits], Iterator[Finding]]) -> Rule[F]:
        return Rule(code, name, severity, check)

    return wrap
