"""How the inner loops of this package are compiled; importing this module imports numba."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Any], Any]:
    """Return the decorator that compiles a loop, which then runs without Python's lock.

    The result is kept on disk; where no folder can be written to, it is compiled anew in each process. Copy
    arrays element by element: of ``a[:n] = b`` numba compiles the message about wrong shapes as well, 1.8 s.
    """

    def decorate(function: Any) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:
            # Numba's "no locator available": neither beside the source nor in the home folder.
            return njit(nogil=True, **options)(function)

    return decorate
