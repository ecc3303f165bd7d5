"""Flavors: the usual ones, one's own, who sees and makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imgtool.catalog.access import load_access
from imgtool.catalog.database import Database
from imgtool.catalog.flavors import Flavors
from imgtool.catalog.ground import Ground
from imgtool.catalog.identity import parse_identity
from imgtool.catalog.store import LocalStore
from imgtool.config.config import Config
from imgtool.errors import NotFoundError, RefusedError, UsageError
from imgtool.model.instance import Flavor

OWN = Flavor(name="build", vcpus=3, ram=777, disk=5, ephemeral=2, swap=64, public=True)


class Everybody:
    """The flavors of one catalog as anybody sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, who: str = "root:ops:admin") -> Flavors:
        return Flavors(Ground(self._database, LocalStore("/"), load_access(), parse_identity(who), Config()))


@pytest.fixture
def as_(database: Database) -> Everybody:
    """On either kind of database."""
    return Everybody(database)


def test_the_usual_ones(as_: Everybody) -> None:
    """As an installation has them: vCPUs, MiB, GiB; the smallest first."""
    told = [(one.name, one.vcpus, one.ram, one.disk) for one in as_("ann:lab:reader").list()]
    assert told == [
        ("m1.tiny", 1, 512, 1),
        ("m1.small", 1, 2048, 20),
        ("m1.medium", 2, 4096, 40),
        ("m1.large", 4, 8192, 80),
        ("m1.xlarge", 8, 16384, 160),
    ]
    assert all((one.ephemeral, one.swap, one.public) == (0, 0, True) for one in as_().list())


def test_one_is_made_shown_and_deleted(as_: Everybody) -> None:
    """By administrators; a name is there once."""
    assert as_().create(OWN) == OWN
    assert as_("ann:lab:member").show("build") == OWN
    assert [one.name for one in as_().list()][:3] == ["m1.tiny", "build", "m1.small"]
    with pytest.raises(RefusedError, match="a flavor 'build' exists"):
        as_().create(OWN)
    as_().delete("build")
    with pytest.raises(NotFoundError, match="no flavor 'build'"):
        as_().show("build")
    with pytest.raises(NotFoundError, match="no flavor 'build'"):
        as_().delete("build")
    assert as_().create(OWN) == OWN


def test_who_may(as_: Everybody) -> None:
    """Members look; what is not public is not there for them."""
    ann = as_("ann:lab:member")
    with pytest.raises(RefusedError, match="add flavor"):
        ann.create(OWN)
    with pytest.raises(RefusedError, match="delete flavor"):
        ann.delete("m1.tiny")
    hidden = replace(OWN, name="hidden", public=False)
    as_().create(hidden)
    assert as_().show("hidden") == hidden
    assert "hidden" not in [one.name for one in ann.list()]
    for act in (ann.show, ann.delete):
        with pytest.raises(NotFoundError, match="no flavor 'hidden'"):
            act("hidden")
    with pytest.raises(RefusedError, match="get flavors"):
        as_("eve:lab:guest").list()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "the name of a flavor has 1 to 255 characters"),
        ("name", "x" * 256, "the name of a flavor has 1 to 255 characters"),
        ("name", "a\x1b[31m", "the name of a flavor has a control character"),
        ("vcpus", 0, "vcpus: 0 is less than 1"),
        ("ram", 0, "ram: 0 is less than 1"),
        ("disk", -1, "disk: -1 is not between 0 and 2147483647"),
        ("ephemeral", 2**31, "ephemeral: 2147483648 is not between"),
        ("swap", -5, "swap: -5 is not between"),
    ],
)
def test_what_is_no_flavor(as_: Everybody, field: str, value: object, said: str) -> None:
    """Names and sizes within their bounds, and nothing is kept of what is not."""
    with pytest.raises(UsageError) as caught:
        as_().create(replace(OWN, **{field: value}))  # type: ignore[arg-type] # one field, of its kind
    assert said in str(caught.value)
    assert len(as_().list()) == 5
