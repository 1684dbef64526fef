"""Sending a planned batch, once."""

from __future__ import annotations

from collections.abc import Callable

from em_core.errors import EMError
from em_core.judges.batch_api import BatchApi, Unreachable
from em_core.rejudge.batch_state import Batch, BatchState


def submit(api: BatchApi, state: BatchState, batch: Batch, tell: Callable[[str], None], recovered: bool = False) -> None:
    """Bring one batch from ``planned`` to ``created``; nothing is done for one that is there.

    Args:
        api: The server.
        state: Where each step is written down.
        batch: Which.
        tell: Told when it is out.
        recovered: It was planned by an earlier process, which may have sent it before it was killed: the server is
            asked first.

    Raises:
        EMError: It could not be sent, or nobody knows whether it was; the next call finds out.
    """
    if batch.step not in ("planned", "uploaded", "creating"):
        return
    name = {"em_job": str(state.begun["token"]), "em_batch": str(batch.number)}
    if recovered:
        found = api.find(name, batch.said["planned_t"], api.settle_s if batch.step == "creating" else 0.0)
        if found is not None:
            state.append("created", batch=batch.number, batch_id=found.id)
            tell(f"batch {batch.number}: was submitted before, as {found.id}")
            return
    for again in (False, True):
        if batch.step == "planned" or again:
            file_id = api.upload(state.input_path(batch.number), f"{name['em_job']}-{batch.number}.jsonl")
            state.append("uploaded", batch=batch.number, file_id=file_id)
        state.append("creating", batch=batch.number)
        try:
            view = api.create(batch.said["file_id"], name)
            break
        except Unreachable:
            raise
        except EMError:
            if again or not recovered:
                raise  # else the file that was uploaded long ago may be gone
    state.append("created", batch=batch.number, batch_id=view.id)
    tell(f"batch {batch.number}: {batch.n:,} requests submitted as {view.id}")
