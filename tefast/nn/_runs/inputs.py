"""What modules are given while a model runs, as rows of features without padding."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tefast.nn._trace.kinds import kind_of

Inputs = dict[str, list[Tensor]]
"""What each module was given in turn, features last, by its name and that of its input."""


@contextmanager
def inputs_seen(model: nn.Module, roles: Mapping[str, Sequence[str]]) -> Iterator[Inputs]:
    """Note what modules are given meanwhile.

    Parameters
    ----------
    model : nn.Module
    roles : mapping of the names of modules to those of their inputs
    """
    found: Inputs = {f"{name}.{role}": [] for name, some in roles.items() for role in some}

    def noting(name: str, some: Sequence[str]) -> Any:
        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            kind = kind_of(module)
            assert kind is not None
            given = kind.inputs(module, args, kwargs)
            for role in some:
                found[f"{name}.{role}"].append(_features_last(kind, module, given[role]))

        return note

    with ExitStack() as stack:
        for name, some in roles.items():
            module = model.get_submodule(name)
            hook = module.register_forward_pre_hook(noting(name, some), with_kwargs=True)
            stack.callback(hook.remove)
        yield found


def _features_last(kind: Any, module: nn.Module, given: Any) -> Tensor:
    x = given.data if isinstance(given, PackedSequence) else given
    # A copy: what follows may change it in place.
    found: Tensor = x.detach().movedim(kind.features_axis(module, x.ndim), -1).clone()
    return found


def rows_of(x: Tensor, lengths: Tensor | None, batch_first: bool) -> Tensor:
    """Return the rows (n, features) of an input, sequence by sequence, without its padding.

    Parameters
    ----------
    x : Tensor (..., features)
    lengths : LongTensor (sequences,), optional
        Valid steps. They are looked for in an input that has an axis of as many sequences and
        another one that is long enough for their steps; every row of others counts.
    batch_first : bool
        Which of its first two axes is that of sequences, where both could be.
    """
    if x.ndim < 3:
        return x.reshape(-1, x.shape[-1])
    swapped = not batch_first
    if lengths is not None:
        fits = [_fits(x.shape[i], x.shape[1 - i], lengths) for i in (0, 1)]
        swapped = swapped if fits[0] and fits[1] else not fits[0] and fits[1]
        if any(fits):
            turned = x.transpose(0, 1) if swapped else x
            steps = torch.arange(turned.shape[1], device=x.device)
            return turned[steps < lengths.to(x.device)[:, None]].flatten(0, -2)
    turned = x.transpose(0, 1) if swapped else x
    return turned.reshape(-1, x.shape[-1])


def _fits(sequences: int, steps: int, lengths: Tensor) -> bool:
    return sequences == len(lengths) and steps >= int(lengths.max())
