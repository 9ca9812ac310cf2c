"""Training on paint, as a generator of events that docks, command line and scripts share."""

import logging
import reprlib
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from napari_unet.core.arrays.lazy import as_pixels
from napari_unet.core.configs import check_kind
from napari_unet.core.control import Control, interrupts_stop
from napari_unet.core.errors import InputError
from napari_unet.core.learning.live_dataset import LiveDataset
from napari_unet.core.learning.mixture import telling_mixture
from napari_unet.core.learning.reading import DatasetConfig, are_in_colours, read_planes
from napari_unet.core.learning.view import Gaze
from napari_unet.core.painted.label_images import may_be_labels
from napari_unet.core.painted.object_distance import Full
from napari_unet.core.painted.paint_feed import PaintFeed
from napari_unet.network.config import TrainingConfig
from napari_unet.network.device import choose_device, choose_precision, describe_device
from napari_unet.network.events import Adapted, Started, Stopped, TrainingEvent, Warned
from napari_unet.network.learning.batches import check_memory, check_paint_fits
from napari_unet.network.learning.diagnosis import doubts
from napari_unet.network.learning.joining import Joining
from napari_unet.network.learning.state import TrainingState
from napari_unet.network.learning.training_loop import Run
from napari_unet.network.learning.transfer import origin_of, starting_network, starting_rates
from napari_unet.network.model import Model, check_model
from napari_unet.network.news import Tell, check_tell, training_news

_log = logging.getLogger(__name__)

Painted = tuple[Iterable[Any], Iterable[Any]]
"""Images and their paints, arrays both."""


def train(
    images: Iterable[Any],
    paints: Iterable[Any],
    config: TrainingConfig = TrainingConfig(),
    *,
    start: Model | None = None,
    validation: Painted | None = None,
    full: Iterable[Full] | None = None,
    device: str = "auto",
    progress: Tell | None = None,
) -> Model:
    """Train a U-Net on painted images.

    What paint cannot teach, and why it gets nowhere, is logged as warnings. Ctrl-C, or *Interrupt* in a
    notebook, ends the training after its step, with the best network so far; a second time, without one. Any
    other error that ends it later than its first score, such as too little memory, has that network as its
    attribute ``model``.

    Parameters
    ----------
    images, paints : lists of arrays
        One paint for each image, in the same order. An image is of any real dtype, with or without a channel
        axis, in memory or not (dask, zarr, memory-mapped); images may differ in shape and contrast. Where all
        have three equal channels on their last axis, as grey pictures in colours, one is learnt. Its paint
        is whole numbers in the shape of its pixels (…YX), without channels: 0 unlabelled, 1 background, 2 and
        up objects (or other classes). See :func:`napari_unet.core.learning.reading.read_planes`.
    config : TrainingConfig
    start : Model, optional
        Go on from these weights, with this network and normalisation, adapted to the channels and classes of
        these images (of a starter also to ``config.network.ndim``), see
        :mod:`napari_unet.network.adaptation`. A starter, or a model that fits, is the one to beat; see
        :class:`napari_unet.network.learning.incumbent.Incumbent`.
    validation : (images, paints), optional
        Two lists like ``images`` and ``paints``, for scoring alone: nothing is learnt from them, and nothing
        is held out of the others. By default, some strokes are held out; see ``TrainingConfig.held_out``.
    full : sequence, optional
        For each image which of its objects are painted up to their border: True for all, False for none (the
        default), or their paint values. Such objects also teach where touching ones part, and how the
        probabilities are best read.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    progress : function of str, optional
        Such as ``print``: called with a sentence when the training begins, and after every score. By default
        it is silent.

    Returns
    -------
    Model
        With the weights that scored best.

    Raises
    ------
    InputError
        If images and paints do not fit each other, the paint cannot teach, or there is no such device.
    """
    check_kind(config, TrainingConfig, "configuration", "a TrainingConfig")
    check_tell(progress)
    images, paints = (
        _listed(each, noun, config.network.ndim) for each, noun in ((images, "images"), (paints, "paints"))
    )
    pixels = map(as_pixels, paints)
    if any(may_be_labels(paint) for paint in pixels if isinstance(paint, np.ndarray)):
        _log.warning(
            "The value 1 is background in paint, and here it looks like one of the objects; if these are "
            "label images, in which 0 is background, give labels.astype(int) + 1."
        )
    control = Control()
    events = train_events(
        images,
        paints,
        config,
        start=start,
        validation=validation,
        full=full,
        device=device,
        control=control,
    )
    stopped: Stopped | None = None
    with interrupts_stop(control):
        try:
            for event in events:
                if isinstance(event, Warned):
                    _log.warning(event.message)
                elif isinstance(event, Stopped):
                    stopped = event
                elif progress is not None and (words := training_news(event)):
                    progress(words)
        except Exception as error:  # whatever it is, it is raised again
            if stopped is not None:
                _keep_with(error, stopped.model)
            raise
    model = cast("Stopped", stopped).model
    if control.stopped:
        _log.warning("Interrupted; the network is the best of %d steps.", model.history.steps)
    return model


def _keep_with(error: Exception, model: Model) -> None:
    """Make ``model`` an attribute of the error that ended its training, and say so below the traceback."""
    error.model = model  # type: ignore[attr-defined]
    error.add_note(
        f"The best network of {model.history.steps} steps is kept: it is the attribute model of this error, "
        "which a notebook has as sys.last_value."
    )


def train_events(
    images: Sequence[Any],
    paints: Sequence[Any],
    config: TrainingConfig = TrainingConfig(),
    *,
    start: Model | None = None,
    resume: TrainingState | None = None,
    validation: Painted | None = None,
    full: Iterable[Full] | None = None,
    device: str = "auto",
    names: Sequence[str] = (),
    colours_first: Sequence[bool] = (),
    control: Control | None = None,
    feed: PaintFeed | None = None,
    gaze: Gaze | None = None,
    checkpoint_s: float | None = None,
) -> Iterator[TrainingEvent]:
    """Train as :func:`train` does and tell how it goes.

    Parameters
    ----------
    resume : TrainingState, optional
        Of the training that ``start`` came out of: go on with its optimiser and its curve as well. Steps and
        seconds of ``config`` are further ones. With the same images, paints and other settings the model is
        that of one long training, bit for bit on the CPU with the same number of threads. Changed images or
        paint are learnt; where the network had to be fitted to them, the state is not used.
    names : sequence of str, optional
        What the images are called, those for validation last, where something is wrong with one of several;
        by default "Image 1" and so on.
    colours_first : sequence of bool, optional
        For each image, those for validation last, whether its first axis is known to be one of colours. Where
        all images are grey pictures in three colours, which else are on the last axis, they are learnt as one
        channel, unless ``start`` is a model of three that is no starter.
    control : Control, optional
        Polled while the data are prepared, where a stop raises ``InputError`` (there is no model yet), and
        after every step: whoever has seen ``Started`` gets a model.
    feed : PaintFeed, optional
        Of these images and paints, in this order, those for validation last: what it tells of joins the
        training before its next step.
    gaze : Gaze, optional
        Where the user looks: ``Preview`` events show what the network makes of it.
    checkpoint_s : float, optional
        Seconds between two ``Checkpoint`` events; by default there are none.

    Yields
    ------
    TrainingEvent
        ``Started``, ``Warned`` of what the paint lacks, ``Adapted`` for what had to be changed in ``start``,
        ``Continued`` if the training goes on from ``resume``, then ``StepDone``, ``Validated``, ``Warned``,
        ``Resolved``, ``PaintJoined``, ``Preview`` and ``Checkpoint`` in any order, and ``Stopped`` with the
        model. An error after the first validation comes after a ``Stopped`` of its own, so that a failure in
        the second hour does not cost the first.
    """
    control = control or Control()
    torch_device = choose_device(device)
    precision = choose_precision(torch_device, config.precision)
    if start is not None:
        check_model(start)
        # A starter may become 3-D; a training that is continued stays what it was.
        ndim = config.network.ndim if start.is_starter else start.network.ndim
        network_config = replace(start.network, ndim=ndim)
        config = replace(config, network=network_config, normalisation=start.normalisation)
    live = _read(
        images,
        paints,
        config,
        start,
        validation=validation,
        full=full,
        names=names,
        colours_first=colours_first,
        control=control,
    )
    dataset = live.dataset
    check_memory(dataset, config, torch_device)
    is_new = start is not None and start.network.in_channels != dataset.in_channels
    network, told, resume = starting_network(
        start,
        resume,
        config,
        in_channels=dataset.in_channels,
        classes=dataset.n_classes,
        distance=dataset.has_distance,
        mixture=telling_mixture(dataset.samples) if is_new else None,
    )
    config = replace(config, network=network.config)
    config = starting_rates(start, config, in_channels=dataset.in_channels, classes=dataset.n_classes)
    live.distance = network.config.distance
    yield Started(
        device=describe_device(torch_device),
        precision=str(precision).removeprefix("torch."),
        parameters=sum(values.numel() for values in network.parameters()),
        images=sum(sample.teaches for sample in dataset.samples),
        known_pixels=dataset.known_pixels,
    )
    of_paint = (*dataset.warnings, *doubts(dataset, config))
    yield from (Warned(message) for message in of_paint)
    if dataset.in_channels == 1 and are_in_colours(images, paints):
        yield Adapted("Grey images that were saved in colours are learnt as one channel.")
    yield from told
    joining = Joining(live, feed, config, of_paint)
    del live, dataset  # replaced when paint joins
    try:
        run = Run(
            network,
            joining,
            config,
            control,
            device=torch_device,
            precision=precision,
            gaze=gaze,
            checkpoint_s=checkpoint_s,
            origin=origin_of(start, goes_on=resume is not None),
        )
        try:
            if start is not None and resume is not None:
                yield from run.go_on(start, resume)
            elif start is not None and (
                start.is_starter or (start.network == network.config and start.mode == config.mode)
            ):
                yield from run.scores()  # the one to beat
                run.anchor_starter()
            yield from run.events()
        except Exception as error:
            # Frames of an out-of-memory error hold the tensors that filled the memory.
            traceback.clear_frames(error.__traceback__)
            if run.has_model:
                yield Stopped("failed", run.model_after_failure())
            raise
        finally:
            del run
    finally:
        del network
        # Other programs, and napari's canvas, share the GPU.
        if torch_device.type == "cuda":
            torch.cuda.empty_cache()
        elif torch_device.type == "mps":
            torch.mps.empty_cache()


def _read(
    images: Sequence[Any],
    paints: Sequence[Any],
    config: TrainingConfig,
    start: Model | None,
    *,
    validation: Any,
    full: Any,
    names: Sequence[str],
    colours_first: Sequence[bool],
    control: Control,
) -> LiveDataset:
    """Return what is learnt from and, after it, what is for scoring alone."""
    dataset_config = DatasetConfig(
        ndim=config.network.ndim,
        mode=config.mode,
        channels=config.channels,
        weights=config.weights,
        normalisation=config.normalisation,
        held_out=config.held_out,
        spacing=config.spacing,
        seed=config.seed,
        in_channels=None if start is None or start.is_starter else start.network.in_channels,
    )
    validation = ((), ()) if validation is None else validation
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise InputError(
            "The validation is not a pair; give two lists, of images and of their paints, or set held_out."
        )
    more_images, more_paints = (
        _listed(each, noun, dataset_config.ndim)
        for each, noun in zip(validation, ("validation images", "validation paints"), strict=True)
    )
    if len(more_images) != len(more_paints):  # in all there may be as many of the one as of the other
        raise InputError(
            f"There are {len(more_images)} validation images and {len(more_paints)} validation paints; give "
            "one paint for each image, in the same order."
        )
    if full is not None and (isinstance(full, str) or not isinstance(full, Iterable)):
        raise InputError(f"full is {full!r}; give it for each image, in a list such as [True].")
    planes = read_planes(
        [*images, *more_images],
        [*paints, *more_paints],
        dataset_config,
        validation=len(more_images),
        full=None if full is None else [*map(_whether_full, full), *(False for _ in more_images)],
        names=names,
        colours_first=colours_first,
        control=control,
    )
    check_paint_fits(planes)
    return LiveDataset(planes, dataset_config)


def _listed(arrays: Iterable[Any], noun: str, ndim: int) -> list[Any]:
    """Return images of ``ndim`` axes, or paints, as a list; ``InputError`` for a single array, or names."""
    shape = getattr(arrays, "shape", ())
    if 0 < len(shape) <= ndim and getattr(arrays, "dtype", None) != np.dtype(object):
        raise InputError(
            f"The {noun} are one array of shape {tuple(shape)}; give a list of images, and a list of paints."
        )
    try:
        listed = [arrays] if isinstance(arrays, str | Path) else list(arrays)
    except TypeError as error:
        raise InputError(f"The {noun} are {reprlib.repr(arrays)}; give a list of arrays.") from error
    for item in listed:
        if isinstance(item, str | Path):
            raise InputError(
                f"The {noun} are names such as {str(item)!r}; give their pixels, as tifffile.imread does."
            )
    return listed


def _whether_full(of_image: Any) -> Full:
    """Return which objects of an image are full; ``InputError`` if ``of_image`` does not say."""
    if isinstance(of_image, bool | np.bool_):
        return bool(of_image)
    with suppress(TypeError):
        if not isinstance(of_image, str):
            return frozenset(of_image)  # asked for every object: a list of thousands would take seconds
    raise InputError(
        f"full is {of_image!r} for an image; give True, False, or the values of its objects in a list."
    )
