"""Work of a GPU that is recorded once and then replayed with one launch, in place of hundreds."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from napari_unet.network.learning.tensors import upload

_log = logging.getLogger(__name__)

_DEVICES = ("cuda",)
_FIRST_CALLS = 3
"""Calls that are computed as usual before one is recorded: libraries set themselves up in the first.

With a second part, only calls that reached it count: what it creates at first, such as the moments of an
optimiser, would be created again with every replay.
"""


class Replay:
    """Has a GPU repeat a function of tensors by itself: a CUDA graph.

    The processor takes milliseconds to launch the hundreds of small computations of a step, longer than a
    fast GPU takes to run them. They are recorded with the addresses of all tensors, and repeated there. So
    whatever the function uses beside its inputs must stay in place, or :meth:`forget` be called; nothing in
    it may wait for the GPU or draw random numbers there; and the next call overwrites what it returned.

    Where nothing can be recorded, everything is computed as usual, and the log says so.

    Parameters
    ----------
    device : torch.device
    enabled : bool
        Whether to record anything.
    """

    def __init__(self, device: torch.device, *, enabled: bool = True) -> None:
        self._device = device
        self._enabled = enabled and device.type in _DEVICES
        self.forget()

    def forget(self) -> None:
        """Record anew: a tensor that was used is somewhere else now."""
        self._graph: Any = None
        self._second: Any = None
        self._inputs: tuple[Tensor | None, ...] = ()
        self._outputs: Any = None
        self._shapes: object = None
        self._calls = 0

    def run(
        self,
        function: Callable[..., Any],
        *inputs: Tensor | None,
        then: Callable[[], None] | None = None,
    ) -> Any:
        """Return what the function gives for these inputs, for now.

        Parameters
        ----------
        function : callable
            Always the same one; what it returns is or holds tensors.
        *inputs : Tensor or None
        then : callable, optional
            What :meth:`finish` will do afterwards.
        """
        if not self._enabled:
            return function(*inputs)
        shapes = [None if given is None else (given.shape, given.dtype) for given in inputs]
        if shapes != self._shapes:
            self.forget()
            self._shapes = shapes
        if self._graph is None and self._calls >= _FIRST_CALLS:
            self._record(function, inputs, then)
        if self._graph is None:
            self._calls += then is None
            return function(*inputs)
        for kept, given in zip(self._inputs, inputs, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        self._graph.replay()
        return self._outputs

    def finish(self, then: Callable[[], None]) -> None:
        """Do ``then``, which was given to :meth:`run`."""
        if self._second is not None:
            self._second.replay()
        else:
            self._calls += 1
            then()

    def _record(
        self,
        function: Callable[..., Any],
        inputs: tuple[Tensor | None, ...],
        then: Callable[[], None] | None,
    ) -> None:
        kept = tuple(None if given is None else given.clone() for given in inputs)
        try:
            graph, outputs = self._recorded(lambda: function(*kept))
            second, _ = (None, None) if then is None else self._recorded(then)
        except RuntimeError as error:  # also where memory does not suffice
            _log.warning("The GPU cannot repeat its work by itself, so training is slower: %s", error)
            self.forget()
            self._enabled = False
        else:
            self._graph, self._second = graph, second
            self._inputs, self._outputs = kept, outputs

    def _recorded(self, function: Callable[[], Any]) -> tuple[Any, Any]:
        """Return a recording of what the function does, and what it returned; nothing is computed yet."""
        # Not by torch.cuda.graph: recordings that fail leave torch's generator and memory unusable there.
        graph, memory = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        with torch.cuda.device(self._device):
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # a recording has memory of its own
            with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
                _begin(graph, memory)
                try:
                    outputs = function()
                finally:
                    _end(graph, memory)
        return graph, outputs


def _begin(graph: Any, memory: Any) -> None:
    """Record what this thread does on its stream; other threads use the GPU meanwhile, on others.

    Until version 2.12, torch lends its generator to the recording alone, and for good if that fails. So it is
    given another one. Only a random number that another thread draws in the microseconds in which a recording
    begins still fails.
    """
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    own = generator.graphsafe_get_state()
    generator.graphsafe_set_state(torch.Generator("cuda"))
    try:
        graph.capture_begin(pool=memory, capture_error_mode="thread_local")
    finally:
        generator.graphsafe_set_state(own)


def _end(graph: Any, memory: Any) -> None:
    """End a recording; one that fails must release its memory."""
    try:
        graph.capture_end()
    except RuntimeError:
        private: Any = torch._C
        before_2_8 = "_cuda_endAllocateCurrentStreamToPool"
        give_back = getattr(private, "_cuda_endAllocateToPool", None) or getattr(private, before_2_8)
        with suppress(RuntimeError):  # where torch has done so before it failed
            give_back(torch.cuda.current_device(), memory)
            private._cuda_releasePool(torch.cuda.current_device(), memory)
        raise


class Numbers:
    """A few numbers that a GPU finds at the same place every time, see :class:`Replay`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._values: list[float] = []
        self._tensor = torch.empty(0, device=device)

    def hold(self, values: list[float]) -> tuple[Tensor, ...]:
        """Return ``values``, as many as before, each as a tensor of its own that will hold the next one."""
        if len(values) != len(self._values):
            self._tensor = torch.empty(len(values), device=self._device)
        if values != self._values:
            self._values = values
            self._tensor.copy_(upload(torch.tensor(values), self._device))
        return self._tensor.unbind()
