"""LayerNorm and attention that compute what they did before part of their input was taken away."""

import torch
from torch import Tensor, nn

from tefast.nn._parameters import documented


@documented
class NarrowLayerNorm(nn.Module):
    """A LayerNorm over more features than it gets, of which the others are exactly 0.

    The other features add nothing to the sum, and each of them adds ``mean**2`` to the sum of
    squared deviations. So mean and variance are those over the full width. A missing feature would
    become ``-mean / deviation * weight + bias``. The part that depends on the data, ``-mean /
    deviation``, is one more output, for modules that read the outputs of the missing features.
    (Dropout after the norm drops this output as one, where it would drop the features one by one.)

    Parameters
    ----------
    width : int
        The number of features in the mean and the variance.
    kept : int
        The number of features of the input, at most `width`.
    rest : int
        The place of ``-mean / deviation`` among the outputs, 0..kept.
    eps : float, default 1e-5
        What is added to the variance.
    elementwise_affine : bool, default True
        Whether there are weights and biases.
    bias : bool, default True
        Whether there are biases, if there are weights.
    {device, dtype}

    Raises
    ------
    ValueError
        If `width`, `kept` or `rest` is out of range.
    """

    def __init__(
        self,
        width: int,
        kept: int,
        rest: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= kept <= width or not 0 <= rest <= kept:
            raise ValueError(
                f"expected 1 <= kept <= width and 0 <= rest <= kept, got kept={kept}, "
                f"width={width}, rest={rest}"
            )
        self.width, self.rest, self.eps = width, rest, eps
        self.normalized_shape = (kept,)
        ones = torch.ones(kept, device=device, dtype=dtype)
        self.weight = nn.Parameter(ones) if elementwise_affine else None
        self.bias = nn.Parameter(torch.zeros_like(ones)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Return the kept features (..., kept) normed over the full width, and the rest.

        Parameters
        ----------
        input : Tensor of shape (..., kept)

        Returns
        -------
        Tensor of shape (..., kept + 1)
        """
        mean = input.sum(-1, keepdim=True) / self.width
        centred = input - mean
        missing = self.width - self.normalized_shape[0]
        squares = centred.square().sum(-1, keepdim=True) + missing * mean.square()
        scale = torch.rsqrt(squares / self.width + self.eps)
        output = centred * scale
        if self.weight is not None:
            output = output * self.weight
        if self.bias is not None:
            output = output + self.bias
        return torch.cat(
            [output[..., : self.rest], -mean * scale, output[..., self.rest :]], dim=-1
        )

    def extra_repr(self) -> str:
        """Say the sizes."""
        return f"{self.normalized_shape[0]} of {self.width}, rest={self.rest}, eps={self.eps}"


@documented
class NarrowAttention(nn.Module):
    """``nn.MultiheadAttention`` whose query may be narrower than what it computes.

    It is called in the same way.

    Parameters
    ----------
    embed_dim : int
        The width of the output.
    num_heads : int
        The number of heads, which divides `embed_dim`.
    qdim, kdim, vdim : int
        The numbers of features of query, key and value.
    dropout : float, default 0
        The probability with which an attention weight is dropped in training.
    {bias:module}
    batch_first : bool, default False
        Whether tensors have the shape (N, L, E) in place of (L, N, E).
    {device, dtype}
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        qdim: int,
        kdim: int,
        vdim: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.q_proj = nn.Linear(qdim, embed_dim, bias, device=device, dtype=dtype)
        self.k_proj = nn.Linear(kdim, embed_dim, bias, device=device, dtype=dtype)
        self.v_proj = nn.Linear(vdim, embed_dim, bias, device=device, dtype=dtype)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias, device=device, dtype=dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend like ``nn.MultiheadAttention``.

        Parameters
        ----------
        query : Tensor of shape (L, N, qdim), (N, L, qdim) if batch_first, or (L, qdim)
        key : Tensor of shape (S, N, kdim), (N, S, kdim) if batch_first, or (S, kdim)
        value : Tensor of shape (S, N, vdim), (N, S, vdim) if batch_first, or (S, vdim)
        key_padding_mask : Tensor of shape (N, S) or (S,), optional
            True forbids a key. Floats are added to the scores.
        need_weights : bool, default True
            Whether attention weights are returned.
        attn_mask : Tensor of shape (L, S) or (N * num_heads, L, S), optional
            True forbids a pair. Floats are added to the scores.
        average_attn_weights : bool, default True
            Whether weights are averaged over the heads.
        is_causal : bool, default False
            A hint that `attn_mask` is causal. It needs `attn_mask`.

        Returns
        -------
        output : Tensor, of the shape of `query` with `embed_dim` features
        weights : Tensor of shape (N, L, S), or (N, num_heads, L, S) without an average; or None
            Without N if there are no batches.

        Raises
        ------
        ValueError
            If `is_causal` is given without `attn_mask`.
        """
        if is_causal and attn_mask is None:
            raise ValueError("is_causal is a hint about attn_mask, which was not given")
        batched, swap = query.ndim == 3, query.ndim == 3 and not self.batch_first
        heads = []
        for given, project in ((query, self.q_proj), (key, self.k_proj), (value, self.v_proj)):
            x = project(given.transpose(0, 1) if swap else given)
            x = x if batched else x[None]
            width = x.shape[2] // self.num_heads  # told, since of no step at all it cannot be found
            heads.append(x.view(*x.shape[:2], self.num_heads, width).transpose(1, 2))
        q, k, v = heads
        mask = self._mask(q, attn_mask, key_padding_mask)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.mT * q.shape[-1] ** -0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            weights = nn.functional.dropout(weights, dropout)
            mixed = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        output = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output.transpose(0, 1) if swap else output, weights

    def _mask(self, q: Tensor, attention: Tensor | None, padding: Tensor | None) -> Tensor | None:
        """Return what is added to scores (N, heads, L, S)."""
        masks = []
        if attention is not None:
            added = _additive(attention, q)
            each_head = (-1, self.num_heads, *added.shape[1:])
            masks.append(added.view(each_head) if added.ndim == 3 else added)
        if padding is not None:
            added = _additive(padding, q)
            masks.append((added if added.ndim == 2 else added[None])[:, None, None])
        return sum(masks[1:], masks[0]) if masks else None


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """Return -inf where a boolean mask forbids; other masks are added as they are."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(
        mask, -torch.inf
    )
