"""Spec files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from em_core import plain_yaml
from em_core.errors import BadInput
from em_core.locate import open_problem, shown

MAX_BYTES = 2 * 2**20
_BEGIN = "begin with a preset: `python -m em_core presets`"


def read(path: Path) -> dict[str, Any]:
    """The mapping in a spec file.

    Raises:
        BadInput: It cannot be read, is not valid, or is no mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{shown(path)}: is larger than {MAX_BYTES // 2**20} MiB, expected a spec", "name the spec's file")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise open_problem(path, error) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown(path)}: byte {error.start + 1} is not valid UTF-8", "save the file as UTF-8") from error
    value = plain_yaml.load(text, shown(path)).value
    if value is None:
        raise BadInput(f"{shown(path)}: is empty, expected a spec", _BEGIN)
    if not isinstance(value, dict):
        raise BadInput(f"{shown(path)}: is {type(value).__name__}, expected `field: value` lines", _BEGIN)
    if isinstance(value.get("spec"), dict) and "data" not in value:  # a run's own spec.json
        return dict(value["spec"])
    return value
