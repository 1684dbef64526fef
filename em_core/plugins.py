"""Find a plugin by the name of its file: a new backend, sampler, judge or chart is one new module."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from em_core.errors import BadInput


def names(package: str) -> list[str]:
    """The plugins of a package: its modules, less private ones and those in its ``NOT_PLUGINS``."""
    module = importlib.import_module(package)
    skip = set(getattr(module, "NOT_PLUGINS", ()))
    return sorted(m.name for m in pkgutil.iter_modules(module.__path__) if not m.name.startswith("_") and m.name not in skip)


def load(package: str, marker: str, name: str) -> ModuleType:
    """Import one plugin.

    Raises:
        BadInput: There is no plugin of that name.
    """
    known = names(package)
    if name not in known:
        raise BadInput(f"{marker} {name!r} is unknown", f"choose one of: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")
