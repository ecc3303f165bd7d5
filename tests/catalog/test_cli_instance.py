"""imgtool flavor and imgtool instance, as typed."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from click.testing import Result

from imgtool.catalog.service import Catalog
from imgtool.config.config import Config
from imgtool.model.schema import SCHEMAS
from tests.catalog.seed import ADMIN, launched
from tests.catalog.typed import CAROL, DAVE, OTTO, RITA, Typed, table_of


@pytest.fixture
def typed(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Commands in a folder with a catalog that has instances; QEMU does nothing."""
    launched(typed.folder)
    monkeypatch.setenv("PATH", str(typed.folder / "bin"), prepend=":")
    return typed


def flavor(typed: Typed, *words: str, who: str = ADMIN) -> Result:
    """A verb of flavors."""
    return typed(*words, who=who, group="flavor")


def instance(typed: Typed, *words: str, who: str = ADMIN) -> Result:
    """A verb of instances."""
    return typed(*words, who=who, group="instance")


def objects(typed: Typed, group: str, *words: str) -> list[dict[str, Any]]:
    """What a verb prints as JSON lines, each of the schema of its group."""
    done = typed(*words, "--json", group=group)
    assert (done.exit_code, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for one in told:
        jsonschema.validate(one, SCHEMAS[group]())
    return told


def refused(done: Result) -> tuple[int, str]:
    """The status and the words of a command that fails and prints no result."""
    assert done.exit_code != 0
    assert done.stdout == ""
    return done.exit_code, done.stderr


def test_flavors_as_a_table_and_as_objects(typed: Typed) -> None:
    """The smallest memory first; one alone by its fields; each object is of the schema."""
    assert flavor(typed, "list").stdout.splitlines()[:2] == [
        "NAME       VCPUS  RAM    DISK  EPHEMERAL  SWAP  PUBLIC",
        "m1.tiny    1      512    1     0          0     True",
    ]
    assert table_of(flavor(typed, "show", "m1.small").stdout) == {
        **{"disk": "20", "ephemeral": "0", "name": "m1.small", "public": "True", "ram": "2048"},
        **{"swap": "0", "vcpus": "1"},
    }
    (told,) = objects(typed, "flavor", "show", "m1.xlarge")
    assert (told["schema"], told["ram"], told["disk"], told["vcpus"]) == ("imgtool.flavor/1", 16384, 160, 8)
    assert len(objects(typed, "flavor", "list")) == 5


def test_a_flavor_is_made_and_deleted(typed: Typed) -> None:
    """What is not said is one CPU, 256 MiB, and the image's own size; names on a terminal are escaped."""
    (made,) = objects(typed, "flavor", "create", "plain")
    assert (made["vcpus"], made["ram"], made["disk"], made["ephemeral"], made["swap"], made["public"]) == (
        *(1, 256, 0, 0, 0, True),
    )
    words = ("create", "odd\u202e", "--vcpus", "2", "--ram", "64", "--disk", "3", "--ephemeral", "4", "--swap", "5")
    told = table_of(flavor(typed, *words, "--private").stdout)
    assert (told["name"], told["public"], told["swap"]) == ("odd\\u202e", "False", "5")
    assert "odd" not in flavor(typed, "list", who=RITA).stdout
    assert flavor(typed, "create", "quiet", "-q").stdout == ""
    assert refused(flavor(typed, "create", "plain")) == (6, "imgtool: a flavor 'plain' exists\n")
    assert refused(flavor(typed, "create", "none", "--ram", "0")) == (2, "imgtool: ram: 0 is less than 1\n")
    assert refused(flavor(typed, "create", "mine", who=OTTO))[0] == 6
    assert flavor(typed, "delete", "odd\u202e").stdout == "odd\\u202e: deleted\n"
    done = flavor(typed, "delete", "plain", "nothing", "quiet", "-q")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "no flavor 'nothing'" in done.stderr
    assert refused(flavor(typed, "show", "plain"))[0] == 3


def test_an_instance_from_its_making_to_its_end(typed: Typed) -> None:
    """Made, shown, listed, kept as an image, deleted."""
    told = table_of(instance(typed, "create", "web1", "--image", "web", "--flavor", "m1.tiny").stdout)
    assert (told["name"], told["owner"], told["status"], told["flavor"]) == ("web1", "ops", "ready", "m1.tiny")
    assert (told["size"], told["disk"], told["ram"], told["vcpus"]) == (str(1 << 30), "1", "512", "1")
    assert table_of(instance(typed, "show", "web1").stdout) == told
    lines = instance(typed, "list", "--image", "web").stdout.splitlines()
    assert re.split(r"  +", lines[0]) == ["ID", "NAME", "STATUS", "IMAGE_ID", "FLAVOR"]
    assert re.split(r"  +", lines[1]) == [told["id"], "web1", "ready", told["image_id"], "m1.tiny"]
    long = instance(typed, "list", "--long", "--name", "web1").stdout.splitlines()
    assert re.split(r"  +", long[1])[5:9] == ["ops", str(1 << 30), "1", "512"]
    names = [one["name"] for one in objects(typed, "instance", "list")]
    assert sorted(names) == ["vm1", "vm2", "vm3", "web1"]
    assert refused(typed("delete", "web"))[0] == 6
    kept = table_of(instance(typed, "snapshot", "web1", "golden", "--progress", "none").stdout)
    assert (kept["name"], kept["status"], kept["visibility"], kept["min_disk"]) == (
        "golden",
        "active",
        "private",
        "1",
    )
    assert f"base_image_ref={told['image_id']}" in kept["properties"]
    assert instance(typed, "delete", "web1").stdout == f"{told['id']} web1: deleted\n"
    assert typed("delete", "web").exit_code == 0
    (gone,) = objects(typed, "instance", "delete", "vm1")
    assert gone["name"] == "vm1"


def test_several_are_deleted_and_each_failure_is_told(typed: Typed, impatient: None) -> None:
    """The worst one is the status; one that runs stays."""
    with Catalog.open(identity=ADMIN, config=Config(location=str(typed.folder / "catalog"))) as catalog:
        held = catalog.instances.show("vm2").id
        with catalog.instances.store.hold(held):
            done = instance(typed, "delete", "vm1", "nothing", "vm2", "vm3", "-q")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [
        "imgtool: no instance 'nothing'",
        f"imgtool: instance {held}: it runs, or another process is at it",
    ]
    assert [one["name"] for one in objects(typed, "instance", "list")] == ["vm2"]


def test_starting(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a verb of its own, and when it is made; a missing QEMU is 4, a failing one too."""
    assert instance(typed, "boot", "vm1", "--network", "--display", "--accel", "tcg").exit_code == 0
    done = instance(typed, "create", "web1", "--image", "web", "--flavor", "m1.tiny", "--boot", "--network")
    assert (done.exit_code, table_of(done.stdout)["name"]) == (0, "web1")
    new = ("create", "web2", "--image", "web", "--flavor", "m1.tiny")
    assert refused(instance(typed, *new, "--boot", "--json"))[0] == 2
    for word in (("--network",), ("--display",), ("--accel", "kvm")):
        code, said = refused(instance(typed, *new, *word))
        assert (code, said) == (2, "imgtool: --network, --display and --accel are for --boot\n")
    assert refused(instance(typed, "boot", "vm1", "--accel", "xen"))[0] == 3
    for program in (typed.folder / "bin").iterdir():
        program.write_text("#!/bin/sh\nexit 1\n")
    code, said = refused(instance(typed, "boot", "vm1"))
    assert (code, "ended with status 1" in said) == (4, True)
    monkeypatch.setenv("PATH", "/nowhere")
    code, said = refused(instance(typed, "boot", "vm1"))
    assert (code, "is not installed: " in said) == (4, True)


def test_who_may(typed: Typed) -> None:
    """Others' instances are not there; readers look; images that one may not read are none to stand on."""
    new = ("create", "mine", "--image", "public", "--flavor", "m1.tiny")
    assert instance(typed, *new, who=CAROL).exit_code == 0
    assert refused(instance(typed, "show", "mine", who=DAVE)) == (3, "imgtool: no instance 'mine'\n")
    assert refused(instance(typed, "delete", "vm1", who=DAVE)) == (3, "imgtool: no instance 'vm1'\n")
    assert instance(typed, "show", "vm1", who=RITA).exit_code == 0
    for words in (("delete", "vm1"), ("boot", "vm1"), ("snapshot", "vm1", "x"), new):
        assert refused(instance(typed, *words, who=RITA))[0] == 6
    code, said = refused(instance(typed, "boot", "vm1", who=OTTO))
    assert (code, "is deactivated: only an administrator starts instances over it" in said) == (6, True)
    assert refused(instance(typed, "create", "x", "--image", "web", "--flavor", "m1.tiny", who=DAVE))[0] == 3
    assert instance(typed, "delete", "vm1", "--quiet", who=OTTO).exit_code == 0


@pytest.mark.parametrize(
    ("name", "status", "shown"),
    [
        ("../../escape", 0, "../../escape"),
        ("a b;$(x)", 0, "a b;$(x)"),
        ("\u202edaolnwod", 0, "\\u202edaolnwod"),
        ("n" * 255, 0, "n" * 255),
        ("", 2, "has 1 to 255 characters"),
        ("n" * 256, 2, "has 1 to 255 characters"),
        ("\x1b[31mred", 2, "has a control character"),
        ("two\nlines", 2, "has a control character"),
        ("\udcff", 2, "is not UTF-8"),
    ],
)
def test_names_are_never_paths(typed: Typed, name: str, status: int, shown: str) -> None:
    """They are kept as they are, or refused; files are called by ids alone, and a terminal is not written to."""
    done = instance(typed, "create", "--image", "web", "--flavor", "m1.tiny", "--", name)
    assert done.exit_code == status
    if status:
        assert shown in done.stderr
    else:
        assert table_of(done.stdout)["name"] == shown
    files = [path.name for path in (typed.folder / "catalog" / "instances").iterdir()]
    assert all(re.fullmatch(r"[0-9a-f-]{36}\.root\.qcow2", one) for one in files)
    assert len(files) == 3 + (not status)
    assert not list(typed.folder.glob("escape*"))
    assert "\x1b" not in done.stdout + done.stderr


def test_errors_as_objects(typed: Typed) -> None:
    """With --json a failure is a line of its own on stderr."""
    done = instance(typed, "show", "nothing", "--json")
    assert (done.exit_code, done.stdout) == (3, "")
    assert '"code": "not-found"' in done.stderr
