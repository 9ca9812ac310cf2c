"""Where to compute, in which arithmetic, and with how much memory."""

import os
import re
import shutil
import sys
from functools import cache

import torch

from napari_unet.core.errors import InputError
from napari_unet.network.config import Precision
from napari_unet.network.memory import free_host_memory

_FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""CPU features that make bfloat16 faster than float32; without one it is emulated, and slower."""

_CUDA_WHEELS = "https://download.pytorch.org/whl/cu128"


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on; a forked process computes with one thread.

    Parameters
    ----------
    name : str or torch.device
        "auto" takes an NVIDIA GPU, else an Apple GPU, else the CPU; or "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if os.getpid() != _first_process():
        # PyTorch's threads are not forked, and computing with several would wait for them for ever.
        torch.set_num_threads(1)
    name = str(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    match = re.fullmatch("(cpu|cuda|mps)(?::([0-9]+))?", name)
    if match is None:
        raise InputError(f"There is no device called {name!r}; choose 'auto', 'cpu', 'cuda' or 'mps'.")
    kind, index = match.groups()
    if kind == "cuda":
        _check_cuda(int(index) if index else None)
    elif kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("This computer has no Apple GPU that PyTorch can use; choose 'auto' or 'cpu'.")
    return torch.device(name)


@cache
def _first_process() -> int:
    return os.getpid()


def _check_cuda(index: int | None) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise InputError("PyTorch finds no NVIDIA GPU on this computer; choose 'auto' or 'cpu'.")
    if index is not None and index >= count:
        names = ", ".join(f"'cuda:{number}'" for number in range(count))
        raise InputError(f"There is no GPU number {index} here; choose one of {names}.")


def describe_device(device: torch.device) -> str:
    """Return the device in words: "NVIDIA H200, 140 GB", "Apple GPU (MPS)" or "CPU, 2 cores"."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GB"
    if device.type == "mps":
        return "Apple GPU (MPS)"
    cores = torch.get_num_threads()
    return f"CPU, {cores} core{'s' * (cores != 1)}"


def acceleration_hint() -> str | None:
    """Return a sentence on how to make this computer faster, or None where a GPU is in reach already."""
    if sys.platform == "darwin" or torch.cuda.is_available():
        return None
    if torch.version.cuda is not None:
        return "PyTorch finds no NVIDIA GPU; if this computer has one, install or update its driver."
    # The driver comes with this program, so it tells whether there is a card.
    found = shutil.which("nvidia-smi") is not None
    reason = "This computer's NVIDIA GPU is idle" if found else "An NVIDIA GPU would be many times faster"
    command = f"pip install --force-reinstall torch --index-url {_CUDA_WHEELS}"
    return f"{reason}; install PyTorch for it with: {command}"


def choose_precision(device: torch.device, wanted: Precision = "auto") -> torch.dtype:
    """Return the arithmetic for the convolutions.

    Parameters
    ----------
    device : torch.device
        From :func:`choose_device`.
    wanted : {"auto", "float32", "bfloat16", "float16"}
        "auto" takes bfloat16 where the hardware computes with it, float16 on older NVIDIA GPUs, else float32.

    Raises
    ------
    InputError
        If float16 is wanted on a CPU.
    """
    if wanted == "auto":
        if device.type == "cuda":
            return (
                torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
            )
        return torch.bfloat16 if device.type == "cpu" and _cpu_has_bfloat16() else torch.float32
    if wanted == "float16" and device.type == "cpu":
        raise InputError("A CPU does not compute in float16; choose precision 'auto' or 'float32'.")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]


def _cpu_has_bfloat16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # in older versions of torch; float32 is always right
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _FAST_BFLOAT16)


def free_memory(device: torch.device) -> int:
    """Return the bytes a job may still take on the device; Apple GPUs share the computer's memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + kept_memory(device))
    return free_host_memory()


def kept_memory(device: torch.device) -> int:
    """Return the bytes of an NVIDIA GPU that torch keeps from earlier jobs, free to the next one."""
    # memory_reserved and memory_allocated give the same, after they have sorted hundreds of other figures.
    figures = torch.cuda.memory_stats_as_nested_dict(device)
    if not figures:
        return 0  # the GPU has not been used yet
    reserved, used = (figures[name]["all"]["current"] for name in ("reserved_bytes", "allocated_bytes"))
    return int(reserved - used)
