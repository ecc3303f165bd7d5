"""What the verbs share that bring data in: where it comes from, what must hold of it, what is told of a failure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from imgtool.cli.batch import file_size
from imgtool.cli.inputs import readable
from imgtool.cli.progress import Meter
from imgtool.cli.records import show_record
from imgtool.errors import ImgtoolError, RejectedError

if TYPE_CHECKING:
    from imgtool.catalog.service import Catalog
    from imgtool.model.image import ImageRecord

Import = Annotated[
    str | None,
    typer.Option(
        "--import",
        metavar="copy|move|link",
        help="How a file comes into the store. What is linked is verified whenever it is read.",
    ),
]
PolicyName = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME|FILE", help="What the data must satisfy; else the catalog's policy."),
]
Expect = Annotated[
    list[str] | None, typer.Option("--expect", metavar="ALG:HEX", help="Digest that the data must have; repeatable.")
]
Checksum = Annotated[
    list[str] | None,
    typer.Option("--checksum", metavar="ALG", help="A digest to compute besides md5 and sha512; repeatable."),
]
OnlyId = Annotated[bool, typer.Option("--quiet", "-q", help="Print the id alone, and no progress.")]


class Wanted(NamedTuple):
    """What was asked of an upload. `file`: a path, or - for standard input."""

    file: str
    how: str | None
    policy: str | None
    expect: list[str] | None
    checksums: list[str] | None
    progress: str
    quiet: bool
    as_json: bool


def bring(there: Catalog, wanted: Wanted, take: Callable[..., ImageRecord]) -> ImageRecord:
    """Have data taken, with progress. Where it fails, the record that is left of it is shown, and the findings.

    `take`: `create` or `upload` of the catalog, with the image.
    """
    begun: list[ImageRecord] = []
    try:
        with Meter(wanted.file, file_size(wanted.file), wanted.progress, wanted.quiet) as meter:
            return take(
                readable(wanted.file),
                how=wanted.how,
                policy=wanted.policy,
                expect=wanted.expect or (),
                checksums=wanted.checksums or (),
                progress=meter,
                begun=begun.append,
            )
    except (ImgtoolError, KeyboardInterrupt) as error:
        if begun:
            _left(there, begun[0].id, isinstance(error, RejectedError), wanted)
        raise


def show_new(record: ImageRecord, *, as_json: bool, quiet: bool) -> None:
    """The record of an image that came, or failed; quietly its id."""
    if quiet and not as_json:
        sys.stdout.write(f"{record.id}\n")
    else:
        show_record(record, as_json=as_json, quiet=False)


def _left(there: Catalog, identifier: str, rejected: bool, wanted: Wanted) -> None:
    from imgtool.render import verdicts

    try:
        record = there.show(identifier)
        told_in_json = wanted.as_json or wanted.progress == "json"
        report = there.report(identifier) if rejected and not told_in_json else None
    except ImgtoolError:  # what failed is told as it is
        return
    show_new(record, as_json=wanted.as_json, quiet=wanted.quiet)
    sys.stdout.flush()
    if report is not None:
        sys.stderr.write(verdicts.text(verdicts.kept(report)))
