"""The result of one item."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Result(Generic[Item, Value]):
    """The result of one item.

    Attributes:
        item: the item as it was given.
        value: the return value of the function; None if it failed.
        error: None, or why there is no value: the exception that the function raised, or one of
            `gudi_jobs.errors`.
        seconds: how long the function ran in the worker; 0 if it did not finish.
    """

    item: Item
    value: Value | None = None
    error: BaseException | None = None
    seconds: float = 0.0

    @classmethod
    def unpickle(cls, item: Item, packed: bytes) -> Result[Item, Value]:
        """Return the result of `item` from what `gudi_jobs.worker.call_pickled` returned."""
        try:
            return cls(item, *pickle.loads(packed))
        except Exception as error:
            problem = f"the result cannot be unpickled: {type(error).__name__}: {error}"
            return cls(item, error=RuntimeError(problem))
