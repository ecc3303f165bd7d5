"""imgtool.validate: verdicts over files and streams, policies by name and file, references, tables."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import jsonschema
import pytest

import imgtool
from imgtool.codecs.decode import Decoding
from imgtool.disks import members
from imgtool.limits import Limits
from imgtool.model.schema import verdict_schema
from imgtool.policy.builtin import builtin
from imgtool.policy.policy import Policy
from imgtool.sources.base import Source
from tests.kit import fixture, images, manifest, qemu_create
from tests.policy.kit import errors, verdict
from tests.test_golden import stream_of

#: What `default` rejects beside what the manifest's codes say: formats that no cloud serves, and encryption.
BY_POLICY = {
    "asif/blank.asif.gz": ["IMG013"],
    "bochs/growing.bochs": ["IMG013"],
    "bochs/version-1.bochs": ["IMG013"],
    "cloop/plain.cloop": ["IMG013"],
    "dmg/zlib.dmg": ["IMG013"],
    "dmg/encrypted.dmg.gz": ["IMG013", "IMG401"],
    "qed/plain.qed.gz": ["IMG013"],
    "qed/clusters.qed.gz": ["IMG013"],
    "qcow2/luks.qcow2.gz": ["IMG401"],
    "luks/luks1.luks.gz": ["IMG013", "IMG401"],
    "luks/luks2.luks.gz": ["IMG013", "IMG401"],
}


def clean() -> list[str]:
    """The fixtures that no rule calls wrong, only what makes them unfit by policy aside."""
    return [image["file"] for image in manifest()["image"] if not image.get("codes")]


@pytest.mark.parametrize("name", clean())
def test_default_takes_what_is_clean(name: str) -> None:
    """Accepted, but for the formats that are not on the list and encrypted content."""
    told = verdict(name)
    expected = BY_POLICY.get(name)
    if expected is None and name.startswith("luks/"):
        expected = ["IMG013", "IMG401"]
    assert errors(told) == (expected or [])
    assert told.accepted == (not expected)


@pytest.mark.parametrize("name", images())
def test_a_stream_has_the_same_verdict(name: str) -> None:
    """As from the file, with every finding, unless it says that it is incomplete."""
    data = fixture(name)
    whole = imgtool.validate(io.BytesIO(data))
    streamed = imgtool.validate(stream_of(data))
    if streamed.incomplete == whole.incomplete:
        assert (streamed.accepted, streamed.findings) == (whole.accepted, whole.findings)
    else:
        assert streamed.incomplete
        assert streamed.not_run


@pytest.mark.parametrize("name", images())
def test_the_schema_holds(name: str) -> None:
    """Every verdict is an object of imgtool.verdict/1."""
    told = json.loads(json.dumps(verdict(name, policy="strict").to_dict()))
    jsonschema.Draft202012Validator(verdict_schema()).validate(told)
    assert told["schema"] == "imgtool.verdict/1"
    assert told["report"]["schema"] == "imgtool.report/1"


def test_what_a_verdict_says() -> None:
    """Path, policy, claims, findings with effective severities."""
    told = verdict(
        "qcow2/snapshots.qcow2", disk_format="qcow2", container_format="bare", min_disk="1G", policy="strict"
    )
    assert not told.accepted
    assert told.policy == "strict"
    assert told.claims == imgtool.Claims("qcow2", "bare", 1 << 30)
    assert [(finding.code, finding.severity) for finding in told.findings] == [("QCW030", "warning")]
    assert verdict("qcow2/snapshots.qcow2").accepted
    assert not verdict("qcow2/snapshots.qcow2", fail_on="warning").accepted
    assert verdict("qcow2/snapshots.qcow2", policy="strict", fail_on="error").accepted


def test_select_and_ignore() -> None:
    """As in linters: lists with commas, codes, beginnings, names."""
    assert verdict("qcow2/backing.qcow2", ignore=["IMG101"]).accepted
    assert verdict("qcow2/backing.qcow2", ignore=["VHD,external-reference"]).accepted
    assert verdict("qcow2/backing.qcow2", select=["QCW"]).accepted
    assert not verdict("qcow2/backing.qcow2", select=["QCW", "IMG1"]).accepted
    with pytest.raises(imgtool.UsageError, match="no rule is called 'QCX'"):
        verdict("qcow2/plain.qcow2", select=["QCX"])


def test_policies_by_name_file_and_value(tmp_path: Path) -> None:
    """A name, a path (also one that looks like a name), a Policy; what is none is a usage error."""
    (tmp_path / "site.toml").write_text('[formats]\ndisk = ["raw"]')
    assert errors(verdict("qcow2/plain.qcow2", policy=tmp_path / "site.toml")) == ["IMG013"]
    assert verdict("qcow2/plain.qcow2", policy=str(tmp_path / "site.toml")).policy == "site"
    assert verdict("qcow2/plain.qcow2", policy=Policy("mine")).policy == "mine"
    with pytest.raises(imgtool.UsageError, match="no such policy: 'lax'"):
        verdict("qcow2/plain.qcow2", policy="lax")
    with pytest.raises(imgtool.UsageError, match="No such file"):
        verdict("qcow2/plain.qcow2", policy=tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(imgtool.UsageError, match="not UTF-8"):
        verdict("qcow2/plain.qcow2", policy=tmp_path / "latin.toml")


def test_usage_errors() -> None:
    """What is no size, digest, threshold or input."""
    for wrong in ({"min_disk": "big"}, {"expect": ["md5:xyz"]}, {"fail_on": "note"}, {"checksums": ["crc"]}):
        with pytest.raises(imgtool.UsageError):
            verdict("qcow2/plain.qcow2", **wrong)
    with pytest.raises(imgtool.UsageError):
        imgtool.validate(3)  # type: ignore[arg-type] # what the test is about
    with pytest.raises(imgtool.NotFoundError):
        imgtool.validate("/nowhere/at/all")


def test_digests() -> None:
    """An expected one is compared; others are computed where they are asked for; else none is."""
    told = verdict("qcow2/plain.qcow2")
    assert told.report.checksums == {}
    assert set(verdict("qcow2/plain.qcow2", checksums=["md5"]).report.checksums) == {"md5"}
    assert errors(verdict("qcow2/plain.qcow2", expect=["md5:" + "0" * 32])) == ["IMG301"]


def test_manifests_are_verified_without_being_asked() -> None:
    """An OVA's manifest that does not hold rejects, from a file and from a stream."""
    data = bytearray(fixture("ova/small.ova.gz"))
    assert imgtool.validate(io.BytesIO(bytes(data))).accepted
    place = data.index(b"KDMV") + 70 * 1024
    data[place] ^= 1
    assert "OVA306" in errors(imgtool.validate(io.BytesIO(bytes(data))))
    assert "OVA306" in errors(imgtool.validate(stream_of(bytes(data))))


def test_followed_references_must_hold(tmp_path: Path) -> None:
    """A policy that has them followed: the file is there and an image, in its folder, in no circle."""
    policy = Policy("chain", follow_references=("backing",))
    (tmp_path / "images").mkdir()
    base = qemu_create(tmp_path / "images" / "base.qcow2", "qcow2", "1M")
    top = qemu_create(tmp_path / "images" / "top.qcow2", "qcow2", None, extra=("-F", "qcow2", "-b", "base.qcow2"))
    told = imgtool.validate(top, policy=policy, follow=True)
    assert (told.accepted, told.incomplete) == (True, False)
    assert [finding.severity for finding in told.findings if finding.code == "IMG101"] == ["note"]
    alone = imgtool.validate(top, policy=policy)
    assert (errors(alone), alone.incomplete) == (["IMG101"], True)
    base.unlink()
    assert errors(imgtool.validate(top, policy=policy, follow=True)) == ["IMG101", "IMG103"]
    base.symlink_to(top)
    assert errors(imgtool.validate(top, policy=policy, follow=True)) == ["IMG101", "IMG103"]
    base.unlink()
    outside = tmp_path / "outside"
    outside.mkdir()
    base.symlink_to(qemu_create(outside / "base.qcow2", "qcow2", "1M"))
    assert errors(imgtool.validate(top, policy=policy, follow=True)) == ["IMG101", "IMG103"]
    assert imgtool.validate(top, policy=policy, follow=outside).accepted
    streamed = imgtool.validate(stream_of(top.read_bytes()), policy=policy, follow=True)
    assert (errors(streamed), streamed.incomplete) == (["IMG101"], True)


def test_what_lies_beside_a_descriptor_is_verified_where_followed(tmp_path: Path) -> None:
    """The disks of an OVF descriptor: there they hold, missing they do not, not followed they are references."""
    policy = Policy("appliance", follow_references=("href",))
    with tarfile.open(fileobj=io.BytesIO(fixture("ova/small.ova.gz"))) as archive:
        for member in archive:
            held = archive.extractfile(member)
            assert held is not None
            (tmp_path / member.name).write_bytes(held.read())
    (descriptor,) = tmp_path.glob("*.ovf")
    told = imgtool.validate(descriptor, policy=policy, follow=True)
    assert (errors(told), told.incomplete) == ([], False)
    assert errors(imgtool.validate(descriptor, policy=policy)) == ["IMG101"]
    for disk in tmp_path.glob("*.vmdk"):
        disk.unlink()
    assert not imgtool.validate(descriptor, policy=policy, follow=True).accepted


def test_a_manifest_is_verified_once() -> None:
    """Deep or not, a digest that differs is one finding."""
    data = bytearray(fixture("ova/small.ova.gz"))
    data[data.index(b"KDMV") + 70 * 1024] ^= 1
    for deep in (False, True):
        told = imgtool.validate(io.BytesIO(bytes(data)), deep=deep)
        assert [finding.code for finding in told.findings].count("OVA306") == 1


@pytest.mark.parametrize(
    "name", ["compressed/zeros.xz", "compressed/plain.zip", "compressed/crc32.xz", "ari/packed.xz"]
)
def test_deep_of_a_wrapper_that_does_not_decode(name: str) -> None:
    """Its own rules say so; nothing is raised."""
    data = bytearray(fixture(name))
    middle = len(data) // 2
    data[middle : middle + 8] = b"\xff" * 8
    told = imgtool.validate(io.BytesIO(bytes(data)), deep=True)
    assert not told.accepted
    assert not [code for code in errors(told) if code.startswith("IMG9")]


@pytest.mark.parametrize("name", ["ova/several.ova.gz", "docker/save-modern.tar"])
def test_deep_compares_digests_and_says_so(name: str) -> None:
    """What a container states of its members is compared by the deep check alone: nothing is left to be told of."""
    told = imgtool.validate(io.BytesIO(fixture(name)), deep=True)
    assert not told.incomplete, told.not_run
    assert told.accepted
    shallow = imgtool.validate(io.BytesIO(fixture(name)))
    assert {finding.code for finding in shallow.findings} <= {finding.code for finding in told.findings}


def test_deep_on_a_stream_is_incomplete() -> None:
    """Tables cannot be walked there: the codes of their rules are named."""
    data = fixture("qcow2/plain.qcow2")
    assert not imgtool.validate(io.BytesIO(data), deep=True).incomplete
    streamed = imgtool.validate(stream_of(fixture("vhd/dynamic.vhd")), deep=True)
    assert streamed.incomplete
    assert {code[:3] for code in streamed.not_run} <= {"VHD", "IMG"}


def test_a_member_too_deep_is_rejected() -> None:
    """What was not looked into is not vouched for."""
    told = verdict("compressed/nested.gzip", policy=builtin("default")._replace(depth=1))
    assert "IMG202" in errors(told)
    assert told.incomplete


def test_deep_decodes_a_raw_disk_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no tables is not decoded again to look for them; what has, is."""
    asked: list[str] = []
    decoded = members._decoded

    def noted(decoding: Decoding, name: str, limits: Limits) -> Source:
        asked.append(name)
        return decoded(decoding, name, limits)

    monkeypatch.setattr(members, "_decoded", noted)
    data = gzip.compress(bytes(1 << 20) + b"x" * 512)
    told = imgtool.validate(io.BytesIO(data), deep=True)
    assert (told.accepted, told.report.members[0].format, asked) == (True, "raw", [])
    told = imgtool.validate(io.BytesIO(fixture("compressed/named.gzip")), deep=True)
    assert (told.accepted, len(asked)) == (True, 1)
