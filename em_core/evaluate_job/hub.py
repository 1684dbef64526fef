"""Adapters and models on the Hugging Face Hub: what a repository holds, and its adapter's files brought here.

Only names and sizes are asked for before a job is queued; the commit is written down, so that the job
evaluates what was seen. Of an adapter's repository three small files and its safetensors are downloaded,
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from em_core.adapters import CONFIG, FILES, UNKNOWN_STEP, read_card
from em_core.checkpoints import WEIGHTS
from em_core.errors import BadInput
from em_core.evaluate_job.card import Target

TIMEOUT_S = 10.0


def find(text: str) -> Target:
    """What ``owner/name``, ``owner/name/folder`` or ``owner/name@revision`` holds.

    Raises:
        BadInput: It is not there, not readable for this person, or neither an adapter nor a model in safetensors.
    """
    place, _, revision = text.partition("@")
    repo, subfolder = "/".join(place.split("/")[:2]), "/".join(part for part in place.split("/")[2:] if part)
    if ".." in subfolder.split("/"):
        raise BadInput(f"{text[:200]}: '..' is no folder of a repository", "give owner/name/folder")
    commit, names = _listing(repo, revision)
    inside = f"{subfolder}/" if subfolder else ""
    if f"{inside}{CONFIG}" in names:
        if f"{inside}{WEIGHTS}" not in names:
            raise BadInput(f"{text}: the adapter has no {WEIGHTS}; a pickle is not read", "ask its owner for safetensors")
        found = Target("adapter", place, (0, UNKNOWN_STEP), repo=repo, revision=commit, subfolder=subfolder)
        return replace(found, steps=(0, read_card(download(found, only_config=True)).step))
    adapters = sorted(name.removesuffix(f"/{CONFIG}") for name in names if name.endswith(f"/{CONFIG}"))
    if subfolder or "config.json" not in names:
        hint = f"its adapters: {', '.join(f'{repo}/{each}' for each in adapters[:8])}" if adapters else "give another id"
        raise BadInput(f"{text}: holds neither an adapter ({inside}{CONFIG}) nor a model", hint)
    if not any(name.endswith(".safetensors") for name in names):
        raise BadInput(f"{text}: the model has no weights in safetensors; a pickle is not read", "give another id")
    return Target("model", repo, (0,), repo=repo, revision=commit)


def download(target: Target, only_config: bool = False) -> Path:
    """The folder on this machine with an adapter's files; what is here already is not asked for again.

    Args:
        target: An adapter on the Hub, as `find` gave it.
        only_config: Bring the small files, not the weights.

    Raises:
        BadInput: It cannot be had.
    """
    from huggingface_hub import snapshot_download

    inside = f"{target.subfolder}/" if target.subfolder else ""
    wanted = [f"{inside}{name}" for name in FILES if not (only_config and name == WEIGHTS)]
    with _reported(target.repo, target.revision):
        folder = snapshot_download(target.repo, revision=target.revision, allow_patterns=wanted)
    return Path(folder) / target.subfolder


def _listing(repo: str, revision: str) -> tuple[str, set[str]]:
    """Commit and file names of a repository; from this machine's cache where the Hub cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with _reported(repo, revision):
            info = HfApi().model_info(repo, revision=revision or None, timeout=TIMEOUT_S)
    except _OutOfReach as error:
        try:
            folder = Path(snapshot_download(repo, revision=revision or None, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError):
            raise BadInput(error.message, error.hint) from error
        return folder.name, {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return str(info.sha or revision), {sibling.rfilename for sibling in info.siblings or ()}


class _OutOfReach(BadInput):
    """The Hub does not answer, or may not be asked."""


@contextmanager
def _reported(repo: str, revision: str) -> Iterator[None]:
    """What the client raises becomes one clear message."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    elsewhere = f"download it where there is internet (`hf download {repo}`), or give a folder"
    try:
        yield
    except GatedRepoError as error:
        raise BadInput(
            f"{repo} is gated, and the token does not open it",
            f"accept its terms at https://huggingface.co/{repo}, then `hf auth login` or export HF_TOKEN",
        ) from error
    except RevisionNotFoundError as error:
        raise BadInput(f"{repo} has no revision {revision!r}", "give one of its commits, branches or tags, or none") from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"{repo} is not on the Hub, or is private", "correct the id; for a private one `hf auth login` or export HF_TOKEN"
        ) from error
    except OfflineModeIsEnabled as error:
        raise _OutOfReach(f"{repo} is not on this machine, and HF_HUB_OFFLINE forbids asking the Hub", elsewhere) from error
    except LocalEntryNotFoundError as error:
        raise _OutOfReach(f"{repo} is not on this machine, and the Hub cannot be reached", elsewhere) from error
    except EntryNotFoundError as error:
        raise BadInput(f"{repo}: a file is missing on the Hub ({str(error).splitlines()[0][:200]})", "give another id") from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise _OutOfReach(f"{repo}: the Hub answered {status}", f"try again later, or {elsewhere}") from error
    except BadInput:
        raise
    except OSError as error:
        raise _OutOfReach(f"{repo}: could not be fetched ({error.strerror or type(error).__name__})", elsewhere) from error
    except Exception as error:  # the HTTP library's own errors: no connection, time-out, proxy
        raise _OutOfReach(f"{repo}: the Hub cannot be reached ({type(error).__name__})", elsewhere) from error
