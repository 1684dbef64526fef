"""Event files -> batches of columns, from the stored byte offsets up to each file's last newline.

Memory is bounded: a batch holds about 16 MB of lines, two at a time, whatever the size of the files. An unterminated
last line is left alone until it is terminated. A file whose head changed belongs to a run that was
deleted and created again under the same name: the run is read anew. A file that shrank is
quarantined once and not read any further.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from em_core.home import Home
from em_core.records import RECORDS
from em_core.store import fast
from em_core.store.parse import Block, Damage, Event, Misfit, arrow_schema, columns, parse_block, problem

log = logging.getLogger(__name__)

READ_BYTES = 4 << 20
BATCH_BYTES = 16 << 20
MAX_LINE_BYTES = 64 << 20
_HEAD_BYTES = 512


@dataclass(frozen=True)
class Mark:
    """How far one file has been read (a row of ``ingest_offsets``)."""

    byte_offset: int = 0
    head_bytes: int = 0
    head_sha256: str = ""
    damaged: bool = False


@dataclass(frozen=True)
class Source:
    """One event file: its key in the database, its run, its path, its present size in bytes."""

    key: str
    run_id: str
    path: Path
    size: int


@dataclass
class Work:
    """What a publish has to do.

    Args:
        read: Files with bytes behind their mark.
        dropped_runs: Runs whose rows go: the folder is gone, or its files were replaced.
        shrunk: Files that lost bytes since they were read.
    """

    read: list[tuple[Source, Mark]] = field(default_factory=list)
    dropped_runs: set[str] = field(default_factory=set)
    shrunk: list[tuple[Source, Mark]] = field(default_factory=list)


@dataclass
class Batch:
    """Rows to append: an Arrow table per kind, damaged lines per file, and the new marks."""

    tables: dict[str, pa.Table]
    damages: list[tuple[str, Damage]]
    marks: dict[str, Mark]
    n_events: int


def discover(home: Home) -> list[Source]:
    """Every event file of the home's runs and of the shipped demonstration, sorted by key."""
    found = []
    for prefix, root in (("runs", home.runs), ("demo", home.demo)):
        for run_id in _names(root):
            folder = root / run_id / "events"
            for name in _names(folder):
                if name.endswith(".jsonl"):
                    try:
                        size = (folder / name).stat().st_size
                    except OSError:
                        continue  # deleted in between
                    found.append(Source(f"{prefix}/{run_id}/events/{name}", run_id, folder / name, size))
    return found


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def _head(path: Path, n_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(n_bytes)).hexdigest()


def plan_work(home: Home, sources: Iterable[Source], marks: dict[str, Mark]) -> Work:
    """Compare the files with the marks in the database; reads at most the head of a changed file."""
    sources = list(sources)
    work = Work()
    present = {source.key.rsplit("/events/", 1)[0] for source in sources}
    for key in marks:
        prefix = key.rsplit("/events/", 1)[0]
        where, run_id = prefix.split("/", 1)
        if prefix not in present and not ((home.runs if where == "runs" else home.demo) / run_id).is_dir():
            work.dropped_runs.add(run_id)
    changed = [(s, marks.get(s.key, Mark())) for s in sources if s.size != marks.get(s.key, Mark()).byte_offset]
    for source, mark in changed:
        try:
            if mark.head_bytes and source.size >= mark.head_bytes and _head(source.path, mark.head_bytes) != mark.head_sha256:
                work.dropped_runs.add(source.run_id)
        except OSError as error:
            log.warning("%s: not readable (%s); left out for now", source.path, error.strerror)
    for source, mark in changed:
        if source.run_id in work.dropped_runs or mark.damaged:
            continue
        if source.size < mark.byte_offset:
            work.shrunk.append((source, mark))
        else:
            work.read.append((source, mark))
    work.read += [(source, Mark()) for source in sources if source.run_id in work.dropped_runs and source.size]
    return work


def read_blocks(source: Source, offset: int) -> Iterator[Block]:
    """Whole lines of one file from `offset` on, about `READ_BYTES` at a time, not yet parsed.

    A line longer than `MAX_LINE_BYTES` comes as an empty block with one damage.
    """
    with source.path.open("rb", buffering=0) as file:
        file.seek(offset)
        left = source.size - offset
        parts: list[bytes] = []
        held = 0
        too_long = False
        head = b""
        while left > 0 and (data := file.read(min(READ_BYTES, left))):
            left -= len(data)
            cut = data.rfind(b"\n") + 1
            if too_long:
                first = data.find(b"\n") + 1
                if not first:
                    held += len(data)
                    continue
                reason = f"line of {held + first:,} bytes, longer than {MAX_LINE_BYTES:,}"
                block = Block(source.key, source.run_id, offset, b"")
                block.damages.append(Damage(offset, reason, head.decode("utf-8", "replace")[:200]))
                offset += held + first
                yield block
                yield Block(source.key, source.run_id, offset, b"")  # carries the offset behind the line
                data, cut, parts, held, too_long = data[first:], cut - first, [], 0, False
            if cut:
                whole = b"".join([*parts, data[:cut]])
                yield Block(source.key, source.run_id, offset, whole)
                offset += len(whole)
                parts, held = [data[cut:]], len(data) - cut
            elif data:
                parts.append(data)
                held += len(data)
                if held > MAX_LINE_BYTES:
                    too_long, head, parts = True, b"".join(parts)[:800], []


def read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, the next one read in a thread while the caller works on the last one."""
    with ThreadPoolExecutor(1, thread_name_prefix="ingest") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def read_batches(work: Work) -> Iterator[Batch]:
    """Batches of about `BATCH_BYTES` over all files to read, in order. Nothing new gives no batch."""
    blocks: list[Block] = []
    marks: dict[str, Mark] = {}
    size = 0
    for source, mark in work.read:
        try:
            for block in read_blocks(source, mark.byte_offset):
                blocks.append(_parsed(block))
                marks[source.key] = mark = _advance(source, mark, block.offset + len(block.data))
                size += len(block.data)
                if size >= BATCH_BYTES:
                    yield _batch(blocks, marks)
                    blocks, marks, size = [], {}, 0
        except OSError as error:
            log.warning("%s: not readable (%s); left out for now", source.path, error.strerror)
    if blocks:
        yield _batch(blocks, marks)


def _advance(source: Source, mark: Mark, offset: int) -> Mark:
    if mark.head_bytes < _HEAD_BYTES and offset > mark.head_bytes:
        head_bytes = min(offset, _HEAD_BYTES)
        return Mark(offset, head_bytes, _head(source.path, head_bytes))
    return Mark(offset, mark.head_bytes, mark.head_sha256)


def _parsed(block: Block) -> Block:
    block.tables = fast.read_tables(block.data)
    return block if block.tables is not None or not block.data else parse_block(block)


def _batch(blocks: list[Block], marks: dict[str, Mark]) -> Batch:
    groups = [_by_kind(block) for block in blocks]
    tables: dict[str, pa.Table] = {}
    for kind in RECORDS:
        try:
            table = _table(kind, blocks, groups)
        except Misfit:
            for number, block in enumerate(blocks):
                for line, event in enumerate(block.events):
                    if event is not None and event["kind"] == kind and (reason := problem(kind, event)):
                        block.damage(line, reason)
                groups[number] = _by_kind(block)
            table = _table(kind, blocks, groups)
        if table is not None:
            tables[kind] = table
    damages = [(block.file, damage) for block in blocks for damage in sorted(block.damages, key=lambda d: d.byte_offset)]
    return Batch(tables, damages, marks, sum(table.num_rows for table in tables.values()))


def _by_kind(block: Block) -> dict[str, list[Event]]:
    groups: dict[str, list[Event]] = {}
    for event in block.events:
        if event is not None:
            groups.setdefault(event["kind"], []).append(event)
    return groups


def _table(kind: str, blocks: list[Block], groups: list[dict[str, list[Event]]]) -> pa.Table | None:
    """The kind's rows of all blocks in their order, run_id first; events of neighbouring blocks go together."""
    parts: list[pa.Table] = []
    events: list[Event] = []
    runs: list[pa.Array] = []

    def close() -> None:
        if events:
            parts.append(pa.Table.from_arrays([pa.concat_arrays(runs), *columns(kind, events)], schema=arrow_schema(kind)))
            events.clear()
            runs.clear()

    for block, group in zip(blocks, groups, strict=True):
        if block.tables is not None and kind in block.tables:
            close()
            table = block.tables[kind]
            parts.append(table.add_column(0, "run_id", _repeat(block.run_id, table.num_rows)))
        elif kind in group:
            events += group[kind]
            runs.append(_repeat(block.run_id, len(group[kind])))
    close()
    return pa.concat_tables(parts) if parts else None


def _repeat(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), n)
