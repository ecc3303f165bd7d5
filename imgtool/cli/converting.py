"""What `imgtool convert` does with its inputs: requests, plans told, conversions run, failures named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from imgtool.cli.frame import say_error
from imgtool.cli.progress import Board
from imgtool.conversion.api import Job, prepared, rehearsed
from imgtool.conversion.batch import (
    Inside,
    Outcome,
    look_inside,
    one_target_each,
    parts_of_others,
    run_all,
    target_name,
    targets_of_others,
)
from imgtool.conversion.journal import Journal
from imgtool.conversion.request import Request
from imgtool.errors import EXIT_BUG, EXIT_DONE, EXIT_NO, ImgtoolError, OutputError, UsageError, worst
from imgtool.limits import DEFAULT
from imgtool.render import conversions
from imgtool.render.escape import terminal


class Converting:
    """One run of the command: what was asked for how to show it, and what failed."""

    def __init__(self, *, as_json: bool, quiet: bool, progress: str, batch: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._progress = progress
        self._objects = as_json or progress == "json"  # every line on stderr is one
        self._batch = batch
        self._statuses = {EXIT_DONE}
        self._failed: list[tuple[str, str]] = []
        self._done: list[tuple[dict[str, object], bool]] = []

    def status(self) -> int:
        """The exit status: a batch in which some inputs failed ends with 1, one input with its own."""
        return worst(list(self._statuses))

    def failed(self, path: str, error: ImgtoolError) -> None:
        """One input could not be done: said at once, and counted."""
        say_error(error, as_json=self._objects, path=path)
        self._failed.append((path, str(error)))
        batch = self._batch and error.exit_status != EXIT_BUG
        self._statuses.add(EXIT_NO if batch else error.exit_status)

    def left_out(self, path: str, other: str, what: str = "extent") -> None:
        """One input is the extent or the target of another: it is no disk of its own, which is said."""
        if self._objects:
            import json

            told = {"type": "skipped", "path": terminal(path), f"{what}_of": terminal(other)}
            print(json.dumps(told), file=sys.stderr)
        elif not self._quiet:
            article = "an" if what == "extent" else "the"
            print(f"imgtool: {terminal(path)}: skipped: {article} {what} of {terminal(other)}", file=sys.stderr)

    def tell_plans(self, requests: list[Request], journal: str | None) -> None:
        """Each plan: the engine, what would be lost, how large the target would be; or what an earlier run did that
        goes by `journal`. Nothing is written, and what would be refused is."""
        if journal is not None:
            _apart(journal, requests)
        earlier = Journal(journal, resume=True, write=False) if journal is not None else None
        with Board(len(requests), self._progress, self._quiet) as board:
            for request in requests:
                key = _key(request)
                done = earlier.done(request) if earlier is not None else None
                try:
                    told = self._plan(request, board) if done is None else self._shown(done, earlier=True)
                except ImgtoolError as error:
                    self.failed(request.source, error)
                else:
                    sys.stdout.write(told)
                    sys.stdout.flush()
                finally:
                    board.end(key)

    def _plan(self, request: Request, board: Board) -> str:
        """What would be done, as it is shown."""
        key = _key(request)
        with prepared(request, DEFAULT) as job:
            board.begin(key, request.source, job.disk.size)
            told = rehearsed(job, DEFAULT, _counting(board, key)).to_dict()
        return conversions.json_line(told) if self._as_json else conversions.measured(told)

    def _shown(self, told: dict[str, object], *, earlier: bool) -> str:
        show = conversions.json_line if self._as_json else conversions.text
        return show(told, earlier=earlier)

    def convert(self, requests: list[Request], *, jobs: int, journal: str | None, resume: bool) -> None:
        """Convert them, tell what became of each, and of all at the end."""
        self._batch = self._batch or len(requests) > 1
        if journal is not None:
            _apart(journal, requests)
            if _real_folder(journal) in {_real_folder(request.target) for request in requests}:
                _folder(os.path.dirname(journal) or ".")
        with ExitStack() as stack:
            kept = stack.enter_context(Journal(journal, resume=resume)) if journal is not None else None
            board = stack.enter_context(Board(len(requests), self._progress, self._quiet))

            def watch(request: Request, job: Job) -> None:
                board.begin(_key(request), request.source, job.work)
                _folder(os.path.dirname(request.target.rstrip(os.sep)) or ".")  # there will be something in it

            for outcome in run_all(
                requests,
                jobs=jobs,
                journal=kept,
                progress=lambda request: _counting(board, _key(request)),
                watch=watch,
            ):
                board.end(_key(outcome.request))
                self._tell(outcome)
        if self._batch and not self._as_json and not self._quiet:
            sys.stdout.write(conversions.summary(self._done, self._failed))
        if self._batch and self._objects:
            sys.stderr.write(conversions.summary_line(self._done, self._failed))

    def _tell(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.failed(outcome.request.source, outcome.error)
            return
        earlier = outcome.conversion is None
        told = outcome.conversion.to_dict() if outcome.conversion is not None else outcome.earlier or {}
        self._done.append((told, earlier))
        if self._as_json or not (self._quiet or self._batch):
            sys.stdout.write(self._shown(told, earlier=earlier))
        sys.stdout.flush()


def requests_of(
    sources: list[str],
    common: Request,
    output: str | None,
    out_dir: str | None,
    work: Converting,
    journal: str | None = None,
) -> list[Request]:
    """One request for each disk of each source. `journal`: of the run that is resumed, whose targets are no sources.
    Raises UsageError where targets are not clear."""
    if output is not None and len(sources) != 1:
        raise UsageError(
            f"--output names one target, and there are {len(sources)} sources; name a folder by --out-dir"
        )
    if "-" in sources:
        raise UsageError("a disk must be read at any place, which standard input cannot; name a file")
    to = "ami" if common.machine else common.to.name
    made: list[Request] = []
    looked: dict[str, Inside] = {}
    if common.member is None and common.format is None:
        for path in sources:
            try:
                looked[path] = look_inside(path, device=common.device, follow=common.follow)
            except ImgtoolError as error:
                work.failed(path, error)
        parts = parts_of_others(looked)
        for path, whole in parts.items():
            work.left_out(path, whole)
        sources = [path for path in sources if path in looked and path not in parts]
    for path in sources:
        several = looked[path].disks if path in looked else ()
        if output is not None:
            if several:
                raise UsageError(_several(path, several))
            made.append(common._replace(source=path, target=output))
            continue
        for name in several or (common.member,):
            target = target_name(path, name, to, out_dir or ".")
            made.append(common._replace(source=path, target=target, member=name))
    if journal is not None:
        made = _without_targets(made, journal, work)
    one_target_each(made)
    return made


def _without_targets(requests: list[Request], journal: str, work: Converting) -> list[Request]:
    """Those whose source is not what the run that is resumed wrote; the others are said."""
    _apart(journal, requests)
    written = targets_of_others(requests, Journal(journal, resume=True, write=False))
    for path, source in written.items():
        work.left_out(path, source, "target")
    return [request for request in requests if request.source not in written]


def _several(path: str, names: Iterable[str | None]) -> str:
    known = ", ".join(str(name) for name in list(names)[:10])
    return f"{path}: several disks in it ({known}); name one by --member, or a folder by --out-dir"


def _apart(journal: str, requests: Iterable[Request]) -> None:
    """Raises UsageError where the journal would be written over a source, or a target over it."""
    place = os.path.realpath(journal)
    for request in requests:
        for path in (request.source, request.target):
            if os.path.realpath(path) == place:
                raise UsageError(f"{journal}: is the journal and {path}, too; name another file by --journal")


def _real_folder(path: str) -> str:
    """Where a file is, however that is spelled."""
    return os.path.realpath(os.path.dirname(path))


def _folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot make the folder: {error.strerror}") from error


def _key(request: Request) -> tuple[str, str | None, str]:
    return request.source, request.member, request.target


def _counting(board: Board, key: object) -> Callable[[int], None]:
    return lambda count: board.count(key, count)
