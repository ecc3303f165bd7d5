"""The rule language of oslo.policy: text into a tree of checks, a tree into yes or no.

    role:admin or (project_id:%(owner)s and not 'private':%(visibility)s)

`and`, `or`, `not` (in any case; `not` binds closest, then `and`) and parentheses join checks, which hold no space:

    @  !                  always, never; an empty rule is `@`
    role:NAME             the identity has the role, in whatever case
    rule:NAME             another rule
    ATTRIBUTE:VALUE       an attribute of the identity is the value; `a.b` looks into it, of a list any item counts
    LITERAL:VALUE         'text', "text", a whole number, True, False or None is the value
    %(NAME)s in a VALUE   what the target has of that name; without one the check is false (%% is a per cent sign)

A list of lists of checks is the older syntax: any of the lists, of which all must hold. Pure, and total: what is read
at all is decided, and what is not known is no. Where oslo.policy takes what cannot be read for "never", and goes on,
reading fails here with the place; checks over the net (`http:`, `https:`) are not read. An attribute without a value
(None) equals nothing, where oslo.policy compares the text "None". Reference: oslo.policy, "Policy Rule Expressions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

#: What attributes of identities and targets are.
Value = str | bool | int | None | Sequence["Value"] | Mapping[str, "Value"]
Values = Mapping[str, Value]

#: Parentheses and `not` in one another, and characters of one rule.
DEEPEST, LONGEST = 32, 16_384

_TOKEN = re.compile(r"\S+")
_NAME = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)*")
_LITERAL = re.compile(r"""'[^'\\]*'|"[^"\\]*"|0|-?[1-9][0-9]{0,17}|True|False|None""")
_HOLE = re.compile(r"%\(([\w.:-]+)\)s|(%%)")
_OVER_THE_NET = ("http", "https")


class Misread(Exception):
    """A rule that cannot be read. `at`: the character of its text, from 0; `item`: the check of the list syntax."""

    def __init__(self, said: str, at: int, item: tuple[int, ...] = ()) -> None:
        super().__init__(said)
        self.said, self.at, self.item = said, at, item


class Template(NamedTuple):
    """A value with holes: pieces of text, and names of what the target is asked for in between."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    text: str


class Always(NamedTuple):
    """`@` and `!`."""

    answer: bool


class Role(NamedTuple):
    """The identity has a role."""

    match: Template
    at: int


class Ref(NamedTuple):
    """Another rule."""

    name: str
    at: int


class Attribute(NamedTuple):
    """An attribute of the identity equals a value."""

    name: str
    match: Template
    at: int


class Constant(NamedTuple):
    """A literal equals a value. `text`: what it is as text; `kind`: as it was written."""

    text: str
    kind: str
    match: Template
    at: int


class Not(NamedTuple):
    """The opposite."""

    check: Check


class All(NamedTuple):
    """Each of them."""

    checks: tuple[Check, ...]


class Any(NamedTuple):
    """One of them."""

    checks: tuple[Check, ...]


Leaf = Always | Role | Ref | Attribute | Constant
Check = Leaf | Not | All | Any


class _Token(NamedTuple):
    word: str
    at: int


def parse(text: str) -> Check:
    """The tree of a rule. Raises Misread."""
    if len(text) > LONGEST:
        raise Misread(f"a rule has at most {LONGEST} characters", 0)
    for at, character in enumerate(text):
        if not character.isprintable() and not character.isspace():
            raise Misread(f"a character that cannot be printed: {character!r}", at)
    if not text:
        return Always(True)
    return _Reader(list(_tokens(text)), len(text)).rule()


def parse_list(lists: Sequence[str | Sequence[str]]) -> Check:
    """The tree of a rule in the list syntax. Raises Misread."""
    if not lists:
        return Always(True)
    branches = []
    for number, inner in enumerate(lists):
        items = [inner] if isinstance(inner, str) else inner
        checks = []
        for place, item in enumerate(items):
            index = (number,) if isinstance(inner, str) else (number, place)
            try:
                checks.append(_one(item))
            except Misread as error:
                raise Misread(error.said, error.at, index) from None
        if checks:
            branches.append(checks[0] if len(checks) == 1 else All(tuple(checks)))
    if not branches:
        return Always(False)
    return branches[0] if len(branches) == 1 else Any(tuple(branches))


def _one(text: str) -> Leaf:
    """The only check of a text of the list syntax."""
    words = list(_tokens(text))
    if len(words) != 1 or words[0].word != text or text.lower() in ("and", "or", "not", "(", ")"):
        raise Misread(f"one check is needed, not {text!r}", 0)
    return _check(words[0])


def _tokens(text: str) -> Iterator[_Token]:
    """Words and parentheses: those at the beginning and the end of a word are none of it."""
    for found in _TOKEN.finditer(text):
        word, at = found.group(), found.start()
        inner = word.lstrip("(")
        for _ in range(len(word) - len(inner)):
            yield _Token("(", at)
            at += 1
        check = inner.rstrip(")")
        if check:
            yield _Token(check, at)
        for number in range(len(inner) - len(check)):
            yield _Token(")", at + len(check) + number)


class _Reader:
    """Reads tokens from left to right: `or` of `and` of `not` of checks."""

    def __init__(self, tokens: list[_Token], end: int) -> None:
        self._tokens, self._end = tokens, end
        self._next, self._depth = 0, 0

    def rule(self) -> Check:
        """All of it."""
        check = self._any()
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            self._fail(f"`and`, `or` or the end is needed, not {token.word!r}")
        return check

    def _word(self) -> str:
        """The next token in small letters; empty at the end."""
        return self._tokens[self._next].word.lower() if self._next < len(self._tokens) else ""

    def _fail(self, said: str) -> NoReturn:
        at = self._tokens[self._next].at if self._next < len(self._tokens) else self._end
        raise Misread(said, at)

    def _any(self) -> Check:
        checks = [self._all()]
        while self._word() == "or":
            self._next += 1
            checks.append(self._all())
        return checks[0] if len(checks) == 1 else Any(tuple(checks))

    def _all(self) -> Check:
        checks = [self._single()]
        while self._word() == "and":
            self._next += 1
            checks.append(self._single())
        return checks[0] if len(checks) == 1 else All(tuple(checks))

    def _single(self) -> Check:
        word = self._word()
        if word in ("", ")", "and", "or"):
            self._fail(f"a check is needed, not {word!r}" if word else "a check is needed at the end")
        if word not in ("(", "not"):
            self._next += 1
            return _check(self._tokens[self._next - 1])
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"more than {DEEPEST} parentheses and `not` in one another")
        self._next += 1
        if word == "not":
            check: Check = Not(self._single())
        else:
            check = self._any()
            if self._word() != ")":
                self._fail("a closing parenthesis is needed")
            self._next += 1
        self._depth -= 1
        return check


def _check(token: _Token) -> Leaf:
    """A single check. Raises Misread."""
    word, at = token
    if word in ("@", "!"):
        return Always(word == "@")
    kind, colon, value = word.partition(":")
    if not colon:
        said = "quoted text cannot hold a space" if word[0] in "'\"" else "a check is KIND:VALUE, @ or !"
        raise Misread(f"{word!r}: {said}", at)
    if kind in _OVER_THE_NET:
        raise Misread(f"{word!r}: checks over the net are not supported", at)
    if not value:
        raise Misread(f"{word!r}: nothing behind the colon", at)
    if word[0] in "'\"" and word[-1] == word[0]:
        raise Misread(f"{word!r}: only the left side can be in quotes", at)
    if kind == "rule":
        return Ref(_plain(value, 0, len(value), at + len(kind) + 1), at)
    match = _template(value, at + len(kind) + 1)
    if kind == "role":
        return Role(match, at)
    if _LITERAL.fullmatch(kind):
        return Constant(kind.strip("'\""), kind, match, at)
    if not _NAME.fullmatch(kind):
        raise Misread(f"{kind!r} is no attribute and no literal", at)
    return Attribute(kind, match, at)


def _template(text: str, at: int) -> Template:
    """Text with %(name)s in it. Raises Misread."""
    pieces, names, piece, last = [], [], "", 0
    for hole in _HOLE.finditer(text):
        piece += _plain(text, last, hole.start(), at)
        last = hole.end()
        if hole.group(2):
            piece += "%"
        else:
            pieces.append(piece)
            names.append(hole.group(1))
            piece = ""
    piece += _plain(text, last, len(text), at)
    return Template((*pieces, piece), tuple(names), text)


def _plain(text: str, start: int, end: int, at: int) -> str:
    part = text[start:end]
    for number, character in enumerate(part):
        if character in "%()":
            said = "only %(name)s and %% are known" if character == "%" else _STRAY
            raise Misread(f"{text!r}: {said}", at + start + number)
    return part


_STRAY = "a parenthesis inside a check: put a space before it"


def leaves(check: Check) -> Iterator[Leaf]:
    """Every check of a tree, from left to right."""
    if isinstance(check, Not):
        yield from leaves(check.check)
    elif isinstance(check, (All, Any)):
        for one in check.checks:
            yield from leaves(one)
    else:
        yield check


def told(check: Check) -> str:
    """A tree as text that is read as the same."""
    match check:
        case Always(answer):
            return "@" if answer else "!"
        case Role(match_, _):
            return f"role:{match_.text}"
        case Ref(name, _):
            return f"rule:{name}"
        case Attribute(name, match_, _):
            return f"{name}:{match_.text}"
        case Constant(_, kind, match_, _):
            return f"{kind}:{match_.text}"
        case Not(one):
            return f"not {_grouped(one)}"
        case All(checks):
            return " and ".join(map(_grouped, checks))
        case Any(checks):
            return " or ".join(map(_grouped, checks))


def _grouped(check: Check) -> str:
    return f"({told(check)})" if isinstance(check, (All, Any)) else told(check)


def decide(check: Check, who: Values, target: Values, rules: Mapping[str, bool]) -> bool:
    """True where a tree accepts an identity's attributes and a target's. `rules`: what the rules that it refers to
    say; one that is not there says no."""
    match check:
        case Always(answer):
            return answer
        case Not(one):
            return not decide(one, who, target, rules)
        case All(checks):
            return all(decide(one, who, target, rules) for one in checks)
        case Any(checks):
            return any(decide(one, who, target, rules) for one in checks)
        case Ref(name, _):
            return rules.get(name, False)
        case Role(match_, _):
            wanted, roles = _filled(match_, target), who.get("roles")
            return wanted is not None and isinstance(roles, (tuple, list)) and wanted.lower() in map(_low, roles)
        case Constant(text, _, match_, _):
            return _filled(match_, target, absent="None") == text
        case Attribute(name, match_, _):
            wanted = _filled(match_, target)
            return wanted is not None and _holds(who, name.split("."), wanted)


def _low(role: Value) -> str:
    return str(role).lower()


def _filled(template: Template, target: Values, absent: str | None = None) -> str | None:
    """The text of a template; None where the target has no such name, or (without `absent`) no value for it."""
    said = template.pieces[0]
    for name, piece in zip(template.names, template.pieces[1:], strict=True):
        if name not in target:
            return None
        value = target[name] if target[name] is not None else absent
        if value is None:
            return None
        said += str(value) + piece
    return said


def _holds(value: Value, path: Sequence[str], wanted: str) -> bool:
    """True where what a path leads to equals text; of a list any item may."""
    if isinstance(value, (tuple, list)):
        return any(_holds(one, path, wanted) for one in value)
    if not path:
        return value is not None and not isinstance(value, Mapping) and str(value) == wanted
    return isinstance(value, Mapping) and path[0] in value and _holds(value[path[0]], path[1:], wanted)
