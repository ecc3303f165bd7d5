"""imgtool image create, upload, show: what comes in, what is refused, what is told of it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import jsonschema

from imgtool.model.schema import SCHEMAS
from tests.catalog.made import ID
from tests.catalog.typed import CAROL, DAVE, OTTO, RITA, Typed, table_of
from tests.kit import fixture

GOOD = fixture("qcow2/plain.qcow2")
MD5 = hashlib.md5(GOOD).hexdigest()
SHA512 = hashlib.sha512(GOOD).hexdigest()
SHA256 = hashlib.sha256(GOOD).hexdigest()


def test_the_table_of_a_record(typed: Typed) -> None:
    """In order of the fields' names, those of the image service; properties on lines of their own."""
    done = typed("create", "web-12", "--id", ID, "--file", "disk.img", "--property", "a=1", "--property", "b=x=y")
    assert (done.exit_code, done.stderr) == (0, "")
    times = re.findall(r"^(?:created|updated)_at +(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$", done.stdout, re.MULTILINE)
    assert len(times) == 2
    assert done.stdout.splitlines() == [
        f"checksum          {MD5}",
        "container_format  bare",
        f"created_at        {times[0]}",
        "disk_format       qcow2",
        f"id                {ID}",
        "min_disk          0",
        "min_ram           0",
        "name              web-12",
        "os_hash_algo      sha512",
        f"os_hash_value     {SHA512}",
        "owner             ops",
        "properties        a=1",
        "                  b=x=y",
        "protected         False",
        "size              1792",
        "status            active",
        "tags              []",
        f"updated_at        {times[1]}",
        "virtual_size      1048576",
        "visibility        shared",
    ]
    assert typed("show", ID).stdout == done.stdout


def test_what_is_said_stands_in_the_record(typed: Typed) -> None:
    """Every option; the object is of its schema."""
    record = typed.one(
        *("create", "web-12", "--file", "disk.img", "--disk-format", "qcow2", "--container-format", "bare"),
        *("--visibility", "community", "--protected", "--tag", "b", "--tag", "a", "--tag", "b"),
        *("--property", "os_distro=debian", "--min-disk", "2", "--min-ram", "512", "--id", ID, "--owner", "lab"),
        *("--policy", "strict", "--expect", f"sha256:{SHA256}", "--expect", f"md5:{MD5}", "--checksum", "sha1"),
    )
    expected = {
        **{"schema": "imgtool.image/1", "id": ID, "name": "web-12", "status": "active", "visibility": "community"},
        **{"protected": True, "owner": "lab", "tags": ["a", "b"], "disk_format": "qcow2", "container_format": "bare"},
        **{"size": 1792, "virtual_size": 1048576, "checksum": MD5, "os_hash_algo": "sha512", "os_hash_value": SHA512},
        **{"min_disk": 2, "min_ram": 512, "reason": None, "properties": {"os_distro": "debian"}},
    }
    assert {**record, **expected} == record
    assert set(record) - set(expected) == {"created_at", "updated_at"}
    verdict = json.loads(typed("show", ID, "--report", "--json").stdout)
    jsonschema.validate(verdict, SCHEMAS["verdict"]())
    assert (verdict["accepted"], verdict["policy"], verdict["path"]) == (True, "strict", "disk.img")
    assert verdict["report"]["checksums"] == {
        **{"md5": MD5, "sha512": SHA512, "sha256": SHA256, "sha1": hashlib.sha1(GOOD).hexdigest()}
    }


def test_quiet_prints_the_id(typed: Typed) -> None:
    """One line for scripts, also of an image that was reserved, and of one that was refused."""
    done = typed("create", "web-12", "--id", ID, "-q")
    assert (done.exit_code, done.stdout) == (0, f"{ID}\n")
    assert typed("upload", ID, "--file", "disk.img", "--quiet").stdout == f"{ID}\n"
    refused = typed("create", "bad", "--file", "hostile.img", "-q")
    assert refused.exit_code == 1
    assert typed.one("show", refused.stdout.strip())["status"] == "killed"


def test_what_validation_refuses_is_killed(typed: Typed) -> None:
    """Status 1; the record that is left on stdout, the findings on stderr as `validate` has them, then the reason."""
    validated = typed("hostile.img", group="validate")
    assert validated.exit_code == 1
    done = typed("create", "bad", "--file", "hostile.img")
    reason = "IMG101 external-reference: backing: 'base.qcow2'"
    assert done.exit_code == 1
    assert done.stderr == f"{validated.stdout}imgtool: {reason}\n"
    left = table_of(done.stdout)
    assert (left["status"], left["reason"], left["size"], left["checksum"]) == ("killed", reason, "-", "-")
    assert typed("show", "--report", "bad").stdout == validated.stdout
    assert [one["after"] for one in typed.objects("history", "bad", schema="change")] == [
        "queued",
        "saving",
        "killed",
    ]
    assert not any(name.startswith(left["id"]) for name in stored(typed))


def test_a_refusal_as_json(typed: Typed) -> None:
    """The record as an object on stdout, an object of type error on stderr."""
    done = typed("create", "bad", "--file", "hostile.img", "--json")
    assert done.exit_code == 1
    record = json.loads(done.stdout)
    assert record["status"] == "killed"
    assert json.loads(done.stderr) == {
        **{"type": "error", "code": "rejected", "exit": 1, "message": record["reason"]}
    }


def test_claims_must_hold(typed: Typed, tmp_path: Path) -> None:
    """A stated format, a digest, and a disk of so many GiB are claims: what does not hold kills."""
    for claim, code in (
        (("--disk-format", "raw"), "IMG010"),
        (("--container-format", "ova"), "IMG011"),
        (("--expect", "md5:" + "0" * 32), "IMG301"),
    ):
        done = typed("create", "odd", "--file", "disk.img", *claim)
        left = table_of(done.stdout)
        assert (done.exit_code, left["status"], left["reason"].partition(" ")[0]) == (1, "killed", code)
    three = typed.folder / "three.img"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", three, "3G"], check=True)
    small = typed("create", "three", "--file", "three.img", "--min-disk", "2")
    assert small.exit_code == 1
    assert table_of(small.stdout)["reason"].startswith("IMG204 larger-than-min-disk: the virtual size is 3 GiB")
    assert typed.one("create", "four", "--file", "three.img", "--min-disk", "3")["min_disk"] == 3
    assert typed.one("create", "five", "--file", "three.img")["min_disk"] == 0


#: What is wrong with a call: its words, the status, what is said.
WRONG: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("--file", "nothing"), 3, "nothing: No such file or directory"),
    (("--file", "catalog"), 3, "catalog: "),
    (("--file", "disk.img", "--policy", "nobody"), 2, "no such policy: 'nobody'"),
    (("--file", "disk.img", "--policy", "no/such.toml"), 2, "no/such.toml: No such file"),
    (("--file", "disk.img", "--expect", "md5"), 2, "md5"),
    (("--file", "disk.img", "--expect", "md5:zz"), 2, "md5 has 32 hex digits, not 'zz'"),
    (("--file", "disk.img", "--checksum", "crc7"), 2, "crc7"),
    (("--file", "disk.img", "--import", "steal"), 2, "by copy, move or link, not by 'steal'"),
    (("--file", "-", "--import", "move"), 2, "a stream cannot be imported by move"),
    (("--file", "disk.img", "--progress", "loud"), 2, "--progress is auto, json or none"),
    (("--file", "disk.img", "--visibility", "secret"), 2, "no such visibility: 'secret'"),
    (("--file", "disk.img", "--disk-format", "floppy"), 2, "no such disk format: 'floppy'"),
    (("--file", "disk.img", "--container-format", "box"), 2, "no such container format: 'box'"),
    (("--file", "disk.img", "--disk-format", "ami", "--container-format", "bare"), 2, "of ami both must be"),
    (("--file", "disk.img", "--id", "web"), 2, "an image's id is a UUID, not 'web'"),
    (("--file", "disk.img", "--property", "lonely"), 2, "--property is NAME=VALUE, not 'lonely'"),
    (("--file", "disk.img", "--property", "=x"), 2, "--property is NAME=VALUE"),
    (("--file", "disk.img", "--property", "a=1", "--property", "a=2"), 2, "--property a is given as '1' and as '2'"),
    (("--file", "disk.img", "--property", "status=active"), 6, "status is set by the catalog alone"),
    (("--file", "disk.img", "--property", "owner=me"), 6, "owner is a field of its own"),
    (("--file", "disk.img", "--property", "os_glance_x=1"), 6, "'os_glance_x' is a reserved name"),
    (("--file", "disk.img", "--min-disk", "-1"), 2, "min_disk: -1 is not between 0 and"),
    (("--file", "disk.img", "--min-disk", "10G"), 2, "10G"),
    (("--file", "disk.img", "--min-ram", "3000000000"), 2, "min_ram: 3000000000 is not between 0 and"),
    (("--policy", "strict"), 2, "name it by --file"),
    (("--expect", f"md5:{MD5}"), 2, "name it by --file"),
)


def test_what_is_wrong_is_told_before_anything_is_made(typed: Typed) -> None:
    """The status and the reason of each; no record is left of any."""
    before = typed.names()
    for words, status, said in WRONG:
        found, told = typed.refused("create", "fresh", *words, stdin=GOOD)
        assert (found, said in told) == (status, True), (words, found, told)
    assert typed.names() == before


def test_an_image_without_data(typed: Typed) -> None:
    """It is reserved: queued, without size, checksums and formats that nobody stated; ami fills the other format."""
    record = typed.one("create", "fresh")
    assert (record["status"], record["disk_format"], record["size"], record["checksum"]) == ("queued", *[None] * 3)
    amazon = typed.one("create", "kernel", "--disk-format", "aki")
    assert (amazon["disk_format"], amazon["container_format"]) == ("aki", "aki")


def test_standard_input(typed: Typed) -> None:
    """A stream comes in as a file does, and is read to its end."""
    record = typed.one("create", "piped", "--file", "-", stdin=GOOD)
    assert (record["status"], record["disk_format"], record["checksum"]) == ("active", "qcow2", MD5)
    empty = typed("create", "nothing", "--file", "-", stdin=b"")
    assert empty.exit_code == 1
    assert table_of(empty.stdout)["status"] == "killed"
    short = typed("create", "short", "--file", "-", "--expect", f"sha512:{SHA512}", stdin=GOOD[:-1])
    assert short.exit_code == 1
    assert typed.one("show", "short")["status"] == "killed"


def test_upload(typed: Typed) -> None:
    """Into an image that waits for data, and into one whose upload failed; formats stated before must hold."""
    assert typed.one("upload", "reserved", "--file", "disk.img")["status"] == "active"
    status, told = typed.refused("upload", "reserved", "--file", "disk.img")
    assert status == 6
    assert "is active: only a queued image takes data" in told
    assert typed("create", "again", "--disk-format", "raw").exit_code == 0
    failed = typed("upload", "again", "--file", "disk.img", "--policy", "strict")
    assert (failed.exit_code, table_of(failed.stdout)["status"]) == (1, "killed")
    assert typed.refused("upload", "again", "--file", "nothing")[0] == 3
    whole = typed.one("upload", "again", "--file", "other.img", "--checksum", "sha256", "--import", "copy")
    assert (whole["status"], whole["reason"], whole["disk_format"], whole["size"]) == ("active", None, "raw", 1 << 20)
    statuses = [one["after"] for one in typed.objects("history", "again", schema="change")]
    assert statuses == ["queued", "saving", "killed", "queued", "saving", "active"]
    assert typed.refused("upload", "reserved")[0] == 2


def test_ways_into_the_store(typed: Typed) -> None:
    """A moved file is gone once the image is active, and stays where it is refused; a linked one is shared."""
    moved = typed.one("create", "moved", "--file", "disk.img", "--import", "move")
    assert not (typed.folder / "disk.img").exists()
    assert typed("create", "bad", "--file", "hostile.img", "--import", "move").exit_code == 1
    assert (typed.folder / "hostile.img").exists()
    linked = typed.one("create", "linked", "--file", "other.img", "--import", "link")
    blob = typed.folder / "catalog" / "blobs" / f"{linked['id']}.1"
    assert blob.samefile(typed.folder / "other.img")
    assert typed("verify", "linked", moved["id"]).exit_code == 0
    with open(typed.folder / "other.img", "r+b") as file:
        file.write(b"x")
    assert typed("verify", "linked").exit_code == 1


def test_quotas(typed: Typed) -> None:
    """Too many images, or bytes, are refused before one is made; a stream of too many is killed on its way."""
    full = Typed(typed.folder, more={"IMGTOOL_QUOTAS_OWNER_IMAGES": "7"})
    status, told = full.refused("create", "more")
    assert (status, told) == (6, "imgtool: ops has 7 images, and may have 7\n")
    heavy = Typed(typed.folder, more={"IMGTOOL_QUOTAS_BYTES": "1M"})
    status, told = heavy.refused("create", "more", "--file", "disk.img")
    assert status == 6
    assert "imgtool: the catalog has " in told
    assert typed("list", "--name", "more", "--json").stdout == ""
    most = sum(one["size"] or 0 for one in map(json.loads, typed("list", "--json").stdout.splitlines()))
    tight = Typed(typed.folder, more={"IMGTOOL_QUOTAS_BYTES": str(most + (8 << 20))})
    done = tight("create", "more", "--file", "-", "--disk-format", "raw", stdin=bytes(64 << 20))
    assert (done.exit_code, table_of(done.stdout)["status"]) == (6, "killed")
    assert "more than 8 MiB, which is all that the quotas leave" in done.stderr


def test_who_may_create(typed: Typed) -> None:
    """Readers may not; members for their own project, but nothing public; an administrator for others."""
    assert typed.refused("create", "mine", who=RITA)[0] == 6
    record = typed.one("create", "mine", "--file", "disk.img", who=DAVE)
    assert (record["owner"], record["visibility"]) == ("other", "shared")
    assert typed.refused("create", "loud", "--visibility", "public", who=DAVE)[0] == 6
    assert typed.refused("create", "given", "--owner", "lab", who=DAVE)[0] == 6
    assert typed.one("create", "given", "--owner", "lab")["owner"] == "lab"
    assert typed.refused("upload", "given", "--file", "disk.img", who=OTTO)[0] == 3
    private = Typed(typed.folder, more={"IMGTOOL_CATALOG_VISIBILITY": "private"})
    assert private.one("create", "quiet", who=DAVE)["visibility"] == "private"
    twice = typed.refused("create", "other", "--id", record["id"], who=CAROL)
    assert twice == (6, f"imgtool: an image with the id {record['id']} exists, or existed\n")


def test_reports(typed: Typed) -> None:
    """An image without data has none; what one does not see is not there."""
    status, told = typed.refused("show", "reserved", "--report")
    assert (status, told) == (3, "imgtool: image 'reserved' has no report: no data came yet\n")
    assert typed("show", "web", "--report").stdout.endswith("/disk.img: accepted (policy default)\n")
    assert typed.refused("show", "web", "--report", who=DAVE) == (3, "imgtool: no image 'web'\n")


def test_no_catalog(typed: Typed, tmp_path: Path) -> None:
    """Said with what makes one; nothing is made."""
    nowhere = Typed(tmp_path, place="none")
    status, told = nowhere.refused("create", "web", "--file", "here/disk.img")
    assert (status, told) == (3, f"imgtool: {tmp_path}/none: no catalog is there; `imgtool catalog init` makes one\n")
    assert not (tmp_path / "none").exists()


def stored(typed: Typed) -> list[str]:
    """The files of the store."""
    return sorted(path.name for name in ("blobs", "uploads") for path in (typed.folder / "catalog" / name).iterdir())
