"""May this user write where runs, models and logs go, and may nobody read the keys?"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from em_core.doctor import keys
from em_core.doctor.findings import Finding, Visit, command, counted, some
from em_core.plan import hardware


def look(visit: Visit) -> Iterator[Finding]:
    """The home, each run's folder, caches, files with keys."""
    home = visit.home
    if home.read_only:
        yield Finding("note", "home", "read-only demonstration: nothing is written, and nothing can be started")
        return
    try:
        home.prepare()
    except OSError as error:
        yield Finding("broken", "home", f"{home.runs}: {error.strerror}", "choose a writable folder with --home")
    else:
        yield Finding("ok", "home", str(home.root))
        yield from _runs(home.runs)
    yield from _caches()
    yield from _readable_keys()


def _runs(runs: Path) -> Iterator[Finding]:
    """Run folders that this user cannot write: they would fail at their first event."""
    shut, foreign = [], []
    for entry in os.scandir(runs):
        if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
            continue
        if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            foreign.append(entry.name)
        events = f"{entry.path}/events"
        if not os.access(entry.path, os.W_OK | os.X_OK) or (os.path.isdir(events) and not os.access(events, os.W_OK | os.X_OK)):
            shut.append(entry.name)
    if shut:
        fix = f'`chown -R "$USER" {shlex.quote(str(runs))}` as root; often a run was made as another user'
        yield Finding("broken", "run folders", f"{counted(len(shut), 'folder')} cannot be written: {some(sorted(shut))}", fix)
    elif foreign:
        text = f"{counted(len(foreign), 'folder')} of another user: {some(sorted(foreign))}"
        yield Finding("note", "run folders", text, f'`chown -R "$USER" {shlex.quote(str(runs))}`, if they should be yours')
    else:
        yield Finding("ok", "run folders", "all can be written")


def caches() -> dict[str, Path]:
    """Folders that the libraries write, by the variable that moves them."""
    from huggingface_hub import constants

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    triton = Path(os.environ.get("TRITON_CACHE_DIR") or Path.home() / ".triton" / "cache")
    return {"HF_HOME": Path(constants.HF_HOME), "HF_HUB_CACHE": Path(constants.HF_HUB_CACHE), "XDG_CACHE_HOME": cache,
            "TRITON_CACHE_DIR": triton}  # fmt: skip


def _caches() -> Iterator[Finding]:
    bad = False
    for variable, folder in caches().items():
        there = hardware.existing(folder)
        if not os.access(there, os.W_OK | os.X_OK):
            bad = True
            yield Finding("broken", variable, f"{folder}: cannot be written", f"`export {variable}=…`, a folder of yours")
    if not bad:
        yield Finding("ok", "caches", ", ".join(f"{variable} {folder}" for variable, folder in list(caches().items())[:2]))
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield Finding("note", "HF_HUB_OFFLINE", "set: only models that are in the cache can be used", "`unset HF_HUB_OFFLINE`")


def _readable_keys() -> Iterator[Finding]:
    for path in (keys.token_file(), *keys.secrets_files()):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            yield Finding("note", "file with keys", f"{path}: others on this machine may read it", command("chmod", "600", path))
