"""LUKS against qemu-img and cryptsetup, over their creation options. Key derivation is kept cheap throughout.

Of the ciphers of cryptsetup only AES is used: it needs the kernel for the others.
"""

from __future__ import annotations

import json
import re
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.formats.luks.facts import Luks1Facts, Luks2Facts, LuksFacts
from tests.kit import codes, deriving, faults, need, no_bug, qemu_info, run

pytestmark = pytest.mark.oracle

MIB = 1 << 20
PASSPHRASE = b"oracle"
QUICK = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


# qemu-img


def qemu_luks(path: Path, size: int, **options: str) -> bool:
    """Make a LUKS1 volume; False where this qemu-img lacks the cipher, hash or mode, or crashes on the key size."""
    chosen = ",".join(
        ("key-secret=s", "iter-time=10", *(f"{name.replace('_', '-')}={value}" for name, value in options.items()))
    )
    secret = f"secret,id=s,data={PASSPHRASE.decode()}"
    done = deriving(
        need("qemu-img"), "create", "-q", "-f", "luks", "--object", secret, "-o", chosen, str(path), str(size)
    )
    lacking = rb"(?i)not supported|unsupported|not available|is too|algorithm|requires|QEMU_IS_ALIGNED"
    assert done.returncode == 0 or re.search(lacking, done.stderr), done
    return done.returncode == 0


def agrees_with_qemu(path: Path) -> Luks1Facts:
    """The facts, after they were compared with what qemu-img says."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    facts = report.details
    assert isinstance(facts, Luks1Facts)
    assert faults(report) == set()
    assert "LUK401" in codes(report)
    told = qemu_info(path, "luks")
    data = told["format-specific"]["data"]
    assert (report.format, report.virtual_size, report.encrypted) == ("luks", told["virtual-size"], told["encrypted"])
    assert (facts.uuid, facts.hash) == (data["uuid"], data["hash-alg"])
    assert (facts.payload_offset, facts.digest_iterations) == (data["payload-offset"], data["master-key-iters"])
    cipher, bits = (*data["cipher-alg"].split("-"), "")[:2]
    assert facts.cipher_name == cipher
    assert not bits or facts.key_size * 8 == int(bits) * (2 if data["cipher-mode"] == "xts" else 1)
    generator = f"{data['ivgen-alg']}:{data['ivgen-hash-alg']}" if "ivgen-hash-alg" in data else data["ivgen-alg"]
    assert facts.cipher_mode == f"{data['cipher-mode']}-{generator}"
    for slot, expected in zip(facts.key_slots, data["slots"], strict=True):
        assert (slot.state == "enabled", slot.offset) == (expected["active"], expected["key-offset"])
        if expected["active"]:
            assert (slot.iterations, slot.stripes) == (expected["iters"], expected["stripes"])
    return facts


CIPHERS = ("aes-128", "aes-192", "aes-256", "cast5-128", "serpent-128", "serpent-256", "twofish-128", "twofish-256")
MODES = (("xts", "plain64"), ("cbc", "plain64"), ("cbc", "plain"), ("cbc", "essiv"))
HASHES = ("sha1", "sha256", "sha512", "ripemd160")


def made_by_qemu(path: Path, cipher: str, mode: tuple[str, str], digest: str) -> bool:
    """One point of the matrix of ciphers."""
    more = {"ivgen_hash_alg": "sha256"} if mode[1] == "essiv" else {}
    return qemu_luks(path, MIB, cipher_alg=cipher, cipher_mode=mode[0], ivgen_alg=mode[1], hash_alg=digest, **more)


def test_qemu(tmp_path: Path) -> None:
    """One point of the matrix below: each takes qemu-img three seconds."""
    assert made_by_qemu(tmp_path / "x", "aes-128", ("cbc", "essiv"), "sha1")
    agrees_with_qemu(tmp_path / "x")


@pytest.mark.full
def test_qemu_all_ciphers(tmp_path: Path) -> None:
    """Every cipher × mode and IV × hash that this qemu-img has; most of them it must have."""
    count = 0
    for cipher, mode, digest in product(CIPHERS, MODES, HASHES):
        if made_by_qemu(tmp_path / "x", cipher, mode, digest):
            agrees_with_qemu(tmp_path / "x")
            count += 1
    assert count > 80


@pytest.mark.parametrize(
    "size",
    [1 << 40, *(pytest.param(size, marks=pytest.mark.full) for size in (512, 127 * 512, (1 << 43) - 512))],
)
def test_qemu_sizes(tmp_path: Path, size: int) -> None:
    """The payload is the virtual disk, to the byte."""
    assert qemu_luks(tmp_path / "x", size)
    assert agrees_with_qemu(tmp_path / "x").virtual_size == size


@pytest.mark.full
def test_inside_another_format(tmp_path: Path) -> None:
    """The header inside a qcow2 is a member, and that the payload is elsewhere is no fault of it."""
    secret = f"secret,id=s,data={PASSPHRASE.decode()}"
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    place = (str(tmp_path / "x"), "1M")
    deriving(need("qemu-img"), "create", "-q", "-f", "qcow2", "--object", secret, "-o", options, *place)
    (member,) = imgtool.inspect(tmp_path / "x", checksums=()).members
    assert (member.format, faults(member)) == ("luks", set())
    assert isinstance(member.details, Luks1Facts)
    assert member.details.header_only


# cryptsetup


def formatted(path: Path, kind: str, *options: str, size: int = 20 * MIB, header: Path | None = None) -> Path:
    """A volume as cryptsetup formats it; the path of what holds the header."""
    with path.open("wb") as file:
        file.truncate(size)
    more = ("--header", str(header)) if header is not None else ()
    command = (need("cryptsetup"), "luksFormat", "-q", "--type", kind, *options, *more, str(path), "-")
    run(*command, stdin=PASSPHRASE)
    return header or path


def dump(path: Path) -> str:
    """`cryptsetup luksDump`."""
    return run(need("cryptsetup"), "luksDump", str(path)).decode()


def value(text: str, name: str) -> str:
    """What stands after `name:` in a dump."""
    found = re.search(rf"^{re.escape(name)}:[ \t]*(.*)$", text, re.MULTILINE)
    assert found, name
    return found[1].strip()


def read(path: Path, expected: frozenset[str] = frozenset()) -> LuksFacts:
    """The facts, of a report with no more errors and warnings than `expected`."""
    report = imgtool.inspect(path, checksums=())
    no_bug(report)
    assert (report.format, report.encrypted, report.broken, report.partial) == ("luks", True, False, False)
    assert faults(report) == expected
    assert isinstance(report.details, LuksFacts)
    return report.details


def agrees1(path: Path, expected: frozenset[str] = frozenset()) -> Luks1Facts:
    """LUKS1 facts, after they were compared with luksDump."""
    facts, told = read(path, expected), dump(path)
    assert isinstance(facts, Luks1Facts)
    assert (facts.cipher_name, facts.cipher_mode) == (value(told, "Cipher name"), value(told, "Cipher mode"))
    assert (facts.hash, facts.uuid) == (value(told, "Hash spec"), value(told, "UUID"))
    assert facts.payload_offset == int(value(told, "Payload offset")) * 512
    assert facts.key_size * 8 == int(value(told, "MK bits"))
    assert facts.digest_iterations == int(value(told, "MK iterations"))
    for slot in facts.key_slots:
        assert slot.state == value(told, f"Key Slot {slot.id}").lower()
    offsets = re.findall(r"Key material offset:\s*(\d+)", told)
    enabled = [slot for slot in facts.key_slots if slot.state == "enabled"]
    assert [slot.offset for slot in enabled] == [int(offset) * 512 for offset in offsets]
    assert [slot.iterations for slot in enabled] == [int(n) for n in re.findall(r"\tIterations:\s*(\d+)", told)]
    return facts


def agrees2(path: Path, expected: frozenset[str] = frozenset()) -> Luks2Facts:
    """LUKS2 facts, after they were compared with luksDump in text and in JSON."""
    facts, told = read(path, expected), dump(path)
    assert isinstance(facts, Luks2Facts)
    assert (facts.uuid, str(facts.sequence_id)) == (value(told, "UUID"), value(told, "Epoch"))
    assert (facts.label or "(no label)", facts.subsystem or "(no subsystem)") == (
        value(told, "Label"),
        value(told, "Subsystem"),
    )
    assert f"{facts.header_size} [bytes]" == value(told, "Metadata area")
    assert f"{facts.keyslots_size} [bytes]" == value(told, "Keyslots area")
    body = json.loads(run(need("cryptsetup"), "luksDump", "--dump-json-metadata", str(path)))
    assert [slot.id for slot in facts.key_slots] == sorted(body["keyslots"], key=int)
    for slot in facts.key_slots:
        _same_slot(slot, body["keyslots"][slot.id])
    assert [segment.id for segment in facts.segments] == sorted(body["segments"], key=int)
    for segment in facts.segments:
        wanted = body["segments"][segment.id]
        assert (segment.type, segment.offset) == (wanted["type"], int(wanted["offset"]))
        assert (segment.encryption, segment.sector_size) == (wanted.get("encryption"), wanted.get("sector_size"))
        assert segment.dynamic == (wanted["size"] == "dynamic")
    assert [digest.id for digest in facts.digests] == sorted(body["digests"], key=int)
    assert [token.id for token in facts.tokens] == sorted(body["tokens"], key=int)
    return facts


def _same_slot(slot: Any, wanted: dict[str, Any]) -> None:
    assert (slot.type, slot.key_size) == (wanted["type"], wanted["key_size"])
    assert (slot.area_offset, slot.area_size) == (int(wanted["area"]["offset"]), int(wanted["area"]["size"]))
    assert slot.area_encryption == wanted["area"].get("encryption")
    if "kdf" in wanted:
        for name in ("type", "hash", "iterations", "time", "memory", "cpus"):
            assert getattr(slot.kdf, name) == wanted["kdf"].get(name)


LUKS1_OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("--cipher", "aes-cbc-essiv:sha256", "--key-size", "128", "--hash", "sha1"),
    ("--cipher", "aes-xts-plain64", "--key-size", "256", "--hash", "sha512"),
    ("--cipher", "aes-cbc-plain", "--key-size", "192", "--hash", "ripemd160"),
    ("--key-slot", "7"),
    ("--offset", "16384"),
    ("--align-payload", "8192"),
    ("--uuid", "12345678-1234-1234-1234-123456789abc"),
)


@pytest.mark.parametrize("options", LUKS1_OPTIONS, ids=" ".join)
def test_luks1(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Every creation option of LUKS1."""
    facts = agrees1(formatted(tmp_path / "x", "luks1", "--pbkdf-force-iterations", "1000", *options))
    assert facts.virtual_size == 20 * MIB - (facts.payload_offset or 0)


LUKS2_OPTIONS: tuple[tuple[str, ...], ...] = (
    QUICK,
    (*QUICK, "--label", "Tresor", "--subsystem", "oracle"),
    (*QUICK, "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--hash", "sha512"),
    (*QUICK, "--cipher", "aes-cbc-plain64", "--key-size", "192"),
    (*QUICK, "--sector-size", "512"),
    (*QUICK, "--sector-size", "4096"),
    (*QUICK, "--luks2-metadata-size", "4m", "--luks2-keyslots-size", "1m"),
    (*QUICK, "--luks2-metadata-size", "64k", "--luks2-keyslots-size", "2m"),
    (*QUICK, "--offset", "36864"),
    (*QUICK, "--keyslot-cipher", "aes-cbc-plain64", "--keyslot-key-size", "256"),
    (*QUICK, "--key-slot", "31"),
    ("--pbkdf", "argon2id", "--pbkdf-memory", "32", "--pbkdf-parallel", "1", "--pbkdf-force-iterations", "4"),
    ("--pbkdf", "argon2i", "--pbkdf-memory", "64", "--pbkdf-parallel", "4", "--pbkdf-force-iterations", "5"),
)


@pytest.mark.parametrize("options", LUKS2_OPTIONS, ids=" ".join)
def test_luks2(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Every creation option of LUKS2 that needs no device mapper."""
    facts = agrees2(formatted(tmp_path / "x", "luks2", *options))
    assert facts.virtual_size == 20 * MIB - (facts.payload_offset or 0)


@pytest.mark.parametrize("metadata", ["16k", "32k", "64k", "128k", "256k", "512k", "1m", "2m", "4m"])
def test_second_header_at_every_place(tmp_path: Path, metadata: str) -> None:
    """The second header is found at each size a header may have."""
    options = (*QUICK, "--luks2-metadata-size", metadata, "--luks2-keyslots-size", "512k")
    facts = agrees2(formatted(tmp_path / "x", "luks2", *options))
    assert facts.secondary is not None
    assert facts.secondary.offset == facts.header_size
    assert facts.secondary.valid


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("options", [(), ("--offset", "16384")], ids=["no offset", "offset"])
def test_detached_header(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    """A header in a file of its own is no fault, wherever it says the payload lies."""
    path = formatted(tmp_path / "x", kind, *QUICK, *options, header=tmp_path / "header")
    facts = agrees1(path) if kind == "luks1" else agrees2(path)
    assert facts.header_only
    assert facts.detached == (not options)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_header_backup(tmp_path: Path, kind: str) -> None:
    """A backup of a header ends with its key slots; LUKS1's ends before the payload would begin."""
    path = formatted(tmp_path / "x", kind, *QUICK)
    backup = tmp_path / "backup"
    run(need("cryptsetup"), "luksHeaderBackup", str(path), "--header-backup-file", str(backup))
    facts = read(backup, frozenset({"LUK002"} if kind == "luks1" else ()))
    assert facts.header_only
    assert facts.uuid == value(dump(path), "UUID")


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_changed_key_slots(tmp_path: Path, kind: str) -> None:
    """A second passphrase, a token, and at last no passphrase at all."""
    path = formatted(tmp_path / "x", kind, *QUICK)
    (tmp_path / "new").write_bytes(b"another")
    run(need("cryptsetup"), "luksAddKey", "-q", *QUICK, str(path), str(tmp_path / "new"), stdin=PASSPHRASE)
    if kind == "luks2":
        run(need("cryptsetup"), "token", "add", "--key-description", "oracle:key", str(path))
        assert [token.type for token in agrees2(path).tokens] == ["luks2-keyring"]
    else:
        assert [slot.state for slot in agrees1(path).key_slots[:3]] == ["enabled", "enabled", "disabled"]
    run(need("cryptsetup"), "erase", "-q", str(path))
    read(path, frozenset({"LUK403"}))


def test_reencryption(tmp_path: Path) -> None:
    """Re-encryption that was begun: its requirement, segments and key slots, and the size unchanged."""
    path = formatted(tmp_path / "x", "luks2", *QUICK, "--sector-size", "512")
    before = agrees2(path).virtual_size
    done = subprocess.run(
        (need("cryptsetup"), "reencrypt", "-q", "--init-only", *QUICK, "--force-offline-reencrypt", str(path)),
        input=PASSPHRASE,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts = agrees2(path, frozenset({"LUK025"}))
    assert any("reencrypt" in name for name in facts.requirements)
    assert facts.virtual_size == before


def test_converted(tmp_path: Path) -> None:
    """A LUKS1 volume converted to LUKS2 keeps its payload where it was."""
    path = formatted(tmp_path / "x", "luks1", "--pbkdf-force-iterations", "1000")
    before = agrees1(path)
    run(need("cryptsetup"), "convert", "-q", "--type", "luks2", str(path))
    after = agrees2(path)
    assert (after.virtual_size, after.uuid) == (before.virtual_size, before.uuid)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("size", [1 << 40, (1 << 43) - 512])
def test_sizes(tmp_path: Path, kind: str, size: int) -> None:
    """1 TiB, and what a file here can at most be, to the byte."""
    path = (
        formatted(tmp_path / "x", kind, *QUICK, "--sector-size", "512", size=size)
        if kind == "luks2"
        else formatted(tmp_path / "x", kind, *QUICK, size=size)
    )
    facts = agrees2(path) if kind == "luks2" else agrees1(path)
    assert facts.virtual_size == size - (facts.payload_offset or 0)
