"""The rules of a conversion: each is raised by a plan or a target that it is made for, and not by one close by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imgtool
from imgtool.conversion import checks
from imgtool.conversion.api import prepared, request_of
from imgtool.conversion.judge import after, before
from imgtool.conversion.planned import Finished, Planned
from imgtool.errors import RejectedError
from imgtool.limits import DEFAULT
from imgtool.model.report import Report
from imgtool.model.volumes import Partition
from imgtool.targets.options import Value
from imgtool.units import GIB, KIB, MIB, TIB
from tests.conversion.test_losses import MESSAGES, plan_of
from tests.kit import fixture, need, qemu_create, run


def losses(path: Path, to: str, **names: Any) -> set[str]:
    """The codes of what converting an image would lose."""
    with prepared(request_of(str(path), "", to, options=names.pop("options", {}), **names), DEFAULT) as job:
        return {finding.code for finding in job.losses}


def made(folder: Path, format: str, *options: str, size: str = "4M") -> Path:
    """An image of qemu-img's."""
    return qemu_create(folder / f"a.{format}", format, size, *options)


def with_snapshot(folder: Path) -> Path:
    """A qcow2 with an internal snapshot called first."""
    path = made(folder, "qcow2")
    run(need("qemu-img"), "snapshot", "-c", "first", str(path))
    return path


def with_bitmap(folder: Path) -> Path:
    """A qcow2 with a persistent bitmap."""
    path = made(folder, "qcow2")
    run(need("qemu-img"), "bitmap", "--add", str(path), "backup")
    return path


def over_base(folder: Path) -> Path:
    """A qcow2 over a raw base."""
    (folder / "base.raw").write_bytes(bytes(4 * MIB))
    return made(folder, "qcow2", "backing_file=base.raw", "backing_fmt=raw")


def compressed(folder: Path) -> Path:
    """A qcow2 with compressed clusters."""
    (folder / "plain.raw").write_bytes(b"text " * MIB)
    run(need("qemu-img"), "convert", "-c", "-O", "qcow2", str(folder / "plain.raw"), str(folder / "c.qcow2"))
    return folder / "c.qcow2"


def appliance(folder: Path) -> Path:
    """An appliance of one disk."""
    path = folder / "a.ova"
    path.write_bytes(fixture("ova/small.ova.gz"))
    return path


def odd(folder: Path) -> Path:
    """A raw disk that is no whole sectors."""
    path = folder / "odd.raw"
    path.write_bytes(b"x" * 1000)
    return path


def fixed(folder: Path) -> Path:
    """A fixed vhd."""
    return made(folder, "vpc", "subformat=fixed")


def plain(folder: Path) -> Path:
    """A raw disk with nothing special."""
    path = folder / "plain.raw"
    path.write_bytes(b"x" * MIB)
    return path


CASES: list[tuple[str, Callable[[Path], Path], str, dict[str, Any], str, dict[str, Any]]] = [
    # code, source, target, how it is raised; target and how it is not
    ("CNV001", with_snapshot, "raw", {}, "raw", {"snapshot": "first"}),
    ("CNV002", with_bitmap, "qcow2", {}, "", {}),
    ("CNV003", over_base, "raw", {"follow": True}, "", {}),
    ("CNV004", compressed, "qcow2", {}, "qcow2", {"compress": "zstd"}),
    ("CNV004", compressed, "vmdk", {}, "vmdk", {"options": {"subformat": "streamOptimized"}}),
    ("CNV005", lambda folder: made(folder, "vmdk"), "raw", {}, "", {}),
    ("CNV006", lambda folder: made(folder, "vpc"), "raw", {}, "vhd", {}),
    ("CNV007", odd, "qcow2", {}, "raw", {}),
    ("CNV007", plain, "raw", {"align": 2 * MIB}, "raw", {"align": MIB}),
    ("CNV008", lambda folder: made(folder, "vdi"), "raw", {}, "", {}),
    ("CNV010", appliance, "raw", {}, "", {}),
    ("CNV011", fixed, "vhd", {}, "vhd", {"options": {"subformat": "fixed"}}),
    ("CNV013", with_snapshot, "raw", {"snapshot": "first"}, "raw", {}),
    ("CNV014", lambda folder: made(folder, "qcow2", "extended_l2=on"), "qcow2", {}, "", {}),
]


@pytest.mark.parametrize(("code", "source", "to", "how", "other", "otherwise"), CASES)
def test_losses(
    code: str,
    source: Callable[[Path], Path],
    to: str,
    how: dict[str, Any],
    other: str,
    otherwise: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Told where something is lost; not where it is kept, nor for a plain disk."""
    path = source(tmp_path)
    assert code in losses(path, to, **how)
    assert code not in (losses(path, other, **otherwise) if other else losses(plain(tmp_path), to))


def planned(path: Path, to: str = "raw") -> Planned:
    """A plan as its rules see it."""
    report = imgtool.inspect(path, ())
    size = report.virtual_size or 0
    return Planned(report, report, to, "native", {}, size, size)


def codes(plan: Planned) -> set[str]:
    """What a plan would lose."""
    return {finding.code for finding in before(plan, DEFAULT)}


def test_every_rule_has_both_kinds_of_sample() -> None:
    """One that raises it and one that does not: in the tables of this file, or in a test of its own."""
    own = {"CNV012", "CNV016", "CNV201", *(one.code for one in checks.OUTCOMES)}
    raised = {case[0] for case in CASES} | {case[0] for case in MESSAGES if case[4] is not None}
    silent = {case[0] for case in CASES} | {case[0] for case in MESSAGES if case[4] is None}
    assert {one.code for one in checks.RULES} == (raised & silent) | own


def test_worst_first() -> None:
    """Errors, warnings, notes; of each the lowest code first."""
    plan = plan_of("qcow2/snapshots.qcow2", "vhd")._replace(target_size=3000 * GIB)
    found = [(one.code, one.severity) for one in before(plan, DEFAULT)]
    assert found == [("CNV201", "error"), ("CNV001", "warning"), ("CNV007", "note")]


LIMITS: list[tuple[str, dict[str, Value], int]] = [
    ("vhd", {}, 2040 * GIB),
    ("vhdx", {}, 64 * TIB),
    ("vdi", {}, 512 * TIB - 128 * MIB),
    ("qcow2", {"cluster_size": 64 * KIB}, 2048 * TIB),
    ("qcow2", {"cluster_size": 512}, 128 * GIB),
    ("qcow2", {"cluster_size": 16 * KIB, "extended_l2": True}, 64 * TIB),
    ("qed", {"cluster_size": 64 * KIB, "table_size": 4}, 64 * TIB),
    ("qed", {"cluster_size": 4 * KIB, "table_size": 1}, GIB),
    ("parallels", {"cluster_size": 64 * KIB}, 256 * TIB - 512),
]


def made_at(path: Path, to: str, options: dict[str, Value], size: int) -> None:
    """An empty image of that size, by qemu-img, which refuses what is too large."""
    spelled = [f"{name}={'on' if value is True else value}" for name, value in options.items()]
    spelled += ["force_size=on"] if to == "vhd" else []
    qemu_create(path, "vpc" if to == "vhd" else to, size, *spelled)


@pytest.mark.parametrize(("to", "options", "most"), LIMITS)
def test_limits(to: str, options: dict[str, Value], most: int, tmp_path: Path) -> None:
    """The largest disk is no finding; a sector more is one, and qemu-img does not make it."""
    plan = planned(plain(tmp_path), to)._replace(options=options)
    assert "CNV201" not in codes(plan._replace(target_size=most))
    assert "CNV201" in codes(plan._replace(target_size=most + 512))
    with pytest.raises(AssertionError):
        made_at(tmp_path / "more", to, options, most + 512)


@pytest.mark.parametrize(
    ("to", "options", "most", "cure"),
    [
        ("qcow2", {"cluster_size": 64 * KIB}, 2048 * TIB, " (a larger cluster_size takes more)"),
        ("qcow2", {"cluster_size": 2 * MIB}, 2048 * 1024 * TIB, ""),
        ("vdi", {"block_size": MIB}, 512 * TIB - 128 * MIB, " (a larger block_size takes more)"),
        ("vdi", {"block_size": 256 * MIB}, (512 * TIB - 128 * MIB) * 256, ""),
    ],
)
def test_a_larger_unit_is_offered_where_there_is_one(
    to: str, options: dict[str, Value], most: int, cure: str, tmp_path: Path
) -> None:
    """Not beyond the largest that the format has."""
    plan = planned(plain(tmp_path), to)._replace(options=options, target_size=most + 512)
    (told,) = (one.message for one in before(plan, DEFAULT) if one.code == "CNV201")
    assert told == f"the disk has {most + 512} bytes, a {to} holds at most {most}{cure}"


@pytest.mark.full
@pytest.mark.parametrize(("to", "options", "most"), LIMITS)
def test_the_largest_disks_are_made(to: str, options: dict[str, Value], most: int, tmp_path: Path) -> None:
    """By qemu-img: the limits are not lower than what there is."""
    made_at(tmp_path / "most", to, options, most)


def test_a_vmdk_that_vmware_does_not_take(tmp_path: Path) -> None:
    """More than 62 TiB is a warning; more than the grain directory holds is an error."""
    plan = planned(plain(tmp_path), "vmdk")
    for size, severities in ((62 * TIB, []), (62 * TIB + 512, ["warning"]), (1024 * TIB + 512, ["error"])):
        found = before(plan._replace(target_size=size), DEFAULT)
        assert [one.severity for one in found if one.code == "CNV201"] == severities


def test_a_disk_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Before work starts, naming the rule; nothing is left."""
    path = tmp_path / "large.raw"
    with path.open("wb") as file:
        file.truncate(2040 * GIB + 512)
    with pytest.raises(RejectedError, match=r"CNV201 size-over-target-limit: .* a vhd holds at most 2190433320960"):
        imgtool.convert(path, tmp_path / "a.vhd", "vhd")
    assert [one.name for one in tmp_path.iterdir()] == ["large.raw"]


def test_partitions_that_go(tmp_path: Path) -> None:
    """A machine image of a disk with an EFI partition, and of one without."""
    plan = planned(plain(tmp_path), "ami")
    assert "CNV012" not in codes(plan)
    efi = Partition(1, 0, MIB, "x", "EFI System")
    assert "CNV012" in codes(plan._replace(left_out=(efi,)))


def found(plan: Planned, report: Report, size: int | None = None) -> set[str]:
    """What is wrong with a target."""
    size = report.virtual_size or 0 if size is None else size
    return {finding.code for finding in after(Finished(plan, report, size), DEFAULT)}


def test_targets(tmp_path: Path) -> None:
    """A target of another format, with an error, of another size; and one as it should be."""
    plan = planned(plain(tmp_path), "qcow2")
    sound = imgtool.inspect(made(tmp_path, "qcow2"), ())
    assert found(plan, sound) == set()
    assert found(plan._replace(to="raw"), sound) == {"CNV301"}
    assert found(plan, sound, 5 * MIB) == {"CNV303"}
    assert found(plan, sound, 4 * MIB - 512) == {"CNV303"}
    assert found(plan, sound, 4 * MIB - 511) == set()
    broken = imgtool.inspect(over_base(tmp_path), ())
    assert found(plan, broken) == {"CNV302"}
    assert found(plan._replace(report=broken), broken) == set()


def test_a_failing_rule_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a finding of severity error."""

    def fail(planned: Planned, limits: object) -> Any:
        raise RuntimeError("rule")

    monkeypatch.setattr(checks.LOSSES[0], "check", fail)
    told = before(planned(plain(tmp_path)), DEFAULT)
    assert [(one.code, one.severity) for one in told] == [("IMG902", "error")]


@pytest.mark.parametrize("verify", ["content", "none"])
@pytest.mark.parametrize("to", ["qed", "vhdx", "parallels", "vhd"])
def test_sizes_in_whole_sectors_are_right(to: str, verify: str, tmp_path: Path) -> None:
    """What qemu-img rounds up is what was to be written, read back or not."""
    options = {"force_size": "off"} if to == "vhd" else {}
    done = imgtool.convert(odd(tmp_path), tmp_path / "new", to, engine="qemu-img", verify=verify, options=options)
    assert done.findings == ()


def test_a_geometry_of_virtualbox(tmp_path: Path) -> None:
    """Both headers of a vdi can state one; VirtualBox writes the later one alone."""
    path = tmp_path / "a.vdi"
    path.write_bytes(fixture("vdi/virtualbox.vdi.gz"))
    losses = imgtool.convert(path, tmp_path / "a.raw", "raw").losses
    assert "the geometry stays behind: 20 × 4 × 17 (cylinders, heads, sectors)" in [one.message for one in losses]


def test_what_is_read_as_raw_loses_nothing(tmp_path: Path) -> None:
    """All bytes of the file are the guest's, those of a geometry as well."""
    path = made(tmp_path, "vpc")
    assert "CNV006" in losses(path, "raw")
    assert "CNV006" not in losses(path, "raw", format="raw", if_unsafe="allow")
