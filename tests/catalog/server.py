"""A PostgreSQL of the tests' own: started in a temporary folder, as a user of its own, reached by a socket alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text


class Server:
    """A running server; `fresh` gives an empty database."""

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user
        self._made: set[str] = set()

    def _run(self, database: str, *statements: str) -> None:
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def url(self, database: str) -> URL:
        """Where a database is."""
        return URL.create(
            "postgresql+psycopg", username=self._user, database=database, query={"host": str(self._folder)}
        )

    def fresh(self, name: str = "catalog") -> str:
        """The URL of an empty database; what was in the one of that name before is gone."""
        if name not in self._made:
            self._run("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
            self._made.add(name)
        self._run(name, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        return self.url(name).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the context lasts."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    assert programs, "PostgreSQL is needed: see tests/debian-packages.txt"
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="imgtool-pg-", dir="/tmp"))  # short: a socket's path has 107 characters
    if user is not None:
        shutil.chown(folder, user)
    try:
        _start(
            user, programs[-1].with_name("initdb"), "-D", folder / "data", "-A", "trust", "-U", "tester", "-E", "UTF8"
        )
        options = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=60"
        control = programs[-1]
        _start(user, control, "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield Server(folder, "tester")
        finally:
            _start(user, control, "-D", folder / "data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _start(user: str | None, *command: str | Path) -> None:
    group = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
    done = subprocess.run(  # type: ignore[call-overload] # the keywords are those of a user, or none
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd="/",
        **group,
    )
    assert done.returncode == 0, done.stderr
