"""A work queue that may grow while it is consumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic

from gudi_jobs.result import Item


class WorkQueue(Generic[Item]):
    """An iterator over items, to which more can be added at any time, even after it has ended.

    Args:
        items: the first items. Added items come before the rest of them.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._added: deque[Iterator[Item]] = deque()

    def add(self, items: Iterable[Item]) -> None:
        """Queue `items`, which are consumed lazily, after those that were added before."""
        self._added.append(iter(items))

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while True:
            while self._added:
                for item in self._added[0]:
                    return item
                self._added.popleft()
            try:
                return next(self._items)
            except StopIteration:
                if not self._added:  # as the first items ended
                    raise
