"""ZIP: the rules of compressed wrappers. Cost of each: headers, and what decoding has told anyway."""

from __future__ import annotations

from collections.abc import Iterator

from imgtool.containers.compressed.facts import CompressedFacts, MarkKind
from imgtool.containers.member import Decoded
from imgtool.findings.core import Finding, Rule, rule
from imgtool.limits import Limits


def _marked(owner: Rule[CompressedFacts], facts: CompressedFacts, kind: MarkKind) -> Iterator[Finding]:
    for mark in facts.marks:
        if mark.kind == kind:
            yield owner.at(mark.text, field=mark.field, offset=mark.offset, length=mark.length)


def _content(facts: CompressedFacts) -> Decoded | None:
    return facts.decoded[0] if facts.decoded else None


@rule("ZIP001", "wrapper-reserved-bits", "error")
def reserved_bits(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """A compressed file's header has bits set that its specification reserves.

    What it checks: the reserved bits of gzip's flags, xz's stream flags, zstd's and lz4's frame descriptors
    are 0.

    Why it matters: a decoder must refuse such a file, since it cannot know what else is different in it.

    What to do: take a fresh copy of the file, or compress it again.

    References: RFC 1952, section 2.3.1.2; the .xz file format, section 2.1.1.2; RFC 8878, section 3.1.1.1.1.
    """
    yield from _marked(reserved_bits, facts, "reserved")


@rule("ZIP002", "wrapper-unknown-method", "error")
def unknown_method(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """The content is compressed by a method that cannot be decoded here.

    What it checks: zip's method is one of stored, deflate, bzip2, LZMA, zstd and xz; the version of an
    lz4 frame is 1.

    Why it matters: what is inside cannot be inspected, so nothing can be said of it.

    What to do: decompress it with the program that made it, and inspect the image.

    References: APPNOTE.TXT, section 4.4.5; LZ4 Frame Format Description, "Frame Descriptor".
    """
    yield from _marked(unknown_method, facts, "method")


@rule("ZIP003", "wrapper-headers-disagree", "error")
def headers_disagree(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """Two headers that must say the same do not.

    What it checks: zip's local header agrees with the directory in name, method, size and CRC-32, and
    lies where the directory says; the flags of an xz stream are the same in header and footer.

    Why it matters: one program goes by one header, another by the other: they extract different images.

    What to do: do not use the file; fetch it again or have it made again.

    References: APPNOTE.TXT, section 4.3; the .xz file format, section 2.1.2.3.
    """
    yield from _marked(headers_disagree, facts, "mismatch")


@rule("ZIP004", "archive-not-one-file", "error")
def not_one_file(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """A zip archive has none or several files in it, so it is not one image.

    What it checks: besides folders and links the archive has exactly one file.

    Why it matters: nobody can tell which of them is the image, and programs choose differently.

    What to do: unpack it and name the image; or pack the image alone.
    """
    if facts.wrapper == "zip":
        files = sum(member.kind == "file" for member in facts.members)
        if files != 1 or facts.members_total > len(facts.members):
            yield not_one_file.at(f"the archive has {files} files of {facts.members_total} entries")


@rule("ZIP005", "data-after-wrapper", "warning")
def data_after(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """Bytes follow the end of the compressed data.

    What it checks: the file ends where its last stream, frame or archive ends. Zeros (padding of tapes and
    block devices) are a note, as is the size word that Linux puts behind lz4's legacy blocks; in xz zeros are
    padding of its own, in fours, and others are not.

    Why it matters: decoders ignore or refuse such bytes; they can hide a second file (a polyglot).

    What to do: look at what follows; fetch the file again when it should not be there.
    """
    content = _content(facts)
    count, zeros = facts.suffix, facts.suffix_zeros
    if facts.wrapper != "zip" and content is not None and content.trailing:
        count, zeros = content.trailing, content.trailing_zeros
    if count:
        harmless = (zeros and facts.wrapper != "xz") or (facts.method == "lz4-legacy" and count == 4)
        what = "zeros" if zeros else "bytes"
        yield data_after.at(
            f"{count} {what} follow the compressed data",
            offset=facts.file_size - count,
            length=count,
            severity="note" if harmless else "warning",
        )


@rule("ZIP006", "data-before-archive", "warning")
def data_before(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """Bytes precede a zip archive.

    What it checks: the offsets in the directory count from the first byte of the file.

    Why it matters: a zip archive is found from its end, so anything can stand before it: a program (a
    self-extracting archive), or another image (a polyglot).

    What to do: take the archive out and inspect both parts; or have it made again.

    References: APPNOTE.TXT, section 4.1.9.
    """
    if facts.prefix:
        yield data_before.at(f"{facts.prefix} bytes precede the archive", offset=0, length=facts.prefix)


@rule("ZIP007", "wrapper-not-decoded-whole", "note")
def not_decoded_whole(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """Only the beginning of the content was decoded.

    What it checks: without a checksum to compute, no more than the first 4 MiB (`limits.wrapper_probe`) of
    the content are decoded: enough for headers.

    Why it matters: its size is the one that the wrapper declares (unknown where it declares none), and
    damage further on was not looked for.

    What to do: inspect it with a checksum (the default), which decodes it to the end.
    """
    content = _content(facts)
    if content is not None and not content.whole and content.fault is None:
        size = "unknown" if facts.declared_size is None else f"{facts.declared_size} bytes as declared"
        yield not_decoded_whole.at(f"{content.size} bytes were decoded; the size of the content is {size}")


@rule("ZIP101", "stored-name-is-a-path", "error")
def stored_path(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """The name that is stored in the wrapper could lead elsewhere.

    What it checks: names in gzip's header and in a zip archive are not absolute and have no `..`,
    backslash, drive or control characters. A plain folder before the name of the content is a warning.

    Why it matters: programs that extract by name write outside of their folder (CVE-2018-1002200 and its
    kin).

    What to do: extract it to a name of your own (`gzip -dc`, `unzip -p`).
    """
    names = [member.name for member in facts.members if facts.wrapper == "zip" or facts.stored_name]
    for name in names[: limits.references]:
        fault = _name_fault(name)
        if fault:
            yield stored_path.at(f"stored name {name!r}: {fault}")
        elif "/" in name and name == facts.stored_name:
            yield stored_path.at(f"stored name {name!r} has a folder", severity="warning")


def _name_fault(name: str) -> str | None:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "control characters"
    if name.startswith("/"):
        return "an absolute path"
    if "\\" in name:
        return "a backslash"
    if ".." in name.split("/"):
        return "leaves its folder by `..`"
    return "a drive" if name[1:2] == ":" and name[:1].isalpha() else None


@rule("ZIP201", "wrapper-expansion-ratio", "warning")
def expansion_ratio(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """The content is very much larger than the file.

    What it checks: a content of at least 1 GiB (`limits.wrapper_ratio_floor`) is at most 1000
    (`limits.wrapper_ratio_warning`) times as large as its compressed bytes.

    Why it matters: whoever decompresses it needs that room: such a file fills a disk. An empty disk image
    looks the same.

    What to do: see that there is room, and that the image is meant to be empty.
    """
    content = _content(facts)
    size = max(content.size if content is not None else 0, facts.declared_size or 0)
    stored = max(1, facts.stored_size or 0)
    if size >= limits.wrapper_ratio_floor and size > stored * limits.wrapper_ratio_warning:
        yield expansion_ratio.at(f"{size} bytes are packed in {stored}, {size // stored} to one")


@rule("ZIP202", "wrapper-window-over-cap", "error")
def window_over_cap(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """Decoding the content needs more memory than the cap.

    What it checks: the dictionary or window that the header asks for is at most 128 MiB
    (`limits.wrapper_memory`).

    Why it matters: a decoder that trusts the header allocates up to 4 GiB for a file of a few bytes.

    What to do: compress it again with a smaller window (without `--ultra --long=31` or a `dict` of hundreds of
    mebibytes).
    """
    yield from _marked(window_over_cap, facts, "window")


@rule("ZIP301", "wrapper-header-checksum", "error")
def header_checksum(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """The checksum over a header of the wrapper does not match.

    What it checks: gzip's header CRC, the CRC-32 of xz's stream header, footer and index, the checksum of an
    lz4 frame descriptor.

    Why it matters: the file was damaged or changed by hand.

    What to do: fetch the file again and compare its checksum with the publisher's.

    References: RFC 1952, section 2.3.1; the .xz file format, sections 2.1.1.3, 2.1.2.1 and 4.5.
    """
    yield from _marked(header_checksum, facts, "checksum")


@rule("ZIP302", "wrapper-content-checksum", "error")
def content_checksum(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """The content does not have the checksum or the size that the wrapper says.

    What it checks: gzip's CRC-32 and size, zstd's and lz4's checksums, zip's CRC-32 and size, where the content is
    decoded to its end. (Of xz, lzma and bzip2 the decoders do not tell a wrong check field from damaged data: both
    are IMG003.)

    Why it matters: the file was damaged or changed.

    What to do: fetch the file again and compare its checksum with the publisher's.

    References: RFC 1952, section 2.3.1; RFC 8878, section 3.1.1; LZ4 Frame Format Description, "Content checksum".
    """
    for one in facts.decoded:
        if one.fault is not None and one.fault.kind == "checksum":
            yield content_checksum.at(one.fault.message, field=facts.check or "check", offset=one.fault.offset)


@rule("ZIP401", "archive-encrypted", "error")
def archive_encrypted(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """A file in the zip archive is encrypted.

    What it checks: the encryption bit of each entry.

    Why it matters: without the password nobody can inspect what is inside.

    What to do: decrypt it with the password, and inspect the image.

    References: APPNOTE.TXT, section 4.4.4.
    """
    if facts.encrypted:
        yield archive_encrypted.at("the content is encrypted and cannot be inspected")


@rule("ZIP501", "wrapper-needs-dictionary", "error")
def needs_dictionary(facts: CompressedFacts, limits: Limits) -> Iterator[Finding]:
    """The content can only be decoded with a dictionary that is not in the file.

    What it checks: the dictionary id of a zstd frame, the dictionary flag of an lz4 frame.

    Why it matters: whoever gets the file alone cannot decompress it.

    What to do: decompress it where the dictionary is, and compress it again without.

    References: RFC 8878, section 3.1.1.1.3; LZ4 Frame Format Description, "Dictionary ID".
    """
    yield from _marked(needs_dictionary, facts, "dictionary")


RULES = (
    reserved_bits,
    unknown_method,
    headers_disagree,
    not_one_file,
    data_after,
    data_before,
    not_decoded_whole,
    stored_path,
    expansion_ratio,
    window_over_cap,
    header_checksum,
    content_checksum,
    archive_encrypted,
    needs_dictionary,
)
