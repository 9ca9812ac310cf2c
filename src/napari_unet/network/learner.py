"""One network on its way: the optimiser step, the running average of its weights, and what guards them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from napari_unet.network.loss import distance_loss, weighted_cross_entropy
from napari_unet.network.state import LearnerState
from napari_unet.network.unet import UNet

_LARGEST_GRADIENT = 1.0
"""Gradients are scaled down to this norm: one odd patch must not undo what the others taught."""

_DECAY = 0.99
"""Largest decay of the weight average per step; see :meth:`Learner._update_average`."""

_ENDS = ("contracting.0.0.", "head.", "distance_head.")
"""What of a network meets the channels of the images and the classes of the paint."""

_BATCH_NORM = (nn.BatchNorm2d, nn.BatchNorm3d)

_FIRST_SCALE = 1024.0
"""Factor of the loss in float16 at first: a step or two find the right one."""


class Learner:
    """A U-Net in training.

    Parameters
    ----------
    network : UNet
        Moved to ``device``, in place.
    device : torch.device
    precision : torch.dtype
        Of the convolutions; weights, loss and optimiser are float32.
    learning_rate : float
        Peak rate of AdamW.
    seed : int
        Seeds drop-out.
    ends_rate : float
        The rate of the first layer and of the heads, as a multiple of that of all others.
    """

    def __init__(
        self,
        network: UNet,
        *,
        device: torch.device,
        precision: torch.dtype,
        learning_rate: float,
        seed: int,
        ends_rate: float = 1.0,
    ) -> None:
        self.device = device
        self.precision = precision
        self._seed = seed
        self._step = 0
        self._learning_rate = learning_rate
        self._settled = 0
        self._pull = 0.0
        self._anchor: dict[str, Tensor] = {}
        # Channels last is what the convolutions of CPUs and GPUs are fastest in; torch has it for 2-D images
        # alone.
        layout = torch.channels_last if network.config.ndim == 2 else torch.contiguous_format
        # The second `to` is an overload that torch's own annotations leave out.
        self.network = network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network).eval()
        for layer in self.average.modules():
            if isinstance(layer, _BATCH_NORM):
                layer.momentum = None  # the mean of all that is seen, not a running one
        self._is_new = _ENDS if ends_rate != 1 else ()
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            groups.setdefault(ends_rate if name.startswith(_ENDS) else 1.0, []).append(parameter)
        # In one pass over each tensor, or one kernel for all: four times faster on the CPU.
        self._optimiser = torch.optim.AdamW(
            [{"params": group, "share": share} for share, group in groups.items()],
            lr=learning_rate,
            fused=True,
        )
        # Scaling keeps small float16 gradients from becoming 0; every other precision reaches far enough.
        self._scaler = torch.amp.GradScaler(
            device.type, init_scale=_FIRST_SCALE, enabled=precision == torch.float16
        )

    def step(
        self,
        image: Tensor,
        target: Tensor,
        weight: Tensor,
        distance: Tensor | None = None,
        *,
        rate: float = 1.0,
    ) -> float | None:
        """Teach the network one batch; see :class:`napari_unet.network.augment.Batch`.

        Parameters
        ----------
        image, target, weight, distance : Tensor
            On the device. All but the image are as large as the output of the network. A network without a
            head for the distance leaves it aside.
        rate : float
            Fraction of the peak learning rate.

        Returns
        -------
        float or None
            The loss of the classes; None where loss or gradient were not finite, in which case nothing was
            changed.
        """
        self._step += 1
        self.network.train()
        self._optimiser.zero_grad(set_to_none=True)
        with self._seeded():
            logits = self._logits(image, self.network)
        classes = self.network.config.classes
        loss = weighted_cross_entropy(logits[:, :classes], target, weight)
        total = loss
        if self.network.config.distance and distance is not None:
            total = loss + distance_loss(logits[:, classes], distance, weight)
        torch.autograd.backward(self._scaler.scale(total))
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        # Read together: a GPU and the processor wait for each other at every value that is read.
        values = torch.stack((loss.detach(), total.detach(), norm)).tolist()
        finite = math.isfinite(sum(values))
        if finite:
            for group in self._optimiser.param_groups:
                group["lr"] = rate * self._learning_rate * group["share"]
            self._scaler.step(self._optimiser)
            self._pull_back(rate)
            self._update_average()
        self._scaler.update()
        return values[0] if finite else None

    def hold(self, pull: float) -> None:
        """From now on, pull the network back to the weights it has: by this part of the way at every step.

        Where the paint teaches steadily it goes its way all the same, and stays where the gradients are noise
        (L2-SP of Li, Grandvalet & Davoine 2018, decoupled as the weight decay of AdamW is). The first layer
        and the heads are free where they learn at a rate of their own: what they know is of other images.
        """
        self._pull = pull
        self._anchor = (
            {
                name: parameter.detach().clone()
                for name, parameter in self.network.named_parameters()
                if not name.startswith(self._is_new)
            }
            if pull
            else {}
        )

    @torch.no_grad()
    def predict(self, image: Tensor) -> Tensor:
        """Return the logits (B, K, …YX) float32 of the averaged network for ``image`` (B, C, …YX)."""
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32):
            logits: Tensor = self.average.module(image)
        return logits[:, : self.network.config.classes].float()

    @torch.no_grad()
    def settle(self, images: Sequence[Tensor], *, patience: float = 0.0) -> None:
        """Measure what normalises the averaged network, see :mod:`napari_unet.network.calibration`.

        Parameters
        ----------
        images : sequence of Tensor (B, C, …YX)
        patience : float
            What was measured last may do for so many more steps, as a part of those before it.
        """
        updates = int(self.average.n_averaged)
        if updates <= (1 + patience) * self._settled:
            return
        self._settled = updates
        network = self.average.module
        layers = [layer for layer in network.modules() if isinstance(layer, _BATCH_NORM)]
        for layer in layers:
            layer.reset_running_stats()
            layer.train()
        for batch in images if layers else ():
            self._logits(batch, network)
        network.eval()

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights: a state dict on the CPU."""
        return _copies(self.average.module.state_dict())

    def state(self) -> LearnerState:
        """Return a copy of all that further steps depend on; a step must have been made."""
        scaler = self._scaler.state_dict()
        moments = {
            name: self._optimiser.state[parameter] for name, parameter in self.network.named_parameters()
        }
        return LearnerState(
            updates=int(self.average.n_averaged),
            network=_copies(self.network.state_dict()),
            average=self.weights(),
            first_moment=_copies({name: moment["exp_avg"] for name, moment in moments.items()}),
            second_moment=_copies({name: moment["exp_avg_sq"] for name, moment in moments.items()}),
            anchor=_copies(self._anchor),
            loss_scale=float(scaler.get("scale", _FIRST_SCALE)),
            scale_growth=int(scaler.get("_growth_tracker", 0)),
        )

    def load(self, state: LearnerState, step: int) -> None:
        """Go on from ``state``, which fits the network, after ``step`` steps, as if there was no stop."""
        self._step = step
        self.network.load_state_dict(state.network)
        self.average.module.load_state_dict(state.average)
        self.average.n_averaged.fill_(state.updates)
        self._settled = 0
        for name, anchor in self._anchor.items():
            anchor.copy_(state.anchor.get(name, anchor))
        for name, parameter in self.network.named_parameters():
            self._optimiser.state[parameter] = {
                "step": torch.tensor(float(state.updates)),
                # In the memory layout of the parameter, as the optimiser makes them.
                "exp_avg": torch.zeros_like(parameter).copy_(state.first_moment[name]),
                "exp_avg_sq": torch.zeros_like(parameter).copy_(state.second_moment[name]),
            }
        if self._scaler.is_enabled():
            numbers = {"scale": state.loss_scale, "_growth_tracker": state.scale_growth}
            self._scaler.load_state_dict(self._scaler.state_dict() | numbers)

    @contextmanager
    def wearing(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Predict with ``weights``, as :meth:`weights` returned them, in place of the average."""
        own = self.weights()
        self.average.module.load_state_dict(weights)
        try:
            yield
        finally:
            self.average.module.load_state_dict(own)

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of all that steps change, on the device."""
        return deepcopy({name: part.state_dict() for name, part in self._parts().items()})

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to what :meth:`snapshot` returned."""
        for name, part in self._parts().items():
            # Copied again: the optimiser goes on with the very tensors it is given.
            part.load_state_dict(deepcopy(snapshot[name]))
        self._settled = 0

    def slow_down(self) -> None:
        """Halve the peak learning rate, and the pull with it."""
        self._learning_rate /= 2
        self._pull /= 2

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "average": self.average,
            "optimiser": self._optimiser,
            "scaler": self._scaler,
        }

    def _logits(self, image: Tensor, network: nn.Module) -> Tensor:
        layout = torch.channels_last if image.ndim == 4 else torch.contiguous_format
        image = image.contiguous(memory_format=layout)
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32):
            logits: Tensor = network(image)
        return logits

    @torch.no_grad()
    def _pull_back(self, rate: float) -> None:
        if self._anchor:
            parameters = dict(self.network.named_parameters())
            held = [parameters[name] for name in self._anchor]
            torch._foreach_lerp_(held, list(self._anchor.values()), rate * self._pull)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average of every weight towards its value.

        The decay grows as (1 + n) / (10 + n) after n steps, up to its final value: early averages forget the
        random start quickly, so that a training stopped after a minute is a good one, too.

        Not by ``update_parameters``, which sorts all tensors anew at every step, and makes a GPU wait for it.
        """
        count = int(self.average.n_averaged)
        share = 1.0 if count == 0 else 1 - min(_DECAY, (1 + count) / (10 + count))
        averages: list[Tensor] = list(self.average.module.parameters())
        torch._foreach_lerp_(averages, list(self.network.parameters()), share)
        self.average.n_averaged += 1

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Give drop-out, which knows only torch's global generator, numbers of its own on the CPU.

        GPU kernels are not deterministic to the last bit anyway.
        """
        if self.network.config.dropout == 0 or self.device.type != "cpu":
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._seed + self._step)
            yield


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        # clone as well: on the CPU, neither of the others copies.
        name: value.detach().to("cpu").contiguous().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
