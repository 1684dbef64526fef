"""Judging answers that are there already, with another judge or by the same one where it was cut short.

    config, spec = judge_configs.resolve("openai-logprob", ["max_usd=5"], home)
    outcome = rejudge(home, config, spec, Selection(runs=("my-run",)))     here and now
    outcome = rejudge_batch(home, config, spec, Selection(), wait=False)   half the price within a day; call again to collect
    start(home, config, spec, Selection())                                 detached; `jobs(home)` shows how it goes

A job has a folder of its own (`folder`), so the folders of runs, imported ones and of the shipped
demonstration are never written.
"""

from em_core.rejudge.batch import rejudge_batch
from em_core.rejudge.detached import start
from em_core.rejudge.folder import Job, ask_to_stop, job, job_dir, jobs
from em_core.rejudge.outcome import Asking, Declined, Outcome
from em_core.rejudge.selection import Selection, Todo, look
from em_core.rejudge.work import rejudge

__all__ = [
    "Asking",
    "Declined",
    "Job",
    "Outcome",
    "Selection",
    "Todo",
    "ask_to_stop",
    "job",
    "job_dir",
    "jobs",
    "look",
    "rejudge",
    "rejudge_batch",
    "start",
]
