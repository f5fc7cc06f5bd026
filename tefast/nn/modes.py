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


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Give `model` back what a forward pass changes: buffers, and attributes of its modules.

    A model may count its calls, or keep a state from one to the next.
    """
    modules = [(module, dict(vars(module)), dict(module._buffers)) for module in model.modules()]
    values = {id(b): (b, b.detach().clone()) for b in model.buffers()}
    try:
        yield
    finally:
        for module, attributes, buffers in modules:
            vars(module).clear()
            vars(module).update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)
        with torch.no_grad():
            for buffer, value in values.values():
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
