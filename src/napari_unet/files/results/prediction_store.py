"""Results that grow on disk block by block, and the journal that lets an interrupted run continue.

Meanwhile everything is in one hidden folder next to where the results will be. At the end, each result, a
separate OME-Zarr image or label image, is moved into place in one step.
"""

import errno
import json
import math
import operator
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.core.errors import InputError
from napari_unet.core.objects.prediction import Prediction
from napari_unet.core.tiling import Tile
from napari_unet.files.atomic import alone_in, move
from napari_unet.files.pixels.images import SOFTWARE, check_replaceable
from napari_unet.files.pixels.world_axes import Axis, describe_axes, named_axes

_JOURNAL = "journal.jsonl"
_TRIES, _PAUSE_S = 10, 0.1
"""Attempts to remove a folder, and the pause between them: another run may be writing into it, or a program
may have a file in it open."""

_NAMES = "probabilities", "classes", "objects", "scratch"
_CONTENT = {f"{name}.zarr" for name in _NAMES} | {f"old {name}" for name in _NAMES}
"""Everything in such a folder except the journal."""

_VERSION = 1

Corner = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The layout of a result: the ``shape`` (leading..., spatial...) of the image.

    ``block`` is the size of chunks along each spatial axis: the part that a tile writes. ``axes`` has all
    axes, or none if they are not known.
    """

    shape: tuple[int, ...]
    block: tuple[int, ...]
    axes: Sequence[Axis] = ()


class PredictionStore:
    """The hidden folder of one prediction, with results of these ``names``; :meth:`array` makes them.

    ``identity`` is everything the probabilities depend on (image, model, settings), as JSON values. Results
    with another identity are removed, so that two models never mix in one result. Those with the same one
    are continued with their own tile size, see ``self.tile_size``, even if the free memory has changed.
    ``InputError`` if the folder was not made by napari-unet.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], names: Sequence[str], tile_size: int
    ) -> None:
        self.folder = folder
        self._journal = folder / _JOURNAL
        self._finished: dict[tuple[Corner, Corner], Corner] = {}  # from plane and first corner to last corner
        self._objects: dict[str, Any] = {}
        head = _as_json({"journal": SOFTWARE, "version": _VERSION, **identity, "names": list(names)})
        entries = self._read()
        first = entries[0] if entries else {}
        complete = all((folder / f"{name}.zarr").is_dir() for name in names)  # else it ended while publishing
        if {**head, "tile_size": first.get("tile_size")} == first and complete:
            head = first
        else:
            self.remove()
            folder.mkdir(parents=True, exist_ok=True)
            head["tile_size"] = tile_size
            self._append(head)
            entries = []
        self.tile_size = int(head["tile_size"])
        """Tile size of this run, and of those it continues."""
        for entry in entries[1:]:
            self._note(entry)
        self._run = self._append({"run": secrets.token_hex(8)})
        self._begin = self._size - len(self._run)

    def _read(self) -> list[dict[str, Any]]:
        """Return the entries of the journal, none if it is damaged; remove a truncated last line."""
        if not self._journal.is_file():
            return []
        try:
            text = self._journal.read_text(encoding="utf-8")
            lines = text.split("\n")
            entries = [json.loads(line) for line in lines[:-1]]
        except (ValueError, RecursionError):
            return []
        if lines[-1]:
            # The next line must not be appended to it.
            self._journal.write_text(text[: len(text) - len(lines[-1])], encoding="utf-8")
        is_usable = bool(entries) and _is_head(entries[0]) and all(map(_is_entry, entries[1:]))
        return entries if is_usable else []

    def _append(self, entry: Mapping[str, Any]) -> bytes:
        line = (json.dumps(entry) + "\n").encode()
        with self._journal.open("ab") as file:
            file.write(line)
            self._size = file.tell()
        return line

    def check(self) -> None:
        """Raise ``InputError`` if another run uses this folder: they would spoil each other's results."""
        try:
            with self._journal.open("rb") as file:
                file.seek(self._begin)
                is_ours = file.read(len(self._run)) == self._run and file.seek(0, os.SEEK_END) == self._size
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            raise InputError(
                f"Another run segments the same image into {self.folder.parent}, so this one ends; wait for "
                "the other run's results."
            )

    def _note(self, entry: Mapping[str, Any]) -> None:
        if "start" in entry:
            self._finished[tuple(entry["plane"]), tuple(entry["start"])] = tuple(entry["stop"])
        elif "objects" in entry:
            self._objects = dict(entry)

    def is_finished(self, plane: tuple[int, ...], tile: Tile) -> bool:
        """Return whether all pixels of a tile were written, by this run or one before."""
        start, stop = _corners(tile)
        found = self._finished.get((plane, start))
        if found is None or found == stop:
            return found is not None
        # Memory was too small, so the tile was written in smaller ones.
        inside = 0
        for (of_plane, corner), end in self._finished.items():
            # A damaged line may be of any number of axes.
            if of_plane == plane and len(corner) == len(start) and all(map(operator.le, start, corner)):
                inside += math.prod(max(0, min(a, b) - c) for a, b, c in zip(end, stop, corner, strict=True))
        return bool(inside == math.prod(map(operator.sub, stop, start)))

    def finish(self, plane: tuple[int, ...], tile: Tile) -> None:
        """Record that the pixels of a tile are written."""
        start, stop = _corners(tile)
        entry = {"plane": plane, "start": start, "stop": stop}
        self.check()
        self._append(entry)
        self._note(entry)

    def objects_until(self, settings: Mapping[str, Any]) -> tuple[int, int]:
        """Return how many planes have objects found with these settings, and their highest id."""
        if self._objects.get("objects") != _as_json(settings):
            return 0, 0
        return self._objects["planes"], self._objects["used"]

    def finish_objects(self, settings: Mapping[str, Any], planes: int, used: int) -> None:
        """Record how many planes have their objects, and the highest id in them."""
        self.check()
        self._append({"objects": dict(settings), "planes": planes, "used": used})

    def array(self, name: str, grid: Grid, dtype: str, *, channels: int = 0, is_label: bool = False) -> Any:
        """Return the zarr array of one result, making a separate OME-Zarr image if there is none."""
        group = self.group(name)
        if "0" in group:
            return group["0"]
        group.attrs.update(_metadata(name, grid, channels, is_label))
        leading = (1,) * (len(grid.shape) - len(grid.block))
        return group.create_array(
            "0",
            shape=(channels, *grid.shape) if channels else grid.shape,
            chunks=(1, *leading, *grid.block) if channels else (*leading, *grid.block),
            dtype=dtype,
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )

    def group(self, name: str) -> Any:
        """Return the zarr group of one result, making it if there is none."""
        import zarr

        from napari_unet.files.results.patient_store import PatientStore

        return zarr.open_group(PatientStore(self.folder / f"{name}.zarr"), mode="a", zarr_format=2)

    def publish(self, outputs: Mapping[str, Path], recipe: str) -> None:
        """Move the results into place, with the ``recipe`` in their metadata, and remove the rest.

        ``InputError`` if something other than an earlier result is in the way, or another run has begun.
        """
        with alone_in(self.folder.parent):
            self.check()
            for name, target in outputs.items():
                check_replaceable(target)
                old = self.folder / f"old {name}"
                if target.exists():
                    move(target, old)
                self.group(name).attrs[SOFTWARE] = {"kind": name, "recipe": recipe}
                move(self.folder / f"{name}.zarr", target)
            self.remove()

    def remove(self) -> None:
        """Remove the folder and all in it."""
        if not self.folder.exists():
            return
        if not self._is_ours():
            raise InputError(
                f"{self.folder} is not a folder of napari-unet; move it away, or choose another folder."
            )
        for left in reversed(range(_TRIES)):
            try:
                # First: another run that goes on here ends at its next tile.
                self._journal.unlink(missing_ok=True)
                shutil.rmtree(self.folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EACCES) or not left:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def _is_ours(self) -> bool:
        names = {item.name for item in self.folder.iterdir()}
        if _JOURNAL not in names:  # removal was interrupted, or a run wrote after another had removed it
            return names <= _CONTENT
        with self._journal.open(encoding="utf-8", errors="replace") as file:
            line = file.readline()
        # If the disk was already full, not even the first line was written completely.
        is_cut_off = names == {_JOURNAL} and not line.endswith("\n")
        return is_cut_off or f'"journal": "{SOFTWARE}"' in line


def open_results(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Open the arrays of these growing results in the folder of a :class:`PredictionStore`, by name."""
    import zarr

    from napari_unet.files.results.patient_store import PatientStore

    stores = {name: PatientStore(folder / f"{name}.zarr" / "0") for name in names}
    return {name: zarr.open_array(store, mode="r+") for name, store in stores.items()}


def write_tile(results: Mapping[str, Any], where: tuple[Any, ...], prediction: Prediction) -> None:
    """Write a tile into the given results, at ``where``, the part of …YX that it covers.

    Results are "probabilities", which get the last channels of the prediction, and "classes".
    """
    probabilities = results["probabilities"]
    probabilities[(slice(None), *where)] = prediction.probabilities[-probabilities.shape[0] :]
    if "classes" in results:
        results["classes"][where] = prediction.classes


def _metadata(name: str, grid: Grid, channels: int, is_label: bool) -> dict[str, Any]:
    """Return the metadata of an OME-Zarr 0.4 image (https://ngff.openmicroscopy.org/0.4)."""
    label = {"image-label": {"version": "0.4"}} if is_label else {}
    ours = {**label, SOFTWARE: {"kind": name}}
    axes = (*named_axes("C" * bool(channels)), *grid.axes)
    described = describe_axes(axes) if len(grid.axes) == len(grid.shape) else None
    if described is None:  # such as channels before time
        return ours
    named, placed = described
    dataset = {"path": "0", "coordinateTransformations": placed}
    return {"multiscales": [{"version": "0.4", "name": name, "axes": named, "datasets": [dataset]}], **ours}


def _is_head(entry: Any) -> bool:
    return isinstance(entry, dict) and type(entry.get("tile_size")) is int and entry["tile_size"] > 0


def _is_entry(entry: Any) -> bool:
    """Return whether a line of the journal after the first describes a tile or objects."""
    if not isinstance(entry, dict):
        return False
    if "start" in entry:
        corners = [entry.get(name) for name in ("plane", "start", "stop")]
        are_corners = all(isinstance(at, list) and all(type(pixel) is int for pixel in at) for at in corners)
        return are_corners and len(entry["start"]) == len(entry["stop"])
    kinds = {name: type(value) for name, value in entry.items()}
    return kinds in ({"objects": dict, "planes": int, "used": int}, {"run": str})


def _corners(tile: Tile) -> tuple[Corner, Corner]:
    return tuple(part.start for part in tile.write), tuple(part.stop for part in tile.write)


def _as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(value))
    return result
