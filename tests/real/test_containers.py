"""OCI and docker archives as umoci and skopeo write them (`apt-get install umoci skopeo`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.recipes.docker import skopeo
from imgtool.containers.docker.facts import DockerFacts
from tests.kit import faults, need, no_bug, report_of, run

pytestmark = pytest.mark.real


@pytest.mark.parametrize(("kind", "layout"), [("oci-archive", "oci"), ("docker-archive", "docker")])
def test_archive_of_skopeo(kind: str, layout: str, tmp_path: Path) -> None:
    """Sound, and image, layers and settings are those that `skopeo inspect` lists."""
    need("umoci")
    data = skopeo(kind)
    path = tmp_path / "made.tar"
    path.write_bytes(data)
    told = json.loads(run(need("skopeo"), "inspect", f"{kind}:{path}"))
    report = report_of(data)
    no_bug(report)
    assert faults(report) == set()
    facts = report.details
    assert isinstance(facts, DockerFacts)
    (image,) = facts.images
    assert (facts.layout, image.architecture, image.os) == (layout, told["Architecture"], told["Os"])
    assert image.created == told["Created"]
    digests = [layer.digest if layout == "oci" else layer.diff_id for layer in image.layers]
    assert digests == told["Layers"]
    assert image.tags[0].endswith("box:one")
