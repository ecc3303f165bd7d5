"""A file of access rules, YAML or JSON (which is YAML), with the place of every fault: line and column.

The file is a mapping of names to rules. Only its nodes are looked at: no object is made of them, and no tag counts.
Tabs, which JSON may be indented with and YAML not, are read as spaces.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from imgtool.catalog import language
from imgtool.catalog.access import FOREIGN_NAMES, IDENTITY_NAMES, TARGET_NAMES, Rule, references
from imgtool.errors import UsageError

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, SequenceNode

#: Bytes of a file, rules in it, rules that need one another in a row, and items of a list.
LARGEST, MOST, DEEPEST, MOST_ITEMS = 1024 * 1024, 1000, 32, 128

#: Verbs of the image service that this catalog does not have: their rules may stand in the file, and nothing asks.
_FOREIGN_VERBS = (
    "cache",
    "copy_image",
    "default",
    "get_member",
    "location",
    "metadef",
    "service_api",
    "stores",
    "task",
)

_TEXT, _LIST = "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq"


class _Item(NamedTuple):
    """A text of the file: `line` and `column` of its first character, from 1; `exact` where its characters are
    those of the file."""

    text: str
    line: int
    column: int
    exact: bool

    def place(self, at: int = 0) -> str:
        """Line and column of a character of it, or of where it begins and the character's number."""
        if self.exact or not at:
            return f"line {self.line}, column {self.column + at}"
        return f"line {self.line}, column {self.column} (character {at + 1} of the text)"


class _Said(NamedTuple):
    """A rule of the file: its name, its text or its lists."""

    name: _Item
    value: _Item | tuple[_Item | tuple[_Item, ...], ...]


class _Fault(Exception):
    """A place of the file that is no rule."""

    def __init__(self, said: str, item: _Item | None = None, at: int = 0) -> None:
        super().__init__(said)
        self.told = f"{item.place(at)}: {said}" if item is not None else said


def read_rules(path: str, builtin: Mapping[str, Rule], faults: list[str]) -> dict[str, Rule]:
    """The rules of a file by their names; what is wrong with it is put to `faults`. `builtin`: what they overrule.

    Raises UsageError where it cannot be read or is no YAML at all.
    """
    rules: dict[str, Rule] = {}
    places: dict[str, _Item] = {}
    found: list[str] = []
    for said in _said(path, found):
        name = said.name.text
        try:
            if not name.isprintable():
                raise _Fault(f"a name with a character that cannot be printed: {name!r}", said.name)
            if name in rules:
                raise _Fault(f"{name} is there twice", said.name)
            about = builtin[name].about if name in builtin else "a rule of the file"
            rules[name] = Rule(name, _told(said), _read(said), path, about)
            places[name] = said.name
        except _Fault as fault:
            found.append(fault.told)
            rules.setdefault(name, Rule(name, "!", language.Always(False), path, ""))
    if not found:
        found += _misused(rules, places, builtin)
    faults += (f"{path}: {fault}" for fault in found)
    return rules


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(data) > LARGEST:
        raise UsageError(f"{path}: larger than {LARGEST} bytes")
    try:
        return data.decode("utf-8-sig").replace("\t", " ")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: it is not UTF-8") from None


def _said(path: str, faults: list[str]) -> Iterator[_Said]:
    """What a file says, rule by rule."""
    import yaml
    from yaml.nodes import MappingNode

    text = _text_of(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{path}: {place}not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise UsageError(f"{path}: not YAML: {reason}") from None
    if root is None:
        return
    if not isinstance(root, MappingNode):
        raise UsageError(f"{path}: names with rules are needed (NAME: RULE), not {_kind(root)}")
    if len(root.value) > MOST:
        raise UsageError(f"{path}: more than {MOST} rules")
    yield from _pairs(root, text.splitlines(), faults)


def _pairs(root: MappingNode, lines: list[str], faults: list[str]) -> Iterator[_Said]:
    from yaml.nodes import SequenceNode

    for key, value in root.value:
        try:
            name = _item(key, lines, "a name")
            if isinstance(value, SequenceNode) and value.tag == _LIST:
                yield _Said(name, tuple(_items(value, lines, name.text)))
            else:
                yield _Said(name, _item(value, lines, f"{name.text}: a rule"))
        except _Fault as fault:
            faults.append(fault.told)


def _items(lists: SequenceNode, lines: list[str], name: str) -> Iterator[_Item | tuple[_Item, ...]]:
    """The list syntax: texts, and lists of texts."""
    from yaml.nodes import SequenceNode

    what = f"{name}: a check"
    for one in lists.value:
        if max(len(lists.value), len(one.value)) > MOST_ITEMS and isinstance(one, SequenceNode):
            raise _Fault(f"{name}: more than {MOST_ITEMS} checks in a list")
        if isinstance(one, SequenceNode) and one.tag == _LIST:
            yield tuple(_item(check, lines, what) for check in one.value)
        else:
            yield _item(one, lines, what)


def _item(node: Node, lines: list[str], what: str) -> _Item:
    """A text. Raises _Fault for what is none."""
    from yaml.nodes import ScalarNode

    line, column = node.start_mark.line, node.start_mark.column
    where = _Item("", line + 1, column + 1, True)
    if isinstance(node, ScalarNode) and not node.value and node.style is None:
        raise _Fault(f'{what} is missing: "!" is never and "@" always, in quotes', where)
    if not isinstance(node, ScalarNode) or node.tag != _TEXT:
        raise _Fault(f"{what} is text in quotes, not {_kind(node)}", where)
    begin = column + (node.style in ("'", '"'))
    shown = lines[line][begin : begin + len(node.value)] if line < len(lines) else ""
    return _Item(node.value, line + 1, begin + 1, shown == node.value)


def _kind(node: Node) -> str:
    kinds = {"seq": "a list", "map": "a mapping", "null": "nothing", "bool": "yes or no", "int": "a number"}
    return kinds.get(node.tag.rpartition(":")[2], node.tag)


def _read(said: _Said) -> language.Check:
    """The tree of a rule, whose names are known. Raises _Fault."""
    value = said.value
    if isinstance(value, _Item):
        try:
            check = language.parse(value.text)
        except language.Misread as error:
            raise _Fault(f"{said.name.text}: {error.said}", value, error.at) from None
        for leaf in language.leaves(check):
            _known(leaf, said.name.text, value)
        return check
    texts = [one.text if isinstance(one, _Item) else [item.text for item in one] for one in value]
    try:
        check = language.parse_list(texts)
    except language.Misread as error:
        outer = value[error.item[0]]
        item = outer if isinstance(outer, _Item) else outer[error.item[1]]
        raise _Fault(f"{said.name.text}: {error.said}", item, error.at) from None
    for leaf in language.leaves(check):
        _known(leaf, said.name.text, said.name)
    return check


def _told(said: _Said) -> str:
    """A rule as text: its own, or that of its lists."""
    return said.value.text if isinstance(said.value, _Item) else language.told(_read(said))


def _known(leaf: language.Leaf, rule: str, item: _Item) -> None:
    """Raises _Fault for an attribute that nobody has: a misspelt one would never, or behind `not` always, hold."""
    if isinstance(leaf, (language.Always, language.Ref)):
        return
    at = leaf.at if item.text != rule else 0
    if isinstance(leaf, language.Attribute) and leaf.name not in (*IDENTITY_NAMES, *FOREIGN_NAMES):
        raise _Fault(f"{rule}: no identity has {leaf.name!r}{_hint(leaf.name, IDENTITY_NAMES)}", item, at)
    for name in leaf.match.names:
        if name not in TARGET_NAMES:
            raise _Fault(f"{rule}: no target has {name!r}{_hint(name, TARGET_NAMES)}", item, at)


def _hint(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else f" (one of {', '.join(known)})"


def _misused(rules: Mapping[str, Rule], places: Mapping[str, _Item], builtin: Mapping[str, Rule]) -> Iterator[str]:
    """What rules say of one another: names that there are not, circles, names that nothing asks for."""
    every = {name: tuple(references(rule.check)) for name, rule in (*builtin.items(), *rules.items())}
    asked = {ref for refs in every.values() for ref in refs}
    deep: dict[str, int] = {}
    for name, place in places.items():
        for ref in every[name]:
            if ref not in every:
                yield f"{place.place()}: {name}: no rule is called {ref!r}{_hint(ref, tuple(every))}"
        if name not in builtin and name not in asked and not any(one in name for one in _FOREIGN_VERBS):
            close = difflib.get_close_matches(name, builtin, 1)
            hint = f"did you mean {close[0]!r}?" if close else "see `imgtool access show`"
            yield f"{place.place()}: no verb is called {name!r}, and no rule refers to it ({hint})"
        path = _too_deep((name,), every, deep)
        if path and path[-1] == name:
            yield f"{place.place()}: {name} leads in a circle: {' → '.join(path)}"
        elif path and path[-1] not in path[:-1]:
            yield f"{place.place()}: {name} needs more than {DEEPEST} rules in a row"


def _too_deep(path: tuple[str, ...], every: Mapping[str, tuple[str, ...]], deep: dict[str, int]) -> tuple[str, ...]:
    """The way from a rule to one that is on it already, or that is one too many; empty where there is none.

    `deep`: how many rules in a row a rule needs, itself counted, of those that were looked at.
    """
    if path[-1] in path[:-1] or len(path) > DEEPEST:
        return path
    for ref in every.get(path[-1], ()):
        if len(path) + deep.get(ref, 0) > DEEPEST:
            return (*path, ref)
        found = _too_deep((*path, ref), every, deep) if ref not in deep else ()
        if found:
            return found
    deep[path[-1]] = 1 + max((deep[ref] for ref in every.get(path[-1], ())), default=0)
    return ()
