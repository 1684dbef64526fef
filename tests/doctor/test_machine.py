"""Packages, CUDA, GPUs, memory, keys and servers: what is wrong there, in words, and no key in any of them."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from em_core import machine
from em_core.doctor import cuda, gpus, host, keys, software, web
from em_core.home import Home
from em_core.machine import Gpu
from em_core.nvml import GpuProcess, GpuUse
from tests.doctor.conftest import look, unhappy
from tests.servers.openai_server import OpenAIServer

H200 = Gpu(0, "NVIDIA H200", 140.4, 139.8, "570.86.15")
SECRET = "sk-secret-value-1234567890"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one GPU, as far as its driver says."""
    monkeypatch.setattr(machine, "ask_gpus", lambda *_: ((H200,), ""))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_packages_that_are_missing_or_outside_their_bounds_come_with_the_install_line(tmp_path: Path) -> None:
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("duckdb>=2.0,<3  # fine\nno-such-package>=1\nnumpy<1\n")
    missing, outside = software._versions(wanted)
    assert (missing.status, missing.found) == ("broken", "missing")
    assert "pip install 'no-such-package>=1'`" in missing.fix
    assert (outside.status, outside.what) == ("note", "numpy")


def test_a_package_that_cannot_be_loaded_is_found_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn_package.py").write_text("raise ImportError('libfoo.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = software._loads("torn_package")
    assert finding is not None
    assert "libfoo.so.1" in finding.found
    assert software._loads("json") is None


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("cuda: Optional[str] = '12.8'\nhip = None", "12.8"),
        ("cuda = '13.0'", "13.0"),
        ("cuda: Optional[str] = None", ""),
        ("", ""),
    ],
)
def test_torchs_cuda_is_read_without_loading_it(tmp_path: Path, text: str, build: str) -> None:
    (tmp_path / "version.py").write_text(text)
    assert cuda.torch_build(tmp_path) == build


@pytest.mark.parametrize(
    ("build", "driver", "status"),
    [("", "570.86.15", "broken"), ("13.0", "570.86.15", "broken"), ("12.8", "570.86.15", "ok"), ("12.8", "470.1", "broken")],
)
def test_torchs_build_is_held_against_the_driver(
    home: Home, gpu: None, monkeypatch: pytest.MonkeyPatch, build: str, driver: str, status: str
) -> None:
    monkeypatch.setattr(machine, "ask_gpus", lambda *_: ((Gpu(0, "GPU", 80.0, 80.0, driver),), ""))
    monkeypatch.setattr(cuda, "torch_cuda", lambda: build)
    finding = look(home, "cuda")[0]
    assert finding.status == status
    assert bool(finding.fix) == (status != "ok")


def test_bitsandbytes_needs_the_library_of_torchs_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNB_CUDA_VERSION", raising=False)
    for version in ("126", "128"):
        (tmp_path / f"libbitsandbytes_cuda{version}.so").write_bytes(b"")
    assert cuda.bitsandbytes_library(tmp_path, "12.8") == ("libbitsandbytes_cuda128.so", True, ["12.6", "12.8"])
    assert cuda.bitsandbytes_library(tmp_path, "13.0")[:2] == ("libbitsandbytes_cuda130.so", False)
    assert cuda.bitsandbytes_library(None, "13.0")[1:] == (False, [])


def test_hidden_gpus_are_said(home: Home, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "torch_cuda", lambda: "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in {f.what for f in unhappy(home, "cuda")}


def test_other_programs_on_a_gpu_are_shown_and_ours_are_not(home: Home, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = (GpuProcess(4711, 60.1, "python"), GpuProcess(4712, 0.01, "Xorg"))
    use = GpuUse(0, "NVIDIA H200", "GPU-1", 140.4, 79.0, processes=programs, problem="")
    monkeypatch.setattr(machine, "usage", lambda: (use,))
    [finding] = [f for f in unhappy(home, "gpus") if f.what.startswith("memory")]
    assert "60.1 GiB by python (pid 4711)" in finding.found
    assert "Xorg" not in finding.found


@pytest.mark.parametrize(
    ("row", "status", "word"),
    [
        ("0, 0, 2, No, No, Default, 41", "ok", "2 in its life"),
        ("0, 3, 3, No, No, Default, 41", "broken", "3 uncorrected"),
        ("0, 0, 0, Yes, No, Default, 41", "note", "retired"),
        ("0, 0, 0, No, Yes, Default, 41", "broken", "remapped"),
        ("0, [N/A], [N/A], [N/A], [N/A], Default, 91", "note", "91 °C"),
        ("0, 0, 0, No, No, Exclusive_Process, 41", "note", "one program at a time"),
        ("0, 0, 0, No, No, Prohibited, 41", "broken", "no program"),
    ],
)
def test_a_cards_health_is_read_from_its_driver(
    home: Home, gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, status: str, word: str
) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho '{row}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setattr(machine, "usage", lambda: ())
    [finding] = [f for f in look(home, "gpus") if f.what.startswith(("health", "mode")) and word in f.found]
    assert finding.status == status


def test_xid_errors_in_the_kernels_log_are_weighed() -> None:
    lines = [
        "NVRM: Xid (PCI:0000:3b:00): 31, pid=1, name=python, Ch 00000010, MMU Fault",
        "NVRM: Xid (PCI:0000:af:00): 79, pid='<unknown>', GPU has fallen off the bus.",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module",
    ]
    light, grave = gpus.xids(lines)
    assert (light.status, grave.status) == ("note", "broken")
    assert "Xid 79" in grave.found


def test_a_containers_limit_and_its_kills_are_told(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{64 << 30}\n")
    (tmp_path / "memory.current").write_text(f"{10 << 30}\n")
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    [finding] = host._limit(tmp_path)
    assert finding.status == "note"
    assert "10.0 GiB of 64.0 GiB used; 2 processes ended" in finding.found
    (tmp_path / "memory.max").write_text("max\n")
    assert list(host._limit(tmp_path)) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [(SECRET, "set (not shown)"), (f"{SECRET}\n", "blanks or line ends"), (f'"{SECRET}"', "quote"), (f"{SECRET}é", "characters")],
)
def test_keys_are_named_their_slips_said_and_they_are_never_shown(
    home: Home, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    found = look(home, "keys")
    [finding] = [f for f in found if f.what == "OPENAI_API_KEY"]
    assert words in finding.found
    assert SECRET not in str(found)


def test_a_key_of_a_judge_of_ones_own_is_looked_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.root / "judges").mkdir()
    (home.root / "judges" / "mine.yaml").write_text(
        "name: openai_compatible\nmodel: m\nbase_url: https://judge.example/v1\napi_key_env: JUDGE_KEY\n"
    )
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    assert "JUDGE_KEY" in next(f for f in unhappy(home, "keys") if f.what == "keys").found


def test_a_key_that_is_only_in_streamlits_secrets_is_told_by_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text(f'OPENAI_API_KEY = "{SECRET}"\n[nested]\nHF_TOKEN = "x"\n')
    assert keys.secret_names([path, tmp_path / "none.toml"]) == ({"OPENAI_API_KEY": path}, [])
    path.write_text(f"OPENAI_API_KEY = {SECRET}\n")
    names, [problem] = keys.secret_names([path])
    assert names == {}
    assert SECRET not in str(problem)


def own_judge(home: Home, url: str, model: str = "judge-1") -> None:
    (home.root / "judges").mkdir(exist_ok=True)
    (home.root / "judges" / "mine.yaml").write_text(f"name: openai_compatible\nmodel: {model}\nbase_url: {url}\n")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_server_on_this_machine_is_asked_and_costs_nothing(home: Home, openai_server: OpenAIServer) -> None:
    own_judge(home, openai_server.base_url)
    [finding] = [f for f in look(home, "endpoints") if "mine" in f.found]
    assert finding.status in ("ok", "note")
    assert "answers" in finding.found
    assert openai_server.calls == []


def test_a_server_that_is_down_is_a_note_until_a_run_waits_for_it(home: Home) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    own_judge(home, url)
    [finding] = [f for f in look(home, "endpoints") if "mine" in f.found]
    assert finding.status == "note"
    assert "connection refused" in finding.found
    home.run_dir("run-c").mkdir()
    judge = f'{{"name": "openai_compatible", "model": "m", "base_url": "{url}"}}'
    (home.run_dir("run-c") / "spec.json").write_text(f'{{"spec_hash": "1", "spec": {{"judges": [{judge}]}}}}')
    [finding] = [f for f in look(home, "endpoints") if "mine" in f.found]
    assert finding.status == "broken"
    assert "wanted by run-c" in finding.found


def test_servers_elsewhere_are_asked_only_when_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(url: str, *_: object, **__: object) -> web.Reply:
        asked.append(url)
        return web.Reply(200, "", {"data": []})

    monkeypatch.setattr(web, "get", get)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    look(home, "endpoints", "hub")
    assert [url for url in asked if "127.0.0.1" not in url] == []
    look(home, "endpoints", "hub", online=True)
    assert any("api.openai.com" in url for url in asked)
    assert any("huggingface.co" in url for url in asked)


def test_a_wrong_configuration_of_ones_own_is_broken(home: Home) -> None:
    own_judge(home, "ftp://judge.example/v1")
    [finding] = [f for f in unhappy(home, "endpoints") if f.what == "judge mine"]
    assert finding.status == "broken"


def test_a_server_that_drips_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not ended.wait(0.1):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        begun = time.monotonic()
        reply = web.get(f"http://127.0.0.1:{port}/v1/models", 0.5, local=True)
        assert time.monotonic() - begun < 2
        ended.set()
        thread.join(10)
    assert reply == web.Reply(0, "no answer within 0.5 s")


def test_no_key_follows_a_redirect() -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def redirect() -> None:
            connection, _ = server.accept()
            with connection:
                seen.append(connection.recv(4096))
                connection.sendall(
                    f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/x\r\nContent-Length: 0\r\n\r\n".encode()
                )

        thread = threading.Thread(target=redirect)
        thread.start()
        reply = web.get(f"http://127.0.0.1:{port}/v1/models", 2.0, SECRET, local=True)
        thread.join(10)
    assert reply.status == 302
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("probe", "status", "found"),
    [
        ("import time; time.sleep(60)", "broken", "no answer within 2 s"),
        ("raise SystemExit('CUDA driver initialization failed')", "broken", "CUDA driver initialization failed"),
        ('print(\'[true, ["sm_90"], [[0, "H", "sm_90", 262144.0]]]\')', "ok", "a product is right"),
        ('print(\'[true, ["sm_90"], [[0, "H", "sm_90", 7.0]]]\')', "broken", "wrong (7)"),
        ("print('[false, [], []]')", "broken", "torch sees no GPU"),
    ],
)
def test_what_the_product_on_each_gpu_says(monkeypatch: pytest.MonkeyPatch, probe: str, status: str, found: str) -> None:
    monkeypatch.setattr(cuda, "_PROBE", probe)
    monkeypatch.setattr(cuda, "_PROBE_S", 2.0 if "sleep" in probe else 60.0)
    [finding] = cuda._product()
    assert finding.status == status
    assert found in finding.found
    assert finding.fix or status == "ok"
