"""Archives by the tools that people use (GNU tar, bsdtar's formats by Python, skopeo, umoci, openssl, sha*sum): what
they make is clean in the deep check, and what they verify is verified."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest

import imgtool
from fixtures.recipes.ova import descriptor
from imgtool.inspection.deep import check
from tests.kit import need, qemu_create, run

pytestmark = pytest.mark.oracle


def wrong(path: Path) -> list[tuple[str, str]]:
    """Everything but notes that the deep check says of a file."""
    return [(one.code, one.message) for one in check(path).findings if one.severity != "note"]


def ova(folder: Path, lines: str) -> list[Path]:
    """The files of an OVA in order, with a manifest of those lines."""
    image = qemu_create(folder / "disk.vmdk", "vmdk", 3 << 20, "subformat=monolithicSparse")
    file = f'<File ovf:href="disk.vmdk" ovf:id="f" ovf:size="{image.stat().st_size}"/>'
    row = '<Disk ovf:capacity="3145728" ovf:diskId="vmdisk1" ovf:fileRef="f" ovf:format="http://x/vmdk"/>'
    (folder / "x.ovf").write_text(descriptor(file, row))
    (folder / "x.mf").write_text(lines)
    return [folder / "x.ovf", folder / "x.mf", image]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("form", ["gnu", "ustar", "posix", "v7"])
def test_manifest_by_openssl(algorithm: str, form: str, tmp_path: Path) -> None:
    """`openssl dgst` writes the manifest, GNU tar packs it: verified; any other digest is found."""
    ova(tmp_path, "")
    done = subprocess.run(
        [need("openssl"), "dgst", f"-{algorithm}", "x.ovf", "disk.vmdk"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode()
    (tmp_path / "x.mf").write_text(lines)
    made = tmp_path / "x.ova"
    run(need("tar"), f"--format={form}", "-cf", str(made), "-C", str(tmp_path), "x.ovf", "x.mf", "disk.vmdk")
    weak = {"OVA304"} if algorithm == "sha1" else set()
    assert {code for code, _ in wrong(made)} == weak
    (tmp_path / "x.mf").write_text(lines[:-3] + ("0" if lines[-3] != "0" else "1") + lines[-2:])
    run(need("tar"), f"--format={form}", "-cf", str(made), "-C", str(tmp_path), "x.ovf", "x.mf", "disk.vmdk")
    assert {code for code, _ in wrong(made)} == weak | {"OVA306"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_packed_by_python(form: int, tmp_path: Path) -> None:
    """tarfile's formats (home automation and cloud builders pack with it)."""
    files = ova(tmp_path, "")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.suffix != ".mf"}
    (tmp_path / "x.mf").write_text("".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items()))
    made = tmp_path / "x.ova"
    with tarfile.open(made, "w", format=form) as archive:
        for path in files:
            archive.add(path, path.name)
    assert wrong(made) == []


def layout(folder: Path, root: Path) -> None:
    """An OCI layout of two layers, by umoci."""
    for command in (
        ["umoci", "init", "--layout", "box"],
        ["umoci", "new", "--image", "box:base"],
        ["umoci", "insert", "--image", "box:base", str(root), "/data"],
        ["umoci", "insert", "--image", "box:base", "--whiteout", "/data/old"],
        ["umoci", "config", "--image", "box:base", "--architecture", "arm64", "--os", "linux"],
    ):
        subprocess.run([need(command[0]), *command[1:]], check=True, capture_output=True, cwd=folder)


@pytest.mark.parametrize(
    ("kind", "packing"),
    [("oci-archive", "gzip"), ("oci-archive", "zstd"), ("oci-archive", ""), ("docker-archive", "")],
)
def test_copied_by_skopeo(kind: str, packing: str, tmp_path: Path) -> None:
    """umoci builds an image with links, long names and whiteouts, skopeo copies it: clean; one bit is found."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "hello").write_text("hello\n" * 4000)
    (root / "link").symlink_to("/etc/passwd")
    (root / ("long" * 40)).write_text("x")
    layout(tmp_path, root)
    extra = ["--dest-compress-format", packing] if packing else []
    command = ["skopeo", "--insecure-policy", "copy", *extra, "oci:box:base", f"{kind}:made.tar:box:one"]
    subprocess.run([need("skopeo"), *command[1:]], check=True, capture_output=True, cwd=tmp_path)
    made = tmp_path / "made.tar"
    assert wrong(made) == []
    assert not [one for one in imgtool.inspect(made).findings if one.severity != "note"]
    with tarfile.open(made) as archive:
        layer = max((info for info in archive.getmembers() if info.isfile()), key=lambda info: info.size)
    data = bytearray(made.read_bytes())
    data[layer.offset_data + layer.size // 2] ^= 1
    made.write_bytes(data)
    assert {code for code, _ in wrong(made)} & {"DKR302", "DKR303"}
