"""The optimiser of a training."""

import inspect

import torch


class AdamW(torch.optim.AdamW):
    """AdamW without torch's compiler, which the decorators of these methods import and nothing here uses.

    It took more than half of the time to the first step, and 70 MB.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
