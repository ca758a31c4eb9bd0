"""Items that bring more items."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Supply(Generic[Item]):
    """An iterator to which items can be added while it is used, and after it has ended.

    Args:
        items: what there is from the beginning.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self._more: deque[Iterator[Any]] = deque()

    def add(self, items: Iterable[Any]) -> None:
        """Let `items` come next, behind others that were added."""
        self._more.append(iter(items))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while self._more:
            for item in self._more[0]:
                return item
            self._more.popleft()
        return next(self._items)
