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
        is_last: whether no more results of the item follow.
    """

    item: Item
    value: Value | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    is_last: bool = True

    @classmethod
    def unpickle(cls, item: Item, packed: bytes, *, is_last: bool = True) -> Result[Item, Value]:
        """Return the result of `item` from what `gudi_jobs.worker.call_pickled` yielded."""
        try:
            value, problem, seconds = pickle.loads(packed)
            return cls(item, value, problem, seconds, is_last)
        except Exception as error:
            message = f"the result cannot be unpickled: {type(error).__name__}: {error}"
            return cls(item, error=RuntimeError(message), is_last=is_last)
