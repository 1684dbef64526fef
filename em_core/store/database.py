"""The database file: made from schema.sql, checked, copied, flushed; never written in place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import duckdb

from em_core.durable import sync
from em_core.errors import WorkFailed
from em_core.store.ingest import Mark

VERSION = 1
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of a whole file (btrfs, xfs)
_TEMPORARY = ".new-"


@cache
def schema_sql() -> str:
    """The text of schema.sql."""
    return (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")


@cache
def schema_sha256() -> str:
    """Fingerprint of schema.sql: a database made from another one is rebuilt."""
    return hashlib.sha256(schema_sql().encode()).hexdigest()


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables and views in the connection's current database."""
    connection.execute(schema_sql())
    connection.execute("INSERT INTO schema_version VALUES (?, ?)", [VERSION, schema_sha256()])


def open_for_writing(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a private copy (never the published file) read-write."""
    connection = duckdb.connect(str(path), config={"threads": 2, "autoinstall_known_extensions": False})
    connection.execute("SET memory_limit = '2GB'")
    connection.execute("SET checkpoint_threshold = '1KB'")  # a commit writes the file itself, without a log first
    return connection


def read_marks(path: Path) -> dict[str, Mark] | None:
    """The byte offsets in a published file; None when it is damaged or made from another schema."""
    try:
        with duckdb.connect(":memory:", config={"threads": 1, "autoinstall_known_extensions": False}) as connection:
            quoted = str(path).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS store (READ_ONLY)")
            if connection.execute("SELECT version, schema_sha256 FROM store.schema_version").fetchall() != [
                (VERSION, schema_sha256())
            ]:
                return None
            rows = connection.execute(
                "SELECT file, byte_offset, head_bytes, head_sha256, damaged FROM store.ingest_offsets"
            ).fetchall()
    except duckdb.Error:
        return None
    return {file: Mark(offset, head_bytes, head, damaged) for file, offset, head_bytes, head, damaged in rows}


def temporary_path(live: Path) -> Path:
    """A name beside the live file that no earlier attempt used."""
    return live.with_name(f"{live.name}{_TEMPORARY}{os.getpid()}-{time.time_ns()}")


def temporaries(live: Path) -> list[Path]:
    """What publishers at work or killed have beside the live file."""
    return sorted(live.parent.glob(f"{live.name}{_TEMPORARY}*"))


def remove_temporaries(live: Path) -> None:
    """Remove what crashed publishers left, and a foreign write-ahead log. Only under the publish lock.

    Nobody of ours makes ``runs.duckdb.wal``: it comes from somebody who opened the published file for
    writing, and would be applied to the next version.
    """
    for path in [*temporaries(live), live.with_name(f"{live.name}.wal")]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy_file(source: Path, target: Path) -> None:
    """Copy in the kernel: shared blocks where the file system can, else copy_file_range, else a plain copy."""
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing, _FICLONE, reading.fileno())
            return
        except OSError:
            pass
        left = os.fstat(reading.fileno()).st_size
        try:
            while left > 0:
                done = os.copy_file_range(reading.fileno(), writing.fileno(), min(left, 1 << 30))
                if done == 0:
                    break
                left -= done
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            reading.seek(0)
            writing.seek(0)
            writing.truncate()
            shutil.copyfileobj(reading, writing, 1 << 20)


def swap_in(temporary: Path, live: Path) -> None:
    """Flush the finished file and rename it over the live one."""
    sync(temporary)
    os.replace(temporary, live)
    sync(live.parent)


def set_aside(live: Path) -> Path:
    """Keep a damaged file under another name; the live name stays until the new file replaces it."""
    kept = live.with_name(f"{live.name}.bad-{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**6:06d}")
    try:
        os.link(live, kept)
    except OSError:
        os.replace(live, kept)
    return kept


@contextlib.contextmanager
def failures_explained(live: Path) -> Iterator[None]:
    """Turn what the disk or DuckDB says into one clear error.

    Raises:
        WorkFailed: With the cause; the published file is as it was.
    """
    try:
        yield
    except OSError as error:
        raise WorkFailed(
            f"{live}: not published ({error.strerror or error}); the last version stays", _hint(error.errno)
        ) from error
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        full = any(words in text for words in ("No space left", "disk space", "File too large"))
        raise WorkFailed(
            f"{live}: not published ({text}); the last version stays", _hint(errno.ENOSPC if full else None)
        ) from error


def _hint(code: int | None) -> str:
    if code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return "free disk space (about twice the size of runs.duckdb); the next publish catches up"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable, or choose another with --home or EM_HOME"
    return "`python -m em_core doctor` checks the disk; `python -m em_core rebuild` makes the database anew"
