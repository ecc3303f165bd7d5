"""imgtool access: the rules that hold, printed as a file of rules."""

from __future__ import annotations

import json
from pathlib import Path

from imgtool.catalog.access import DEFAULTS, load_access
from tests.test_architecture import loaded
from tests.test_cli_config import call


def test_what_is_printed_is_a_file_of_rules(tmp_path: Path) -> None:
    """It is read back as the same; each rule says what it is for and where it comes from."""
    path = tmp_path / "access.yaml"
    path.write_text('"odd: name": role:a\ndelete_image: "rule:odd"\nodd: [[\'rule:context_is_admin\'], [role:b]]\n')
    path.write_text(path.read_text().replace('"odd: name": role:a\n', ""))
    done = call("access", "show", "--access", str(path))
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert f'# image delete ({path})\ndelete_image: "rule:odd"\n' in text
    assert '# image show (built-in)\nget_image: "rule:context_is_admin or rule:image_reader"\n' in text
    (tmp_path / "again.yaml").write_text(text)
    again = load_access(tmp_path / "again.yaml")
    assert {rule.name: rule.text for rule in again.rules} == {
        rule.name: rule.text for rule in load_access(path).rules
    }


def test_json_is_an_object_a_rule() -> None:
    """With name, rule, source and what it is for; `policy show catalog` prints the text of the same."""
    told = [json.loads(line) for line in call("access", "show", "--json").stdout.splitlines()]
    assert told == [
        {"name": name, "rule": rule, "source": "built-in", "about": about} for name, rule, about in DEFAULTS
    ]
    assert call("policy", "show", "catalog").stdout == call("access", "show").stdout


def test_the_file_is_taken_from_the_configuration(tmp_path: Path) -> None:
    """imgtool.toml and the variable name it; its mistakes are a line each, status 2."""
    (tmp_path / "rules.yaml").write_text('deactivate: "role:member"\n')
    (tmp_path / "imgtool.toml").write_text('[catalog]\naccess = "rules.yaml"\n')
    by_file = call("access", "show", "--config", str(tmp_path / "imgtool.toml"))
    assert 'deactivate: "role:member"' in by_file.stdout.decode()
    (tmp_path / "wrong.yaml").write_text("deactivate: role\nreactivate: (role:a\n")
    done = call("access", "show", IMGTOOL_ACCESS=str(tmp_path / "wrong.yaml"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert call("access", "hide").returncode == 2
    assert call("access", "show", "--access", str(tmp_path / "none.yaml")).returncode == 2


def test_built_in_rules_load_nothing_heavy(tmp_path: Path) -> None:
    """No YAML where no file is named, and never a database; oslo.policy is the tests' alone."""
    code = "from imgtool.catalog.access import load_access\nload_access()"
    assert not {"yaml", "sqlalchemy", "alembic", "oslo_policy", "imgtool.catalog.access_file"} & loaded(code)
    path = tmp_path / "access.yaml"
    path.write_text("add_image: role:member\n")
    names = loaded(f"from imgtool.catalog.access import load_access\nload_access({str(path)!r})")
    assert "yaml" in names
    assert not {"sqlalchemy", "oslo_policy"} & names
