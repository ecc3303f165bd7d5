"""The house keeps its rules: imports go down, sizes, what is loaded when, what stands in which file."""

from __future__ import annotations

import ast
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import FIXTURES, ROOT

FILE_LINES = 450
FUNCTION_LINES = 60
FIXTURES_BYTES = 5 * 1024 * 1024

#: Loaded only where they are used.
HEAVY = frozenset(
    {
        "alembic",
        "bz2",
        "crc32c",
        "defusedxml",
        "hashlib",
        "json",
        "lz4",
        "lzma",
        "numpy",
        "rich",
        "sqlalchemy",
        "yaml",
        "zlib",
        "zstandard",
    }
)

#: Where whatever comes is caught and not raised again: the guards of readers and rules, the command's last resort,
#: and what a signal makes of its end.
CATCHES_ALL = {
    "imgtool/disks/recognise.py": 1,
    "imgtool/inspection/guard.py": 1,
    "imgtool/cli/main.py": 2,
}


def modules(*folders: str) -> list[Path]:
    """The Python files of folders, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def told(path: Path) -> str:
    """A path as messages give it."""
    return str(path.relative_to(ROOT))


def test_import_contracts() -> None:
    """The contracts of pyproject.toml hold."""
    program = shutil.which("lint-imports") or str(Path(sys.executable).parent / "lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_files_are_short() -> None:
    """No file has more than 450 lines."""
    long = {
        told(path): count
        for path in modules("imgtool", "tests", "fixtures")
        if (count := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not long


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, its docstring not counted."""
    first = function.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    skipped = (first.end_lineno or first.lineno) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - skipped


def test_functions_are_short() -> None:
    """No function has more than 60 lines, its docstring not counted."""
    long = {
        f"{told(path)}:{node.name}": body_lines(node)
        for path in modules("imgtool", "tests", "fixtures")
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and body_lines(node) > FUNCTION_LINES
    }
    assert not long


def module_level_imports(path: Path) -> set[str]:
    """The first parts of what a module imports when it is loaded (not under TYPE_CHECKING)."""
    found: set[str] = set()
    for node in tree(path).body:
        nodes = [node]
        if isinstance(node, (ast.If, ast.Try)) and "TYPE_CHECKING" not in ast.dump(node):
            nodes = list(ast.walk(node))
        for one in nodes:
            if isinstance(one, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in one.names}
            elif isinstance(one, ast.ImportFrom):
                found.add((one.module or "").partition(".")[0])
    return found


def test_nothing_heavy_at_module_level() -> None:
    """Heavy modules are imported in the functions that need them."""
    heavy = {told(path): found for path in modules("imgtool") if (found := module_level_imports(path) & HEAVY)}
    assert not heavy


def test_construct_is_known_to_layouts_only() -> None:
    """construct is imported in files called layout.py, and in structs."""
    users = {told(path) for path in modules("imgtool") if "construct" in module_level_imports(path)}
    assert {
        name for name in users if not name.endswith("/layout.py") and not name.startswith("imgtool/structs/")
    } == set()


def imports_anywhere(path: Path) -> set[str]:
    """Every module that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_programs_are_started_in_two_places_only() -> None:
    """subprocess is for conversion/qemu_img.py and catalog/boot.py; SQLAlchemy for the catalog; no shell."""
    allowed = {"imgtool/conversion/qemu_img.py", "imgtool/catalog/boot.py"}
    users = {told(path) for path in modules("imgtool") if "subprocess" in imports_anywhere(path)}
    assert users <= allowed
    database = {told(path) for path in modules("imgtool") if "sqlalchemy" in imports_anywhere(path)}
    assert all(name.startswith("imgtool/catalog/") for name in database)
    assert not [told(path) for path in modules("imgtool") if "os.system(" in path.read_text()]


def test_packages_say_nothing() -> None:
    """`__init__.py` is empty or a table: docstring, imports of what tables are made of, assignments, row makers."""
    for path in modules("imgtool"):
        if path.name != "__init__.py" or told(path) == "imgtool/__init__.py":
            continue
        for node in tree(path).body:
            table = isinstance(node, (ast.Assign, ast.AnnAssign, ast.ImportFrom))
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            maker = isinstance(node, ast.FunctionDef) and node.name.startswith("_")
            assert table or docstring or maker, f"{told(path)}:{node.lineno}"


def test_registries_import_nothing_of_what_they_name() -> None:
    """A registry knows the shape of an entry and no reader."""
    for room in ("formats", "volumes", "containers"):
        known = {name for name in imports_anywhere(ROOT / "imgtool" / room / "__init__.py") if "imgtool" in name}
        assert known <= {"imgtool.detect.registry"}, room


def catches_all(node: ast.AST) -> bool:
    """True for a handler of every exception that does not end by raising it again."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
    last = node.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_everything_is_caught_only_where_it_is_named() -> None:
    """No broad `except` that swallows but the guards and the command's last resort,
    #: and what a signal makes of its end."""
    found = {told(path): sum(map(catches_all, ast.walk(tree(path)))) for path in modules("imgtool")}
    assert {name: count for name, count in found.items() if count} == CATCHES_ALL


def test_public_things_have_a_docstring() -> None:
    """Every module, and every public function and class of one."""
    bare: list[str] = []
    for path in modules("imgtool"):
        module = tree(path)
        if module.body and ast.get_docstring(module) is None:
            bare.append(told(path))
        for node in module.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and ast.get_docstring(node) is None:  # type: ignore[arg-type] # narrowed by `public`
                bare.append(f"{told(path)}:{node.name}")  # type: ignore[attr-defined] # narrowed by `public`
    assert not bare


def test_no_star_and_no_relative_imports() -> None:
    """Every import names what it takes, from the top."""
    for path in modules("imgtool", "tests", "fixtures"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, told(path)
                assert all(alias.name != "*" for alias in node.names), told(path)


def test_fixtures_stay_small() -> None:
    """The folder stays under 5 MB."""
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < FIXTURES_BYTES


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running `code`."""
    program = f"{code}\nimport sys as _sys\n_names = sorted(_sys.modules)\nimport json\nprint(json.dumps(_names))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@functools.cache
def unavoidable() -> frozenset[str]:
    """What the interpreter and construct load by themselves."""
    return frozenset(loaded("import construct"))


def rooms(names: set[str], room: str) -> set[str]:
    """The folders of a room that are among loaded modules."""
    return {name.split(".")[2] for name in names if name.startswith(f"imgtool.{room}.")}


def heavies(names: set[str]) -> set[str]:
    """Heavy modules among those loaded that construct has not loaded itself; XML counts as one."""
    return {name.partition(".")[0] for name in names - unavoidable()} & (HEAVY | {"xml"})


def test_importing_imgtool_loads_nothing() -> None:
    """The public names are resolved on first use."""
    names = loaded("import imgtool")
    assert {name for name in names if name.startswith("imgtool")} == {"imgtool", "imgtool.version"}


@pytest.mark.parametrize(
    "call", ["imgtool.inspect(path, ())", "imgtool.inspect(path, (), structures=True).to_dict()"]
)
def test_inspecting_a_qcow2_loads_qcow2(call: str) -> None:
    """One format's folder and raw's; no container, no volume reader, nothing heavy, no command line.

    Its disk is opened to look inside: that needs to know how clusters are inflated, and loads no library for it.
    """
    path = FIXTURES / "qcow2" / "plain.qcow2"
    names = loaded(f"import imgtool\npath = {str(path)!r}\n{call}")
    assert heavies(names) == set()
    assert rooms(names, "formats") <= {"qcow2", "raw"}
    assert rooms(names, "containers") <= {"member"}
    assert rooms(names, "volumes") <= {"survey"}
    assert rooms(names, "codecs") <= {"block", "feed"}
    assert not {"deflate", "typer", "click", "subprocess", "imgtool.cli", "imgtool.ingest.pump"} & names


def test_validating_a_qcow2_loads_what_inspecting_does_and_the_policy() -> None:
    """No rule's page, no container, nothing heavy; TOML is read where a file is named."""
    path = FIXTURES / "qcow2" / "plain.qcow2"
    inspected = loaded(f"import imgtool\nimgtool.inspect({str(path)!r}, ())")
    names = loaded(f"import imgtool\nimgtool.validate({str(path)!r})") - inspected
    ours = {name for name in names if not name.startswith("imgtool.policy")}
    assert ours == {"imgtool.inspection.validate", "imgtool.model.verdict"}
    assert not {"imgtool.policy.load", "imgtool.policy.facts"} & names


def test_inspecting_a_qcow2_with_a_digest_loads_hashlib_only() -> None:
    """A digest needs hashlib and the pump."""
    path = FIXTURES / "qcow2" / "plain.qcow2"
    names = loaded(f"import imgtool\nimgtool.inspect({str(path)!r})")
    assert heavies(names) <= {"hashlib"}
    assert "imgtool.ingest.pump" in names


def test_inspecting_raw_bytes_loads_no_format() -> None:
    """A file of no known format reads no format's folder but raw's, and nothing heavy."""
    names = loaded("import imgtool, io\nimgtool.inspect(io.BytesIO(bytes(1 << 20)), ())")
    assert heavies(names) == set()
    assert rooms(names, "formats") <= {"raw"}
    assert rooms(names, "codecs") == set()


@pytest.mark.parametrize(
    ("call", "formats"),
    [
        ("imgtool.measure(path, 'raw')", {"qcow2", "raw"}),
        ("imgtool.measure(path, 'qcow2')", {"qcow2", "raw"}),
        ("imgtool.convert(path, target, 'raw')", {"qcow2", "raw"}),
        ("imgtool.convert(path, target, 'vhd')", {"qcow2", "raw", "vhd"}),
    ],
)
def test_converting_loads_the_formats_at_hand(call: str, formats: set[str], tmp_path: Path) -> None:
    """The reader of the source and the writer of the target; numpy and a digest; no container, no codec's library,
    no other program, no command line, and no table of qemu-img's."""
    path = FIXTURES / "qcow2" / "plain.qcow2"
    names = loaded(f"import imgtool\npath, target = {str(path)!r}, {str(tmp_path / 'new')!r}\n{call}")
    assert heavies(names) <= {"numpy", "hashlib"}
    readers = {name for name in names if name.count(".") > 2 and not name.endswith(".probe")}  # detection may look
    assert rooms(readers, "formats") <= formats
    assert rooms(readers, "containers") == set()
    assert rooms(names, "volumes") <= {"survey"}
    assert rooms(names, "codecs") <= {"block", "feed", "pack"}
    assert not {"deflate", "typer", "click", "subprocess", "tempfile", "imgtool.cli"} & names
    assert not {name for name in names if name.startswith("imgtool.conversion.qemu")}


def test_converting_by_qemu_img_loads_no_writer(tmp_path: Path) -> None:
    """A target of qemu-img's brings what starts it; our only writer is that of the raw bytes it is given."""
    path = FIXTURES / "qcow2" / "plain.qcow2"
    names = loaded(f"import imgtool\nimgtool.convert({str(path)!r}, {str(tmp_path / 'new')!r}, 'vhdx')")
    assert "imgtool.conversion.qemu_img" in names
    writers = {name for name in names if name.startswith("imgtool.formats.") and name.endswith(".writer")}
    assert writers <= {"imgtool.formats.raw.writer"}
    assert not {"typer", "click", "imgtool.cli"} & names


@pytest.mark.parametrize("verb", ["convert", "measure"])
def test_loading_a_verb_loads_no_engine(verb: str) -> None:
    """What the help of convert and measure needs: no room below the command line but errors and escapes."""
    names = loaded(f"import imgtool.cli.{verb}") - loaded("import imgtool.cli.inspect")
    ours = {name for name in names if name.startswith("imgtool.")}
    assert ours <= {
        *(f"imgtool.cli.{name}" for name in (verb, "board", "targets", "disk")),
        *("imgtool.render.conversions", "imgtool.render.tables", "imgtool.units"),
    }


def test_listing_images_loads_the_records_alone(tmp_path: Path) -> None:
    """Beyond typer and SQLAlchemy nothing heavy: no migration, no YAML, no rich, no reader, no other verb."""
    from imgtool.catalog.service import Catalog
    from imgtool.config.config import Config

    place = str(tmp_path / "catalog")
    Catalog.open(place, create=True, config=Config()).close()
    words = ["image", "list", "--long", "--catalog", place, "--config", "/dev/null"]
    names = loaded(
        "import contextlib, io\nfrom imgtool.cli.main import app\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    app({words!r})"
    )
    more = names - loaded("import typer, sqlalchemy, sqlalchemy.dialects.sqlite")
    assert heavies(more) <= {"json"}
    assert not {"alembic", "yaml", "rich", "construct", "psycopg", "imgtool.model.jsonable"} & more
    ours = {name.split(".")[1] for name in more if name.startswith("imgtool.")}
    assert not {"conversion", "disks", "ingest", "inspection", "structs", "codecs", "targets"} & ours
    assert rooms(names, "formats") | rooms(names, "containers") | rooms(names, "volumes") == set()
    assert {name for name in more if name.startswith("imgtool.cli.image.")} == {"imgtool.cli.image.list"}
    assert not {f"imgtool.catalog.{name}" for name in ("data", "intake", "instances", "upkeep", "swap")} & more
