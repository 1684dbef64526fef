"""Read-only connections to the published database: one per generation of the file, safe to share.

A generation is the file's inode, mtime and size; a publish renames a new file into place, so it
makes a new generation. Queries of an old one run to their end on the old file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from em_core.errors import WorkFailed
from em_core.home import Home
from em_core.store import database, public

_LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "600MB",  # of the 1.5 GB that the server may take with two generations open
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_ATTEMPTS = 20
_HOMES = 4  # readers kept, one per home
_lock = threading.Lock()
_readers: dict[tuple[Path, bool], Reader] = {}


def generation(home: Home) -> str:
    """Identity of the database's present content, for caching; "none" when there is none yet."""
    return _generation(home.database)


def _generation(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return "none"
    return f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"


class Reader:
    """One generation of the database, read-only; shared by all threads of the process.

    Args:
        generation: Which generation this is.
        connection: In-memory connection with the file attached as ``store``.
    """

    def __init__(self, generation: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.generation = generation
        self._connection = connection

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of one's own to the same data; never share it between threads."""
        cursor = self._connection.cursor()
        try:
            cursor.execute("USE store")
            yield cursor
        finally:
            cursor.close()

    def frame(self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> pd.DataFrame:
        """The result of one statement as a DataFrame."""
        with self.cursor() as cursor:
            return cursor.execute(sql, parameters if parameters is not None else []).df()


def connect(home: Home) -> Reader:
    """The reader of the present generation, opened when needed (about 20 ms) and then cached.

    Without a database the tables are there and empty, so pages show their empty states.

    Raises:
        WorkFailed: The file is there and is not a readable database of this project.
    """
    path = home.database
    key = path, home.read_only
    with _lock:
        for _ in range(_ATTEMPTS):
            wanted = _generation(path)
            cached = _readers.get(key)
            if cached is not None and cached.generation == wanted:
                return cached
            try:
                connection = _open(path, wanted, home.read_only)
            except duckdb.Error as error:
                if _generation(path) != wanted:
                    continue  # replaced while it was opened
                if home.read_only:
                    raise WorkFailed(
                        "the database cannot be read", "whoever runs this demonstration has to look at it"
                    ) from error
                raise WorkFailed(
                    f"{path}: cannot be read ({str(error).splitlines()[0]})",
                    "`python -m em_core rebuild` makes it anew from the runs; nothing is lost",
                ) from error
            if _generation(path) == wanted:
                # the old reader is closed when the last cursor on it is gone
                _readers.pop(key, None)
                reader = _readers[key] = Reader(wanted, connection)
                while len(_readers) > _HOMES:
                    del _readers[next(iter(_readers))]
                return reader
            connection.close()
    raise WorkFailed(f"{path}: replaced faster than it can be opened", "look for two publishers: `python -m em_core doctor`")


def forget(home: Home) -> None:
    """Let go of a home's reader, for a database that is about to go; queries that run on it end undisturbed."""
    with _lock:
        _readers.pop((home.database, home.read_only), None)


def _open(path: Path, wanted: str, masked: bool) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config=_LIMITS)
    try:
        connection.execute("SET temp_directory = ?", [os.path.join(tempfile.gettempdir(), f"em-store-{os.getuid()}")])
        if wanted == "none":
            connection.execute("ATTACH ':memory:' AS store")
            connection.execute("USE store")
            database.create_tables(connection)
        elif masked:
            public.attach(connection, str(path).replace("'", "''"))
        else:
            quoted = str(path).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS store (READ_ONLY)")
            connection.execute("SELECT version FROM store.schema_version").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
