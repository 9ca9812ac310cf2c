"""Tensors on their way to a GPU and back, and many of them at once: with as little waiting as can be."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Return ``values`` on the device, without waiting for a GPU."""
    if device.type != "cuda" or not values.numel():
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def read_later(values: Tensor) -> Callable[[], list[float]]:
    """Return a function that waits for ``values``, and nothing computed after them, and returns them."""
    if values.device.type != "cuda":
        return values.tolist
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
    is_there = torch.cuda.Event()  # type: ignore[no-untyped-call]
    is_there.record(torch.cuda.current_stream(values.device))

    def read() -> list[float]:
        is_there.synchronize()
        numbers: list[float] = copy.tolist()
        return numbers

    return read


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors on the CPU, each a contiguous one of its own."""
    kinds = {value.dtype for value in tensors.values() if value.device.type != "cpu"}
    for kind in kinds:  # in one copy from the device, which waits for each
        names = [name for name, value in tensors.items() if value.dtype == kind]
        packed = torch.cat([tensors[name].detach().reshape(-1) for name in names]).to("cpu")
        parts = torch.split(packed, [tensors[name].numel() for name in names])
        shapes = [tensors[name].shape for name in names]
        there = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        tensors = {**tensors, **there}
    return {
        name: value.detach().contiguous().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


@torch.no_grad()
def copy_into(into: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy tensors into others of their kind, many at once."""
    kinds: dict[object, tuple[list[Tensor], list[Tensor]]] = {}
    for one, value in zip(into, values, strict=True):
        ones, its = kinds.setdefault((one.device, one.dtype), ([], []))
        ones.append(one)
        its.append(value)
    for ones, its in kinds.values():
        torch._foreach_copy_(ones, its)


def move_towards(tensors: list[Tensor], towards: list[Tensor], part: float | Tensor) -> None:
    """Move tensors by a part of the way, in place."""
    if isinstance(part, Tensor):
        way = torch._foreach_sub(towards, tensors)
        torch._foreach_mul_(way, part)
        torch._foreach_add_(tensors, way)
    else:
        torch._foreach_lerp_(tensors, towards, part)
