"""How many rows fit: arithmetic that can be checked by hand."""

from __future__ import annotations

import psutil
import pytest
import torch
from transformers import LlamaConfig, Qwen2Config

from em_core.sampling._memory import is_out_of_memory, kv_bytes_per_token, rows_that_fit

GIB = 2**30
LLAMA_8B = LlamaConfig(
    hidden_size=4096,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    intermediate_size=14336,
    vocab_size=128256,
)


def test_cache_bytes_per_token() -> None:
    assert kv_bytes_per_token(LLAMA_8B, torch.bfloat16) == 2 * 32 * 8 * 128 * 2
    small = Qwen2Config(hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2)
    assert kv_bytes_per_token(small, torch.float32) == 2 * 24 * 2 * 64 * 4


@pytest.mark.parametrize(("free", "least", "most"), [(110, 1024, 1024), (40, 200, 400), (8, 20, 60), (0.5, 1, 1)])
def test_rows_follow_the_free_gpu_memory(monkeypatch: pytest.MonkeyPatch, free: float, least: int, most: int) -> None:
    total = 140 if free > 24 else 24
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (int(free * GIB), total * GIB))
    rows = rows_that_fit(LLAMA_8B, torch.bfloat16, torch.device("cuda"), 640)
    assert least <= rows <= most
    assert rows == 1 or rows * 640 * kv_bytes_per_token(LLAMA_8B, torch.bfloat16) < free * GIB


def test_rows_on_the_cpu_are_bounded_by_number_and_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    cpu = torch.device("cpu")
    assert rows_that_fit(tiny, torch.float32, cpu, 100) == 256
    assert 1 < rows_that_fit(LLAMA_8B, torch.float32, cpu, 640) < 10
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Free", (), {"available": 10_000})())
    assert rows_that_fit(tiny, torch.float32, cpu, 100) == 1


def test_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(KeyError("cannot allocate memory"))
