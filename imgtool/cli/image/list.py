"""imgtool image list: the images that one sees, filtered, sorted, a page at a time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from imgtool.cli.frame import AsJson, epilog, verb
from imgtool.cli.records import ContainerFormat, DiskFormat, Owner, Protected, Tags, Visibility, parsed_properties
from imgtool.cli.settings import AccessFile, ActAs, CatalogPlace, ConfigFile, opened

if TYPE_CHECKING:
    from imgtool.catalog.listing import Filters
    from imgtool.model.image import MemberStatus

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = (
    "imgtool image list",
    "imgtool image list --long --sort size:desc,name",
    "imgtool image list --status active --status deactivated --visibility shared --owner ops",
    "imgtool image list --disk-format qcow2 --container-format bare --tag linux --property os_distro=debian",
    "imgtool image list --name web --unprotected --json",
    "imgtool image list --protected --limit 10",
    "imgtool image list --as carol:lab:member --member-status pending",
    'imgtool image list --limit 2 --marker "$(imgtool image list --limit 2 --json | tail -1 | jq -r .id)"',
)


@app.command("list", epilog=epilog(*EXAMPLES))
@verb
def command(
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", metavar="STATUS", help="Only of this status; repeatable. Else all but deleted ones."
        ),
    ] = None,
    visibility: Visibility = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only of this name.")] = None,
    tag: Tags = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", metavar="NAME=VALUE", help="With this property; repeatable.")
    ] = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    owner: Owner = None,
    protected: Protected = None,
    member_status: Annotated[
        str,
        typer.Option(
            "--member-status",
            metavar="pending|accepted|rejected|all",
            help="Of what is shared with one's project: what that said to it.",
        ),
    ] = "accepted",
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="KEY[:asc|desc],…", help="The order; else the newest first."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="At most so many.")] = None,
    marker: Annotated[
        str | None, typer.Option("--marker", metavar="ID", help="Those behind this one: the next page.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="With formats, size, visibility, owner and tags.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    catalog: CatalogPlace = None,
    act_as: ActAs = None,
    access: AccessFile = None,
) -> None:
    """List images: one's own, public ones, and those that one's project accepted. Administrators see all."""
    from imgtool.catalog.listing import DEFAULT_SORT, parse_sort, parse_status
    from imgtool.render.images import json_line, list_table

    filters = _filters(
        visibility, disk_format, container_format, tuple(tag or ()), parsed_properties(properties)
    )._replace(status=tuple(map(parse_status, status or ())), name=name, owner=owner, protected=protected)
    order = DEFAULT_SORT if sort is None else parse_sort(sort)
    with opened(config, catalog, act_as, access) as there:
        found = there.list(filters, order, limit=limit, marker=marker, member_status=_member_status(member_status))
    if as_json:
        sys.stdout.writelines(map(json_line, found))
    else:
        sys.stdout.write(list_table(found, long=long))


def _filters(
    visibility: str | None,
    disk_format: str | None,
    container_format: str | None,
    tags: tuple[str, ...],
    properties: dict[str, str],
) -> Filters:
    """Filters with what must be one of a few words, or is known by other names. Raises UsageError."""
    from imgtool.catalog import records
    from imgtool.catalog.listing import Filters
    from imgtool.policy import names

    return Filters(
        visibility=None if visibility is None else records.visibility(visibility),
        disk_format=None if disk_format is None else names.disk_format(disk_format),
        container_format=None if container_format is None else names.container_format(container_format),
        tags=tags,
        properties=tuple(properties.items()),
    )


def _member_status(text: str) -> MemberStatus | Literal["all"]:
    from imgtool.catalog import records

    return cast("Literal['all']", text) if text == "all" else records.member_status(text)
