"""Results of others, and exports of ours, as runs of this workbench.

A format is one module of this package, found by its name; `docs/import.md` lists them. Each has

    TITLE, WHAT                       for people: what such a file is, what is taken from it
    recognises(file) -> int           how sure it is by the content: 0 = not mine, more wins
    read(file, wishes) -> iterator    its rows as `em_core.importing._items`, one at a time

Runs get the kind ``imported`` and ids ``imported-<name>-<hash>``; answers, scores and verdicts stay as published,
what is no score is unscored with its reason, and what is left out is told with its place. Everything is written into
a hidden folder and renamed at the end: an import that fails or is killed leaves nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from em_core import plugins
from em_core.errors import BadInput, EMError, WorkFailed
from em_core.home import Home
from em_core.importing._files import File
from em_core.importing._find import files as find_files
from em_core.importing._gather import Gathering
from em_core.importing._items import Wishes
from em_core.importing._known import known
from em_core.importing._lossless import Whole
from em_core.importing._report import FileReport, Report, RunReport
from em_core.importing._staging import Stage, staged
from em_core.importing._uploads import uploaded
from em_core.store.publish import publish

__all__ = ["FileReport", "Report", "RunReport", "Wishes", "bring", "formats", "read", "uploaded"]

Progress = Callable[[str], None]


def formats() -> dict[str, ModuleType]:
    """Every format by its name."""
    return {name: plugins.load(__name__, "format", name) for name in plugins.names(__name__)}


def read(
    home: Home, paths: Iterable[str | Path], format: str | None = None, wishes: Wishes | None = None, *, top: Path | None = None
) -> Report:
    """What `bring` would bring; nothing is written.

    Args: As for `bring`.
    """
    with tempfile.TemporaryDirectory(prefix="em-import-") as unpacked:
        return _collect(home, paths, format, wishes or Wishes(), Path(unpacked), top, None, lambda text: None)


def bring(
    home: Home,
    paths: Iterable[str | Path],
    format: str | None = None,
    wishes: Wishes | None = None,
    *,
    top: Path | None = None,
    progress: Progress = lambda text: None,
) -> Report:
    """Import files, folders and zips, and publish them.

    The same content twice adds nothing. All of it comes, or nothing.

    Args:
        home: Where the runs will be.
        paths: What was given.
        format: One of `formats`; None = told by each file's content.
        wishes: What the person says about the files; wins over what they say themselves.
        top: Folders from this one up tell nothing about the files (uploads); None = look upwards.
        progress: Told the file that is read.

    Returns:
        What came, and what did not with the reason.

    Raises:
        BadInput: A path is not there; a zip is damaged or too large; a single file was given and nothing can be
            read from it (file and place are named); the format is unknown.
        Refused: This is a read-only demonstration.
        WorkFailed: Disk full, or not writable; nothing is left behind.
    """
    home.writable("Importing results")
    with staged(home) as stage:
        unpacked = stage.path(".unpacked")
        unpacked.mkdir()
        report = _collect(home, paths, format, wishes or Wishes(), unpacked, top, stage, progress)
        there = set(stage.commit())
        for run in report.runs:
            run.new = run.new and run.run_id not in there
    if report.n_new:
        publish(home)
    return report


def _collect(
    home: Home,
    paths: Iterable[str | Path],
    format: str | None,
    wishes: Wishes,
    unpacked: Path,
    top: Path | None,
    stage: Stage | None,
    progress: Progress,
) -> Report:
    given = list(paths)
    if not given:
        raise BadInput("no file is given", "name at least one file, folder or zip")
    chosen = None if format in (None, "", "detect") else plugins.load(__name__, "format", format or "")
    found, n_other = find_files(given, unpacked, top)
    single = len(found) == 1
    already = known(home)
    gathering = Gathering(wishes, stage, Whole(home, stage))
    seen: dict[str, str] = {}
    aside: list[FileReport] = []
    ours, known_formats = _exports(found), formats()
    for file in found:
        reader, reason = _reader(file, chosen, ours, known_formats, wishes, alone=single)
        if reader is None:
            if reason:
                aside.append(FileReport(file.given, problem=reason))
            else:
                n_other += 1
            continue
        progress(file.given)
        name = reader.__name__.rsplit(".", 1)[-1]
        sha256 = getattr(reader, "identity", lambda f: f.sha256)(file)
        if sha256 in already:
            runs = already[sha256]
            aside.append(
                FileReport(
                    file.given, name, sha256, runs=runs, already=True, problem=f"already imported as {', '.join(runs[:3])}"
                )
            )
        elif sha256 in seen:
            aside.append(FileReport(file.given, name, sha256, problem=f"the same content as {seen[sha256]}"))
        else:
            seen[sha256] = file.given
            _one(gathering, reader, file, name, sha256, wishes, alone=single)
        file.forget()
    report = gathering.finish(n_other)
    report.files += aside
    if report.files and not report.runs and not any(file.already for file in report.files):
        more = f" (and {len(report.files) - 1} more files, none of them with results)" if len(report.files) > 1 else ""
        hint = "check that the file is whole; name its format with --as, or its columns with --map; docs/import.md lists them"
        raise BadInput(f"{report.files[0].file}: {report.files[0].problem}{more}", hint)
    if not report.files:
        raise BadInput(f"{given[0]}: there is no result file in it", "docs/import.md lists the formats that are read")
    return report


def _one(gathering: Gathering, reader: ModuleType, file: File, name: str, sha256: str, wishes: Wishes, alone: bool) -> None:
    gathering.begin(file, name, sha256)
    try:
        for item in reader.read(file, wishes):
            gathering.take(item)
    except EMError as error:
        if alone:
            raise
        gathering.abandon(error.message)
    except (UnicodeError, OSError, RecursionError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise  # our own disk, not their file
        reason = f"cannot be read ({_why(error)})"
        if alone:
            raise WorkFailed(f"{file.given}: {reason}", "check that the file is whole and may be read") from error
        gathering.abandon(reason)
    gathering.end()


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _reader(
    file: File,
    chosen: ModuleType | None,
    ours: dict[Path, str],
    known_formats: dict[str, ModuleType],
    wishes: Wishes,
    alone: bool,
) -> tuple[ModuleType | None, str]:
    """Which format reads the file; None with why it is left out, or without a word where it is no result at all."""
    better = next((why for folder, why in ours.items() if folder in file.path.parents), "")
    if better and not file.path.as_posix().endswith(better):
        return None, ""  # the same comes from there without loss
    if chosen is not None:
        return chosen, ""
    if file.size == 0:
        return None, "the file is empty"
    try:
        if (
            wishes.columns
            and file.kind in ("csv", "jsonl", "json")
            and (alone or known_formats["table"].has_columns(file, wishes))
        ):
            return known_formats["table"], ""  # whose columns are named is read by them, whatever else it looks like
        sure = {name: module.recognises(file) for name, module in known_formats.items()}
    except EMError as error:
        return None, error.message
    except (UnicodeError, OSError, ValueError, RecursionError) as error:
        return None, f"cannot be read ({_why(error)})"
    best = max(sure, key=lambda name: sure[name])
    if sure[best] <= 0:
        return None, "" if _is_config(file) else _no_results(file)
    return known_formats[best], ""


def _is_config(file: File) -> bool:
    name = file.path.name.lower()
    return name in ("training_config.json", "config.json", "adapter_config.json", "import.json") or name.endswith(".txt")


def _no_results(file: File) -> str:
    """Why a file that no format knows is left out."""
    if file.kind == "zip":
        return "a zip inside of what was given, or a damaged log: unpack it, or give it by itself"
    if file.kind == "other" and not file.text_head.strip():
        return "there is nothing but blanks in it"
    if file.kind == "other" and file.head[:200].count(0) > 50:
        return "neither CSV nor JSON; if it is UTF-16 or UTF-32, save it as UTF-8"
    if file.kind == "other":
        return "neither CSV nor JSON"
    if file.kind == "json" and (broken := file.documents[1]):
        return f"{broken}, and nothing whole before it is a result in a known format"
    if "messages" in file.names or {"prompt", "completion"} <= file.names:
        return "training data, no results"
    return "no results in a format that is known here (docs/import.md lists them)"


def _exports(found: list[File]) -> dict[Path, str]:
    """Folders that are exports of ours -> the file that holds everything of them without loss."""
    folders = {file.path.parent for file in found if file.path.name == "export_manifest.json"}
    whole = ("parquet/manifest.json", "responses.jsonl")
    return {folder: name for folder in folders for name in reversed(whole) if (folder / name).is_file()}
