"""A policy as TOML text: what `imgtool policy show` prints."""

from __future__ import annotations

from imgtool.policy.load import NOTHING, SECTIONS
from imgtool.policy.policy import Policy
from imgtool.policy.values import ANY


def to_toml(policy: Policy) -> str:
    """A policy as TOML text, every key with what holds; `load_policy` reads it back as the same."""
    lines = [f"name = {_quoted(policy.name)}"]
    if policy.title:
        lines.append(f"title = {_quoted(policy.title)}")
    lines += [f"base = {_quoted(NOTHING)}", f"fail_on = {_quoted(policy.fail_on)}"]
    for section, keys in SECTIONS.items():
        lines += ["", f"[{section}]"]
        lines += (f"{key} = {_value(getattr(policy, field))}" for key, (field, _) in keys.items())
    lines += (f"{_quoted(selector)} = {_quoted(level)}" for selector, level in policy.severities)
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if value is None:
        return _quoted(ANY)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_quoted(str(item)) for item in value)}]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A basic string of TOML, which JSON's escapes write: all but DEL, which TOML wants escaped too."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
