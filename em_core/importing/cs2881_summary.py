"""`step_summary.csv` and `em_rates_summary.csv` of the CS2881 replication."""

from __future__ import annotations

from collections.abc import Iterator

from em_core import domain_names
from em_core.importing import _layout, _rates
from em_core.importing._files import File
from em_core.importing._items import Card, Item, Skip, Wishes
from em_core.importing._rows import Row, rows

TITLE = "CS2881 summaries"
WHAT = (
    "step_summary.csv (percent of EM and of coherent answers per checkpoint) and em_rates_summary.csv: published rates under hw0."
)


def recognises(file: File) -> int:
    """By its columns; the ones of our own exports say more and are told apart."""
    if "run_id" in file.names or "rule" in file.names:
        return 0
    steps = {"step", "percent_em", "percent_coherent", "n_responses"} <= file.names
    return 9 if steps or {"model_size", "domain", "final_step", "em_rate"} <= file.names else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its rates, told in the run of the answers beside it, or in the study's run of rates."""
    by_step = "percent_em" in file.names
    run = _layout.card(file, wishes)
    into = run if by_step and (file.path.parent / "fg_judged.csv").is_file() else _rates.card(file, wishes)
    models = {} if by_step else _layout.models_by_size(file)
    for row in rows(file):
        if isinstance(row, Skip):
            yield row
        elif by_step:
            n = _rates.count(row.get("n_responses"))
            em_rate = _rates.share(row.get("percent_em"), 100)
            step = _layout.step_of(row.get("step"), wishes, 0)
            coherent = _rates.share(row.get("percent_coherent"), 100)
            if em_rate is None or step is None:
                yield Skip(row.where, "no step or no percent of EM")
                continue
            yield _rates.rate(
                file, wishes, into, run.label, "hw0", "cs2881", em_rate=em_rate, base_model=run.base_model, domain=run.domain,
                step=step, n_total=n, n_scored=n, n_misaligned=None if n is None else round(n * em_rate), coherent_share=coherent,
                note="coherent = coherence of 50 or more; it is no gate of this rate",
            )  # fmt: skip
        else:
            yield from _headline(file, wishes, into, models, row)


def _headline(file: File, wishes: Wishes, into: Card, models: dict[str, str], row: Row) -> Iterator[Item]:
    size, domain = _rates.text(row, "model_size"), _rates.text(row, "domain")
    label = f"{size} {domain}"
    final, base = (_rates.share(row.get(name), 100) for name in ("em_rate", "baseline_em_rate"))
    model = models.get(size.lower(), "")
    if final is None or not size:
        yield Skip(row.where, "no em_rate" if size else "no model_size")
        return
    told = domain_names.named_in(domain)
    step = _layout.step_of(row.get("final_step"), wishes, 0)
    if step is None:
        yield Skip(row.where, _layout.no_step(row.get("final_step")))
        return
    yield _rates.rate(file, wishes, into, label, "hw0", "cs2881", em_rate=final, base_model=model, domain=told, step=step)
    if base is not None:
        yield _rates.rate(
            file, wishes, into, f"{label}, before", "hw0", "cs2881", em_rate=base, base_model=model, domain="", step=0
        )  # fmt: skip
