"""The base of resources: immutable data that an effect loads beside its values, of the type that its card names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt


class Resource(ABC):
    """The base of impulse responses and networks: kept as it is, shared by copies, saved beside the patch."""

    type: ClassVar[str]
    source: str
    sample_rate: float | None

    @classmethod
    @abstractmethod
    def of(cls, given: object) -> Self:
        """From a value that a user may give, such as a path.

        Raises:
            TypeError, ValueError, OSError: of another kind, or broken.
        """

    @abstractmethod
    def check(self, address: str, sample_rate: float, channels: int | None) -> None:
        """Refuse what does not fit a rack of this format (channels: None where they are not known yet).

        Raises:
            ValueError: names the effect and the fix.
        """

    @abstractmethod
    def at(self, sample_rate: float) -> npt.NDArray[np.float32]:
        """The numbers that may be trained, as a rack of this sample rate uses them."""

    @abstractmethod
    def learned(self, numbers: npt.NDArray[np.float32], sample_rate: float) -> Self:
        """The same with other numbers, as `at` gives them."""

    @abstractmethod
    def to_patch(self) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
        """The entry in a patch, and the array saved beside it."""

    @classmethod
    @abstractmethod
    def from_patch(cls, entry: dict[str, Any], numbers: npt.NDArray[Any]) -> Self:
        """Back from a patch.

        Raises:
            ValueError: the entry does not fit the array.
        """

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing in it changes
