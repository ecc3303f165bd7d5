"""Who may do what: the built-in rules as a table, files over them, and what is said of their mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgtool.catalog.access import (
    ACTIONS,
    DEFAULTS,
    IS_ADMIN,
    NOTHING,
    Access,
    Action,
    Target,
    load_access,
    target_of,
)
from imgtool.catalog.identity import Identity, parse_identity
from imgtool.errors import RefusedError, UsageError
from imgtool.model.image import ImageRecord, MemberStatus, Visibility

ADMIN = parse_identity("root:admins:admin")
OWNER = parse_identity("ann:lab:member")
READER = parse_identity("rob:lab:reader")
OTHER = parse_identity("bob:shop:member")
STRANGE = parse_identity("eve:lab:auditor")

#: Who may do what to an image that is private to the project lab, by the built-in rules.
MAY: dict[str, tuple[Identity, ...]] = {
    **dict.fromkeys(("get_images", "get_catalog", "get_flavors"), (ADMIN, OWNER, READER, OTHER)),
    **dict.fromkeys(("get_image", "get_history", "get_members", "get_instances"), (ADMIN, OWNER, READER)),
    **dict.fromkeys(
        (
            *("add_image", "upload_image", "download_image", "verify_image", "modify_image", "communitize_image"),
            *("delete_image", "restore_image", "add_member", "delete_member"),
            *("add_instance", "boot_instance", "snapshot_instance", "delete_instance"),
        ),
        (ADMIN, OWNER),
    ),
    **dict.fromkeys(
        (
            *("change_owner", "publicize_image", "deactivate", "reactivate", "modify_member"),
            *("scrub_catalog", "verify_catalog", "repair_catalog", "export_catalog", "import_catalog"),
            *("add_flavor", "delete_flavor"),
        ),
        (ADMIN,),
    ),
}


def image(visibility: Visibility = "private", owner: str = "lab") -> ImageRecord:
    """An image."""
    return ImageRecord(
        id="12345678-1234-1234-1234-123456789abc",
        name="web",
        status="active",
        visibility=visibility,
        protected=False,
        owner=owner,
        tags=(),
        disk_format="qcow2",
        container_format="bare",
        size=4096,
        virtual_size=4096,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
        min_disk=0,
        min_ram=0,
        created_at="2026-01-01T00:00:00Z",
        updated_at="2026-01-01T00:00:00Z",
        reason=None,
        properties={},
    )


def permits(access: Access, action: Action, who: Identity, target: Target = NOTHING) -> bool:
    """True where the rule of an action accepts."""
    try:
        access.require(action, who, target)
    except RefusedError:
        return False
    return True


def written(folder: Path, text: str, name: str = "access.yaml") -> Path:
    """A file of rules."""
    path = folder / name
    path.write_text(text)
    return path


def test_every_verb_has_a_rule_and_a_row() -> None:
    """The table of the code is that of this test; the first rules are no verbs, all others are."""
    helpers = [default.name for default in DEFAULTS if default.name not in ACTIONS]
    assert helpers == [IS_ADMIN, "owner_reader", "owner_member", "image_reader", "image_member"]
    assert [default.name for default in DEFAULTS][len(helpers) :] == list(ACTIONS)
    assert set(MAY) == set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_built_in_rules(action: Action) -> None:
    """Who may and who may not."""
    access = load_access()
    for who in (ADMIN, OWNER, READER, OTHER, STRANGE):
        assert permits(access, action, who, target_of(image(), who)) == (who in MAY[action]), who


@pytest.mark.parametrize(
    ("visibility", "membership", "reads"),
    [
        ("public", None, True),
        ("community", None, True),
        ("shared", None, False),
        ("shared", "pending", True),
        ("shared", "rejected", True),
        ("private", None, False),
        ("private", "accepted", False),
    ],
)
def test_images_of_others(visibility: Visibility, membership: MemberStatus | None, reads: bool) -> None:
    """Shown, saved and verified where they are seen; changed never."""
    access, target = load_access(), target_of(image(visibility), OTHER, membership)
    actions: tuple[Action, ...] = ("get_image", "download_image", "verify_image")
    assert [permits(access, action, OTHER, target) for action in actions] == [reads] * 3
    assert not permits(access, "modify_image", OTHER, target)
    assert not permits(access, "delete_image", OTHER, target)
    assert permits(access, "get_members", OTHER, target) == (reads and visibility == "shared")


def test_only_the_member_answers() -> None:
    """The owner cannot accept in the name of a member; a reader of the member's project cannot either."""
    access = load_access()
    target = target_of(image("shared"), OTHER)._replace(member_id="shop")
    assert permits(access, "modify_member", OTHER, target)
    assert not permits(access, "modify_member", OWNER, target)
    assert not permits(access, "modify_member", parse_identity("tim:shop:reader"), target)


def test_a_refusal_says_why() -> None:
    """Who, what, of which image, the rule and the roles; status 6."""
    with pytest.raises(RefusedError) as caught:
        load_access().require("delete_image", READER, target_of(image(), READER))
    assert str(caught.value) == (
        "rob:lab (reader) may not delete image web: delete_image needs rule:context_is_admin or rule:owner_member"
    )
    load_access().require("delete_image", OWNER, target_of(image(), OWNER))


def test_nothing_is_nobodys() -> None:
    """A target without an owner is not owned by a project of that name; what has no rule is a bug."""
    access = load_access()
    assert not permits(access, "delete_image", parse_identity("x:None:member"), NOTHING)
    assert not permits(access, "delete_image", parse_identity("x:None:member"), Target(name="web"))
    with pytest.raises(KeyError):
        permits(access, "fly", ADMIN)  # type: ignore[arg-type] # no action


def test_a_file_overrules_by_name(tmp_path: Path) -> None:
    """Rules of its own are for others; built-in ones follow what it says of those that they refer to."""
    access = load_access(
        written(
            tmp_path,
            """
            # who runs this
            context_is_admin: role:operator or user_id:root
            publishers: "role:publisher and not project_id:shop"
            publicize_image: rule:publishers
            delete_image: "!"
            get_images: ""
            add_image: [["role:member", "project_id:%(project_id)s"], "is_admin:True"]
            default: role:admin            # rules of the image service that nothing here asks for
            get_metadef_objects: "!"
            """,
        )
    )
    publisher = parse_identity("pat:press:publisher")
    assert permits(access, "publicize_image", publisher)
    assert not permits(access, "publicize_image", parse_identity("pat:shop:publisher"))
    assert not permits(access, "delete_image", OWNER, target_of(image(), OWNER))
    assert permits(access, "get_images", STRANGE)
    assert [permits(access, "add_image", who, Target(owner="lab")) for who in (ADMIN, OWNER, OTHER)] == [
        True,
        True,
        False,
    ]
    assert access.is_admin(ADMIN)
    assert not access.is_admin(parse_identity("x:admins:admin"))
    assert permits(access, "deactivate", parse_identity("olga:ops:operator"))
    texts = {rule.name: (rule.text, rule.source) for rule in access.rules}
    assert texts["add_image"] == (
        "(role:member and project_id:%(project_id)s) or is_admin:True",
        str(tmp_path / "access.yaml"),
    )
    assert texts["deactivate"] == ("rule:context_is_admin", "built-in")


def test_json_is_read_too(tmp_path: Path) -> None:
    """With tabs, as editors write it; a byte order mark is no matter; an empty file changes nothing."""
    path = written(tmp_path, '\ufeff{\n\t"delete_image": "role:admin",\n\t"get_images": []\n}\n', "policy.json")
    access = load_access(path)
    assert not permits(access, "delete_image", OWNER, target_of(image(), OWNER))
    assert permits(access, "get_images", STRANGE)
    assert load_access(written(tmp_path, "# nothing\n")).rules == load_access().rules


def faults(folder: Path, text: str) -> list[str]:
    """What is said of a file's mistakes, without its path."""
    path = written(folder, text)
    with pytest.raises(UsageError) as caught:
        load_access(path)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delete_image: role:a or", "line 1, column 24: delete_image: a check is needed at the end"),
        ('\n delete_image: "role:a or b"', "line 2, column 27: delete_image: 'b': a check is KIND:VALUE, @ or !"),
        ("add_image: >\n  role:a\n  role:b", "line 1, column 12 (character 8 of the text): add_image: `and`, `or`"),
        (
            "add_image: 'project:%(onwer)s'",
            "line 1, column 13: add_image: no target has 'onwer' (did you mean 'owner'?)",
        ),
        ("add_image: projct:lab", "line 1, column 12: add_image: no identity has 'projct' (did you mean 'project'?)"),
        ("add_image: [[role:a], ['project:%(x)s']]", "line 1, column 1: add_image: no target has 'x' (one of owner,"),
        (
            "add_image: [[role:a], ['a:b', 'role:']]",
            "line 1, column 32: add_image: 'role:': nothing behind the colon",
        ),
        (
            "add_image: rule:admn\nadmin: role:a",
            "line 1, column 1: add_image: no rule is called 'admn' (did you mean 'admin'?)",
        ),
        (
            "delete_imge: '!'",
            "line 1, column 1: no verb is called 'delete_imge', and no rule refers to it (did you mean",
        ),
        (
            "zebras: '!'",
            "line 1, column 1: no verb is called 'zebras', and no rule refers to it (see `imgtool access",
        ),
        ("add_image: http://host/x", "line 1, column 12: add_image: 'http://host/x': checks over the net are not"),
        ("delete_image: !", 'line 1, column 15: delete_image: a rule is missing: "!" is never and "@" always'),
        ("delete_image:", "line 1, column 14: delete_image: a rule is missing"),
        ("delete_image: no", "line 1, column 15: delete_image: a rule is text in quotes, not yes or no"),
        ("delete_image: 1", "line 1, column 15: delete_image: a rule is text in quotes, not a number"),
        ("delete_image: {a: b}", "line 1, column 15: delete_image: a rule is text in quotes, not a mapping"),
        ("delete_image: [1]", "line 1, column 16: delete_image: a check is text in quotes, not a number"),
        ("delete_image: [[[role:a]]]", "line 1, column 17: delete_image: a check is text in quotes, not a list"),
        ("[a]: b", "line 1, column 1: a name is text in quotes, not a list"),
        ('"a\\e": role:a', "line 1, column 2: a name with a character that cannot be printed"),
        ("delete_image: role:a\ndelete_image: role:b", "line 2, column 1: delete_image is there twice"),
        ("get_image: rule:get_image", "line 1, column 1: get_image leads in a circle: get_image → get_image"),
        ("context_is_admin: rule:deactivate", "context_is_admin leads in a circle: context_is_admin → deactivate → "),
        ("[role:a]", "names with rules are needed (NAME: RULE), not a list"),
        ("delete_image: @", "line 1, column 15: not YAML: found character '@'"),
        ("delete_image: [role:a", "line 1, column 22: not YAML: "),
        ("x: \x01", "not YAML: unacceptable character"),
        ("[" * 20_000, "not YAML: too deep"),
        ("x: &x [*x]", "line 1, column 4: x: a check is text in quotes, not a list"),
        ("x: !!python/object/apply:os.system [ls]", "x: a rule is text in quotes, not tag:yaml.org,2002:python"),
        (f"add_image: [{'a:b, ' * 200} []]", "add_image: more than 128 checks in a list"),
        ("".join(f"r{number}: role:a\n" for number in range(1001)), "more than 1000 rules"),
        ("#" * (1 << 21), "larger than 1048576 bytes"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    """Line and column, the verb, what is wrong and what was meant."""
    assert any(said in fault for fault in faults(tmp_path, text))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Of a file that can be read as a whole first, then of what its rules say of one another."""
    assert len(faults(tmp_path, "add_image: role\ndelete_image: (role:a\nz: '!'")) == 2
    assert len(faults(tmp_path, "a: rule:b\nb: rule:a\nz: '!'")) == 3


@pytest.mark.parametrize(("length", "good"), [(32, True), (33, False), (900, False)])
def test_rules_in_a_row(tmp_path: Path, length: int, good: bool) -> None:
    """32 that need one another; more are refused, in whatever order they stand."""
    rows = [f"r{number}: 'rule:r{number + 1}'" for number in range(length - 2)] + [f"r{length - 2}: role:a"]
    for order in (rows, rows[::-1]):
        text = "\n".join(["add_image: rule:r0", *order])
        if good:
            assert permits(load_access(written(tmp_path, text)), "add_image", Identity("u", "p", ("a",)))
        else:
            assert any("needs more than 32 rules in a row" in fault for fault in faults(tmp_path, text))


def test_many_ways_are_one_decision(tmp_path: Path) -> None:
    """Rules that name the next one twice are decided once each, not 2³⁰ times."""
    rows = [f"r{number}: not rule:r{number + 1} or not rule:r{number + 1}" for number in range(30)]
    text = "\n".join([*rows, "r30: role:a", "add_image: rule:r0"])
    access = load_access(written(tmp_path, text))
    assert permits(access, "add_image", Identity("u", "p", ("a",)))
    assert not permits(access, "add_image", Identity("u", "p", ("b",)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing one, a folder and bytes that are no text are mistakes of who names them."""
    for path, said in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=said):
            load_access(path)
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_access(tmp_path / "latin.yaml")


def test_rules_are_what_the_class_shows() -> None:
    """In the order of the table, each with what it is for."""
    access = load_access()
    assert isinstance(access, Access)
    assert [(rule.name, rule.text, rule.about) for rule in access.rules] == [tuple(default) for default in DEFAULTS]
