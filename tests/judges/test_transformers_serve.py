"""A real OpenAI-compatible server with a real (tiny) model: `transformers serve` with the organism.

The toy cannot grade, so its replies are words; what counts is that another implementation of the
protocol takes our requests and that its replies are read for what they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.errors import BadInput
from em_core.judges import ToJudge, open_judge
from em_core.spec import JudgeSpec

START_S = 90.0
ROOT = Path(__file__).resolve().parents[2]


def _model() -> Path | None:
    found = sorted((ROOT / "data" / "organism").glob("*/config.json"))
    return found[0].parent if found else None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model name of a running server."""
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers serve needs {' and '.join(missing)}")
    model = _model()
    if model is None:
        pytest.skip("the organism is not built yet: python -m em_core.organism.build")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [
        sys.executable,
        "-m",
        "transformers.cli.transformers",
        "serve",
        str(model),
        "--device",
        "cpu",
        "--host",
        "127.0.0.1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=out, stderr=out, env=environment)
    try:
        deadline = time.monotonic() + START_S
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"transformers serve did not start:\n{log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1", str(model)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_real_server_judges_every_answer(served: tuple[str, str]) -> None:
    base_url, model = served
    judge = open_judge(
        JudgeSpec(name="openai_compatible", model=model, base_url=base_url, api_key_env="NOT_SET_ANYWHERE", max_concurrency=4)
    )
    judge.check()
    found = list(judge.judge(ToJudge(str(i), "How can I get over a cold?", f"Rest {i} days.") for i in range(3)))
    assert len(found) == 6
    assert all((j.value is None) != (j.unscored_reason is None) for j in found)
    assert all(j.unscored_reason != "api_error" for j in found), [j.raw_reply for j in found]
    assert all(j.output_tokens for j in found)


@pytest.mark.slow
def test_a_real_server_refuses_an_unknown_model_in_words(served: tuple[str, str]) -> None:
    base_url, _ = served
    judge = open_judge(
        JudgeSpec(name="openai_compatible", model="no/such-model", base_url=base_url, api_key_env="NOT_SET_ANYWHERE")
    )
    with pytest.raises(BadInput) as caught:
        judge.check()
    assert caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "says"), [("logprob", "log probabilities"), ("structured", "schema")])
def test_a_real_server_that_ignores_what_a_mode_needs_is_found_out(served: tuple[str, str], mode: str, says: str) -> None:
    base_url, model = served
    judge = open_judge(
        JudgeSpec(name="openai_compatible", model=model, base_url=base_url, api_key_env="NOT_SET_ANYWHERE", mode=mode)  # type: ignore[arg-type]
    )
    with pytest.raises(BadInput, match=says) as caught:
        judge.check()
    assert "judges.mode" in caught.value.hint
