"""Items that lead to more items."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic

from gudi_jobs.outcome import Item


class Supply(Generic[Item]):
    """An iterator that takes more items while it is used, and after it has ended.

    Args:
        items: the first items. Those that are added come before the rest of them.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._added: deque[Iterator[Item]] = deque()

    def add(self, items: Iterable[Item]) -> None:
        """Let `items` come next, after others that were added before."""
        self._added.append(iter(items))

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while self._added:
            for item in self._added[0]:
                return item
            self._added.popleft()
        return next(self._items)
