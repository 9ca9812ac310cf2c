"""Training states beside their models, so that a training can continue another day.

The state of ``cells.safetensors`` is ``cells.safetensors.training``: the moments of the optimiser, the
weights after the last step and the random number generators, as safetensors with a JSON record. It is about
four times as large as the model, used only for training, and can be deleted at any time. It contains the
checksum of the model file it belongs to, and is not used for any other.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from napari_unet.core.errors import InputError
from napari_unet.core.scoring.confidence import Tally
from napari_unet.files.networks.container import Kind, read_container, write_container
from napari_unet.files.networks.models import MODEL, load_model
from napari_unet.files.networks.starters import is_starter, load_starter
from napari_unet.files.opening import user_path
from napari_unet.files.plain import from_plain, to_plain
from napari_unet.network.learning.state import Best, LearnerState, Tensors, TrainingState
from napari_unet.network.model import Model

_ALONE = "training starts from the weights of the model alone"

STATE = Kind(
    noun="training state",
    version=1,
    if_other=_ALONE,
    if_damaged=_ALONE,
    if_newer=f"update napari-unet, or {_ALONE}",
)

ENDING = ".training"
"""Ending of its own, so that lists of *.safetensors do not show it as a model."""

_GROUPS = ("network", "average", "first_moment", "second_moment", "anchor", "best")
"""The mappings of tensors of a state; the name of each precedes those of its tensors."""


_CONFUSIONS = "highest"
"""The tensor with what the best network so far got right and wrong, stroke by stroke."""


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Everything in a state except tensors; ``model`` is the checksum of its model's file.

    ``as_model`` names the mappings that equal the weights of the model and are not written again.
    ``patch_rng`` is (state, increment, has_uint32, uinteger) of numpy's PCG64, the first two in hexadecimal,
    as they have 128 bits.
    """

    model: str
    step: int
    updates: int
    loss_scale: float
    scale_growth: int
    patch_rng: tuple[str, str, int, int]
    best_step: int
    best_loss: float | None
    data: str
    as_model: tuple[str, ...]


def state_path(model_path: str | Path) -> Path:
    """Return the path of the state of a model file."""
    return user_path(f"{model_path}{ENDING}")


def save_state(state: TrainingState, model: Model, model_path: str | Path) -> None:
    """Write ``state`` beside the file of ``model``, of the same training, completely or not at all.

    ``InputError`` if the state cannot be written, or the model file cannot be read.
    """
    import torch

    _, record = read_container(user_path(model_path), MODEL)
    best: Tensors = {} if state.best is None else state.best.weights
    learner = state.learner
    groups = {name: getattr(learner, name) for name in _GROUPS if name != "best"} | {"best": best}
    as_model = tuple(name for name, tensors in groups.items() if _equal(tensors, model.weights))
    generator = state.patch_rng["state"]
    numbers = _Numbers(
        model=record["sha256"],
        step=state.step,
        updates=learner.updates,
        loss_scale=learner.loss_scale,
        scale_growth=learner.scale_growth,
        patch_rng=(
            f"{generator['state']:x}",
            f"{generator['inc']:x}",
            state.patch_rng["has_uint32"],
            state.patch_rng["uinteger"],
        ),
        best_step=0 if state.best is None else state.best.step,
        best_loss=None if state.best is None else state.best.highest.loss,
        data=state.data,
        as_model=as_model,
    )
    tensors = {
        f"{group}.{name}": tensor
        for group in groups.keys() - set(as_model)
        for name, tensor in groups[group].items()
    }
    if state.best is not None:
        tensors[_CONFUSIONS] = torch.from_numpy(state.best.highest.confusions)
    write_container(
        state_path(model_path), STATE, {**tensors, "augment_rng": state.augment_rng}, to_plain(numbers)
    )


def load_state(model: Model, model_path: str | Path) -> TrainingState | None:
    """Read the state beside the file of ``model``; None if there is none.

    ``InputError`` if it cannot be used because it is damaged, comes from a newer version, or belongs to
    another model.
    """
    import torch
    from safetensors.torch import load

    path = state_path(model_path)
    if not path.exists():
        return None
    data, numbers = _read(path, user_path(model_path))
    try:
        tensors = load(data)
        augment_rng = tensors.pop("augment_rng")
        torch.Generator().set_state(augment_rng)
        patch_rng = _generator_state(numbers)
        highest = (
            None if numbers.best_loss is None else Tally(tensors.pop(_CONFUSIONS).numpy(), numbers.best_loss)
        )
    except (SafetensorError, LookupError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path} is damaged; {_ALONE}.") from error
    groups: dict[str, Tensors] = {
        group: {
            name[len(group) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{group}.")
        }
        for group in _GROUPS
    }
    groups |= {name: model.weights for name in numbers.as_model if name in groups}
    best_weights = groups.pop("best")
    return TrainingState(
        step=numbers.step,
        learner=LearnerState(
            updates=numbers.updates,
            loss_scale=numbers.loss_scale,
            scale_growth=numbers.scale_growth,
            **groups,
        ),
        patch_rng=patch_rng,
        augment_rng=augment_rng,
        best=None if highest is None else Best(best_weights, numbers.best_step, highest),
        data=numbers.data,
    )


def step_to_continue(model_path: str | Path) -> int | None:
    """Return the step from which the training of a model file can continue; None if it has no state.

    Neither torch nor the tensors are loaded. ``InputError`` as :func:`load_state`.
    """
    path = state_path(model_path)
    return _read(path, user_path(model_path))[1].step if path.exists() else None


def load_to_continue(path: str | Path) -> tuple[Model, TrainingState | None, str]:
    """Read a model and the state beside it, or a sentence that says why no state can be used.

    A starter has none, which needs no words. ``InputError`` if the model cannot be read.
    """
    if is_starter(path):
        return load_starter(Path(path).stem), None, ""
    model = load_model(path)
    try:
        state = load_state(model, path)
    except InputError as error:
        return model, None, str(error)
    if state is None:
        return model, None, f"There is no training state beside {path}; {_ALONE}."
    return model, state, ""


def _read(path: Path, model_path: Path) -> tuple[bytes, _Numbers]:
    data, record = read_container(path, STATE)
    try:
        numbers: _Numbers = from_plain(_Numbers, record, "state", ignore_unknown=True)
    except (InputError, TypeError) as error:  # TypeError: an entry is missing
        raise InputError(f"{path} is incomplete; {_ALONE}.") from error
    _, model_record = read_container(model_path, MODEL)
    if numbers.model != model_record["sha256"]:
        raise InputError(f"{path} belongs to another model than {model_path.name}; {_ALONE}.")
    return data, numbers


def _generator_state(numbers: _Numbers) -> dict[str, Any]:
    """Return the state of the numpy generator, after numpy has accepted it."""
    state, increment, has_uint32, uinteger = numbers.patch_rng
    generator = np.random.PCG64()
    generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": int(state, 16), "inc": int(increment, 16)},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return dict(generator.state)


def _equal(first: Tensors, second: Tensors) -> bool:
    return first.keys() == second.keys() and all(bool((first[name] == second[name]).all()) for name in first)
