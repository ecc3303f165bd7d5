"""The rules that only a claim or a policy raises: each raised, and not raised close by."""

from __future__ import annotations

import io

import pytest

import imgtool
from imgtool.policy.names import MACHINE
from tests.kit import fixture
from tests.policy.kit import by_policy, errors, of_code, verdict

#: A fixture of each disk format, and the claims that hold for it.
SAMPLES = {
    "qcow2/plain.qcow2": {"qcow2"},
    "qcow/plain.qcow": {"qcow"},
    "qed/plain.qed.gz": {"qed"},
    "vhd/dynamic-exact.vhd": {"vhd"},
    "vhd/fixed-exact.vhd": {"vhd"},
    "vhdx/dynamic.vhdx.gz": {"vhdx"},
    "vmdk/monolithic-sparse.vmdk.gz": {"vmdk"},
    "vdi/dynamic.vdi": {"vdi"},
    "parallels/plain.hds.gz": {"parallels"},
    "luks/luks1.luks.gz": {"luks"},
    "dmg/zlib.dmg": {"dmg"},
    "bochs/growing.bochs": {"bochs"},
    "cloop/plain.cloop": {"cloop"},
    "asif/blank.asif.gz": {"asif"},
    "iso/plain.iso.gz": {"iso"},
    "iso/isohybrid.iso.gz": {"iso", "raw"},
    "volumes/gpt.raw.gz": {"raw"},
    "volumes/ext4.raw.gz": {"raw", "ami"},
    "aki/bzimage.img": {"aki"},
    "ari/newc.cpio": {"ari"},
    "ova/small.ova.gz": {"vmdk"},
    "docker/save-modern.tar": {"raw"},
    "compressed/named.gzip": {"qcow2"},
}

CLAIMS = sorted({claim for claims in SAMPLES.values() for claim in claims})


@pytest.mark.parametrize("name", SAMPLES)
def test_disk_format_claims_in_all_pairs(name: str) -> None:
    """A claim holds for the formats that the content honestly satisfies, and is an error for every other."""
    for claim in CLAIMS:
        told = verdict(name, disk_format=claim, policy="permissive")
        wrong = of_code(told, "IMG010")
        assert bool(wrong) == (claim not in SAMPLES[name]), claim
        if wrong:
            assert not told.accepted
            assert wrong[0].message.startswith(f"claimed {claim}, the content is ")


def test_a_claim_is_understood_by_every_name() -> None:
    """QEMU's and Glance's names, in any case."""
    assert verdict("vhd/fixed-exact.vhd", disk_format="VPC").claims.disk_format == "vhd"
    assert verdict("parallels/plain.hds.gz", disk_format="ploop").accepted
    with pytest.raises(imgtool.UsageError, match="no such disk format: 'qcow9'"):
        verdict("qcow2/plain.qcow2", disk_format="qcow9")
    with pytest.raises(imgtool.UsageError, match="no such container format: 'box'"):
        verdict("qcow2/plain.qcow2", container_format="box")


def test_raw_with_a_mark_in_it_is_not_raw() -> None:
    """A guest's disk whose first bytes became a header is an error where raw is claimed, and is never believed."""
    for mark in (b"QFI\xfb\0\0\0\x03", b"KDMV\1\0\0\0", b"conectix", b"vhdxfile", b"LUKS\xba\xbe\0\1", b"QED\0"):
        told = imgtool.validate(io.BytesIO(mark + bytes(1 << 20)), disk_format="raw")
        assert "IMG010" in errors(told), mark


CONTAINERS = {
    "qcow2/plain.qcow2": {"bare"},
    "ova/small.ova.gz": {"ova"},
    "docker/save-modern.tar": {"docker"},
    "ovf/bare.ovf": {"ovf"},
    "ami/image.manifest.xml": {"ami"},
    "compressed/named.gzip": {"compressed"},
    "aki/bzimage.img": {"aki"},
    "ari/newc.cpio": {"ari"},
    "volumes/ext4.raw.gz": {"bare", "ami"},
    "volumes/gpt.raw.gz": {"bare"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_claims_in_all_pairs(name: str) -> None:
    """The wrapper that is there holds, no other; a plain file system may be called ami."""
    for claim in ("bare", "ova", "ovf", "docker", "compressed", *MACHINE):
        told = verdict(name, container_format=claim, policy="permissive")
        assert bool(of_code(told, "IMG011")) == (claim not in CONTAINERS[name]), claim


def test_machine_image_formats_are_one() -> None:
    """ami, ari and aki are named as both formats, or one stands for both."""
    assert errors(verdict("aki/bzimage.img", disk_format="aki", container_format="aki")) == []
    assert errors(verdict("aki/bzimage.img", disk_format="aki")) == []
    assert errors(verdict("aki/bzimage.img", container_format="aki")) == []
    assert errors(verdict("volumes/ext4.raw.gz", disk_format="ami", container_format="ami")) == []
    assert "IMG012" in errors(verdict("aki/bzimage.img", disk_format="aki", container_format="bare"))
    assert errors(verdict("volumes/ext4.raw.gz", disk_format="ami", container_format="bare")) == ["IMG012"]
    assert "IMG012" in errors(verdict("volumes/ext4.raw.gz", disk_format="raw", container_format="ami"))
    assert errors(verdict("volumes/gpt.raw.gz", disk_format="ami", container_format="ami")) == ["IMG010", "IMG011"]


def test_formats_not_on_the_list() -> None:
    """The claimed format counts, else any that the content satisfies; the disks of a container each."""
    only_raw = '[formats]\ndisk = ["raw"]'
    assert errors(by_policy("qcow2/plain.qcow2", only_raw)) == ["IMG013"]
    assert errors(by_policy("iso/isohybrid.iso.gz", only_raw)) == []
    assert errors(by_policy("iso/isohybrid.iso.gz", only_raw, disk_format="iso")) == ["IMG013"]
    assert errors(by_policy("iso/isohybrid.iso.gz", '[formats]\ndisk = ["iso"]', disk_format="raw")) == ["IMG013"]
    found = of_code(by_policy("ova/several.ova.gz", '[formats]\ndisk = ["qcow2"]'), "IMG013")
    assert {finding.member is None for finding in found} == {True, False}
    assert errors(by_policy("ova/small.ova.gz", '[formats]\ncontainer = ["bare"]')) == ["IMG014"]
    assert errors(by_policy("qcow2/plain.qcow2", '[formats]\ncontainer = ["bare"]')) == []


def test_virtual_size() -> None:
    """The policy's ceiling and the caller's, the lower one; a size that is reached is no error."""
    assert errors(verdict("qcow2/plain.qcow2", max_virtual_size=1 << 20)) == []
    assert errors(verdict("qcow2/plain.qcow2", max_virtual_size="1M")) == []
    found = of_code(verdict("qcow2/plain.qcow2", max_virtual_size=(1 << 20) - 1), "IMG203")
    assert [finding.field for finding in found] == ["virtual_size"]
    ceiling = '[ceilings]\nvirtual_size = "512K"'
    assert errors(by_policy("qcow2/plain.qcow2", ceiling)) == ["IMG203"]
    assert errors(by_policy("qcow2/plain.qcow2", ceiling, max_virtual_size="1G")) == ["IMG203"]
    inner = of_code(verdict("compressed/named.gzip", max_virtual_size=1024), "IMG203")
    assert {finding.member is None for finding in inner} == {True, False}


def test_min_disk() -> None:
    """The image fits on the smallest disk that it is said to need."""
    assert errors(verdict("qcow2/plain.qcow2", min_disk="1M")) == []
    assert errors(verdict("qcow2/plain.qcow2", min_disk="1023K")) == ["IMG204"]
    assert errors(verdict("aki/bzimage.img", min_disk=0)) == []


def test_min_ram() -> None:
    """A kernel's bytes, and the memory that an OVF descriptor asks for."""
    size = len(fixture("aki/bzimage.img"))
    assert errors(verdict("aki/bzimage.img", min_ram=size)) == []
    assert errors(verdict("aki/bzimage.img", min_ram=size - 1)) == ["IMG207"]
    details = verdict("ova/small.ova.gz").report.to_dict()["details"]
    assert isinstance(details, dict)
    memory = details["systems"][0]["memory"]
    assert errors(verdict("ova/small.ova.gz", min_ram=memory)) == []
    assert errors(verdict("ova/small.ova.gz", min_ram=memory - 1)) == ["IMG207"]


def test_file_size() -> None:
    """The bytes of the file."""
    size = len(fixture("qcow2/plain.qcow2"))
    assert errors(by_policy("qcow2/plain.qcow2", f"[ceilings]\nfile_size = {size}")) == []
    assert errors(by_policy("qcow2/plain.qcow2", f"[ceilings]\nfile_size = {size - 1}")) == ["IMG205"]


def test_expansion_ratio() -> None:
    """Only above a floor of virtual size; a warning, which strict takes for a no."""
    limits = imgtool.Limits(expansion_floor=(1 << 20) - 1)
    ratio = "[ceilings]\nexpansion_ratio = 2"
    assert of_code(by_policy("qcow2/plain.qcow2", ratio), "IMG206") == []
    found = of_code(by_policy("qcow2/plain.qcow2", ratio, limits=limits), "IMG206")
    assert [finding.severity for finding in found] == ["warning"]
    strict = f'base = "strict"\n{ratio}'
    assert not by_policy("qcow2/plain.qcow2", strict, limits=limits).accepted
    assert by_policy("qcow2/plain.qcow2", strict).accepted


def test_required_checksums() -> None:
    """Each algorithm that the policy names must be given by the caller."""
    required = '[checksums]\nrequired = ["sha256"]'
    good = "sha256:" + __import__("hashlib").sha256(fixture("qcow2/plain.qcow2")).hexdigest()
    assert errors(by_policy("qcow2/plain.qcow2", required)) == ["IMG302"]
    assert errors(by_policy("qcow2/plain.qcow2", required, expect=[good])) == []
    assert errors(by_policy("qcow2/plain.qcow2", required, expect=["sha256:" + "0" * 64])) == ["IMG301"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("luks/luks1.luks.gz", "IMG401"),
        ("qcow2/luks.qcow2.gz", "IMG401"),
        ("dmg/encrypted.dmg.gz", "IMG401"),
        ("qcow2/aes.qcow2", "QCW401"),
        ("qcow/aes.qcow", "QCW450"),
        ("compressed/encrypted.zip", "ZIP401"),
    ],
)
def test_encrypted_content(name: str, code: str) -> None:
    """One error where encryption is not allowed: the format's own, else the policy's; none where it is allowed."""
    told = by_policy(name, '[formats]\ndisk = "any"')
    assert errors(told) == [code]
    assert told.incomplete
    assert verdict(name, policy="permissive").accepted


def test_create_types() -> None:
    """Self-contained kinds pass; a list that lacks one rejects it; what refers to files says so by its reference."""
    only_stream = '[content]\nvmdk_create_types = ["STREAMoptimized"]'
    assert errors(by_policy("vmdk/monolithic-sparse.vmdk.gz", only_stream)) == ["VMD502"]
    assert errors(by_policy("vmdk/stream-footer.vmdk.gz", only_stream)) == []
    assert errors(verdict("vmdk/flat-descriptor.vmdk")) == ["IMG101"]
    flat = '[references]\nallow = ["extent"]'
    assert errors(by_policy("vmdk/flat-descriptor.vmdk", flat)) == ["VMD502"]
    assert errors(by_policy("vmdk/flat-descriptor.vmdk", f'{flat}\n[content]\nvmdk_create_types = "any"')) == []


def test_creators() -> None:
    """Shell patterns over the names that images give; formats that give none pass."""
    creator = verdict("vhd/dynamic.vhd").report.to_dict()["details"]
    assert isinstance(creator, dict)
    name = creator["creator_application"]
    assert errors(by_policy("vhd/dynamic.vhd", f'[content]\ncreators = ["{name[:2]}*"]')) == []
    assert errors(by_policy("vhd/dynamic.vhd", '[content]\ncreators = ["win*"]')) == ["IMG501"]
    assert errors(by_policy("qcow2/plain.qcow2", '[content]\ncreators = ["win*"]')) == []


def test_refused_features() -> None:
    """Facts by their name: present, equal, different; other formats pass."""
    extended = '[content]\nrefuse = ["qcow2.extended_l2"]'
    assert errors(by_policy("qcow2/extended-l2-zstd.qcow2.gz", extended)) == ["IMG502"]
    assert errors(by_policy("qcow2/plain.qcow2", extended)) == []
    assert errors(by_policy("vdi/dynamic.vdi", extended)) == []
    assert errors(by_policy("qcow2/snapshots.qcow2", '[content]\nrefuse = ["qcow2.snapshots"]')) == ["IMG502"]
    assert errors(by_policy("qcow2/version2.qcow2", '[content]\nrefuse = ["qcow2.version=2"]')) == ["IMG502"]
    assert errors(by_policy("qcow2/plain.qcow2", '[content]\nrefuse = ["qcow2.version=2"]')) == []
    assert errors(by_policy("qcow2/version2.qcow2", '[content]\nrefuse = ["qcow2.version!=3"]')) == ["IMG502"]
    found = of_code(by_policy("compressed/named.gzip", '[content]\nrefuse = ["qcow2.version=3"]'), "IMG502")
    assert [finding.field for finding in found] == ["version", "version"][: len(found)]
    assert any(finding.member for finding in found)
