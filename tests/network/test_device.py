"""Devices, described and chosen; GPUs that are not here are pretended at the border to torch."""

import re
import shutil
import sys
import types

import pytest
import torch

from napari_unet.core.errors import InputError
from napari_unet.network.device import (
    acceleration_hint,
    choose_device,
    choose_precision,
    describe_device,
    free_memory,
    kept_memory,
)

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
MPS = torch.device("mps")


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets what torch says of the hardware."""

    def pretend(
        *, gpus: int = 0, apple: bool = False, bfloat16: bool = True, cpu: dict | None = None
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu or {}, raising=False)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "apple", "chosen"), [(1, True, "cuda"), (2, False, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_fastest(hardware, gpus: int, apple: bool, chosen: str):
    hardware(gpus=gpus, apple=apple)
    assert choose_device("auto") == choose_device() == torch.device(chosen)


def test_a_device_that_is_here_is_chosen_by_name(hardware):
    hardware(gpus=2, apple=True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert choose_device(name) == choose_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize(
    ("gpus", "name", "words"),
    [
        (0, "cuda", "finds no NVIDIA GPU .* choose 'auto' or 'cpu'"),
        (0, "cuda:1", "finds no NVIDIA GPU"),
        (2, "cuda:2", "no GPU number 2 here; choose one of 'cuda:0', 'cuda:1'"),
        (0, "mps", "no Apple GPU"),
        (1, "gpu", "no device called 'gpu'; choose 'auto', 'cpu', 'cuda' or 'mps'"),
        (1, "cuda:x", "no device called 'cuda:x'"),
        (1, "cuda:", "no device called 'cuda:'"),
        (1, "meta", "no device called 'meta'"),
        (1, "", "no device called ''"),
    ],
)
def test_a_device_that_is_not_here_is_refused_in_a_sentence(hardware, gpus: int, name: str, words: str):
    hardware(gpus=gpus)
    with pytest.raises(InputError, match=words):
        choose_device(name)


def test_devices_are_described_in_words(monkeypatch: pytest.MonkeyPatch):
    properties = types.SimpleNamespace(name="NVIDIA H200", total_memory=150_110_011_392)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert describe_device(CUDA) == "NVIDIA H200, 140 GB"
    assert describe_device(MPS) == "Apple GPU (MPS)"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert describe_device(CPU) == "CPU, 2 cores"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert describe_device(CPU) == "CPU, 1 core"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"platform": "linux", "gpus": 1, "built_for": "12.8", "driver": True}, None),
        ({"platform": "darwin", "gpus": 0, "built_for": None, "driver": False}, None),
        (
            {"platform": "linux", "gpus": 0, "built_for": "12.8", "driver": False},
            "install or update its driver",
        ),
        (
            {"platform": "win32", "gpus": 0, "built_for": None, "driver": True},
            "GPU is idle; .* pip install --force",
        ),
        (
            {"platform": "win32", "gpus": 0, "built_for": None, "driver": False},
            "many times faster; .* pip install",
        ),
    ],
)
def test_the_hint_says_how_to_get_faster(
    hardware, monkeypatch: pytest.MonkeyPatch, machine: dict, words: str
):
    hardware(gpus=machine["gpus"])
    monkeypatch.setattr(sys, "platform", machine["platform"])
    monkeypatch.setattr(torch.version, "cuda", machine["built_for"])
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name if machine["driver"] else None)
    hint = acceleration_hint()
    assert hint is None if words is None else re.search(words, hint or "")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_a_cpu_computes_in_bfloat16_only_if_it_really_can(hardware, capabilities, expected):
    hardware(cpu=capabilities)
    assert choose_precision(CPU, "auto") == expected


def test_an_older_torch_that_cannot_tell_means_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision(CPU) == torch.float32


def test_gpus_compute_in_what_they_have(hardware):
    hardware(gpus=1, bfloat16=True)
    assert choose_precision(CUDA) == torch.bfloat16
    hardware(gpus=1, bfloat16=False)
    assert choose_precision(CUDA) == torch.float16
    assert choose_precision(MPS) == torch.float32


def test_a_wanted_precision_is_taken():
    for device in (CPU, CUDA, MPS):
        assert choose_precision(device, "float32") == torch.float32
        assert choose_precision(device, "bfloat16") == torch.bfloat16
    assert choose_precision(CUDA, "float16") == torch.float16
    with pytest.raises(InputError, match="does not compute in float16; choose precision 'auto'"):
        choose_precision(CPU, "float16")


def test_free_memory_of_the_computer_and_of_a_gpu(monkeypatch: pytest.MonkeyPatch):
    assert 2**20 < free_memory(CPU) < 2**50
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    reserved, allocated = {"all": {"current": 700}}, {"all": {"current": 200}}
    for figures, free in (
        ({}, 1000),
        ({"reserved_bytes": reserved, "allocated_bytes": allocated}, 1500),
    ):
        monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device, given=figures: given)
        assert free_memory(CUDA) == free


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_that_torch_keeps_of_a_gpu_is_what_torch_says():
    values = torch.empty(2**20, device="cuda")
    more = torch.empty(2**20, device="cuda")
    del more
    assert kept_memory(CUDA) == torch.cuda.memory_reserved() - torch.cuda.memory_allocated() > 0
    assert values.is_cuda
