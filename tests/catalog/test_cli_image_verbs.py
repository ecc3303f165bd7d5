"""imgtool image list, set, unset, tag, member, history, verify and the moves of status, as typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.catalog.typed import CAROL, DAVE, OTTO, RITA, Typed

SEEDED = ["appliance", "public", "quarantined", "reserved", "shared", "web"]


def identifiers(typed: Typed) -> dict[str, str]:
    """The ids of the images by their names, deleted ones too."""
    statuses = ("queued", "saving", "active", "deactivated", "killed", "pending_delete", "deleted")
    words = [word for status in statuses for word in ("--status", status)]
    return {one["name"]: one["id"] for one in typed.objects("list", *words)}


def test_list_as_a_table(typed: Typed) -> None:
    """Ids, names and statuses; with --long what else one asks of a list. Nothing found is the head alone."""
    ids = identifiers(typed)
    assert typed("list", "--sort", "name", "--limit", "2").stdout.splitlines() == [
        "ID                                    NAME       STATUS",
        f"{ids['appliance']}  appliance  active",
        f"{ids['public']}  public     active",
    ]
    heads, line = typed("list", "--long", "--name", "web").stdout.splitlines()
    assert heads.split() == [
        *("ID", "NAME", "DISK_FORMAT", "CONTAINER_FORMAT", "SIZE", "STATUS", "VISIBILITY", "PROTECTED", "OWNER"),
        "TAGS",
    ]
    told = [ids["web"], "web", "qcow2", "bare", "1792", "active", "shared", "False", "ops", "[linux, stable]"]
    assert re.split(r"  +", line) == told
    assert typed("list", "--name", "nobody").stdout == "ID  NAME  STATUS\n"


def test_list_filters(typed: Typed) -> None:
    """Each by itself, and together; formats by any of their names."""
    for words, expected in (
        ((), SEEDED),
        (("--status", "queued", "--status", "deactivated"), ["quarantined", "reserved"]),
        (("--status", "pending_delete"), ["retired"]),
        (("--visibility", "public"), ["public"]),
        (("--name", "web"), ["web"]),
        (("--tag", "linux"), ["web"]),
        (("--tag", "linux", "--tag", "windows"), []),
        (("--property", "os_distro=debian"), ["shared", "web"]),
        (("--property", "os_distro=debian", "--disk-format", "raw"), ["shared"]),
        (("--property", "os_distro=arch"), []),
        (("--disk-format", "VMDK"), ["appliance"]),
        (("--container-format", "ova"), ["appliance"]),
        (("--owner", "lab"), []),
        (("--owner", "ops"), SEEDED),
        (("--protected",), []),
        (("--unprotected",), SEEDED),
    ):
        assert typed.names("--sort", "name", *words) == expected, words


def test_list_orders_and_pages(typed: Typed) -> None:
    """Several keys, each with its direction; pages by the last id of the one before."""
    by_size = typed.names("--sort", "size:desc,name:asc")
    assert by_size == ["shared", "appliance", "public", "quarantined", "web", "reserved"]
    pages, marker = [], ()
    while page := typed.objects("list", "--sort", "size:desc,name", "--limit", "2", *marker):
        pages += [one["name"] for one in page]
        marker = ("--marker", page[-1]["id"])
    assert pages == by_size
    assert typed.names()[0] == "appliance"
    assert typed.names("--limit", "0") == []


def test_list_says_what_is_wrong(typed: Typed) -> None:
    """Status 2 with what there is; 3 for a marker that is no image."""
    for words, status, said in (
        (("--status", "gone"), 2, "no such status: 'gone' (one of queued, saving"),
        (("--visibility", "all"), 2, "no such visibility: 'all'"),
        (("--member-status", "maybe"), 2, "no such status of a member: 'maybe'"),
        (("--disk-format", "floppy"), 2, "no such disk format: 'floppy'"),
        (("--container-format", "box"), 2, "no such container format: 'box'"),
        (("--sort", "colour"), 2, "sort 'colour': no such key"),
        (("--sort", "name:up"), 2, "the direction is asc or desc"),
        (("--limit", "-1"), 2, "limit: -1 is less than 0"),
        (("--limit", "many"), 2, "many"),
        (("--marker", "web"), 2, "an image's id is a UUID, not 'web'"),
        (("--marker", "00000000-0000-0000-0000-000000000000"), 3, "no image 00000000-"),
        (("--property", "os_distro"), 2, "--property is NAME=VALUE"),
        (("--nothing",), 2, "--nothing"),
    ):
        found, told = typed.refused("list", *words)
        assert (found, said in told) == (status, True), (words, told)


def test_who_sees_what(typed: Typed) -> None:
    """One's own, public ones, what one accepted; community images where they are asked for."""
    assert typed.names("--sort", "name", who=OTTO) == SEEDED
    assert typed.names("--sort", "name", who=RITA) == SEEDED
    assert typed.names(who=DAVE) == ["public"]
    assert typed.names(who=CAROL) == ["public"]
    assert typed.names("--member-status", "pending", "--visibility", "shared", who=CAROL) == ["shared"]
    assert typed("set", "web", "--visibility", "community", "-q").exit_code == 0
    assert typed.names(who=DAVE) == ["public"]
    assert typed.names("--visibility", "community", who=DAVE) == ["web"]
    assert sorted(typed.names("--owner", "ops", who=DAVE)) == ["public", "web"]
    assert typed.names("--status", "pending_delete", who=DAVE) == []
    assert typed.refused("show", "quarantined", who=DAVE) == (3, "imgtool: no image 'quarantined'\n")


def test_set(typed: Typed) -> None:
    """Every field that may change, tags and properties at once; the record is printed as it is then."""
    record = typed.one(
        *("set", "web", "--name", "web-12", "--visibility", "public", "--protected", "--owner", "lab"),
        *("--tag", "new", "--property", "os_distro=arch", "--property", "os_version=1=2", "--property", "empty="),
        *("--min-disk", "3", "--min-ram", "64"),
    )
    told = ("name", "visibility", "protected", "owner", "tags", "min_disk", "min_ram", "properties")
    assert [record[name] for name in told] == [
        *("web-12", "public", True, "lab", ["linux", "new", "stable"], 3, 64),
        {"empty": "", "os_distro": "arch", "os_version": "1=2"},
    ]
    assert typed.one("show", record["id"]) == record
    assert typed.one("set", "web-12", "--unprotected", "--min-disk", "0")["protected"] is False
    formats = typed.one("set", "reserved", "--disk-format", "vmdk", "--container-format", "ova")
    assert (formats["disk_format"], formats["container_format"]) == ("vmdk", "ova")
    assert typed.one("set", "reserved", "--disk-format", "ari")["container_format"] == "ari"
    assert (typed("set", "reserved", "--min-ram", "1", "-q").stdout, typed.one("show", "reserved")["min_ram"]) == (
        "",
        1,
    )


def test_set_all_or_nothing(typed: Typed) -> None:
    """One fault, and nothing is changed."""
    before = typed.one("show", "web")
    for words, status, said in (
        ((), 2, "nothing to set"),
        (("--name", ""), 2, "the name of an image has 1 to 255 characters"),
        (("--disk-format", "raw"), 6, "formats are fixed once there is data"),
        (("--property", "size=1"), 6, "size is set by the catalog alone"),
        (("--property", "name=x"), 6, "name is a field of its own"),
        (("--property", "imgtool_x=1"), 6, "is a reserved name"),
        (("--tag", "x" * 256), 2, "a tag has 1 to 255 characters"),
        (("--min-disk", "-1"), 2, "min_disk: -1"),
        (("--visibility", "secret"), 2, "no such visibility"),
        (("--owner", ""), 2, "has 1 to 255 characters"),
    ):
        found, told = typed.refused("set", "web", "--tag", "half", *words) if words else typed.refused("set", "web")
        assert (found, said in told) == (status, True), (words, told)
    assert typed.one("show", "web") == before
    assert typed.refused("set", "retired", "--tag", "x")[0] == 3
    assert typed.refused("set", identifiers(typed)["retired"], "--tag", "x")[0] == 6


def test_who_may_set(typed: Typed) -> None:
    """Members of the owning project; others may not, or see nothing to change. Owners are for administrators."""
    assert typed.one("set", "web", "--tag", "mine", who=OTTO)["tags"] == ["linux", "mine", "stable"]
    assert typed.refused("set", "web", "--tag", "mine", who=RITA)[0] == 6
    assert typed.refused("set", "public", "--tag", "mine", who=DAVE)[0] == 6
    assert typed.refused("set", "web", "--tag", "mine", who=DAVE)[0] == 3
    assert typed.refused("set", "web", "--visibility", "public", who=OTTO)[0] == 6
    assert typed.refused("set", "web", "--owner", "lab", who=OTTO)[0] == 6
    assert typed.one("show", "web")["visibility"] == "shared"


def test_unset_and_tag(typed: Typed) -> None:
    """What it has goes; what it has not is told, and nothing goes."""
    record = typed.one("unset", "web", "--tag", "linux", "--property", "os_distro")
    assert (record["tags"], record["properties"]) == (["stable"], {})
    assert typed.refused("unset", "web") == (2, "imgtool: nothing to unset: name a tag or a property\n")
    status, told = typed.refused("unset", "web", "--tag", "stable", "--property", "os_distro")
    assert (status, "has no property 'os_distro'" in told) == (6, True)
    assert typed.one("show", "web")["tags"] == ["stable"]
    assert typed.one("tag", "add", "web", "b", "a", "stable")["tags"] == ["a", "b", "stable"]
    assert typed.one("tag", "remove", "web", "a", "b")["tags"] == ["stable"]
    status, told = typed.refused("tag", "remove", "web", "stable", "gone")
    assert (status, "has no tag 'gone'" in told) == (6, True)
    assert typed("tag", "add", "web", "x", "--quiet").stdout == ""
    assert "tags              [stable, x]" in typed("tag", "add", "web", "x").stdout.splitlines()
    assert typed.refused("tag", "add", "web")[0] == 2
    many = [f"tag-{number}" for number in range(128)]
    status, told = typed.refused("tag", "add", "web", *many)
    assert (status, "at most 128" in told) == (6, True)


def test_moves_of_several(typed: Typed) -> None:
    """All are done, each failure is told, the worst status is the command's; ids and names may be mixed."""
    ids = identifiers(typed)
    done = typed("deactivate", "web", "nobody", ids["quarantined"], "public", "--reason", "a door stands open")
    assert done.exit_code == 3
    assert done.stdout == f"{ids['web']} web: deactivated\n{ids['public']} public: deactivated\n"
    assert done.stderr.splitlines() == [
        "imgtool: no image 'nobody'",
        f"imgtool: image {ids['quarantined']} is deactivated: only an active image can be deactivated",
    ]
    assert typed.objects("history", "web", schema="change")[-1]["why"] == "a door stands open"
    assert [one["status"] for one in typed.objects("reactivate", "web", "public")] == ["active"] * 2
    typed("set", "web", "--protected", "-q")
    done = typed("delete", "web", "public", "--json")
    assert done.exit_code == 6
    assert json.loads(done.stdout)["status"] == "pending_delete"
    assert json.loads(done.stderr) == {
        **{"type": "error", "code": "refused", "exit": 6, "path": "web"},
        **{"message": f"image {ids['web']} is protected: it cannot be deleted"},
    }
    assert typed("restore", "public", "retired", "--quiet").stdout == ""
    assert typed.names("--sort", "name") == sorted([*SEEDED, "retired"])


def test_a_deactivated_image_does_not_come_back_active(typed: Typed) -> None:
    """Restored, it is what it was; and so says its history."""
    assert typed("delete", "quarantined", "-q").exit_code == 0
    assert typed.one("restore", "quarantined")["status"] == "deactivated"
    heads, *lines = typed("history", "quarantined").stdout.splitlines()
    assert heads.split() == ["AT", "FROM", "TO", "WHO", "WHY"]
    assert [re.split(r"  +", line)[1:] for line in lines] == [
        ["-", "queued", "root:ops", "created"],
        ["queued", "saving", "root:ops", "upload"],
        ["saving", "active", "root:ops", "upload complete"],
        ["active", "deactivated", "root:ops", "looks odd"],
        ["deactivated", "pending_delete", "root:ops", "deleted"],
        ["pending_delete", "deactivated", "root:ops", "restored"],
    ]


def test_without_a_grace_period(typed: Typed) -> None:
    """Data goes at once, and nothing comes back; the record is there by its id."""
    at_once = Typed(typed.folder, more={"IMGTOOL_SCRUBBER_DELAY": "0"})
    record = at_once.one("delete", "web")
    assert record["status"] == "deleted"
    assert not (typed.folder / "catalog" / "blobs" / f"{record['id']}.1").exists()
    assert at_once.refused("restore", record["id"])[0] == 6
    assert typed.one("show", record["id"])["status"] == "deleted"
    assert typed.refused("show", "web")[0] == 3
    assert len(typed.objects("history", record["id"], schema="change")) == 4


def test_who_may_move(typed: Typed) -> None:
    """Deactivating is for administrators; deleting for members of the owning project."""
    assert typed.refused("deactivate", "web", who=OTTO)[0] == 6
    assert typed.refused("reactivate", "quarantined", who=OTTO)[0] == 6
    assert typed.refused("delete", "web", who=RITA)[0] == 6
    assert typed.refused("delete", "public", who=CAROL)[0] == 6
    assert typed.refused("delete", "web", who=DAVE)[0] == 3
    assert typed.one("delete", "web", who=OTTO)["status"] == "pending_delete"
    (typed.folder / "rules.yaml").write_text('deactivate: "role:auditor"\n')
    auditor = typed("deactivate", "public", "--access", "rules.yaml", "--as", "eve:ops:auditor,reader")
    assert (auditor.exit_code, auditor.stderr) == (0, "")


def test_a_name_of_several(typed: Typed) -> None:
    """Status 2 with the ids, for every verb that takes a name; by its id each is found."""
    first = identifiers(typed)["web"]
    second = typed.one("create", "web", "--file", "disk.img")["id"]
    expected = {first, second}
    for words in (
        ("show", "web"),
        ("show", "--report", "web"),
        ("set", "web", "--tag", "x"),
        ("unset", "web", "--tag", "x"),
        ("tag", "add", "web", "x"),
        ("delete", "web"),
        ("deactivate", "web"),
        ("member", "list", "web"),
        ("member", "add", "web", "lab"),
        ("verify", "web"),
        ("history", "web"),
        ("upload", "web", "--file", "disk.img"),
    ):
        status, told = typed.refused(*words)
        assert (status, set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", told))) == (2, expected), words
    assert typed.one("show", second.upper())["id"] == second
    assert typed("delete", second, "-q").exit_code == 0
    assert typed.one("show", "web")["id"] == first
    other = typed.one("create", "public", who=DAVE)["id"]
    assert typed.refused("show", "public", who=DAVE)[0] == 2
    assert typed.one("show", other, who=DAVE)["owner"] == "other"


def test_members(typed: Typed) -> None:
    """Added by the owner, answered by the member, seen by both; only shared images have any."""
    shared = identifiers(typed)["shared"]
    (member,) = typed.objects("member", "list", "shared", schema="member")
    told = ("image_id", "member", "status")
    assert [member[name] for name in told] == [shared, "lab", "pending"]
    assert typed.names(who=CAROL) == ["public"]
    (member,) = typed.objects("member", "set", shared, "lab", "accepted", schema="member", who=CAROL)
    assert member["status"] == "accepted"
    assert sorted(typed.names(who=CAROL)) == ["public", "shared"]
    assert typed("member", "add", "shared", "research", "--quiet").stdout == ""
    heads, first, second = typed("member", "list", "shared").stdout.splitlines()
    assert heads.split() == ["MEMBER", "STATUS", "CREATED_AT", "UPDATED_AT"]
    assert [first.split()[:2], second.split()[:2]] == [["lab", "accepted"], ["research", "pending"]]
    mine = typed.objects("member", "list", "shared", schema="member", who=CAROL)
    assert [one["member"] for one in mine] == ["lab"]
    done = typed("member", "remove", "shared", "lab")
    assert (done.exit_code, done.stdout) == (0, "")
    assert typed.refused("show", shared, who=CAROL)[0] == 3


def test_members_that_are_refused(typed: Typed) -> None:
    """Who may not, what has no members, who is none, what is no answer."""
    shared = identifiers(typed)["shared"]
    for words, who, status in (
        (("add", "shared", "lab"), OTTO, 6),
        (("add", "public", "lab"), OTTO, 6),
        (("add", shared, "x"), CAROL, 6),
        (("add", shared, "x"), DAVE, 3),
        (("add", "shared", ""), OTTO, 2),
        (("set", shared, "lab", "perhaps"), CAROL, 2),
        (("set", shared, "research", "accepted"), CAROL, 6),
        (("set", "shared", "lab", "accepted"), OTTO, 6),
        (("remove", "shared", "nobody"), OTTO, 3),
        (("list", shared), DAVE, 3),
    ):
        assert typed.refused("member", *words, who=who)[0] == status, words
    assert [one["member"] for one in typed.objects("member", "list", "shared", schema="member")] == ["lab"]


def test_verify(typed: Typed) -> None:
    """Sound, or findings and status 1; nothing is changed by it."""
    ids = identifiers(typed)
    done = typed("verify", "web", "quarantined")
    assert done.exit_code == 0
    assert done.stdout == (
        f"{ids['web']} web (active, 1.75 KiB): sound\n"
        f"{ids['quarantined']} quarantined (deactivated, 1.75 KiB): sound\n"
    )
    assert typed("verify", "web", "--quiet").stdout == ""
    blob = blob_of(typed, ids["web"])
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    told = typed("verify", "web", "public", "--json")
    damaged, sound = map(json.loads, told.stdout.splitlines())
    assert (told.exit_code, told.stderr, bool(damaged["findings"]), sound["findings"]) == (1, "", True, [])
    assert all(one["code"].startswith("CAT") for one in damaged["findings"])
    assert typed("verify", "public", "web", "reserved", "nobody").exit_code == 3
    assert typed.refused("verify", "reserved")[0] == 6
    assert typed.one("show", "web")["status"] == "active"


def test_deactivated_data_is_for_administrators(typed: Typed) -> None:
    """Its record is shown to whoever sees it; its data is not read for them."""
    assert typed.one("show", "quarantined", who=OTTO)["status"] == "deactivated"
    assert typed.refused("verify", "quarantined", who=OTTO)[0] == 6


def blob_of(typed: Typed, identifier: str) -> Path:
    """The file of an image's data."""
    return typed.folder / "catalog" / "blobs" / f"{identifier}.1"


def test_a_name_is_first_that_of_an_image_that_is_there(typed: Typed) -> None:
    """A deleted image of the same name is found where none is left that is not, and by its id."""
    first = identifiers(typed)["web"]
    typed("delete", "web", "-q")
    assert len(typed.objects("history", "web", schema="change")) == 4
    second = typed.one("create", "web")["id"]
    assert len(typed.objects("history", "web", schema="change")) == 1
    assert typed.refused("restore", second)[0] == 6
    assert typed.one("restore", "web")["id"] == first
    status, told = typed.refused("restore", "public")
    assert (status, "only an image that waits for its deletion can be restored" in told) == (6, True)


def test_lists_that_ask_too_much(typed: Typed) -> None:
    """Numbers beyond what a database counts, keys again and again, more tags than one image has."""
    assert typed.names("--limit", "9" * 30, "--sort", "name") == SEEDED
    assert typed.names("--sort", ",".join(["name"] * 3000)) == SEEDED
    assert typed.names("--sort", "id,id:desc,name") == typed.names("--sort", "id")
    assert typed.names(*["--status", "queued"] * 3000) == ["reserved"]
    status, told = typed.refused("list", *[f"--tag=t{number}" for number in range(3000)])
    assert (status, told) == (2, "imgtool: a list is asked for by at most 500 tags and properties\n")
    assert typed.names(*[f"--property=p{number}=1" for number in range(500)]) == []
