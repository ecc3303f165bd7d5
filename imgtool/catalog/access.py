"""Who may do what: the rules of every verb of the catalog, built in or from a file, and decisions by them.

The rules are written in the language of `language`; their names are the image service's where it has the same verb.
A file (YAML or JSON) overrules them by name, and may have rules of its own that others refer to. Everything is read
and checked before the first decision: names that nobody has, rules that lead in circles, what cannot be read.
Reference: Glance, "Policies"; the built-in rules are its own, but that deactivating is for administrators, as images
are taken from their owners by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from imgtool.catalog import language
from imgtool.catalog.identity import ADMIN, Identity
from imgtool.catalog.visibility import Seen, is_member
from imgtool.errors import RefusedError, UsageError
from imgtool.model.image import ImageRecord, MemberStatus

Action = Literal[
    "get_images",
    "get_image",
    "get_history",
    "add_image",
    "upload_image",
    "download_image",
    "verify_image",
    "modify_image",
    "change_owner",
    "publicize_image",
    "communitize_image",
    "delete_image",
    "restore_image",
    "deactivate",
    "reactivate",
    "get_members",
    "add_member",
    "modify_member",
    "delete_member",
    "get_catalog",
    "scrub_catalog",
    "verify_catalog",
    "repair_catalog",
    "export_catalog",
    "import_catalog",
    "get_flavors",
    "add_flavor",
    "delete_flavor",
    "get_instances",
    "add_instance",
    "boot_instance",
    "snapshot_instance",
    "delete_instance",
]
ACTIONS: tuple[Action, ...] = get_args(Action)

#: The rule that says who is an administrator.
IS_ADMIN = "context_is_admin"

_READS = f"rule:{IS_ADMIN} or rule:owner_reader"
_WRITES = f"rule:{IS_ADMIN} or rule:owner_member"
_ADMIN = f"rule:{IS_ADMIN}"
_ANYBODY = f"rule:{IS_ADMIN} or role:reader"
_SEEN = "(project_id:%(owner)s or project_id:%(member_id)s or 'public':%(visibility)s or 'community':%(visibility)s)"


class Default(NamedTuple):
    """A built-in rule, and what it is for: verbs, or what it says of an identity."""

    name: str
    rule: str
    about: str


#: Every built-in rule. The first ones are no verbs: others refer to them.
DEFAULTS: tuple[Default, ...] = (
    Default(IS_ADMIN, f"role:{ADMIN}", "administrators: they see every image, and read deactivated ones"),
    Default("owner_reader", "role:reader and project_id:%(owner)s", "readers of the project that owns it"),
    Default("owner_member", "role:member and project_id:%(owner)s", "members of the project that owns it"),
    Default("image_reader", f"role:reader and {_SEEN}", "readers of a project that the image is for"),
    Default("image_member", f"role:member and {_SEEN}", "members of a project that the image is for"),
    Default("get_images", _ANYBODY, "image list: of those that the identity sees"),
    Default("get_image", f"{_ADMIN} or rule:image_reader", "image show"),
    Default("get_history", _READS, "image history"),
    Default("add_image", _WRITES, "image create, for the owner that the image is to have"),
    Default("upload_image", _WRITES, "image create --file, image upload"),
    Default("download_image", f"{_ADMIN} or rule:image_member", "image save"),
    Default("verify_image", f"{_ADMIN} or rule:image_member", "image verify"),
    Default("modify_image", _WRITES, "image set, image unset, image tag"),
    Default("change_owner", _ADMIN, "image set --owner"),
    Default("publicize_image", _ADMIN, "image create, image set --visibility public"),
    Default("communitize_image", _WRITES, "image create, image set --visibility community"),
    Default("delete_image", _WRITES, "image delete"),
    Default("restore_image", _WRITES, "image restore"),
    Default("deactivate", _ADMIN, "image deactivate"),
    Default("reactivate", _ADMIN, "image reactivate"),
    Default("get_members", f"{_READS} or (role:reader and project_id:%(member_id)s)", "image member list"),
    Default("add_member", _WRITES, "image member add"),
    Default("modify_member", f"{_ADMIN} or (role:member and project_id:%(member_id)s)", "image member set"),
    Default("delete_member", _WRITES, "image member remove"),
    Default("get_catalog", _ANYBODY, "catalog info, catalog init"),
    Default("scrub_catalog", _ADMIN, "catalog scrub"),
    Default("verify_catalog", _ADMIN, "catalog verify --all"),
    Default("repair_catalog", _ADMIN, "catalog repair"),
    Default("export_catalog", _ADMIN, "catalog export"),
    Default("import_catalog", _ADMIN, "catalog import"),
    Default("get_flavors", _ANYBODY, "flavor list, flavor show"),
    Default("add_flavor", _ADMIN, "flavor create"),
    Default("delete_flavor", _ADMIN, "flavor delete"),
    Default("get_instances", _READS, "instance list, instance show"),
    Default("add_instance", _WRITES, "instance create; download_image is asked of its image too"),
    Default("boot_instance", _WRITES, "instance create --boot, instance boot"),
    Default("snapshot_instance", _WRITES, "instance snapshot; add_image is asked too"),
    Default("delete_instance", _WRITES, "instance delete"),
)


class Target(NamedTuple):
    """What an action is done to, as rules may ask for it: an image, an instance, or nothing in particular.

    `member_id`: the project that a member's verb names; else that of the identity, where it is a member of the
    image. `owner` is `project_id` and `tenant` too, `id` is `image_id`.
    """

    owner: str | None = None
    id: str | None = None
    name: str | None = None
    visibility: str | None = None
    status: str | None = None
    protected: bool | None = None
    disk_format: str | None = None
    container_format: str | None = None
    member_id: str | None = None
    member_status: str | None = None

    def values(self) -> dict[str, language.Value]:
        """By the names of rules; what has no value is left out."""
        told = {name: value for name, value in self._asdict().items() if value is not None}
        return told | {alias: told[name] for alias, name in _ALIASES.items() if name in told}


#: The target of what is done to nothing in particular.
NOTHING = Target()

#: Names of a target in rules that were written for the image service.
_ALIASES = {"project_id": "owner", "tenant": "owner", "image_id": "id"}

#: What rules may ask of a target, and of an identity.
TARGET_NAMES = (*Target._fields, *_ALIASES)
IDENTITY_NAMES = ("user_id", "user", "project_id", "project", "tenant", "roles", "is_admin")

#: What identities of the image service have besides; here nobody does, and a check of it is false.
FOREIGN_NAMES = (
    *("domain_id", "domain_name", "is_admin_project", "project_domain_id", "project_domain_name", "project_name"),
    *("service_project_id", "service_roles", "service_user_id", "system", "system_scope", "tenant_id"),
    *("user_domain_id", "user_domain_name", "username"),
)


def target_of(record: ImageRecord, who: Identity, membership: MemberStatus | None = None) -> Target:
    """An image as a target. `membership`: of the identity's project, None where it is no member."""
    member = is_member(Seen(record.owner, record.visibility, record.status, membership))
    shown = {name: getattr(record, name) for name in Target._fields if not name.startswith("member_")}
    return Target(**shown, member_id=who.project if member else None, member_status=membership if member else None)


class Rule(NamedTuple):
    """A rule that holds. `text`: as it was written. `source`: "built-in", or the file that says it."""

    name: str
    text: str
    check: language.Check
    source: str
    about: str


class Access:
    """Decisions by a set of rules that was checked as a whole (`load_access`). Never changes."""

    def __init__(self, rules: Mapping[str, Rule], needs: Mapping[str, tuple[str, ...]]) -> None:
        self._rules, self._needs = rules, needs

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What holds: the built-in names in their order, then the file's own."""
        return tuple(self._rules.values())

    def require(self, action: Action, who: Identity, target: Target = NOTHING) -> None:
        """Raises RefusedError, with the rule and the roles, where the rule of an action does not accept. An action
        without a rule is a bug: KeyError."""
        if not self._decide(action, who, target):
            called = f" {target.name or target.id}" if target.name or target.id else ""
            needs = f"{action} needs {self._rules[action].text}"
            raise RefusedError(f"{who} ({', '.join(who.roles)}) may not {_verb(action)}{called}: {needs}")

    def is_admin(self, who: Identity) -> bool:
        """True for administrators: they see every image, and only they read deactivated ones."""
        return self._decide(IS_ADMIN, who, NOTHING)

    def _decide(self, name: str, who: Identity, target: Target) -> bool:
        wanted, attributes = target.values(), _attributes(who)
        decided: dict[str, bool] = {}
        for needed in self._needs[name]:
            decided[needed] = language.decide(self._rules[needed].check, attributes, wanted, decided)
        return decided[name]


def _verb(action: Action) -> str:
    return action.replace("_", " ")


def _attributes(who: Identity) -> dict[str, language.Value]:
    """An identity by the names of rules."""
    names = {"user_id": who.user, "user": who.user, "project_id": who.project, "project": who.project}
    return {**names, "tenant": who.project, "roles": who.roles, "is_admin": ADMIN in who.roles}


def load_access(path: str | os.PathLike[str] | None = None) -> Access:
    """The built-in rules, and those of a file over them. Raises UsageError with every fault of the file at once."""
    rules = {one.name: Rule(one.name, one.rule, language.parse(one.rule), "built-in", one.about) for one in DEFAULTS}
    faults: list[str] = []
    if path is not None:
        from imgtool.catalog.access_file import read_rules

        rules |= read_rules(os.fspath(path), rules, faults)
    if faults:
        raise UsageError(*faults)
    return Access(rules, _order(rules))


def _order(rules: Mapping[str, Rule]) -> dict[str, tuple[str, ...]]:
    """For every rule the ones it needs, in an order in which each comes behind what it needs; itself the last."""
    needs: dict[str, tuple[str, ...]] = {}

    def visit(name: str) -> tuple[str, ...]:
        if name not in needs:
            before = [one for ref in references(rules[name].check) for one in visit(ref)]
            needs[name] = tuple(dict.fromkeys((*before, name)))
        return needs[name]

    for name in rules:
        visit(name)
    return needs


def references(check: language.Check) -> Iterator[str]:
    """The names of the rules that a rule refers to."""
    yield from (leaf.name for leaf in language.leaves(check) if isinstance(leaf, language.Ref))
