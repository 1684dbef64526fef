"""Keys: there or not. Their values are looked at for the usual slips and never shown."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from em_core.doctor.findings import Finding, Visit, command
from em_core.errors import EMError
from em_core.home import PROJECT, Home
from em_core.specs_io import judge_configs

_ALWAYS = ("OPENAI_API_KEY", "HF_TOKEN", "ANTHROPIC_API_KEY")


def look(visit: Visit) -> Iterator[Finding]:
    """Each variable that holds a key, those of configured judges too; Streamlit's secrets by name."""
    secrets, problems = secret_names(secrets_files())
    yield from problems
    missing = []
    for name in wanted(visit.home):
        value = os.environ.get(name, "")
        if value.strip():
            slip = _slip(value)
            fix = f"`export {name}=…` again, on one line, without quotes or blanks" if slip else ""
            yield Finding("note" if slip else "ok", name, f"set (not shown){slip}", fix)
        elif name in secrets:
            text = f"only in {secrets[name]}: the app has it, commands and a supervisor that they start have not"
            yield Finding("note", name, text, f"`export {name}=…` where the supervisor is started")
        elif name == "HF_TOKEN" and token_file().is_file():
            yield Finding("ok", name, f"in {token_file()} (not shown)")
        else:
            missing.append(name)
    if missing:
        text = f"not set: {', '.join(missing)}"
        yield Finding("note", "keys", text, f"`export {missing[0]}=…` (and the others) where you use what they are for")
    if os.environ.get("EM_WEBHOOK_URL", "").strip():
        yield Finding("ok", "EM_WEBHOOK_URL", "set (not shown): told when a run has ended")


def wanted(home: Home) -> list[str]:
    """Names of the variables that may hold a key: the usual ones, then those that configured judges name."""
    names = dict.fromkeys(_ALWAYS)
    for name in judge_configs.available(home):
        try:
            names[judge_configs.resolve(name, (), home)[1].api_key_env] = None
        except EMError:
            continue  # `endpoints` says what is wrong with it
    return [name for name in names if name]


def secrets_files() -> list[Path]:
    """Where Streamlit looks for secrets."""
    return [folder / ".streamlit" / "secrets.toml" for folder in (PROJECT, Path.home())]


def token_file() -> Path:
    """Where the Hub's client keeps its token."""
    from huggingface_hub import constants

    return Path(constants.HF_TOKEN_PATH)


def secret_names(files: list[Path]) -> tuple[dict[str, Path], list[Finding]]:
    """Names at the top of Streamlit's secrets files with the file that has them, and what is wrong with the files."""
    found: dict[str, Path] = {}
    problems = []
    for path in files:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(Finding("note", "secrets", f"{path}: {error.strerror}", command("chmod", "u+r", path)))
            continue
        except ValueError:  # its message quotes the line, and with it perhaps a key
            problems.append(Finding("broken", "secrets", f"{path}: not TOML", 'write lines such as OPENAI_API_KEY = "…"'))
            continue
        for name, value in document.items():
            if isinstance(value, str) and value.strip():
                found.setdefault(name, path)
    return found, problems


def _slip(value: str) -> str:
    if value != value.strip() or any(c.isspace() for c in value):
        return ", but it has blanks or line ends in it"
    if value[0] in "\"'" or value[-1] in "\"'":
        return ", but it begins or ends with a quote"
    if not (value.isascii() and value.isprintable()):
        return ", but it has characters that no key has"
    return ""
