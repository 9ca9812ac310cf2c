"""Images that need not fit into memory: dask, zarr, HDF5 and memory-mapped arrays, read piece by piece."""

import reprlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.errors import InputError


class LazyPixels:
    """A view of an array that is on disk or still to be computed; it reads nothing until numpy asks for it.

    Indexing with whole numbers, slices and an ellipsis gives another view. ``np.asarray(view)`` reads that
    part of the array and no other, in native byte order.

    Parameters
    ----------
    array : array-like
        With ``shape``, ``dtype`` and basic indexing.
    """

    __slots__ = ("_array", "_axes", "_chosen")

    def __init__(self, array: Any) -> None:
        self._array = array
        # Every axis of the view: the axis of the array that it shows (None for a new one), and what of it.
        self._axes: list[tuple[int | None, range]] = [(n, range(size)) for n, size in enumerate(array.shape)]
        # The one index that was chosen along each of the other axes of the array.
        self._chosen: dict[int, int] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis of the view."""
        return tuple(len(part) for _, part in self._axes)

    @property
    def ndim(self) -> int:
        """Number of axes of the view."""
        return len(self._axes)

    @property
    def size(self) -> int:
        """Number of pixels of the view."""
        return prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels that are read."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype.newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> "LazyPixels":
        given = list(key) if isinstance(key, tuple) else [key]
        place = next((n for n, item in enumerate(given) if item is Ellipsis), len(given))
        whole = [slice(None)] * (self.ndim - sum(item is not Ellipsis for item in given))
        items = given[:place] + whole + given[place + 1 :]
        axes, chosen = [], dict(self._chosen)
        for (axis, part), item in zip(self._axes, items, strict=True):
            left = part[item]
            if isinstance(left, range):
                # zarr cannot read backwards.
                if left.step < 0 or (axis is None and not left):
                    raise IndexError(f"A lazy image cannot be indexed with {item}.")
                axes.append((axis, left))
            elif axis is not None:
                chosen[axis] = left
        return self._view(axes, chosen)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        key: dict[int, int | slice] = dict(self._chosen)
        key |= {n: slice(part.start, part.stop, part.step) for n, part in self._axes if n is not None}
        pixels = np.asarray(self._array[tuple(key[n] for n in range(len(key)))])
        kept = sorted(n for n, _ in self._axes if n is not None)
        pixels = pixels.transpose([kept.index(n) for n, _ in self._axes if n is not None])
        new = tuple(place for place, (n, _) in enumerate(self._axes) if n is None)
        return np.expand_dims(pixels, new).astype(dtype or self.dtype, copy=bool(copy))

    def with_channel_axis(self) -> "LazyPixels":
        """Return a view with a new axis of length 1 in front."""
        return self._view([(None, range(1)), *self._axes], self._chosen)

    def transpose(self, axes: Sequence[int]) -> "LazyPixels":
        """Return a view with its axes in this order, as an array does."""
        return self._view([self._axes[axis] for axis in axes], self._chosen)

    def _view(self, axes: list[tuple[int | None, range]], chosen: dict[int, int]) -> "LazyPixels":
        view = LazyPixels(self._array)
        view._axes, view._chosen = axes, chosen
        return view


Pixels = NDArray[Any] | LazyPixels
"""An array in memory, or a view of one that is not."""


def as_pixels(array: Any) -> Pixels:
    """Return an array in memory as it is, and any other array as a view that reads it piece by piece.

    Masked pixels become 0: black, unlabelled, or background. ``InputError`` for tensors and arrays that numpy
    cannot read, arrays of unknown shape, and lists of several lengths.
    """
    if isinstance(array, np.ma.MaskedArray):
        return np.asarray(array.filled(0))
    if isinstance(array, LazyPixels) or type(array) is np.ndarray:
        return array
    is_array = isinstance(getattr(array, "dtype", None), np.dtype) and hasattr(array, "shape")
    if is_array and hasattr(array, "__cuda_array_interface__"):  # as those of CuPy
        raise InputError("The array is in the memory of a GPU; give a numpy copy of it, as .get() returns.")
    if is_array and (isinstance(array, np.memmap) or not isinstance(array, np.ndarray)):
        if not all(isinstance(length, int | np.integer) for length in array.shape):
            raise InputError(
                f"The array has the shape {array.shape}, which is not known yet; call its "
                "compute_chunk_sizes() first."
            )
        return LazyPixels(array)
    try:
        return np.asarray(array)
    except ValueError as error:
        raise InputError("This is a list of images of several shapes; give one at a time.") from error
    except (TypeError, RuntimeError) as error:  # tensors say what to do, such as to call .detach() or .cpu()
        raise InputError(f"numpy cannot read an array of {type(array).__name__}: {error}") from error


def check_given(subject: str, pixels: Pixels) -> None:
    """Raise ``InputError`` if what was given is a name, several names, None or a layer of napari.

    ``subject`` begins the sentence, such as "The image is".
    """
    if isinstance(pixels, LazyPixels) or pixels.dtype.kind not in "UO" or pixels.size == 0:
        return
    first = pixels.flat[0]
    is_name = isinstance(first, str | Path)
    if pixels.ndim > 0 and not (is_name and Path(first).suffix):  # such as a table with words in it
        return
    said = repr(str(first)) if is_name else " ".join(reprlib.repr(first).split())
    names = "a list of names such as " if pixels.ndim > 0 else ""
    raise InputError(
        f"{subject} {names}{said}; give the pixels, as tifffile.imread does, or the data of a layer."
    )
