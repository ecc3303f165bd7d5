"""The rule language against oslo.policy: the same rules, identities and targets, the same decisions.

Where the two differ on purpose, the difference is listed with its reason (`DIFFERENCES`).
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtool.catalog import language
from imgtool.catalog.language import Misread

pytestmark = pytest.mark.oracle

ROLES = ("admin", "member", "Reader")
NAMES = ("owner", "visibility", "flag", "count", "missing", "a.b")
TEXTS = ("lab", "shop", "public", "True", "7", "admin", "None")

WORDS = (
    "@",
    "!",
    *(f"role:{name}" for name in ("admin", "ADMIN", "reader", "nobody", "%(owner)s", "%(missing)s")),
    *(f"project_id:{value}" for value in ("lab", "%(owner)s", "%(missing)s", "x%(owner)s", "%(owner)s%%", "l%%b")),
    *("roles:admin", "roles:ADMIN", "is_admin:True", "is_admin:%(flag)s", "level:%(count)s", "level:7"),
    *("token.domain:lab", "token.roles.name:%(owner)s", "token.none:lab", "token:lab", "nothing:lab", "a-b:lab"),
    *("'public':%(visibility)s", '"public":%(visibility)s', "True:%(flag)s", "7:%(count)s", "-7:%(count)s"),
    *("None:%(visibility)s", "False:%(missing)s", "'lab':%(owner)s", "'True':%(flag)s", "True:%(a.b)s"),
    *("rule:first", "rule:second", "rule:missing"),
)
JOINTS = ("and", "or", "not", "AND", "Or", "nOt", "(", ")")


@functools.cache
def enforcer() -> Any:
    """An oslo.policy that reads no file."""
    from oslo_config import cfg
    from oslo_policy import policy

    logging.getLogger("oslo_policy").setLevel(logging.CRITICAL + 1)
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[])
    return policy.Enforcer(conf, use_conf=False)


def theirs(rules: dict[str, Any], name: str, creds: dict[str, Any], target: dict[str, Any]) -> bool:
    """The decision of oslo.policy."""
    from oslo_policy import policy

    oslo = enforcer()
    oslo.set_rules(policy.Rules.from_dict(rules), use_conf=False)
    return bool(oslo.enforce(name, target, dict(creds)))


def read(rule: Any) -> language.Check:
    """The tree of a rule in either syntax."""
    return language.parse(rule) if isinstance(rule, str) else language.parse_list(rule)


def ours(rules: dict[str, Any], name: str, creds: dict[str, Any], target: dict[str, Any]) -> bool:
    """The decision of imgtool; `second` may refer to `first`, the rule itself to both."""
    decided: dict[str, bool] = {}
    for one in sorted(rules, key=("first", "second", "it").index):
        decided[one] = language.decide(read(rules[one]), creds, target, decided)
    return decided[name]


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Rules that can be read: trees with more parentheses than they need."""

    def tree(depth: int) -> str:
        kind = draw(st.sampled_from(("word", "word", "not", "and", "or", "group"))) if depth else "word"
        if kind == "word":
            return draw(st.sampled_from(WORDS))
        if kind == "not":
            return f"{draw(st.sampled_from(('not', 'NOT')))} {tree(0)}"
        if kind == "group":
            return f"({draw(st.sampled_from(('', ' ')))}{tree(depth - 1)}{draw(st.sampled_from(('', ' ')))})"
        parts = [tree(depth - 1) for _ in range(draw(st.integers(2, 3)))]
        return draw(st.sampled_from((f" {kind} ", f"  {kind.upper()}\n"))).join(parts)

    return tree(4)


CREDS = st.fixed_dictionaries(
    {
        "project_id": st.sampled_from(TEXTS),
        "roles": st.lists(st.sampled_from(ROLES), max_size=3),
        "is_admin": st.booleans(),
        "level": st.integers(-7, 7),
        "token": st.fixed_dictionaries(
            {"domain": st.sampled_from(TEXTS)},
            optional={"roles": st.lists(st.fixed_dictionaries({"name": st.sampled_from(TEXTS)}), max_size=2)},
        ),
    },
    optional={"a-b": st.sampled_from(TEXTS)},
)
TARGETS = st.dictionaries(
    st.sampled_from([name for name in NAMES if name != "missing"]),
    st.one_of(st.sampled_from(TEXTS), st.booleans(), st.integers(-7, 7)),
)
LISTS = st.lists(st.one_of(st.sampled_from(WORDS), st.lists(st.sampled_from(WORDS), max_size=3)), max_size=3)
RULES = st.fixed_dictionaries(
    {
        "first": st.sampled_from(("role:admin", "'public':%(visibility)s", "")),
        "second": st.sampled_from(("rule:first and not project_id:%(owner)s", "rule:first or role:reader")),
    }
)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(rules=RULES, rule=expressions(), creds=CREDS, target=TARGETS)
def test_rules_decide_the_same(
    rules: dict[str, Any], rule: str, creds: dict[str, Any], target: dict[str, Any]
) -> None:
    """Every rule that can be read; so does what it is told as."""
    every = {**rules, "it": rule}
    decided = ours(every, "it", creds, target)
    assert decided == theirs(every, "it", creds, target)
    assert ours({**rules, "it": language.told(read(rule))}, "it", creds, target) == decided


@settings(max_examples=800, deadline=None, derandomize=True)
@given(words=st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(JOINTS)), max_size=9), creds=CREDS)
def test_words_in_any_order(words: list[str], creds: dict[str, Any]) -> None:
    """What is read here is read there, and decides the same; what is not read here is "never" there."""
    from oslo_policy import _checks, _parser

    enforcer()
    rule, target = " ".join(words), {"owner": "lab", "flag": True}
    try:
        read(rule)
    except Misread:
        assert isinstance(_parser.parse_rule(rule), _checks.FalseCheck)
    else:
        every = {"first": "role:admin", "second": "role:member", "it": rule}
        assert ours(every, "it", creds, target) == theirs(every, "it", creds, target)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(rules=RULES, rule=LISTS, creds=CREDS, target=TARGETS)
def test_lists_decide_the_same(
    rules: dict[str, Any], rule: list[Any], creds: dict[str, Any], target: dict[str, Any]
) -> None:
    """The older syntax: any of the lists, of which all must hold; no list at all is always."""
    every = {**rules, "it": rule}
    decided = ours(every, "it", creds, target)
    assert decided == theirs(every, "it", creds, target)
    assert ours({**rules, "it": language.told(read(rule))}, "it", creds, target) == decided


#: rule, identity, target → what oslo.policy does, what is done here (None: not read), and why.
DIFFERENCES: tuple[tuple[str, dict[str, Any], dict[str, Any], object, bool | None, str], ...] = (
    ("role:admin and", {"roles": ["admin"]}, {}, False, None, "a mistake is told, and is not a refusal for ever"),
    ("not admin", {"roles": []}, {}, True, None, "a check without a colon is never there, behind `not` always"),
    ("not role:admin)", {"roles": []}, {}, False, None, "parentheses that do not match are told"),
    ("role:", {"roles": [""]}, {}, True, None, "nothing behind the colon is a mistake, not the empty text"),
    ("not rule:a)b", {}, {}, True, None, "a parenthesis in the middle of a check is one that lacks a space"),
    ("not 'a':'b'", {}, {}, False, None, "quotes on the right side are no quotes there, and none here"),
    ("user:%(count)d", {"user": "1"}, {"count": 1}, True, None, "only %(name)s is documented"),
    ("user:%(count)x", {"user": "1"}, {"count": "y"}, TypeError, None, "a request does not fail with a trace"),
    ("user:50%", {"user": "50%"}, {}, ValueError, None, "a request does not fail with a trace"),
    ("user:%s", {"user": "{}"}, {}, True, None, "the whole of the target as text is no value"),
    ("1x:a", {"1x": "a"}, {}, SyntaxError, None, "a request does not fail with a trace"),
    ("1.5:%(count)s", {}, {"count": 1.5}, True, None, "nothing of an image is a fraction"),
    ("user:%(owner)s", {"user": None}, {"owner": None}, True, False, "no owner is nobody's, not that of nobody"),
    ("user:None", {"user": None}, {}, True, False, "an attribute without a value equals nothing"),
    ("role:%(owner)s", {"roles": ["none"]}, {"owner": None}, True, False, "no owner is no role"),
    ("roles.name:x", {"roles": ["x"]}, {}, TypeError, False, "a request does not fail with a trace"),
    ("user:{'a': 1}", {"user": "x"}, {}, False, None, "a space ends a check"),
)


@pytest.mark.parametrize(("rule", "creds", "target", "there", "here", "why"), DIFFERENCES)
def test_differences(
    rule: str, creds: dict[str, Any], target: dict[str, Any], there: object, here: bool | None, why: str
) -> None:
    """Each is still one; here it is never the more generous of the two."""
    assert why
    if isinstance(there, bool):
        assert theirs({"it": rule}, "it", creds, target) == there
    else:
        with pytest.raises(there):  # type: ignore[call-overload] # a class of exceptions
            theirs({"it": rule}, "it", creds, target)
    if here is None:
        with pytest.raises(Misread):
            read(rule)
    else:
        assert not here
        assert ours({"it": rule}, "it", creds, target) == here


@pytest.mark.parametrize("rule", ["http://host/check", "https://host/%(owner)s", "not http://host"])
def test_checks_over_the_net_are_not_read(rule: str) -> None:
    """oslo.policy asks a server; here a rule file makes no connection."""
    from oslo_policy import _checks

    enforcer()
    assert {"http", "https"} <= set(_checks.get_extensions())
    with pytest.raises(Misread, match="over the net"):
        read(rule)
