"""What pruning in steps removes by its end, and how much of that each step removes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from tefast.nn._layers.stack import Part
from tefast.nn.budget import BUDGETS, Budget
from tefast.nn.choice import Choice, count_of

Key: TypeAlias = tuple[str, Part]
"""A layer by its name, and one of its directions."""
Pace: TypeAlias = Literal["linear", "geometric", "cubic"]

PACES: dict[str, Callable[..., float]] = {
    "linear": lambda gone, done: gone * done,
    "geometric": lambda gone, done: 1.0 - (1.0 - gone) ** done,
    "cubic": lambda gone, done: gone * (1.0 - (1.0 - done) ** 3),
}
"""What of a fraction that is gone in the end is gone when a fraction of the steps is done."""


@dataclass(frozen=True)
class Target:
    """What is to be gone after the last step; fields are arguments of `prune_in_steps`."""

    way: str
    limit: Any
    descending: bool
    scope: Literal["each", "all"]
    round_to: int
    keep: float | None
    equal: bool
    consumers: Any
    example: Any
    pruning: Mapping[str, Any] | None
    pace: Pace

    def cost(self, model: nn.Module) -> int:
        """Return what a model costs of what has a budget; 0 without one."""
        if self.way not in BUDGETS:
            return 0
        return self._budget(model, self.limit).cost(model)

    def select(
        self,
        model: nn.Module,
        scores: Mapping[Key, Tensor],
        original: Mapping[Key, int],
        whole: int,
        done: float,
    ) -> dict[Key, Tensor]:
        """Return the units that go in a step.

        Parameters
        ----------
        model : nn.Module
            As the step before left it.
        scores, original
            Of the units that are left, and how many there were.
        whole : int
            What the first model cost.
        done : float
            The fraction of the steps that are done after this one.
        """
        due = partial(PACES[self.pace], done=done)
        threshold = self.way in ("above", "below")
        choice = Choice(
            scores, self.way == "above" if threshold else self.descending, self.scope,
            self.round_to, self.keep, threshold=threshold, equal=self.equal, before=original,
        )  # fmt: skip
        if threshold:
            chosen = choice.beyond(self.limit)
        elif self.way in BUDGETS:
            number = isinstance(self.limit, int)
            gone = due(max(0.0, 1.0 - (self.limit / whole if number else self.limit)))
            limit = max(1, int((1.0 - gone) * whole + 1e-6))
            chosen = self._budget(model, limit).within(choice.level, choice.levels)
        elif self.scope == "all":
            chosen = choice.of_all(
                self._more(due, sum(original.values()), sum(map(len, scores.values())))
            )
        else:
            chosen = choice.each(
                {key: self._more(due, original[key], len(one)) for key, one in scores.items()}
            )
        choice.warn_of_ties(chosen)
        return chosen

    def _budget(self, model: nn.Module, limit: Any) -> Budget:
        return Budget(self.way, limit, model, None, self.consumers, self.example, self.pruning)

    def _more(self, due: Callable[[float], float], before: int, left: int) -> int:
        """How many more of `before` units, of which some are `left`, are to go in a step."""
        number = isinstance(self.limit, int)
        gone = due(count_of(self.limit, before) / before if number else self.limit)
        return max(0, int(gone * before + 0.5 + 1e-9) - (before - left))
