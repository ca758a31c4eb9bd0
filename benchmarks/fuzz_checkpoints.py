"""Mutate checkpoints and see that gudi either reads them rightly or says in one line why not.

    python benchmarks/fuzz_checkpoints.py --v2 FOLDER --v1 FOLDER [--count 2000] [--seed 1]

FOLDER holds a whole checkpoint of the format; it is copied, never changed. Each case damages the
copy (flipped bits, bytes of chance, zeros, cut or grown files, values that are extreme as lengths),
loads the weights as a prediction does, and mends the copy again. A case passes when the outcome is
a CheckpointError with a message of one line that names the file, or the same weights as before.
Where checksums are gone with the index, or were made to fit the damage so that it gets past them,
other weights pass, too. Anything else is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

from gudi import checkpoint
from gudi.checkpoint import sstable
from gudi.errors import CheckpointError

EXTREMES = [bytes([0xFF] * 10), bytes([0xFF] * 9 + [0x01]), bytes(8), b"\x80" * 12, b"\x7f"]
EDGE = 2**16  # damage is put close to both ends as often as anywhere


def damage(path: Path, chance: random.Random) -> list[tuple[int, bytes]]:
    """Change the file at `path`; return what to write where, and its size, to undo it."""
    size = path.stat().st_size
    undo = []
    with path.open("r+b") as file:
        for _ in range(chance.choice([1, 1, 1, 2, 5, 20])):
            position = chance.choice([
                chance.randrange(size),
                chance.randrange(min(size, EDGE)),
                size - 1 - chance.randrange(min(size, EDGE)),
            ])  # fmt: skip
            file.seek(position)
            before = file.read(chance.choice([1, 1, 1, 4, 16]))
            after = chance.choice([
                bytes([before[0] ^ (1 << chance.randrange(8))]) + before[1:],
                chance.randbytes(len(before)),
                bytes(len(before)),
                chance.choice(EXTREMES),
            ])[: size - position]  # fmt: skip
            file.seek(position)
            kept = file.read(len(after))
            file.seek(position)
            file.write(after)
            undo.append((position, kept))
        if chance.random() < 0.15:
            cut = size - 1 - chance.randrange(min(size, EDGE))
            file.seek(cut)
            undo.append((cut, file.read()))
            file.truncate(cut)
        elif chance.random() < 0.05:
            file.seek(size)
            file.write(chance.randbytes(chance.randrange(1, 100)))
    return [*undo, (size, b"")]


def mend(path: Path, undo: list[tuple[int, bytes]]) -> None:
    """Put back what `damage` changed."""
    with path.open("r+b") as file:
        for position, content in reversed(undo[:-1]):
            file.seek(position)
            file.write(content)
        file.truncate(undo[-1][0])


def blocks(path: Path) -> list[sstable.Block]:
    """Return the blocks of the table at `path`, the one that lists the others included."""
    with path.open("rb") as file:
        found = sstable.Table(file).blocks
    end = max(block.offset + block.size for block in found) + sstable.BLOCK_TRAILER_SIZE
    # Behind them comes an empty block of 8 bytes, the list, and the footer.
    start = end + 8 + sstable.BLOCK_TRAILER_SIZE
    size = path.stat().st_size - sstable.FOOTER_SIZE - sstable.BLOCK_TRAILER_SIZE - start
    return [*(block for block in found if block.size < 2**20), sstable.Block(b"", start, size)]


def sign(path: Path, signed: list[sstable.Block]) -> None:
    """Make the checksums of the blocks `signed` fit what is in them now."""
    with path.open("r+b") as file:
        for block in signed:
            file.seek(block.offset)
            crc = sstable.mask(sstable.crc32c(memoryview(file.read(block.size + 1))))
            file.seek(block.offset + block.size + 1)
            file.write(struct.pack("<I", crc))


def load(folder: Path) -> str:
    """Load the weights in `folder`; return their fingerprint."""
    file = checkpoint.open_checkpoint(folder)
    return checkpoint.read_weights(file, checkpoint.choose_network(file)).fingerprint


def fuzz(
    label: str,
    folder: Path,
    target: Path,
    count: int,
    seed: int,
    *,
    checked: bool = True,
    signed: bool = False,
) -> None:
    """Run `count` cases that damage the file `target` of the checkpoint in `folder`.

    Args:
        checked: whether other weights than before are a failure.
        signed: make the checksums of the table `target` fit the damage.
    """
    table = blocks(target) if signed else []
    chance = random.Random(seed)
    good, outcomes, slowest = load(folder), Counter(), 0.0
    began = time.monotonic()
    for number in range(count):
        undo = damage(target, chance)
        if signed and target.stat().st_size == undo[-1][0]:
            sign(target, table)
        started = time.monotonic()
        try:
            outcome = "same weights" if load(folder) == good else "other weights"
        except CheckpointError as error:
            outcome = type(error).__name__
            if "\n" in str(error) or str(folder) not in str(error):
                outcome = "BAD MESSAGE"
                print(f"{label} {number}: {error!r}")
        except BaseException as error:
            outcome = "FAILED"
            print(f"{label} {number}: {error!r}")
        slowest = max(slowest, time.monotonic() - started)
        mend(target, undo)
        sign(target, table)
        if outcome == "other weights" and checked:
            outcome = "WRONG WEIGHTS"
            print(f"{label} {number}: other weights")
        outcomes[outcome] += 1
    assert load(folder) == good, "the copy was not mended"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{label}: {count} cases in {time.monotonic() - began:.0f} s, slowest {slowest:.2f} s, "
          f"peak {peak} MB: {dict(outcomes.most_common())}", flush=True)  # fmt: skip


def copy(folder: Path, into: Path, endings: list[str]) -> Path:
    """Copy the files of the checkpoint in `folder` that have `endings`; return the prefix."""
    prefix = checkpoint.find(folder).prefix
    into.mkdir()
    for ending in endings:
        shutil.copy(f"{prefix}{ending}", into)
        os.chmod(into / f"{prefix.name}{ending}", 0o600)
    return into / prefix.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--v2", type=Path, required=True)
    parser.add_argument("--v1", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    data = ".data-00000-of-00001"
    with tempfile.TemporaryDirectory() as scratch:
        v2 = copy(options.v2, Path(scratch, "v2"), [".index", data])
        index, values = v2.with_name(f"{v2.name}.index"), v2.with_name(f"{v2.name}{data}")
        for label, target in (("V2 index", index), ("V2 data", values)):
            fuzz(label, v2.parent, target, options.count, options.seed)
        label = "V2 index, checksums made to fit"
        fuzz(label, v2.parent, index, options.count, options.seed, checked=False, signed=True)
        index.unlink()
        fuzz("V2 without index", v2.parent, values, options.count, options.seed, checked=False)
        shutil.rmtree(v2.parent)
        v1 = copy(options.v1, Path(scratch, "v1"), [""])
        fuzz("V1", v1.parent, v1, options.count, options.seed)
        label = "V1, checksums made to fit"
        fuzz(label, v1.parent, v1, options.count, options.seed, checked=False, signed=True)


if __name__ == "__main__":
    main()
