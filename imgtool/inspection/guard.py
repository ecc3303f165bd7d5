"""The guard around a rule, and the reader's guard (disks.recognise) around what lies inside a disk.

What they catch is a bug of ours; it becomes an IMG9xx finding that rejects, and every fuzz and oracle
test fails when one appears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from imgtool.disks.recognise import Failure, Reading, guarded
from imgtool.errors import UnsupportedError
from imgtool.findings.core import Finding, Rule
from imgtool.limits import Limits
from imgtool.sources.base import RangeError, Source
from imgtool.structs.view import Unreadable, View

if TYPE_CHECKING:
    from imgtool.volumes.survey import Survey


def guarded_rules(
    rules: Iterable[Rule[Any]], facts: object, limits: Limits, failures: list[Failure]
) -> list[Finding]:
    """The findings of all `rules` over `facts`, at most `limits.findings` of each."""
    found: list[Finding] = []
    for rule in rules:
        most = len(found) + limits.findings
        try:
            for finding in rule.check(facts, limits):
                if len(found) >= most:
                    break
                found.append(finding)
        except Exception as error:  # noqa: BLE001 - the guard around a rule (DESIGN.md, rule 4)
            failures.append(Failure(rule.code, f"{type(error).__name__}: {error}"))
    return found


def guarded_survey(
    guest: Callable[[], Source], outer: Reading, limits: Limits, views: list[View], failures: list[Failure]
) -> tuple[Survey, tuple[tuple[str, int], ...]] | None:
    """What lies inside the guest's bytes that `guest` gives, and the disk formats whose marks are where something
    begins; `outer` is the format around them. The reader's guard, for disks and volumes. What cannot be read is noted
    in a view that is added to `views`."""
    from imgtool.volumes.survey import NOTHING, survey

    def work() -> tuple[Survey, tuple[tuple[str, int], ...]]:
        view = View(guest(), limits)
        views.append(view)
        found = survey(view, limits, outer.entry.name)
        if found is NOTHING or (outer.facts.flat is not None and not found.volumes.tables):
            return found, ()
        from imgtool.inspection.inside import image_marks

        return found, image_marks(view, found.volumes, limits, whole=outer.facts.flat is None)

    try:
        return guarded("imgtool.volumes.survey:survey", work, failures)
    except Unreadable as error:
        views[-1].note(error.problem)
    except (RangeError, UnsupportedError) as error:
        kind = error.problem if isinstance(error, RangeError) else "not-read"
        views[-1].problem("guest", str(error).removeprefix(f"{views[-1].source.name}: "), kind=kind)
    return None
