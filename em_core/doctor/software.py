"""Python, and the packages of requirements.txt: there, within their bounds, and not half-installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from em_core.doctor.findings import Finding, Visit, command
from em_core.home import PROJECT

_BINARY = ("torch", "duckdb", "pyarrow", "tokenizers", "safetensors", "bitsandbytes", "scipy")
_IMPORT_S = 180.0


def look(visit: Visit) -> Iterator[Finding]:
    """Python's version, each package's version; with `deep` the compiled ones are loaded, each in a process of its own."""
    version, good = platform.python_version(), (3, 11) <= sys.version_info[:2] <= (3, 13)
    fix = "" if good else "make an environment with Python 3.11 to 3.13 and `pip install -r requirements.txt`"
    yield Finding("ok" if good else "broken", "python", f"{version}, {sys.executable}", fix)
    outside = list(_versions(PROJECT / "requirements.txt"))
    yield from outside or [Finding("ok", "packages", "all of requirements.txt, within their bounds")]
    if visit.deep:
        broken = [finding for name in _BINARY if (finding := _loads(name))]
        yield from broken or [Finding("ok", "compiled packages", f"load: {', '.join(_BINARY)}")]


def _versions(requirements: Path) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    for line in requirements.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        wanted = Requirement(line)
        install = command(Path(sys.executable).name, "-m", "pip", "install", line)
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("broken", wanted.name, "missing", install)
            continue
        if found is None or not _files_there(wanted.name):
            again = command(Path(sys.executable).name, "-m", "pip", "install", "--force-reinstall", "--no-deps", line)
            yield Finding("broken", wanted.name, "listed as installed, but its files are not there", again)
        elif not wanted.specifier.contains(found, prereleases=True):
            yield Finding("note", wanted.name, f"{found}, tested with {wanted.specifier}", install)


def _files_there(name: str) -> bool:
    """Whether the first module file that the package lists exists (an interrupted install leaves the list alone)."""
    distribution = importlib.metadata.distribution(name)
    listed = (line.split(",")[0] for line in (distribution.read_text("RECORD") or "").splitlines())
    modules = (path for path in listed if path.endswith(".py") and ".dist-info/" not in path and not path.startswith(".."))
    first = next(modules, None)
    return first is None or Path(str(distribution.locate_file(first))).exists()


def _loads(name: str) -> Finding | None:
    """A finding when the package cannot be imported; None when it can, or is missing (said elsewhere)."""
    if importlib.util.find_spec(name) is None:
        return None
    code = f"import importlib; importlib.import_module({name!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=_IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("broken", name, f"importing it takes longer than {_IMPORT_S:.0f} s", "look at the disk: slow or failing?")
    if done.returncode == 0:
        return None
    words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    again = command(Path(sys.executable).name, "-m", "pip", "install", "--force-reinstall", name)
    return Finding("broken", name, f"cannot be imported: {words[-1][:300]}", again)
