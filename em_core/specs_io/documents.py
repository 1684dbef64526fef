"""YAML and JSON as a person means them.

YAML 1.1 reads ``off`` as false and ``1e-4`` as text; both are values of our fields, so only ``true``
and ``false`` are booleans here and ``1e-4`` is a number (as in YAML 1.2). Only plain data is read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from em_core.errors import BadInput
from em_core.locate import open_problem, shown

MAX_BYTES = 2 * 2**20


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 booleans and floats, and no key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def parse(text: str, place: str) -> Any:
    """The value of a YAML (or JSON) text.

    Args:
        text: What was written.
        place: What to call it in errors (``spec.yaml``, ``--set train.seed``).

    Raises:
        BadInput: It is not valid, with line and column.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}: column {mark.column + 1}" if mark else ""
        raise BadInput(
            f"{place}{where}: not valid YAML ({error.problem or error.context})", "correct that line; only plain data is read"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise BadInput(f"{place}: not valid YAML ({reason})", "write plain UTF-8 YAML") from error


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
    value = parse(text, shown(path))
    if value is None:
        raise BadInput(f"{shown(path)}: is empty, expected a spec", "begin with `python -m em_core presets`")
    if not isinstance(value, dict):
        raise BadInput(
            f"{shown(path)}: is {type(value).__name__}, expected `field: value` lines", "begin with `python -m em_core presets`"
        )
    if isinstance(value.get("spec"), dict) and "data" not in value:  # a run's own spec.json
        return dict(value["spec"])
    return value
