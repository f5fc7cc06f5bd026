"""Scores of the units of a layer, with which of them go first."""

from collections.abc import Hashable, Mapping
from typing import Self, TypeVar

from torch import Tensor

K = TypeVar("K", bound=Hashable)


class LayerScores(dict[K, Tensor]):
    """Scores of the parts of a layer: a dict of (layer, direction) to Tensor.

    Attributes
    ----------
    descending : bool or None
        Whether the highest scores go first; None where the criterion does not say.
    """

    descending: bool | None = None

    @classmethod
    def of(cls, scores: Mapping[K, Tensor], descending: bool | None) -> Self:
        """Return scores that say which go first.

        Parameters
        ----------
        scores : mapping of (layer, direction) to Tensor
            The scores of each part.
        descending : bool or None
            Whether the highest scores go first; None if the criterion does not say.

        Returns
        -------
        LayerScores
        """
        found = cls(scores)
        found.descending = descending
        return found
