"""Attention, which reads units as query, key and value."""

from typing import Any

from torch import Tensor, nn

from tefast.nn._layers.narrow import NarrowAttention
from tefast.nn._layers.recurrent import check_plain
from tefast.nn._trace.consumers import Columns, Reading
from tefast.nn._trace.kinds import ReaderKind
from tefast.nn._trace.readers.columns import cut_linear
from tefast.nn._trace.reading import Reader

Readings = dict[str, Reading]


class AttentionKind(ReaderKind):
    classes: tuple[type[nn.Module], ...] = (nn.MultiheadAttention,)

    def check(self, module: Any) -> None:
        if module.bias_k is not None or module.add_zero_attn:
            raise ValueError("expected add_bias_kv=False and add_zero_attn=False")
        names = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight"]
        names += ["in_proj_bias"]
        check_plain(module, [n for n in names if getattr(module, n) is not None])

    def narrow(self, module: Any, readings: Any, kept: Tensor) -> nn.Module:
        return _attention(module, readings, kept)

    def inputs(self, module: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        return {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}

    def columns(self, module: Any, role: str) -> list[Columns]:
        return [Columns(*_projections(module)[role])]

    def follow(self, reader: Reader, module: Any, args: Any, kwargs: Any, result: Any) -> None:
        inputs = self.inputs(module, args, kwargs)
        roles = {"query", "key", "value"}
        if any(
            reader.flow.of(one) is not None for role, one in inputs.items() if role not in roles
        ):
            reader.refuse("a mask made of them")
        found = {r: reader.reading(inputs[r]) for r in sorted(roles) if reader.flow.of(inputs[r])}
        reader.note_any(module, found)


class NarrowAttentionKind(AttentionKind):
    classes = (NarrowAttention,)
    arguments = (
        "embed_dim", "num_heads", "qdim", "kdim", "vdim", "dropout", "bias", "batch_first",
    )  # fmt: skip
    smallest = (1, 1, 1, 1, 1)

    def check(self, module: Any) -> None:
        """Find nothing wrong: all of its parameters are in modules of its own."""

    def argument(self, module: Any, name: str) -> Any:
        if name == "bias":
            return module.out_proj.bias is not None
        if name in ("qdim", "kdim", "vdim"):
            return getattr(module, f"{name[0]}_proj").in_features
        return getattr(module, name)


def _attention(
    module: nn.MultiheadAttention | NarrowAttention, readings: Readings, kept: Tensor
) -> NarrowAttention:
    dims, projections = {}, {}
    for role, (weight, bias) in _projections(module).items():
        projections[role[0] + "_proj"] = cut_linear(weight, bias, readings.get(role), kept)
        dims[role[0] + "dim"] = projections[role[0] + "_proj"].in_features
    biased = module.out_proj.bias is not None
    twin = NarrowAttention(
        module.embed_dim,
        module.num_heads,
        dims["qdim"],
        dims["kdim"],
        dims["vdim"],
        dropout=module.dropout,
        bias=biased,
        batch_first=module.batch_first,
        device="meta",
    )
    for name, linear in projections.items():
        setattr(twin, name, linear)
    twin.out_proj = cut_linear(module.out_proj.weight, module.out_proj.bias, None, kept)
    return twin


def _projections(
    module: nn.MultiheadAttention | NarrowAttention,
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return weight and bias of query, key and value."""
    if isinstance(module, NarrowAttention):
        three = (module.q_proj, module.k_proj, module.v_proj)
        return {
            role: (linear.weight, linear.bias)
            for role, linear in zip(("query", "key", "value"), three, strict=True)
        }
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for number, role in enumerate(("query", "key", "value")):
        rows = slice(number * module.embed_dim, (number + 1) * module.embed_dim)
        packed = module.in_proj_weight
        origin = getattr(module, f"{role[0]}_proj_weight") if packed is None else packed
        part = origin if packed is None else origin[rows]
        bias = module.in_proj_bias
        # requires_grad is what is taken over from them, and a detached part would not say it.
        found[role] = (
            part.detach().requires_grad_(origin.requires_grad),
            None if bias is None else bias.detach()[rows].requires_grad_(bias.requires_grad),
        )
    return found


KINDS = (AttentionKind(), NarrowAttentionKind())
