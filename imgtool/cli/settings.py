"""Options that overrule the configuration, as every verb of the catalog takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imgtool.config.config import Config

if TYPE_CHECKING:
    from imgtool.catalog.service import Catalog

ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Read this file instead of the user's imgtool.toml.")
]
CatalogPlace = Annotated[
    str | None, typer.Option("--catalog", metavar="FOLDER|URL", help="The catalog: a folder, or a database URL.")
]
ActAs = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="USER:PROJECT:ROLE,…",
        help="Who acts: a label for records and access rules, no security boundary.",
    ),
]
AccessFile = Annotated[
    str | None,
    typer.Option("--access", metavar="FILE", help="Access rules over the built-in ones, YAML or JSON."),
]


def configured(file: str | None, **options: str | None) -> Config:
    """The configuration under options, each named by its field of `Config` (`location`, `acting` …).

    Raises UsageError with every fault of the file, the environment and the options.
    """
    from imgtool.config.keys import KEYS
    from imgtool.config.load import load_config

    names = {key.field: key.name for key in KEYS}
    given = {names[field]: text for field, text in options.items() if text is not None}
    return load_config(given, file=file)


def opened(
    file: str | None,
    catalog: str | None,
    act_as: str | None,
    access: str | None,
    *,
    create: bool = False,
    **options: str | None,
) -> Catalog:
    """The catalog under options. `create`: make it where there is none. Raises as `configured` and `Catalog.open`."""
    from imgtool.catalog.service import Catalog

    config = configured(file, location=catalog, acting=act_as, access=access, **options)
    return Catalog.open(config=config, create=create)
