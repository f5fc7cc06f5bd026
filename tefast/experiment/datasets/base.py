"""What is known of a data set: how its samples are found, grouped, split, read and reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tefast.experiment.config import Config

PAPERS_DATA = "The paper uses filmed human actions, HMDB-51 (51 classes) and UCF101 (101 classes)."
"""The end of the caveat of a data set that is not one of these."""

REGISTRY: dict[str, type[Dataset[Any]]] = {}
"""The classes of all data sets, by name."""

Progress = Callable[[int, int], None]
"""Told how many are done, and of how many."""

Maker = Callable[[Path, Progress], None]
"""Makes the samples of a data set that are not yet in a folder."""


class DatasetError(ValueError):
    """A folder that does not hold the clips, or the lists, that it should."""


@dataclass(frozen=True)
class Sample:
    """One sample: a sequence that has a class.

    Attributes
    ----------
    name : str
        As the lists of official splits name it; text that any file can hold.
    label : int
        Index of its class.
    group : str or None
        What it shares with other samples, such as the video that clips were cut from; unique
        within its class. None: unknown.
    """

    name: str
    label: int
    group: str | None


AnySample = TypeVar("AnySample", bound=Sample, covariant=True)
ReadSample = TypeVar("ReadSample", bound=Sample, contravariant=True)


@dataclass(frozen=True)
class Found(Generic[AnySample]):
    """Samples in the order of their names, and the classes in that of theirs.

    Attributes
    ----------
    name : str
        Of the data set.
    root : Path
        Where they lie.
    classes : tuple of str
    clips : tuple of Sample
    grouped : bool
        Whether it is known what samples share; if not, each is a group by itself.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    clips: tuple[AnySample, ...]
    grouped: bool = True


@dataclass(frozen=True)
class ClipProblem:
    """A sample that is "short" or "damaged", of which a part was used, or "unreadable"."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Features:
    """What the networks get of every sample.

    Attributes
    ----------
    values : ndarray of float32, shape (N, T, D)
        0 for an unreadable sample.
    usable : ndarray of bool, shape (N,)
    problems : list of ClipProblem
    lengths : ndarray of int64, shape (N,), or None
        Valid steps of each sample; None: all are.
    extraction : dict
        What it cost to compute them, as the summary has it; empty: they were there.
    """

    values: npt.NDArray[np.float32]
    usable: npt.NDArray[np.bool_]
    problems: list[ClipProblem]
    lengths: npt.NDArray[np.int64] | None = None
    extraction: dict[str, Any] = field(default_factory=dict)


class Reader(Protocol[ReadSample]):
    """Turns samples into sequences of features."""

    @property
    def described(self) -> str:
        """Where the features come from, as the summary has it under ``backbone``."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that are read beside the samples. They may not lie where a run writes."""

    def read(self, found: Found[ReadSample], *, cache_dir: Path, progress: Progress) -> Features:
        """The features of all samples, in their order.

        Parameters
        ----------
        cache_dir : Path
            For what takes long to compute, and is kept from one run to the next.
        progress : callable

        Raises
        ------
        DatasetError
            If no sample can be read.
        """


class PaperFigure(NamedTuple):
    """Accuracies that the paper reports, in percent.

    They are those before removal and after removing the fraction `removed` of the units by
    transfer entropy in descending order. The regulariser is named as in the study.
    """

    what: str
    regularizer: str
    before: float
    after: float
    removed: float


class Dataset(ABC, Generic[AnySample]):
    """One data set of the study. A subclass that has a name is one; others hold what several share.

    Attributes
    ----------
    name : str
        As --dataset takes it.
    place : int
        Users see the names in this order; those of the same place by the alphabet.
    needs_root : bool
        Whether the user says by --data-root where it lies.
    needs_data : bool
        Whether the user names a file by --data.
    settings : mapping
        Settings that suit it. A preset that sets one of them otherwise than the default one, and
        what the user sets, win over it.
    groups_span_classes : bool
        Whether samples of several classes can be of one group, such as a person. If not, the groups
        of each class are its own.
    own_settings : tuple of str
        Settings that mean nothing to data sets that do not name them too.
    samples, steps, shared_by_group : str
        What the report calls its samples, the steps of one, and what a group has in common.
    paper : tuple of PaperFigure
        What the paper reports on it.
    """

    name: str
    place: ClassVar[int] = 100
    needs_root: ClassVar[bool] = True
    needs_data: ClassVar[bool] = False
    settings: Mapping[str, Any] = MappingProxyType({})
    groups_span_classes: ClassVar[bool] = False
    own_settings: ClassVar[tuple[str, ...]] = ()
    samples: ClassVar[str] = "sequences"
    steps: ClassVar[str] = "steps"
    shared_by_group: ClassVar[str] = "their origin"
    paper: ClassVar[tuple[PaperFigure, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            return
        if cls.name in REGISTRY:
            raise ValueError(
                f"the name {cls.name!r} of a data set is taken by {REGISTRY[cls.name].__module__}"
            )
        REGISTRY[cls.name] = cls

    @abstractmethod
    def find(self, root: Path) -> Found[AnySample]:
        """Find the samples.

        Parameters
        ----------
        root : Path
            The folder that the user names, or one in the output folder.

        Raises
        ------
        DatasetError
            If they are not there.
        """

    @abstractmethod
    def reader(self, config: Config) -> Reader[AnySample]:
        """What reads the samples; raises ValueError if it cannot with these settings.

        It is made before a run writes anything.
        """

    def where(self, config: Config) -> Path | None:
        """The folder or file that the user names; None: none, or a folder in the output folder."""
        return Path(config.data_root) if config.data_root is not None else None

    def maker(self, config: Config) -> Maker | None:
        """What makes the samples; None if they are there already.

        It raises ValueError for settings with which they cannot be made.
        """
        return None

    def official(self, found: Found[Any], number: int, root: Path) -> Iterable[tuple[str, bool]]:
        """The data set's own split of a number: names of samples, and whether each is for the test.

        Parameters
        ----------
        found : Found
        number : int
            From 1 on.
        root : Path
            As `find` gets it.

        Raises
        ------
        DatasetError
            If there is no such split, or its lists cannot be read.
        """
        raise DatasetError(f"{self.name} has no official splits; --split takes random or group")

    def features(self, described: str) -> str:
        """Where the features come from, in the report's words.

        Parameters
        ----------
        described : str
            What the reader says of it.
        """
        return described

    def caveats(self, summary: dict[str, Any]) -> list[str]:
        """What makes results on these samples not comparable with the paper's, one sentence each.

        Parameters
        ----------
        summary : dict
            As `tefast.experiment.summary.build_summary` makes it.
        """
        return []
