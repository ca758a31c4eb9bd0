"""What became of an item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # Whoever does not care about these types may write plain `Outcome`.
    Item = TypeVar("Item", default=Any)
    Value = TypeVar("Value", default=Any)
else:
    from typing import TypeVar

    Item = TypeVar("Item")
    Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """How one item ended.

    Attributes:
        item: the item as it was given.
        value: what the work returned; None if it failed.
        error: None, or what ended the item: the exception that the work raised, or one of
            `gudi_jobs.errors`.
        seconds: that the work took in the worker; 0 if it did not finish.
    """

    item: Item
    value: Value | None = None
    error: BaseException | None = None
    seconds: float = 0.0
