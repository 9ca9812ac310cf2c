"""The work of ``napari-unet predict``: images segmented one after the other, to TIFF or to zarr."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from napari_unet.console import note, print_json, progress_bar, report_tile, report_written, signals_stop
from napari_unet.core.control import Control
from napari_unet.core.errors import InputError
from napari_unet.files.atomic import check_writable
from napari_unet.files.images import expand_paths, is_tiff, is_zarr, read_image, stem, write_image
from napari_unet.files.large_prediction import Kind, ObjectsFound, Stored, fits_into_memory, predict_to_zarr
from napari_unet.files.sources import open_image
from napari_unet.network.config import PredictionConfig
from napari_unet.network.device import choose_device
from napari_unet.network.events import Predicted
from napari_unet.network.failures import sentence
from napari_unet.network.model import Model
from napari_unet.network.prediction import predict_events

_KINDS = get_args(Kind)
_FORMATS = ("auto", "tiff", "zarr")


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for: these images, these kinds of results, in this folder and format."""

    paths: tuple[Path, ...]
    output: Path
    kinds: tuple[Kind, ...]
    file_format: str


def plan_work(images: Sequence[str], output: Path, kinds: Sequence[str], file_format: str) -> Work:
    """Find the images, and see to it that the results can be written.

    Raises
    ------
    InputError
        If there is no such kind or format, or no image; if two images would have results of the same name;
        or if nothing can be written there.
    """
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown:
        raise InputError(f"--what is {unknown[0]!r}; choose from {', '.join(_KINDS)}.")
    if file_format not in _FORMATS:
        raise InputError(f"--format is {file_format!r}; choose from {', '.join(_FORMATS)}.")
    paths = expand_paths(images, results=False)
    seen: dict[str, Path] = {}
    for path in paths:
        if stem(path) in seen:
            raise InputError(
                f"{seen[stem(path)]} and {path} would have results of the same name; segment them into "
                "different folders."
            )
        seen[stem(path)] = path
    check_writable(output / f"{stem(paths[0])}_{kinds[0]}.tif")
    return Work(tuple(paths), output, cast("tuple[Kind, ...]", tuple(kinds)), file_format)


def segment_files(model: Model, work: Work, config: PredictionConfig, *, device: str, as_json: bool) -> int:
    """Segment images; one that fails does not keep the others from it.

    Returns
    -------
    int
        The exit code: 2 if an image failed, 128 and the signal if one ended it.

    Raises
    ------
    InputError
        If there is no such device.
    """
    choose_device(device)  # to say once, not for every image, that there is none
    failed = 0
    for path in work.paths:
        try:
            if _is_stored(path, model, work.file_format):
                signals = _segment_to_zarr(model, path, work, config, device=device, as_json=as_json)
                if signals:
                    return 128 + signals[0]
            else:
                _segment_to_tiff(model, path, work, config, device=device, as_json=as_json)
        except (InputError, RuntimeError, MemoryError) as error:  # torch's failures are RuntimeErrors
            failed += 1
            reason = sentence(error)
            note(reason if str(path) in reason else f"{path}: {reason}")
            if as_json:
                print_json({"event": "failed", "image": str(path), "message": reason})
    return 2 if failed else 0


def _is_stored(path: Path, model: Model, file_format: str) -> bool:
    """Return whether an image is segmented block by block, to zarr: if asked for, or if it must be."""
    if file_format != "auto":
        return file_format == "zarr"
    if is_zarr(path):
        return True
    if not is_tiff(path):
        return False
    return not fits_into_memory(open_image(path).pixels, model)


def _segment_to_tiff(
    model: Model, path: Path, work: Work, config: PredictionConfig, *, device: str, as_json: bool
) -> None:
    image = open_image(path) if is_zarr(path) else read_image(path)
    if config.channels == "auto":
        config = replace(config, channels=image.channels)
    with progress_bar(path.name) as progress:
        for event in predict_events(model, image.pixels, config, device=device):
            if isinstance(event, Predicted):
                prediction = event.prediction
            else:
                report_tile(event, path, progress, as_json)
    axes = image.axes.replace("C", "")
    if len(axes) != prediction.probabilities.ndim - 1:
        axes = ""
    for kind in work.kinds:
        target = work.output / f"{stem(path)}_{kind}.tif"
        pixels = getattr(prediction, kind)
        with_channels = "C" + axes if axes and kind == "probabilities" else axes
        write_image(target, pixels, with_channels, image.pixel_size)
        report_written(path, kind, target, as_json)


def _segment_to_zarr(
    model: Model, path: Path, work: Work, config: PredictionConfig, *, device: str, as_json: bool
) -> list[int]:
    """Return the signals that ended it."""
    image = open_image(path)
    if config.channels == "auto":
        config = replace(config, channels=image.channels)
    control = Control()
    events = predict_to_zarr(
        model,
        image.pixels,
        work.output,
        stem(path),
        config,
        kinds=work.kinds,
        axes=image.axes.replace("C", ""),
        pixel_size=image.pixel_size,
        device=device,
        control=control,
    )
    with signals_stop(control) as signals, progress_bar(path.name) as progress:
        for event in events:
            if isinstance(event, Stored):
                last = event
            elif isinstance(event, ObjectsFound):
                progress(event.done, "objects")
            else:
                report_tile(event, path, progress, as_json)
    if last.finished:
        for kind, target in last.outputs.items():
            report_written(path, kind, target, as_json)
        return []
    note(f"{path}: interrupted; the same command goes on where it was.")
    return signals
