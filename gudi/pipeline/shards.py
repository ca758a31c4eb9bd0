"""Shards: parts of the inputs for several machines."""

from __future__ import annotations

import hashlib

from gudi.media.sources import Source

# One part of all inputs: its number, from 1, and the number of parts.
Shard = tuple[int, int]


def in_shard(source: Source, shard: Shard | None) -> bool:
    """Return whether `source` belongs to `shard`, which is None for all sources.

    Only the name of the source decides, so all machines agree.
    """
    if shard is None:
        return True
    number, count = shard
    digest = hashlib.blake2b(source.name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == number - 1


def describe_shard(shard: Shard) -> str:
    """Return a shard as the option takes it: 1/4."""
    return "{}/{}".format(*shard)
