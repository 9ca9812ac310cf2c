"""Every failure is one sentence, on one line, with a next action, and never fails itself."""

import errno
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.errors import InputError
from napari_unet.network.failures import is_out_of_memory, sentence

LESS_MEMORY = "smaller tile size"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("There is no paint; paint a few strokes."), "There is no paint; paint a few strokes."),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), LESS_MEMORY),
        (RuntimeError("could not create a primitive"), LESS_MEMORY),
        (RuntimeError("could not create a primitive"), "If this comes back, restart napari."),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), LESS_MEMORY),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), LESS_MEMORY),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), LESS_MEMORY),
        (MemoryError(), LESS_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device", "a/model.safetensors"), "disk is full"),
        (OSError(errno.ENOSPC, "No space left on device", "a/model.safetensors"), "'a/model.safetensors'"),
        (OSError("43008 requested and 6072 written"), "disk is full"),  # numpy's words
        (PermissionError(errno.EACCES, "Permission denied", "x.tif"), "not allowed"),
        (OSError(errno.EROFS, "Read-only file system", "x.tif"), "not allowed"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.tif"), "no file or folder 'x.tif'; check"),
        (FileNotFoundError(), "no file or folder; check"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), "'x' cannot be used (Is a directory)"),
        (OSError("truncated"), "(truncated)"),
        (ValueError("operands could not be broadcast"), "(ValueError: operands could not be broadcast)"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "(RuntimeError: mat1"),
        (KeyError("a"), "(KeyError: 'a')"),
        (AssertionError(), "(AssertionError); please report it"),
        (KeyboardInterrupt(), "(KeyboardInterrupt)"),
    ],
)
def test_the_sentence_for_a_failure(error: BaseException, words: str):
    assert words in sentence(error)
    assert sentence(error).endswith(".")


def test_real_out_of_memory_errors_are_recognised():
    with pytest.raises(RuntimeError) as torch_error:
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(MemoryError) as numpy_error:
        np.empty(2**60, np.uint8)
    for error in (torch_error.value, numpy_error.value):
        assert is_out_of_memory(error)
        assert LESS_MEMORY in sentence(error)
    assert not is_out_of_memory(ValueError("out of memory of the last meeting"))


TEXTS = st.text(max_size=2000) | st.sampled_from(["a\nb\r\n\tc", "x" * 5000, "\u2028line"])
KINDS = st.sampled_from(
    [InputError, ValueError, RuntimeError, OSError, MemoryError, PermissionError, Exception]
)


@given(text=TEXTS, kind=KINDS)
def test_it_is_always_one_short_line(text: str, kind: type[Exception]):
    for error in (kind(text), OSError(errno.EIO, text, text)):
        line = sentence(error)
        assert len(line.splitlines()) <= 1
        assert len(line) <= 500


def test_a_long_text_keeps_the_next_action():
    assert "please report it" in sentence(ValueError("x" * 5000))


def test_torch_is_not_imported_to_tell_of_a_failure():
    program = (
        "import sys; from napari_unet.network.failures import sentence; "
        "sentence(ValueError('a')), sentence(RuntimeError('CUDA out of memory')); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
