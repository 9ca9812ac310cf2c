"""One network on its way: the optimiser step, the running average of its weights, and what guards them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from napari_unet.network.learning.loss import distance_loss, weighted_cross_entropy
from napari_unet.network.learning.optimiser import AdamW
from napari_unet.network.learning.replay import Numbers, Replay
from napari_unet.network.learning.state import LearnerState
from napari_unet.network.learning.tensors import copy_into, move_towards, on_cpu, read_later, upload
from napari_unet.network.unet import UNet, drop_out

_LARGEST_GRADIENT = 1.0
"""Gradients are scaled down to this norm: one odd patch must not undo what the others taught."""

_DECAY = 0.99
"""Largest decay of the weight average per step; see :meth:`Learner._update_average`."""

_ENDS = ("contracting.0.0.", "head.", "distance_head.")
"""The layers that depend on the channels of the images and the classes of the paint."""

_BATCH_NORM = (nn.BatchNorm2d, nn.BatchNorm3d)

_FIRST_SCALE = 1024.0
"""First factor of the loss in float16: a step or two find the right one."""


Snapshot = tuple[list[Tensor], dict[str, Any]]
"""What :meth:`Learner.snapshot` returns."""


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
        self._calibrated_at = 0
        self._pull = 0.0
        self._part_back: float | Tensor = 0.0
        self._part_new: float | Tensor = 1.0
        self._anchor: dict[str, Tensor] = {}
        # Channels last is what the convolutions of CPUs and GPUs are fastest in; torch has it for 2-D images
        # alone.
        self._layout = torch.channels_last if network.config.ndim == 2 else torch.contiguous_format
        # The second `to` is missing in torch's annotations.
        self.network = network.to(device).to(memory_format=self._layout)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network).eval()
        self._norms = [layer for layer in self.average.modules() if isinstance(layer, _BATCH_NORM)]
        self._own = [
            values for module in (self.network, self.average) for values in module.state_dict().values()
        ]
        self._is_new = _ENDS if ends_rate != 1 else ()
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            groups.setdefault(ends_rate if name.startswith(_ENDS) else 1.0, []).append(parameter)
        # Not with float16: its scaler waits for the GPU in every step.
        is_recorded = device.type == "cuda" and precision != torch.float16
        # In one pass over each tensor, or one kernel for all: four times faster on the CPU.
        self._optimiser = AdamW(
            [{"params": group, "share": share} for share, group in groups.items()],
            lr=learning_rate,
            fused=True,
            capturable=is_recorded,
        )
        self._numbers = Numbers(device) if is_recorded else None
        self._work = Replay(device, enabled=is_recorded)
        self._measuring = Replay(device)
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
        meanwhile: Callable[[], None] | None = None,
    ) -> float | None:
        """Teach the network one batch; see :class:`napari_unet.network.augment.Batch`.

        Parameters
        ----------
        image, target, weight, distance : Tensor
            On the device. All but the image are as large as the output of the network. A network without a
            head for the distance leaves it aside.
        rate : float
            Fraction of the peak learning rate.
        meanwhile : callable, optional
            What the processor may do while a GPU computes.

        Returns
        -------
        float or None
            The loss of the classes; None where loss or gradient were not finite, in which case nothing was
            changed.
        """
        self._step += 1
        kept = self._drop_out(len(image))
        read = read_later(
            self._work.run(self._teach, image, target, weight, distance, kept, then=self._update)
        )
        if meanwhile is not None:
            meanwhile()
        self._set_numbers(rate)  # before waiting for the GPU, so that it need not wait
        values = read()
        finite = math.isfinite(sum(values))
        if finite:
            self._work.finish(self._update)
            self.average.n_averaged += 1
        self._scaler.update()
        return values[0] if finite else None

    def _drop_out(self, batch: int) -> Tensor | None:
        """Return what drop-out keeps in this step, on the device."""
        kept = drop_out(self.network.config, batch, torch.Generator().manual_seed(self._seed + self._step))
        return None if kept is None else upload(kept, self.device)

    def _teach(
        self,
        image: Tensor,
        target: Tensor,
        weight: Tensor,
        distance: Tensor | None,
        kept: Tensor | None,
    ) -> Tensor:
        """Compute the gradient of a batch; return loss, loss with that of the distance, and norm, (3,).

        In one tensor: a GPU and the processor wait for each other at every value that is read.
        """
        self.network.train()
        self.network.zero_grad()  # that of the optimiser has such a decorator, too
        logits = self._logits(image, self.network, kept)
        classes = self.network.config.classes
        loss = weighted_cross_entropy(logits[:, :classes], target, weight)
        total = loss
        if self.network.config.distance and distance is not None:
            total = loss + distance_loss(logits[:, classes], distance, weight)
        torch.autograd.backward(self._scaler.scale(total))
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        return torch.stack((loss.detach(), total.detach(), norm))

    def _update(self) -> None:
        """Move the weights along their gradient and back towards the anchor, and their average after them."""
        self._scaler.step(self._optimiser)
        self._pull_back()
        self._update_average()

    def anchor(self, pull: float) -> None:
        """From now on, pull the network back to its present weights, by this part of the way at every step.

        Steady gradients still move it, noise does not (L2-SP of Li, Grandvalet & Davoine 2018, decoupled as
        the weight decay of AdamW is). The first layer and the heads are free where they learn at a rate of
        their own: what they know is from other images.
        """
        self._pull = pull
        self._anchor = {
            name: parameter.detach().clone()
            for name, parameter in self.network.named_parameters()
            if pull and not name.startswith(self._is_new)
        }
        self._work.forget()

    @torch.no_grad()
    def predict(self, image: Tensor) -> Tensor:
        """Return the logits (B, K, …YX) float32 of the averaged network for ``image`` (B, C, …YX)."""
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32):
            logits: Tensor = self.average.module(image)
        return logits[:, : self.network.config.classes].float()

    @torch.no_grad()
    def calibrate(self, images: Sequence[Tensor], *, patience: float = 0.0) -> None:
        """Measure the averaged network's statistics; see :mod:`napari_unet.network.learning.calibration`.

        Parameters
        ----------
        images : sequence of Tensor (B, C, …YX)
        patience : float
            The last measurement holds for so many more steps, as a part of those before it.
        """
        updates = int(self.average.n_averaged)
        if updates <= (1 + patience) * self._calibrated_at or not self._norms:
            return
        self._calibrated_at = updates
        self._measuring.run(self._measure, *images)

    def _measure(self, *images: Tensor) -> None:
        for layer in self._norms:
            layer.reset_running_stats()
            layer.train()
        for seen, batch in enumerate(images):
            for layer in self._norms:
                layer.momentum = 1 / (seen + 1)  # the mean of all that is seen, not a running one
            self._logits(batch, self.average.module)
        self.average.eval()

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights: a state dict, on the device."""
        own = self.average.module.state_dict()
        copies = {name: torch.empty_like(values) for name, values in own.items()}
        copy_into(list(copies.values()), list(own.values()))
        return copies

    def state(self) -> LearnerState:
        """Return a copy of all that further steps depend on; a step must have been made."""
        scaler = self._scaler.state_dict()
        moments = {
            name: self._optimiser.state[parameter] for name, parameter in self.network.named_parameters()
        }
        return LearnerState(
            updates=int(self.average.n_averaged),
            network=on_cpu(self.network.state_dict()),
            average=on_cpu(self.average.module.state_dict()),
            first_moment=on_cpu({name: moment["exp_avg"] for name, moment in moments.items()}),
            second_moment=on_cpu({name: moment["exp_avg_sq"] for name, moment in moments.items()}),
            anchor=on_cpu(self._anchor),
            loss_scale=float(scaler.get("scale", _FIRST_SCALE)),
            scale_growth=int(scaler.get("_growth_tracker", 0)),
        )

    def load(self, state: LearnerState, step: int) -> None:
        """Go on from ``state``, which fits the network, after ``step`` steps, as if there was no stop."""
        self._step = step
        self.network.load_state_dict(state.network)
        self.average.module.load_state_dict(state.average)
        self.average.n_averaged.fill_(state.updates)
        self._calibrated_at = 0
        for name, anchor in self._anchor.items():
            anchor.copy_(state.anchor.get(name, anchor))
        for name, parameter in self.network.named_parameters():
            self._optimiser.state[parameter] = {
                "step": torch.tensor(float(state.updates), device=parameter.device),
                # In the memory layout of the parameter, as the optimiser makes them.
                "exp_avg": torch.zeros_like(parameter).copy_(state.first_moment[name]),
                "exp_avg_sq": torch.zeros_like(parameter).copy_(state.second_moment[name]),
            }
        if self._scaler.is_enabled():
            numbers = {"scale": state.loss_scale, "_growth_tracker": state.scale_growth}
            self._scaler.load_state_dict(self._scaler.state_dict() | numbers)
        self._work.forget()

    @contextmanager
    def using(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Predict with ``weights``, as :meth:`weights` returned them, in place of the average."""
        own = self.weights()
        self.average.module.load_state_dict(weights)
        try:
            yield
        finally:
            self.average.module.load_state_dict(own)

    def snapshot(self, earlier: Snapshot | None = None) -> Snapshot:
        """Return a copy of all that steps change, on the device; an ``earlier`` one may be overwritten."""
        tensors = self._tensors()
        copies = [] if earlier is None else earlier[0]
        if len(copies) != len(tensors):
            copies = [torch.empty_like(tensor) for tensor in tensors]
        copy_into(copies, tensors)
        return copies, self._scaler.state_dict()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to what :meth:`snapshot` returned."""
        copies, scaler = snapshot
        if len(copies) < len(self._tensors()):  # taken before the first step
            self._optimiser.state.clear()
            self._work.forget()
        copy_into(self._tensors(), copies)
        self._scaler.load_state_dict(scaler)
        self._calibrated_at = 0

    def slow_down(self) -> None:
        """Halve the peak learning rate, and the pull with it."""
        self._learning_rate /= 2
        self._pull /= 2

    def _tensors(self) -> list[Tensor]:
        """Return all that steps change except the scaler; an optimiser has no state before the first."""
        moments = [self._optimiser.state.get(parameter, {}) for parameter in self.network.parameters()]
        return [*self._own, *(value for moment in moments for value in moment.values())]

    def _logits(self, image: Tensor, network: nn.Module, kept: Tensor | None = None) -> Tensor:
        image = image.contiguous(memory_format=self._layout)
        enabled = self.precision != torch.float32
        # A recorded step must not use weights that an earlier one has cast.
        with torch.autocast(self.device.type, dtype=self.precision, enabled=enabled, cache_enabled=False):
            logits: Tensor = network(image, kept)
        return logits

    def _set_numbers(self, rate: float) -> None:
        """Set what differs between updates; see :meth:`_update_average` for the share."""
        count = int(self.average.n_averaged)
        share = 1.0 if count == 0 else 1 - min(_DECAY, (1 + count) / (10 + count))
        groups = self._optimiser.param_groups
        rates = [rate * self._learning_rate * group["share"] for group in groups]
        values = [rate * self._pull, share, *rates]
        numbers: Sequence[Any] = values if self._numbers is None else self._numbers.hold(values)
        self._part_back, self._part_new, *rates = numbers
        for group, group_rate in zip(groups, rates, strict=True):
            group["lr"] = group_rate

    @torch.no_grad()
    def _pull_back(self) -> None:
        if self._anchor:
            parameters = dict(self.network.named_parameters())
            move_towards(
                [parameters[name] for name in self._anchor], list(self._anchor.values()), self._part_back
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average of every weight towards its value.

        The decay grows as (1 + n) / (10 + n) after n steps, up to its final value: early averages forget the
        random start quickly, so that a training stopped after a minute is good, too.

        ``update_parameters`` would sort all tensors at every step, and make a GPU wait for it.
        """
        averages: list[Tensor] = list(self.average.module.parameters())
        move_towards(averages, list(self.network.parameters()), self._part_new)
