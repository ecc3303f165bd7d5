"""A PostgreSQL of the tests' own: started in a temporary folder, as a user of its own, reached by a socket alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


#: Waits for the end of the tests, however they end, and clears up behind them: $1 is pg_ctl, $2 the folder.
_WATCH = 'cat >/dev/null; cd /; "$1" -D "$2/data" -w -m immediate stop; rm -rf "$2"'


@contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the context, or the process, lasts."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    assert programs, "PostgreSQL is needed: see tests/debian-packages.txt"
    control, user = str(programs[-1]), "postgres" if os.getuid() == 0 else None
    folder = tempfile.mkdtemp(prefix="imgtool-pg-", dir="/tmp")  # short: a socket's path has 107 characters
    if user is not None:
        shutil.chown(folder, user)
    watcher = subprocess.Popen(
        ["sh", "-c", _WATCH, "watch", control, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **_as(user),
    )
    try:
        _run(user, control.replace("pg_ctl", "initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "tester")
        options = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=60"
        _run(user, control, "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        yield Server(Path(folder), "tester")
    finally:
        watcher.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _as(user: str | None) -> dict[str, Any]:
    return {"user": user, "group": user, "extra_groups": []} if user is not None else {}


def _run(user: str | None, *command: str) -> None:
    done = subprocess.run(
        [*command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        **_as(user),
    )
    assert done.returncode == 0, done.stderr
