"""The library call `imgtool.validate`: inspect, then judge by a policy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from imgtool.disks.recognise import Failure
from imgtool.errors import InputError, UsageError
from imgtool.findings.core import Finding
from imgtool.ingest.digests import algorithm, parse_expected
from imgtool.inspection.api import Input, inspect_as, known_kind
from imgtool.inspection.checks.general import rule_failed
from imgtool.inspection.guard import guarded_rules
from imgtool.inspection.options import Options
from imgtool.limits import DEFAULT, Limits
from imgtool.model.report import Report
from imgtool.model.verdict import Claims, Verdict
from imgtool.policy import names
from imgtool.policy.asked import Asked
from imgtool.policy.builtin import BUILTIN, builtin
from imgtool.policy.checks import RULES
from imgtool.policy.judge import judge
from imgtool.policy.policy import THRESHOLDS, Policy
from imgtool.policy.unseen import table_codes
from imgtool.sources.base import Source
from imgtool.sources.stream import seekable
from imgtool.units import parse_size

if TYPE_CHECKING:
    from imgtool.ingest.pump import Progress


def validate(
    path_or_fileobj: Input,
    *,
    disk_format: str | None = None,
    container_format: str | None = None,
    policy: str | os.PathLike[str] | Policy = "default",
    expect: Iterable[str] = (),
    checksums: Iterable[str] = (),
    min_disk: int | str | None = None,
    min_ram: int | str | None = None,
    max_virtual_size: int | str | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    fail_on: str | None = None,
    deep: bool = False,
    follow: bool | str | os.PathLike[str] = False,
    device: bool = False,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> Verdict:
    """The verdict on an image: accepted or rejected by a policy, and why.

    `path_or_fileobj`: as for `inspect`. `disk_format`, `container_format`: what the uploader claims it to be; a
    claim that does not hold is an error, and nothing is autodetected around it. `policy`: a built-in one's name, the
    path of a TOML file, or a Policy. `expect`: digests as "ALG:HEX" that the file must have; `checksums`: further
    digests to compute. `min_disk`, `min_ram`, `max_virtual_size`: bytes, or sizes as people type them ("10G").
    `select`, `ignore`: the rules that count: codes, beginnings of codes, names. `fail_on`: "error" or "warning"
    where the policy's own threshold is not wanted. `deep`: every table too. `follow`: where files may lie of
    references that the policy has followed: True beside the image, a folder; False follows none.

    Whatever is in the file, a Verdict comes back. Raises InputError when the input cannot be read, UsageError for
    what is no format, policy, size, digest or rule.
    """
    known_kind(path_or_fileobj)
    chosen = with_threshold(policy_named(policy), fail_on)
    expected = tuple(parse_expected(text) for text in expect)
    claims = Claims(
        names.disk_format(disk_format) if disk_format is not None else None,
        names.container_format(container_format) if container_format is not None else None,
        _bytes(min_disk),
        _bytes(min_ram),
        _bytes(max_virtual_size),
        tuple(f"{name}:{digits}" for name, digits in expected),
    )
    wanted = tuple(dict.fromkeys([algorithm(name) for name in checksums] + [name for name, _ in expected]))
    selected, ignored = selectors(select), selectors(ignore)
    once = not isinstance(path_or_fileobj, (str, os.PathLike)) and not seekable(path_or_fileobj)
    options = Options(limits, max(1, chosen.depth), verify=None if deep and not once else True)
    look = _Look(path_or_fileobj, chosen, follow, deep, limits)
    report = inspect_as(
        path_or_fileobj, wanted, expected, options, device=device, progress=progress, then=look.at_source
    )
    found = [*look.found, *_by_policy(Asked(report, chosen, claims), limits)]
    not_run = table_codes(report) if deep and not look.deep_done else ()
    return judge(
        report, chosen, claims, found, select=selected, ignore=ignored, followed=look.followed, not_run=not_run
    )


class _Look:
    """What a verdict needs of the source itself: its tables, and the files that it refers to."""

    def __init__(
        self, given: Input, policy: Policy, follow: bool | str | os.PathLike[str], deep: bool, limits: Limits
    ) -> None:
        self.found: list[Finding] = []
        self.followed = False
        self.deep_done = False
        self._path = os.fsdecode(given) if isinstance(given, (str, os.PathLike)) else None
        self._policy = policy
        self._follow = follow
        if follow is not False:
            from imgtool.disks.links import permission

            permission(follow, self._path)  # what is no folder is said of whatever is looked at
        self._deep = deep
        self._limits = limits

    def at_source(self, source: Source, report: Report) -> None:
        """Look at an open source and its report."""
        beside = self._may_follow(report) and report.container_format != "bare"
        if self._deep or beside:
            from imgtool.disks.links import permission
            from imgtool.inspection.deep import check_tables

            allowed = permission(self._follow if beside else False, self._path)
            self.found += check_tables(source, self._limits, told=report, allowed=allowed)[1]
            self.deep_done, self.followed = True, beside
        if self._may_follow(report) and not beside:
            self.found += self._chain(self._path or "")

    def _may_follow(self, report: Report) -> bool:
        """True where the caller allows it, and the policy has every kind of reference followed, or allows it."""
        kinds = {reference.kind for reference in report.references}
        follow = set(self._policy.follow_references)
        wanted = bool(kinds & follow) and kinds <= follow | set(self._policy.allow_references)
        return wanted and self._path is not None and self._follow is not False

    def _chain(self, path: str) -> Iterator[Finding]:
        """Open everything that a disk refers to; a finding where it does not hold."""
        from imgtool.disks.open import open_disk
        from imgtool.inspection.checks.followed import reference_does_not_hold

        try:
            open_disk(path, follow=self._follow, limits=self._limits).close()
            self.followed = True
        except InputError as error:
            yield from reference_does_not_hold(str(error), self._limits)


def verdict_on(report: Report, policy: Policy, claims: Claims, limits: Limits) -> Verdict:
    """The verdict on a report that is there already: its own findings and those of the policy's rules."""
    return judge(report, policy, claims, _by_policy(Asked(report, policy, claims), limits))


def _by_policy(asked: Asked, limits: Limits) -> list[Finding]:
    failures: list[Failure] = []
    found = guarded_rules(RULES, asked, limits, failures)
    for failure in failures:
        found += rule_failed(failure, limits)
    return found


def policy_named(policy: str | os.PathLike[str] | Policy) -> Policy:
    """A policy by its name or the path of its file. Raises UsageError."""
    if isinstance(policy, Policy):
        return policy
    place = os.fspath(policy)
    if place in BUILTIN or not (os.sep in place or place.endswith(".toml") or os.path.exists(place)):
        return builtin(place)
    from imgtool.policy.load import load_policy

    try:
        with open(place, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{place}: not TOML: it is not UTF-8") from None
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror}") from error
    return load_policy(text, place)


def with_threshold(policy: Policy, fail_on: str | None) -> Policy:
    """The policy with another threshold. Raises UsageError."""
    if fail_on is None:
        return policy
    for known in THRESHOLDS:
        if fail_on == known:
            return policy._replace(fail_on=known)
    raise UsageError(f"the threshold is error or warning, not {fail_on!r}")


def selectors(given: Iterable[str]) -> tuple[str, ...]:
    """Rules as people name them: lists with commas too. Raises UsageError for what names no rule."""
    chosen = tuple(one.strip() for text in given for one in text.split(",") if one.strip())
    if chosen:
        from imgtool.policy.load import known_selector

        for one in chosen:
            known_selector(one)
    return chosen


def _bytes(size: int | str | None) -> int | None:
    return parse_size(size) if isinstance(size, str) else size
