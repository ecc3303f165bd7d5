"""The rules of OVA: the archive around an OVF descriptor. Cost of each: the headers as read.

References: DSP0243 2.1.1, clause 6; POSIX.1-2017 pax, "ustar Interchange Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imgtool.containers.envelope.checks import RULES as ENVELOPE_RULES
from imgtool.containers.envelope.manifest import packaged_name
from imgtool.containers.ova.content import RULES as CONTENT_RULES
from imgtool.containers.ova.facts import OvaFacts
from imgtool.containers.tar.safety import duplicates, links, special_members, unsafe_names
from imgtool.findings.core import Finding, rule
from imgtool.limits import Limits


@rule("OVA001", "ova-descriptor-not-first", "error")
def descriptor_not_first(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor is not the first file of the archive.

    What it checks: the first member that is no folder is the .ovf.

    Why it matters: importers that stream the archive read the descriptor first, and refuse or misread any
    other order.

    What to do: pack it again, the descriptor first: `tar --format=ustar -cf x.ova x.ovf x.mf disk.vmdk`.

    References: DSP0243 clause 6.4.
    """
    first = next(member for member in facts.archive.members if member.kind != "folder")
    if first.name != facts.descriptor:
        message = f"the first member is {first.name!r}, the descriptor {facts.descriptor!r} comes later"
        yield descriptor_not_first.at(message, offset=first.header_offset)


@rule("OVA002", "ova-several-descriptors", "error")
def several_descriptors(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The archive has more than one descriptor.

    What it checks: exactly one member is an .ovf.

    Why it matters: one importer takes the first, another the last: what was checked is not what runs.

    What to do: pack it again with one descriptor.

    References: DSP0243 clause 6.1.
    """
    for member in facts.descriptors[1:]:
        yield several_descriptors.at(f"{member.name!r} is a further descriptor", offset=member.header_offset)


@rule("OVA003", "ova-descriptor-too-large", "error")
def descriptor_too_large(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The descriptor is too large.

    What it checks: the .ovf is at most 4 MiB.

    Why it matters: importers hold it in memory as a tree that is many times its size; it was not read.

    What to do: find out what fills it; a descriptor has some tens of KiB.
    """
    if facts.descriptor_size > limits.xml_size:
        message = f"{facts.descriptor!r} has {facts.descriptor_size} bytes, at most {limits.xml_size} are read"
        yield descriptor_too_large.at(message, offset=facts.descriptor_offset)


@rule("OVA004", "ova-unusual-order", "warning")
def unusual_order(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The members are not in the order that the standard gives.

    What it checks: descriptor, manifest, certificate, then the files as References lists them; manifest and
    certificate may come last instead.

    Why it matters: importers that stream the archive need the order.

    What to do: pack it again in that order.

    References: DSP0243 clause 6.4.
    """
    kinds, names = "", []
    files = [member for member in facts.archive.members if member.kind == "file"]
    for member in files:
        kind = _letter(member.name, facts)
        kinds += kind
        if kind == "f":
            names.append(member.plain_name)
    if not kinds.startswith("o"):
        return
    if not re.fullmatch(r"of*|omc?f*|of*mc?|omf*c", kinds):
        yield unusual_order.at("the manifest or certificate is neither behind the descriptor nor last")
    listed = [part.plain_name for _, parts in facts.stored for part in parts]
    present = [name for name in names if name in set(listed)]
    if present != list(dict.fromkeys(listed)):
        yield unusual_order.at("the files are not in the order of the descriptor's References")


def _letter(name: str, facts: OvaFacts) -> str:
    if name == facts.descriptor:
        return "o"
    return "m" if name == facts.manifest_file else "c" if name == facts.certificate else "f"


@rule("OVA005", "ova-end-missing", "warning")
def end_missing(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The archive has no end mark.

    What it checks: a block of zeros follows the last member.

    Why it matters: the archive may have been cut between two members.

    What to do: fetch it again and compare its size with the publisher's.
    """
    if facts.archive.whole and not facts.archive.ended:
        yield end_missing.at(
            f"the archive stops at {facts.archive.end} without an end mark", offset=facts.archive.end
        )


@rule("OVA006", "ova-data-after-end", "warning")
def data_after_end(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """Something follows the end of the archive.

    What it checks: behind the end mark there are only zeros, and no more of them than fill a record of 1 MiB
    (`limits.tar_record`).

    Why it matters: most programs stop at the end mark, some read on: what follows can be a second archive (a
    polyglot).

    What to do: look at what follows; pack it again.

    References: POSIX.1-2017 pax, "ustar Interchange Format".
    """
    archive = facts.archive
    if archive.behind is not None:
        message = f"bytes follow the end mark at {archive.end}, from {archive.behind} on"
        yield data_after_end.at(message, offset=archive.behind, length=facts.file_size - archive.behind)


@rule("OVA010", "ova-unsafe-member-name", "error")
def unsafe_name(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A member's name leads out of the folder it is unpacked to.

    What it checks: no name is absolute, has `..`, a backslash, a drive letter or control characters.

    Why it matters: unpacking it overwrites files of the host (CVE-2007-4559).

    What to do: do not unpack it; make the package again.
    """
    for fault in unsafe_names(facts.archive.members):
        yield unsafe_name.at(fault.message, field="name", offset=fault.offset, length=512)


@rule("OVA011", "ova-special-member", "error")
def special_member(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A member is a device, a FIFO or of an unknown type.

    What it checks: every member is a file or a folder (links have a rule of their own).

    Why it matters: unpacked as root it makes a device that reads the host's disks.

    What to do: do not unpack it; make the package again.
    """
    for fault in special_members(facts.archive.members):
        yield special_member.at(fault.message, field="typeflag", offset=fault.offset, length=512)


@rule("OVA012", "ova-duplicate-member", "error")
def duplicate_member(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """Two members have the same name.

    What it checks: every name comes once.

    Why it matters: one importer takes the first, another the last: what was checked is not what runs.

    What to do: make the package again.

    References: DSP0243 clause 6.4.
    """
    for fault in duplicates(facts.archive.members):
        yield duplicate_member.at(fault.message, field="name", offset=fault.offset, length=512)


@rule("OVA013", "ova-link-member", "error")
def link_member(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A member is a link.

    What it checks: no member is a symbolic or hard link; one that points at another member is a warning.

    Why it matters: a link that is unpacked first sends what is unpacked after it anywhere (CVE-2025-4517);
    an OVA has files only.

    What to do: make the package again.

    References: DSP0243 clause 6.4.
    """
    for member, inside in links(facts.archive.members):
        yield link_member.at(
            f"member {member.name!r} is a {member.kind} to {member.link!r}",
            field="linkname",
            offset=member.header_offset,
            length=512,
            severity="warning" if inside else None,
        )


@rule("OVA014", "ova-sparse-member", "error")
def sparse_member(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A member is stored sparsely.

    What it checks: no member is one of GNU's sparse files.

    Why it matters: its bytes are not in the archive as they are; most importers read its map as content.
    It was not looked into.

    What to do: pack it again without `--sparse`.

    References: GNU tar manual, "Storing Sparse Files".
    """
    for member in facts.archive.members:
        if member.kind == "sparse":
            message = f"member {member.name!r}: {member.size} bytes stored for {member.real_size}"
            yield sparse_member.at(message, field="typeflag", offset=member.header_offset, length=512)


@rule("OVA101", "ova-file-missing", "error")
def file_missing(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A file that the descriptor names is not in the archive.

    What it checks: each href is a member, whole or in chunks (`name.000000000` and on).

    Why it matters: the package is not complete, or wants something from outside.

    What to do: fetch or make the package again.

    References: DSP0243 clause 7.1.
    """
    for file, parts in facts.stored:
        if not parts:
            yield file_missing.at(f"{file.href!r} is not in the archive", field="href")


@rule("OVA301", "ova-file-size-differs", "error")
def file_size(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A file has another size than the descriptor says.

    What it checks: ovf:size, where it is given, is the size of the member (or of its chunks together).

    Why it matters: the file was cut, replaced or changed after the descriptor was written.

    What to do: fetch or make the package again.

    References: DSP0243 clause 7.1.
    """
    for file, parts in facts.stored:
        total = sum(part.real_size for part in parts)
        if parts and file.size is not None and file.size != total:
            message = f"{file.href!r} has {total} bytes, the descriptor says {file.size}"
            yield file_size.at(message, field="size", offset=parts[0].header_offset)


@rule("OVA302", "ova-manifest-names-missing-file", "error")
def manifest_missing(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The manifest has the digest of a file that is not in the archive.

    What it checks: each file of the manifest is a member.

    Why it matters: the package is not the one that the manifest was made for.

    What to do: fetch or make the package again.

    References: DSP0243 clause 6.3.
    """
    names = {member.plain_name for member in facts.archive.members} | {file.href for file in facts.files}
    for entry in facts.manifest:
        if packaged_name(entry) not in names:
            yield manifest_missing.at(f"{entry.name!r} is not in the archive", field="manifest")


@rule("OVA303", "ova-manifest-line-strange", "warning")
def manifest_line(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """A line of the manifest is no digest of a file.

    What it checks: each line reads `SHA256(name)= hex`, in any of the spellings in use.

    Why it matters: what it says is not checked by anybody.

    What to do: make the manifest again.

    References: DSP0243 clause 6.3.
    """
    for line in facts.strange_lines:
        yield manifest_line.at(f"not understood: {line!r}", field="manifest")


@rule("OVA304", "ova-manifest-weak-digest", "warning")
def weak_digest(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The manifest relies on a digest that can be forged.

    What it checks: the manifest uses SHA-256 or better, not SHA-1 or MD5.

    Why it matters: two files with the same SHA-1 can be made; it protects against damage, not against people.

    What to do: make the manifest with SHA-256.
    """
    weak = sorted({entry.algorithm for entry in facts.manifest if entry.algorithm in ("sha1", "md5")})
    if weak:
        yield weak_digest.at(f"{facts.manifest_file!r} uses {' and '.join(weak)}", field="manifest")


@rule("OVA305", "ova-certificate-not-checked", "warning")
def certificate(facts: OvaFacts, limits: Limits) -> Iterator[Finding]:
    """The package is signed, and the signature was not checked.

    What it checks: whether there is a certificate.

    Why it matters: who signed it, and whether the signature holds, is not known.

    What to do: verify it where the publisher's certificate is trusted (`openssl cms`, `ovftool`).

    References: DSP0243 clause 6.3.
    """
    if facts.certificate is not None:
        yield certificate.at(f"{facts.certificate!r} was not checked")


RULES = (
    descriptor_not_first,
    several_descriptors,
    descriptor_too_large,
    unusual_order,
    end_missing,
    data_after_end,
    unsafe_name,
    special_member,
    duplicate_member,
    link_member,
    sparse_member,
    file_missing,
    file_size,
    manifest_missing,
    manifest_line,
    weak_digest,
    certificate,
    *CONTENT_RULES,
    *ENVELOPE_RULES,
)
