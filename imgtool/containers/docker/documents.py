"""JSON that nobody vouches for: bounded, and read by plain accessors that never raise."""

from __future__ import annotations

from typing import NamedTuple


class JsonFault(Exception):
    """The document is not read; the message says why."""


class Descriptor(NamedTuple):
    """An OCI descriptor: what a blob is, its digest and its size in bytes."""

    media_type: str | None
    digest: str | None
    size: int | None
    platform: str | None
    tag: str | None
    urls: tuple[str, ...]


def parse_json(data: bytes) -> object:
    """The value of a document. Raises JsonFault."""
    import json

    try:
        value: object = json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise JsonFault("nested too deep") from None
    except ValueError as error:
        raise JsonFault(str(error)[:200]) from None
    return value


def mapping(value: object, key: str) -> dict[str, object]:
    """The object under `key`; an empty one where there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def items(value: object, key: str, most: int) -> list[object]:
    """The first `most` entries of the array under `key`; none where there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found[:most] if isinstance(found, list) else []


def string(value: object, key: str) -> str | None:
    """The string under `key`."""
    return clean(value.get(key)) if isinstance(value, dict) else None


def strings(value: object, key: str, most: int) -> tuple[str, ...]:
    """The strings among the first `most` entries of the array under `key`."""
    return tuple(text for text in (clean(item) for item in items(value, key, most)) if text is not None)


def number(value: object, key: str) -> int | None:
    """The whole number of at most 63 bits under `key`."""
    found = value.get(key) if isinstance(value, dict) else None
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 63:
        return found
    return None


def clean(value: object) -> str | None:
    """A string of at most 4096 characters, lone surrogates replaced; None for anything else."""
    if not isinstance(value, str):
        return None
    return value[:4096].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def descriptor(value: object) -> Descriptor:
    """An OCI descriptor (image-spec, "Content Descriptors")."""
    platform = mapping(value, "platform")
    parts = [string(platform, key) for key in ("os", "architecture", "variant")]
    notes = mapping(value, "annotations")
    tag = string(notes, "io.containerd.image.name") or string(notes, "org.opencontainers.image.ref.name")
    return Descriptor(
        string(value, "mediaType"),
        string(value, "digest"),
        number(value, "size"),
        "/".join(part for part in parts if part) or None,
        tag,
        strings(value, "urls", 16),
    )
