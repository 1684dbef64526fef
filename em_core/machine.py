"""What machine and which versions a result came from."""

from __future__ import annotations

import importlib.metadata
import platform
import socket

_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "duckdb", "openai")


def host_facts() -> tuple[str, dict[str, str]]:
    """Host name, and versions of Python, the workbench and the packages that decide a result."""
    from em_core import __version__

    versions = {"em_workbench": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return socket.gethostname(), versions
