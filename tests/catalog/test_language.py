"""Rules that cannot be read say where and why. What rules decide is compared with oslo.policy in tests/oracle."""

from __future__ import annotations

import pytest

from imgtool.catalog import language
from imgtool.catalog.language import Misread


@pytest.mark.parametrize(
    ("rule", "at", "said"),
    [
        (" ", 1, "a check is needed at the end"),
        ("role:a and", 10, "a check is needed at the end"),
        ("and role:a", 0, "a check is needed, not 'and'"),
        ("role:a role:b", 7, "`and`, `or` or the end is needed, not 'role:b'"),
        ("role:a not role:b", 7, "`and`, `or` or the end is needed, not 'not'"),
        ("(role:a", 7, "a closing parenthesis is needed"),
        ("(role:a or role:b))", 18, "the end is needed, not ')'"),
        ("()", 1, "a check is needed, not ')'"),
        ("admin", 0, "a check is KIND:VALUE, @ or !"),
        ("role:a or admin", 10, "a check is KIND:VALUE, @ or !"),
        ("'a b':%(name)s", 0, "quoted text cannot hold a space"),
        ("'a':'b'", 0, "only the left side can be in quotes"),
        ("role:", 0, "nothing behind the colon"),
        ("rule:", 0, "nothing behind the colon"),
        (":x", 0, "no attribute and no literal"),
        ("1x:y", 0, "no attribute and no literal"),
        ("007:%(name)s", 0, "no attribute and no literal"),
        ("http://host/", 0, "over the net"),
        ("not ( https://host )", 6, "over the net"),
        ("user:%(name)d", 5, "only %(name)s and %% are known"),
        ("user:100%", 8, "only %(name)s and %% are known"),
        ("user:%()s", 5, "only %(name)s and %% are known"),
        ("(user:a)(user:b)", 7, "a parenthesis inside a check"),
        ("rule:a)or(rule:b", 6, "a parenthesis inside a check"),
        ("role:a\x07", 6, "cannot be printed"),
        ("role:\u202ea", 5, "cannot be printed"),
        ("not " * 33 + "@", 128, "more than 32 parentheses"),
        ("(" * 33 + "@" + ")" * 33, 32, "more than 32 parentheses"),
        ("@ or " * 4000 + "@", 0, "at most 16384 characters"),
    ],
)
def test_where_and_why(rule: str, at: int, said: str) -> None:
    """The character from 0, and what is needed."""
    with pytest.raises(Misread) as caught:
        language.parse(rule)
    assert said in caught.value.said
    assert caught.value.at == at


@pytest.mark.parametrize(
    ("rule", "item", "at"),
    [
        (["role:a", "role"], (1,), 0),
        ([["role:a"], ["role:b", "user:%"]], (1, 1), 5),
        ([["role:a and role:b"]], (0, 0), 0),
        ([[""]], (0, 0), 0),
        (["(role:a)"], (0,), 0),
        (["not"], (0,), 0),
    ],
)
def test_lists_say_which_check(rule: list[str | list[str]], item: tuple[int, ...], at: int) -> None:
    """A check of the list syntax is one, without joints and parentheses."""
    with pytest.raises(Misread) as caught:
        language.parse_list(rule)
    assert (caught.value.item, caught.value.at) == (item, at)


def test_the_deepest_is_read_and_decided() -> None:
    """32 in one another, and a thousand side by side."""
    rule = "not " * 16 + "(" * 16 + "@" + ")" * 16
    assert language.decide(language.parse(rule), {}, {}, {})
    wide = language.parse(" or ".join(["!"] * 1000 + ["@"]))
    assert language.decide(wide, {}, {}, {})


def test_precedence_and_places() -> None:
    """`not` before `and` before `or`; leaves know where they stand."""
    check = language.parse("not role:a and role:b or role:c")
    assert language.told(check) == "(not role:a and role:b) or role:c"
    assert [leaf.at for leaf in language.leaves(check) if isinstance(leaf, language.Role)] == [4, 15, 25]
