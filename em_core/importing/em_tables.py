"""`parquet/` of an export of ours: every event comes back as it was, with its id, time and text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from em_core.errors import BadInput
from em_core.importing._files import File
from em_core.importing._items import Event, Item, Skip, Wishes
from em_core.importing._lossless import fields_of
from em_core.records import RECORDS
from em_core.store.parse import problem

TITLE = "Export of this workbench (Parquet)"
WHAT = (
    "parquet/manifest.json and its tables, or the export's whole folder: runs, answers, judgements, labels, health, "
    "losses and states come back with their ids. A run that is here already is left as it is."
)
_ROWS = 4096
_KINDS = {record.table: kind for kind, record in RECORDS.items()}
_FIX = "export it again; a folder that was copied in part lacks what it lacks"


def recognises(file: File) -> int:
    """A manifest that names tables of ours."""
    if file.kind != "json" or '"tables"' not in file.text_head or file.size > 1 << 22:
        return 0
    found = file.documents[0]
    return 10 if found and isinstance(found[0], dict) and set(_tables(found[0])) & set(_KINDS) else 0


def identity(file: File) -> str:
    """Of the manifest and of every table together, hex."""
    digest = hashlib.sha256(file.sha256.encode())
    for path in _paths(file).values():
        if path.is_file():
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Every event of every table, in the order in which it was written.

    Raises:
        BadInput: A table is damaged, lacks a column, or has not the rows that the manifest counts.
    """
    manifest = next(iter(file.documents[0]), None)
    tables = _tables(manifest)
    if not isinstance(manifest, dict) or not set(tables) & set(_KINDS):
        raise BadInput(
            f"{file.given}: names no tables of an export", "give an export's folder, or the manifest.json of its parquet/"
        )
    _check_digests(file)
    if manifest.get("shortened"):
        yield Skip("", "folders of the machine and names of people were shortened when it was exported", 0)
    for table, path in sorted(_paths(file).items(), key=lambda each: list(_KINDS).index(each[0])):
        if not path.is_file():
            raise BadInput(f"{file.given}: {path.name} is missing", _FIX)
        n = 0
        for event in _events(table, path):
            n += not isinstance(event, Skip)
            yield event
        wanted = tables[table].get("rows") if isinstance(tables[table], dict) else None
        if isinstance(wanted, int) and n != wanted:
            raise BadInput(f"{path.name}: {n:,} whole rows, the manifest counts {wanted:,}", _FIX)


def _events(table: str, path: Path) -> Iterator[Item]:
    kind, place = _KINDS[table], 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if "run_id" not in names or "t" not in names:
                raise BadInput(f"{path.name}: has no column run_id or t", _FIX)
            for batch in file.iter_batches(_ROWS):
                for row in batch.to_pylist():
                    place += 1
                    reason = problem(kind, row) if isinstance(row["run_id"], str) else "no run_id"
                    yield Skip(f"{path.name} row {place}", reason) if reason else Event(row["run_id"], kind, fields_of(kind, row))
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path.name}:{place + 1}: is damaged ({str(error).splitlines()[0]})", _FIX) from error


def _check_digests(file: File) -> None:
    """Compare with the sha256 that the export wrote down, where its manifest is beside the folder."""
    try:
        listed = json.loads((file.path.parent.parent / "export_manifest.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for path in _paths(file).values():
        wanted = listed.get(f"{file.path.parent.name}/{path.name}") if isinstance(listed, dict) else None
        if isinstance(wanted, dict) and path.is_file():
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != wanted.get("sha256"):
                    raise BadInput(f"{path.name}: is not the file that was exported (its sha256 differs)", _FIX)


def _tables(manifest: Any) -> dict[str, Any]:
    tables = manifest.get("tables") if isinstance(manifest, dict) else None
    if isinstance(tables, list):
        return {str(name): {} for name in tables}
    return tables if isinstance(tables, dict) else {}


def _paths(file: File) -> dict[str, Path]:
    tables = _tables(next(iter(file.documents[0]), None))
    return {table: file.path.parent / f"{table}.parquet" for table in tables if table in _KINDS}
