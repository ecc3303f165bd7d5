"""EC2 bundle manifests: what is told, and what counts as one."""

from __future__ import annotations

import pytest

from fixtures.recipes.ami import manifest
from imgtool.containers.ami.facts import BundleFacts
from tests.kit import codes, faults, fixture, no_bug, report_of


def test_facts() -> None:
    """ami in ami; the image's size before bundling; encrypted; its parts are references."""
    report = report_of(fixture("ami/image.manifest.xml"))
    assert (report.format, report.container_format, report.disk_formats) == ("ami", "ami", ("ami",))
    assert (report.virtual_size, report.encrypted) == (10 << 30, True)
    assert [one.value for one in report.references] == ["image.part.00", "image.part.01", "image.part.02"]
    facts = report.details
    assert isinstance(facts, BundleFacts)
    assert (facts.architecture, facts.kernel_id, facts.ramdisk_id) == ("x86_64", "aki-00000001", "ari-00000001")
    assert [(one.virtual, one.device) for one in facts.block_devices] == [("ami", "sda1"), ("root", "/dev/sda1")]
    assert faults(report) == {"IMG101"}


@pytest.mark.parametrize(
    ("data", "container"),
    [
        (manifest(), "ami"),
        (manifest()[21:], "ami"),
        (manifest().replace(b"<manifest>", b"<manifesto>"), "bare"),
        (b'<manifest xmlns:android="http://schemas.android.com/apk/res/android"><application/></manifest>', "bare"),
    ],
)
def test_what_counts_as_a_manifest(data: bytes, container: str) -> None:
    """The root element and an element of bundles; other manifests are not taken for one."""
    assert report_of(data).container_format == container


def test_cut_anywhere() -> None:
    """A cut manifest is a broken one."""
    data = fixture("ami/image.manifest.xml")
    for cut in range(200, len(data), 37):
        report = report_of(data[:cut])
        no_bug(report)
        assert report.container_format == "ami"
        assert {"AMI101", "IMG004"} <= codes(report)


@pytest.mark.parametrize("size", ["-1", "", "9" * 40, "1e9"])
def test_sizes_that_are_none(size: str) -> None:
    """A size that is no number leaves the virtual size unknown."""
    report = report_of(manifest(size=size))
    assert report.virtual_size is None
    assert "AMI104" in codes(report)
