"""YAML (and so JSON) as a person means it: plain data, YAML 1.2 scalars, nothing surprising.

YAML 1.1 reads ``off`` and ``no`` as false, ``1e-4`` as text and the last of two equal keys as the
only one. Here ``true`` and ``false`` are the booleans, ``1e-4`` is a number, a key given twice is an
error, and so are tags and aliases that contain themselves or would unfold into a huge document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from em_core.errors import BadInput

MAX_NODES = 500_000
MAX_DEPTH = 100
"""The C library recurses without a limit of its own and ends the process."""
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DROPPED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")


class _Loader(_Base):  # type: ignore[misc]
    """SafeLoader with the booleans and floats of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_FLOAT = re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever YAML 1.1 or 1.2 would not read as text."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True)
class Document:
    """A document's value, and for a list the line of each entry (from 1)."""

    value: Any
    lines: list[int]


def load(text: str, place: str) -> Document:
    """The one document in `text`; an empty text is None.

    Args:
        text: What was written.
        place: What to call it in errors (``spec.yaml``, ``--set train.seed``).

    Raises:
        BadInput: It is not plain, valid YAML; with line and column.
    """
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None, [])
            _check(node, {}, set())
            lines = [child.start_mark.line + 1 for child in node.value] if isinstance(node, yaml.SequenceNode) else []
            return Document(loader.construct_document(node), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}: column {mark.column + 1}" if mark else ""
        raise BadInput(
            f"{place}{where}: not valid YAML ({error.problem or error.context})",
            "correct that line; only plain data is read, no tags",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise BadInput(f"{place}: not valid YAML ({reason})", "write plain UTF-8 YAML") from error


def dump(value: Any) -> str:
    """Plain data as YAML that `load`, and any YAML 1.1 reader, reads back as it was."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.constructor.ConstructorError(None, None, f"nested deeper than {MAX_DEPTH}", event.start_mark)  # type: ignore[arg-type]


def _check(node: Any, sizes: dict[int, int], above: set[int]) -> int:
    """Number of nodes with aliases unfolded; refuses twice-given keys, cycles and what would be huge."""
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in above:
        raise yaml.constructor.ConstructorError(None, None, "an alias contains itself", node.start_mark)
    children: list[Any] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
                seen.add(key.value)
            children += [key, value]
    size = 1 + sum(_check(child, sizes, above | {id(node)}) for child in children)
    if size > MAX_NODES:
        raise yaml.constructor.ConstructorError(
            None, None, f"its aliases unfold into more than {MAX_NODES} values", node.start_mark
        )
    sizes[id(node)] = size
    return size
