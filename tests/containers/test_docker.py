"""Docker archives and OCI layouts: what counts as one, images, layers, and what the rules say."""

from __future__ import annotations

import pytest

import imgtool
from fixtures.recipes.docker import BASE, TOP, config, described, dumped, legacy, sha256
from fixtures.recipes.ova import descriptor, member, packed, tar
from imgtool.containers.docker.documents import clean, number, parse_json
from imgtool.containers.docker.documents import descriptor as described_as
from imgtool.containers.docker.facts import DockerFacts, Image
from imgtool.limits import DEFAULT
from tests.kit import codes, faults, fixture, no_bug, report_of
from tests.test_golden import plain, stream_of


def facts_of(data: bytes) -> DockerFacts:
    """The facts of a docker archive."""
    report = report_of(data)
    no_bug(report)
    assert isinstance(report.details, DockerFacts)
    return report.details


@pytest.mark.parametrize(
    ("name", "layout", "tags"),
    [
        ("docker/oci-layout.tar", "oci", ("1.2",)),
        ("docker/save-modern.tar", "docker+oci", ("box:latest",)),
        ("docker/save-legacy.tar", "docker", ("box:1.0", "box:latest")),
    ],
)
def test_images(name: str, layout: str, tags: tuple[str, ...]) -> None:
    """raw in docker, no virtual size; one image with its settings and layers."""
    report = report_of(fixture(name))
    assert (report.format, report.container_format, report.virtual_size) == ("raw", "docker", None)
    assert faults(report) == set()
    facts = facts_of(fixture(name))
    (image,) = facts.images
    assert (facts.layout, image.tags) == (layout, tags)
    assert (image.architecture, image.os, image.created) == ("amd64", "linux", "2024-05-01T12:00:00Z")
    expected = [f"sha256:{sha256(layer)}" for layer in (BASE, TOP, BASE)[: len(image.layers)]]
    assert [layer.diff_id for layer in image.layers] == expected
    assert image.diff_ids == len(image.layers)


def test_oci_digests_and_sizes() -> None:
    """Config and layers of an OCI manifest: digest, media type, size as stated and as stored."""
    facts = facts_of(fixture("docker/oci-layout.tar"))
    image = facts.images[0]
    assert image.config_digest == f"sha256:{sha256(config([BASE, TOP]))}"
    for layer in image.layers:
        assert layer.size == layer.stated_size
        assert layer.digest == "sha256:" + layer.member.rpartition("/")[2]
        assert layer.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert facts.oci_version == "1.0.0"


def test_a_linked_layer_is_its_target() -> None:
    """A layer that is a link inside the archive is there; the link is a note."""
    image: Image = facts_of(fixture("docker/save-legacy.tar")).images[0]
    assert [layer.size for layer in image.layers] == [len(BASE), len(TOP), len(BASE)]
    report = report_of(legacy(link="/etc/shadow"))
    assert {"DKR004", "DKR013"} <= faults(report)


def test_links_in_a_circle() -> None:
    """Two links that point at each other end."""
    listed = dumped([{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar"]}])
    data = tar(
        member("a/layer.tar", kind=b"2", link="../b/layer.tar"),
        member("b/layer.tar", kind=b"2", link="../a/layer.tar"),
        member("c.json", config([BASE])),
        member("manifest.json", listed),
    )
    assert {"DKR004", "DKR013"} <= faults(report_of(data))


@pytest.mark.parametrize(
    "members",
    [
        [("manifest.json", b'{"name": "an extension", "version": "1"}'), ("icon.png", b"x")],
        [("manifest.json", b"[]"), ("a", b"x")],
        [("manifest.json", b"not json"), ("a", b"x")],
        [("index.json", b"{}"), ("a", b"x")],
        [("src/manifest.json", b"[]"), ("src/layer.tar", b"x")],
    ],
)
def test_an_ordinary_tar_is_raw(members: list[tuple[str, bytes]]) -> None:
    """A manifest.json of something else does not make a docker archive."""
    report = report_of(packed(members))
    assert (report.format, report.container_format) == ("raw", "bare")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", b"not json")], "DKR001"),
        ([("a/layer.tar", b""), ("manifest.json", b"{" * 99_999)], "DKR001"),
        ([("a/layer.tar", b""), ("manifest.json", b'["\\ud800"]')], "DKR002"),
        ([("oci-layout", b"1"), ("index.json", b"[]")], "DKR006"),
        ([("a/layer.tar", b""), ("manifest.json", b"9" * 5000)], "DKR001"),
        ([("a/layer.tar", b""), ("manifest.json", b"[\xff]")], "DKR001"),
    ],
)
def test_documents_that_do_not_hold(members: list[tuple[str, bytes]], code: str) -> None:
    """Whatever JSON is there, the archive keeps its name and a finding says what is wrong."""
    report = report_of(packed(members))
    no_bug(report)
    assert report.container_format == "docker"
    assert code in codes(report)


def test_absent_platforms_are_notes_and_absent_images_errors() -> None:
    """A nested index may list what is not there; the index itself may not."""
    note = [one for one in report_of(fixture("docker/oci-layout.tar")).findings if one.code == "DKR002"]
    assert [one.severity for one in note] == ["note"]
    index = dumped({"manifests": [described("application/vnd.oci.image.manifest.v1+json", b"absent")]})
    report = report_of(packed([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)]))
    assert "DKR002" in faults(report)


def test_layers_from_elsewhere_are_references() -> None:
    """A layer that the archive lacks and a URL provides is a reference outside."""
    layer = described("application/vnd.oci.image.layer.nondistributable.v1.tar", b"x", urls=["https://example.org/l"])
    settings = config([BASE])
    manifest = dumped({"config": described("application/vnd.oci.image.config.v1+json", settings), "layers": [layer]})
    index = dumped({"manifests": [described("application/vnd.oci.image.manifest.v1+json", manifest)]})
    members = [(f"blobs/sha256/{sha256(one)}", one) for one in (settings, manifest)]
    members += [("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]
    report = report_of(packed(members))
    assert [(one.kind, one.value) for one in report.references] == [("href", "https://example.org/l")]
    assert faults(report) == {"IMG101", "IMG102"}


def test_indexes_that_name_themselves() -> None:
    """A digest cannot name itself, but a file may lie: nested indexes end."""
    name = "blobs/sha256/" + "0" * 64
    digest = "sha256:" + "0" * 64
    kind = "application/vnd.oci.image.index.v1+json"
    index = dumped({"manifests": [{"mediaType": kind, "digest": digest, "size": 1}] * 9})
    data = packed([(name, index), ("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')])
    assert {"DKR002", "DKR301"} <= codes(report_of(data))


def test_ova_and_docker_at_once() -> None:
    """A tar that is both is a polyglot."""
    ovf = [("x.ovf", descriptor("", "").encode())]
    listed = dumped([{"Config": "c.json", "RepoTags": [], "Layers": []}])
    report = report_of(packed([*ovf, ("c.json", b"{}"), ("manifest.json", listed)]))
    assert "IMG001" in codes(report)


@pytest.mark.parametrize("name", ["docker/oci-layout.tar", "docker/save-modern.tar", "docker/save-legacy.tar"])
def test_cut_anywhere(name: str) -> None:
    """Cut behind the first name that tells, it is a docker archive with a finding, never raw."""
    data = fixture(name)
    first = 1536 if name == "docker/oci-layout.tar" else 1024
    for cut in range(first, len(data) - 1023, 256):
        report = report_of(data[:cut])
        no_bug(report)
        assert report.container_format == "docker", cut
        assert faults(report), cut


def test_json_values() -> None:
    """Accessors give None for what is of another type, and strings that can be written as UTF-8."""
    assert clean("a\ud800b") == "a\ufffdb"
    assert number({"a": True}, "a") is None
    assert number({"a": 1 << 63}, "a") is None
    assert number({"a": 7}, "a") == 7
    told = described_as({"digest": 5, "platform": [], "urls": ["u", 3], "annotations": {"x": 1}})
    assert (told.digest, told.platform, told.urls) == (None, None, ("u",))
    assert described_as(parse_json(b"[]")).size is None


def test_a_large_archive_from_a_pipe() -> None:
    """Layers far beyond the kept head, the documents at the end: the report is the file's."""
    limits = DEFAULT._replace(stream_head=128 * 1024, stream_tail=64 * 1024)
    layers = [tar(member("f", bytes([one]) * 400_000)) for one in range(12)]
    named = [(f"{sha256(layer)}/layer.tar", layer) for layer in layers]
    listed = dumped([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": [name for name, _ in named]}])
    data = packed([*named, ("c.json", config(layers)), ("manifest.json", listed)])
    first = plain(imgtool.inspect(stream_of(data), checksums=(), limits=limits))
    second = plain(report_of(data))
    first.pop("path")
    second.pop("path")
    assert first == second
