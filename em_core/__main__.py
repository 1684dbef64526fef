"""``python -m em_core``: the command line (see `em_core/cli/__init__.py`)."""

from em_core.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
