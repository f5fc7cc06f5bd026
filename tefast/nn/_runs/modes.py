"""Training or evaluation mode for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put `model` into training or evaluation mode, with or without gradients, then back.

    Every submodule gets its own former flag back: they need not all have been the same.
    """
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        with torch.set_grad_enabled(training):
            yield
    finally:
        for module, flag in before:
            module.training = flag
