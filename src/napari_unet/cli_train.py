"""What ``napari-unet train`` begins with: the painted images, and the model to start from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_unet.console import listed, note
from napari_unet.core.errors import InputError
from napari_unet.core.regions import complete_everywhere
from napari_unet.files.images import StoredImage, expand_paths, pair_by_stem, read_image
from napari_unet.files.models import load_model
from napari_unet.files.starters import find_model, is_starter
from napari_unet.files.states import load_to_continue

if TYPE_CHECKING:
    from napari_unet.network.model import Model
    from napari_unet.network.state import TrainingState


def pairs_to_train(
    images: Sequence[str], paint: Sequence[str], validation: Sequence[str]
) -> tuple[list[tuple[Path, Path]], int]:
    """Return every painted image with its paint, and how many are to learn from: the others are scored."""
    scored = expand_paths(validation)
    shown = {path.resolve() for path in scored}
    learnt = [path for path in expand_paths(images) if path.resolve() not in shown]
    pairs, unpainted = pair_by_stem([*learnt, *scored], expand_paths(paint))
    pairs.sort(key=lambda pair: pair[0] in scored)
    first_scored = sum(pair[0] not in scored for pair in pairs)
    if scored and first_scored == len(pairs):
        raise InputError(f"{listed(scored)} cannot be scored on for want of paint; give paint of that name.")
    if first_scored == 0:
        raise InputError("Every painted image is for scoring alone; give at least one more to learn from.")
    if unpainted:
        note(f"Left out for want of paint: {listed(unpainted)}.")
    return pairs, first_scored


def read_pairs(
    pairs: Sequence[tuple[Path, Path]], *, complete: bool
) -> tuple[list[StoredImage], list[NDArray[Any]]]:
    """Return every image as it is stored, and its paint, in which all is known if it is ``complete``."""
    paints = [read_image(paint).pixels for _, paint in pairs]
    if complete:
        paints = [complete_everywhere(paint) for paint in paints]
    return [read_image(image) for image, _ in pairs], paints


def starting_point(name: str, *, fresh_optimiser: bool) -> "tuple[Model | None, TrainingState | None]":
    """Return the model to start from, and what its training needs to go on; None for what there is not."""
    if name == "scratch":
        return None, None
    path = find_model(name)
    if fresh_optimiser or is_starter(path):
        return load_model(path), None
    model, state, sentence = load_to_continue(path)
    if sentence:
        note(sentence)
    return model, state
