"""imgtool convert: images into another format, proved."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from imgtool.cli.disk import Follow, FollowIn, Format, Member, Snapshot
from imgtool.cli.frame import (
    AsJson,
    Device,
    Files0From,
    Jobs,
    Quiet,
    Recursive,
    ShowProgress,
    epilog,
    leave,
    verb,
)
from imgtool.cli.inputs import inputs
from imgtool.cli.targets import (
    Align,
    Compress,
    Engine,
    IfUnsafe,
    Level,
    Options,
    PolicyName,
    To,
    parsed_options,
)
from imgtool.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: The journal of a batch in its folder.
JOURNAL = ".imgtool-journal.jsonl"

EXAMPLES = (
    "imgtool convert disk.img --to qcow2 --output new.qcow2",
    "imgtool convert disk.img --to qcow2 --compress zstd --level 3 --out-dir out",
    "imgtool convert disk.img other.img --to vmdk --option subformat=streamOptimized --out-dir out --jobs 2",
    "imgtool convert --recursive images --to qcow2 --out-dir out --resume",
    "imgtool convert disk.img other.img --to vdi --out-dir out --journal batch.jsonl --json",
    "imgtool convert disk.img --to vhd --option subformat=fixed --align 1MiB --output azure.vhd",
    "imgtool convert --to qcow2 --option help",
    "imgtool convert disk.img --to qcow2 --dry-run --out-dir plan",
    "imgtool convert disk.img --to vhdx --engine qemu-img --verify none --progress none --quiet --force -o new.vhdx",
    "imgtool convert snapshots.img --snapshot first --format qcow2 --to raw --output first.raw",
    "imgtool convert disk.img --follow --follow-in images --if-unsafe allow:QCW501 --to raw -o flat.raw",
    "imgtool convert appliance.ova --member disk1.vmdk --policy permissive --to raw -o one.raw",
    "imgtool convert disk.img --to luks --option iter-time=10 --secret-file pass.txt -o disk.luks",
    "find images -type f -print0 | imgtool convert --files0-from - --to raw --out-dir out --device",
)


Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="OUT", help="The target, where there is one source.")
]
OutDir = Annotated[
    str | None, typer.Option("--out-dir", metavar="DIR", help="A folder for the targets; made where it is missing.")
]
Verify = Annotated[
    str, typer.Option("--verify", metavar="content|none", help="Read the target back and compare the guest's bytes.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace a target that exists (of a link: the link), when the new one is whole."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done and lost, and how large it gets; write nothing.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Leave out what an earlier run with the same journal did and proved.")
]
JournalFile = Annotated[
    str | None,
    typer.Option("--journal", metavar="FILE", help="Where a batch writes what is done; else in the --out-dir."),
]
SecretFile = Annotated[
    str | None, typer.Option("--secret-file", metavar="FILE", help="Holds the passphrase of a luks target.")
]


@app.command("convert", epilog=epilog(*EXAMPLES))
@verb
def command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="SRC...", help="Images.")] = None,
    to: To = "",
    output: Output = None,
    out_dir: OutDir = None,
    compress: Compress = None,
    level: Level = None,
    option: Options = None,
    engine: Engine = "auto",
    align: Align = None,
    verify: Verify = "content",
    force: Force = False,
    dry_run: DryRun = False,
    resume: Resume = False,
    journal: JournalFile = None,
    if_unsafe: IfUnsafe = "reject",
    policy: PolicyName = "default",
    secret_file: SecretFile = None,
    format: Format = None,
    snapshot: Snapshot = None,
    member: Member = None,
    follow: Follow = False,
    follow_in: FollowIn = None,
    device: Device = False,
    recursive: Recursive = False,
    files0_from: Files0From = None,
    jobs: Jobs = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: ShowProgress = "auto",
) -> None:
    """Write images in another format. A target appears when it is whole and its content was compared."""
    options = parsed_options(option, to)
    place = _journal(output, out_dir, journal, resume)
    from imgtool.cli.converting import Converting, requests_of
    from imgtool.conversion.api import request_of

    how: dict[str, Any] = {"options": options, "compress": compress, "level": level, "engine": engine}
    how |= {"align": align or 0, "verify": verify, "force": force, "secret_file": secret_file}
    what: dict[str, Any] = {"format": format, "snapshot": snapshot, "member": member, "device": device}
    what |= {"follow": follow if follow_in is None else follow_in, "policy": policy, "if_unsafe": if_unsafe}
    common = request_of("", output or out_dir or "", to, **how, **what)
    without = [one for one in (out_dir, place) if one is not None]
    sources = list(inputs(paths or [], recursive, files0_from, without, piped=False))
    work = Converting(as_json=as_json, quiet=quiet, progress=progress, batch=len(sources) > 1)
    requests = requests_of(sources, common, output, out_dir, work, place if resume else None)
    if dry_run:
        work.tell_plans(requests, place if resume else None)
    else:
        wanted = journal is not None or resume or len(requests) > 1
        work.convert(requests, jobs=jobs, journal=place if wanted else None, resume=resume)
    leave(work.status())


def _journal(output: str | None, out_dir: str | None, journal: str | None, resume: bool) -> str | None:
    """Where a journal would be. Raises UsageError where it is not clear what is written where."""
    if (output is None) == (out_dir is None):
        raise UsageError("say where to: --output OUT for one source, or --out-dir DIR")
    if "" in (output, out_dir):
        raise UsageError("the name of a target is empty; name a file by --output, or a folder by --out-dir")
    if output == "-":
        raise UsageError("a target is written at any place and read back, which a pipe cannot; name a file")
    if journal is None and out_dir is not None:
        return os.path.join(out_dir, JOURNAL)
    if journal is None and resume:
        raise UsageError("--resume goes by a journal: name it by --journal FILE, or give a folder by --out-dir")
    return journal
