"""Any failure as one sentence that says what to do next.

Docks and the command line show this sentence where a programmer would read a traceback. Nothing here imports
torch: a failure before torch was imported must be told, too.
"""

import errno
import sys

from napari_unet.core.errors import InputError

_LONGEST = 500
"""Characters of a sentence; a notification is no place for a page of text."""

_LONGEST_DETAIL = 240

_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")

_ONEDNN_WORDS = {"could not create a primitive", "could not create a memory object"}
"""All that oneDNN, which convolves on the CPU, says where its code or its scratch memory finds no room."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_REPORT = "please report it at the project's issue page, with what you did before"


def sentence(error: BaseException) -> str:
    """Return what went wrong and what to do next, on one line of at most 500 characters.

    Parameters
    ----------
    error : BaseException
        Anything that was raised; an :class:`~napari_unet.core.errors.InputError` already is such a sentence.
    """
    if isinstance(error, InputError):
        return _one_line(str(error), _LONGEST)
    if is_out_of_memory(error):
        # oneDNN was seen to fail again and again then, until the process ended.
        again = " If this comes back, restart napari." if str(error).lower() in _ONEDNN_WORDS else ""
        return (
            "There is not enough memory; choose a smaller tile size (to predict), or a smaller patch size, "
            f"batch size or network (to train), or close other programs, then start again.{again}"
        )
    if isinstance(error, OSError):
        return _one_line(_about_files(error), _LONGEST)
    detail = _one_line(f"{type(error).__name__}: {error}".rstrip(": "), _LONGEST_DETAIL)
    return f"Something unexpected went wrong ({detail}); {_REPORT}."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the computer or its GPU ran out of memory, so that less of it at a time may succeed."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    # The CPU allocator, oneDNN, cuDNN and Apple's Metal raise plain RuntimeErrors.
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        said in _ONEDNN_WORDS or any(words in said for words in _MEMORY_WORDS)
    )


def is_disk_full(error: OSError) -> bool:
    """Return whether there was no room for a file: on the disk, in a quota, or below a limit of its size."""
    # numpy has no number for it: "43008 requested and 6072 written".
    return error.errno in _FULL or str(error).endswith(" written")


def has_filled_disk(error: BaseException) -> bool:
    """Return whether a failure, or its cause, is a full disk, where smaller files have no room either."""
    found = [cause for cause in (error, error.__cause__) if isinstance(cause, OSError)]
    return any(is_disk_full(cause) and cause.errno != errno.EFBIG for cause in found)


def _about_files(error: OSError) -> str:
    name = f" {str(error.filename)!r}" if error.filename else ""
    if is_disk_full(error):
        return (
            f"The disk is full, so the file{name} was not written; free some space or choose another folder."
        )
    if isinstance(error, FileNotFoundError):
        return f"There is no file or folder{name}; check the name, or choose another."
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return (
            f"You are not allowed to use the file or folder{name}; choose another, or ask for access to it."
        )
    reason = error.strerror or str(error) or type(error).__name__
    return f"The file or folder{name} cannot be used ({reason}); check it and its disk, or choose another."


def _one_line(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
