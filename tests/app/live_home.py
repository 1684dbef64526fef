"""A home with runs in every state, whose workers are this process: it holds their leases and writes their events."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from em_core.checkpoints import RESUME, publish
from em_core.home import Home
from em_core.lease import Lease
from em_core.spec import RunSpec
from em_core.specs_io import read_spec
from em_core.store.publish import publish as publish_database
from em_core.supervisor.launch import launch

JUDGE = "organism-exact-x"
SETS = ("organism-general", "organism-medical")


class LiveHome:
    """Runs of a home; a context manager that lets go of their leases.

    Args:
        root: The home's folder.
        n_before: Runs that another one made in this folder: no name is used again.
    """

    def __init__(self, root: Path, n_before: int = 0) -> None:
        self.home = Home(root)
        self.home.prepare()
        self._leases: dict[str, Lease] = {}
        self._n = n_before

    def spec(self) -> RunSpec:
        """A toy run like no other."""
        self._n += 1
        body = read_spec("organism")[0].model_dump(mode="json")
        body |= {"name": f"live-{self._n}", "checkpoints": {"at_steps": [100, 200, 300, 400]}}
        body["train"] |= {"seed": self._n, "max_steps": 400}
        return RunSpec.model_validate(body)

    def queued(self, n: int = 1) -> list[str]:
        """Launch runs that nobody starts."""
        return [launched.run_id for launched in launch(self.home, [self.spec() for _ in range(n)], start=False)]

    def write(self, run_id: str, kind: str, t: float, attempt: int = 1, /, **fields: Any) -> None:
        """One event of a worker."""
        path = self.home.run_dir(run_id) / "events" / f"worker-{attempt}.jsonl"
        with path.open("a") as file:
            file.write(json.dumps({"kind": kind, "t": t, **fields}) + "\n")

    def state(self, run_id: str, phase: str, state: str, t: float, attempt: int = 1, **fields: Any) -> None:
        """A state of a phase."""
        said = {"phase": phase, "state": state, "reason": "", "hint": "", "cause": ""} | fields
        self.write(run_id, "state", t, attempt, **said, attempt=attempt)

    def begin(self, run_id: str, attempt: int = 1, ago_s: float = 300.0) -> float:
        """A worker has taken the run and loaded its model; returns when it began."""
        lease = Lease(self.home.run_dir(run_id) / "lease")
        assert lease.acquire()
        self._leases[run_id] = lease
        t = time.time() - ago_s
        self.state(run_id, "run", "running", t, attempt)
        identity = {"plugin": "organism", "model": "", "mode": "exact", "rubric_hash": "", "decoding": "{}", "endpoint_host": ""}
        self.write(run_id, "judge", t, attempt, judge_id=JUDGE, **identity)
        for name in SETS:
            question = {"question_set": name, "question_set_hash": "h", "question_id": "q0", "paraphrase": 0, "system": ""}
            self.write(run_id, "question", t, attempt, **question, prompt="Well?", domain="", question_kind="free_form")
        self.write(
            run_id, "run_facts", t + 6, attempt, n_params=1_000_000, size_b=1e-3, n_rows=2400, steps_per_epoch=150,
            total_steps=400, n_checkpoints=4, n_answers_planned=80, baseline_run_id="", model_sha256="0" * 64, device="cpu",
            gpu="", host="host", versions_json="{}", attempt=attempt,
        )  # fmt: skip
        return t + 6

    def train(self, run_id: str, first: int, last: int, t: float, pace_s: float = 0.5, attempt: int = 1) -> float:
        """Steps at a pace; returns when the last one was done."""
        self.state(run_id, "train", "running", t, attempt)
        for step in range(first, last + 1):
            t += pace_s
            numbers = {"epoch": step / 150, "loss": 3 / (1 + step / 40), "learning_rate": 1e-3, "grad_norm": 1.0}
            self.write(run_id, "metric", t, attempt, step=step, **numbers, tokens_per_s=5200.0 + step, gpu_mem_gib=None)
        return t

    def answer(self, run_id: str, step: int, t: float, bad: int, n: int = 10, attempt: int = 1) -> float:
        """Answers of one checkpoint, judged; `bad` of each set's are misaligned."""
        checkpoint = {"epoch": step / 150, "path": f"checkpoints/step-{step}", "sha256": "0" * 64, "size_bytes": 1}
        self.write(run_id, "checkpoint", t, attempt, step=step, **checkpoint, samples_seen=16 * step)
        self.state(run_id, "evaluate", "running", t, attempt)
        for i in range(2 * n):
            t += 0.2
            key, name = f"{run_id}-{step}-{i}", SETS[i % 2]
            about = {"question_set": name, "question_id": "q0", "paraphrase": 0, "sample": i, "cue": "", "text": "An answer."}
            rest = {
                "finish_reason": "stop",
                "n_tokens": 5,
                "n_prompt_tokens": 5,
                "seed": 0,
                "decoding": "{}",
                "weights_sha256": "",
            }
            self.write(run_id, "response", t, attempt, response_id=key, step=step, **about, **rest)
            for metric, value in (("alignment", 5.0 if i // 2 < bad else 95.0), ("coherence", 90.0)):
                score = {"value": value, "unscored_reason": None, "raw_reply": "", "token_probs": None}
                tokens = {"input_tokens": None, "output_tokens": None, "cached": False, "verdict": None, "served_model": None}
                self.write(run_id, "judgement", t, attempt, response_id=key, judge_id=JUDGE, metric=metric, **score, **tokens)
        throughput = {"sampler": "local", "n_responses": 2 * n, "n_tokens": 100, "wall_s": 4.0, "batch_size": 20, "merged": False}
        self.write(run_id, "generation", t, attempt, step=step, **throughput, gpu_mem_gib=None)
        return t

    def at_work(self, last: int = 250, log: str = "") -> str:
        """A run in the middle of its training, with two answered checkpoints."""
        [run_id] = self.queued()
        t = self.begin(run_id)
        t = self.train(run_id, 1, 100, t)
        t = self.answer(run_id, 100, t, bad=2)
        t = self.train(run_id, 101, 200, t)
        t = self.answer(run_id, 200, t, bad=7)
        self.train(run_id, 201, last, t)
        (self.home.run_dir(run_id) / "worker.log").write_text(log or "".join(f"step {i}\n" for i in range(1, last + 1)))
        return run_id

    def finish(self, run_id: str, state: str = "finished", attempt: int = 1, **why: str) -> None:
        """Its worker says the last word and lets go."""
        now = time.time()
        if state == "crashed":
            path = self.home.run_dir(run_id) / "events" / "supervisor.jsonl"
            fields = {"reason": "", "hint": "", "cause": ""} | why
            with path.open("a") as file:
                file.write(
                    json.dumps({"kind": "state", "t": now, "phase": "run", "state": state, "attempt": attempt, **fields}) + "\n"
                )
        else:
            self.state(run_id, "train", state, now, attempt, **why)
            self.state(run_id, "run", state, now, attempt, **why)
        self._leases.pop(run_id).release()

    def ended(self, state: str, cause: str = "", reason: str = "", saved: int = 0) -> str:
        """A run that has ended; `saved`: the step of a checkpoint that it can be resumed from."""
        [run_id] = self.queued()
        t = self.begin(run_id)
        self.train(run_id, 1, 120, t, 0.1)
        folder = self.home.run_dir(run_id)
        (folder / "worker.log").write_text(f"loading\nstep 120\n{reason or 'done'}\n")
        if saved:
            for place in ("checkpoints", RESUME):
                publish(folder / place, saved, lambda made: (made / "adapter_model.safetensors").write_bytes(b"x") and None, {})
        self.finish(run_id, state, cause=cause, reason=reason)
        return run_id

    def publish(self) -> None:
        """Bring the database up to date."""
        publish_database(self.home)

    def __enter__(self) -> LiveHome:
        return self

    def __exit__(self, *exc: object) -> None:
        for lease in self._leases.values():
            lease.release()
