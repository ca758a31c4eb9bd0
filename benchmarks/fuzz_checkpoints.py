"""Damage checkpoints at random; check that gudi reads them correctly or says in one line why not.

    python benchmarks/fuzz_checkpoints.py [--v2 FOLDER] [--v1 FOLDER] [--packed FILE]
        [--count 2000] [--seed 1]

FOLDER contains a complete checkpoint of the format; it is copied, never changed. Each case damages
the copy (flipped bits, random bytes, zeros, files that were cut or grew, values that are extreme as
lengths), loads the weights as a prediction does, and repairs the copy. A case passes if gudi raises
a CheckpointError whose message is one line that names the file, or loads the same weights as
before. Other weights also pass if there are no checksums because there is no index, or if the
checksums were adapted so that the damage gets past them. Everything else is printed.
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
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from gudi import checkpoint
from gudi.checkpoint import sstable
from gudi.errors import CheckpointError

DATA = ".data-00000-of-00001"
EXTREMES = [bytes([0xFF] * 10), bytes([0xFF] * 9 + [0x01]), bytes(8), b"\x80" * 12, b"\x7f"]
EDGE = 2**16  # both ends of a file are damaged as often as the rest


def damage(path: Path, chance: random.Random) -> list[tuple[int, bytes]]:
    """Damage the file at `path`; return offsets and contents, last its size, for `repair`."""
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


def repair(path: Path, undo: list[tuple[int, bytes]]) -> None:
    """Undo `damage`."""
    with path.open("r+b") as file:
        for position, content in reversed(undo[:-1]):
            file.seek(position)
            file.write(content)
        file.truncate(undo[-1][0])


def find_blocks(path: Path) -> list[sstable.Block]:
    """Return the blocks of the table at `path` except large ones, and its index block."""
    with path.open("rb") as file:
        found = sstable.Table(file).blocks
    end = max(block.offset + block.size for block in found) + sstable.BLOCK_TRAILER_SIZE
    # An empty block of 8 bytes, the index block and the footer follow.
    start = end + 8 + sstable.BLOCK_TRAILER_SIZE
    size = path.stat().st_size - sstable.FOOTER_SIZE - sstable.BLOCK_TRAILER_SIZE - start
    return [*(block for block in found if block.size < 2**20), sstable.Block(b"", start, size)]


def adapt_table(path: Path) -> Callable[[], None]:
    """Return a function that adapts the checksums of the table at `path` to its contents."""
    blocks = find_blocks(path)

    def adapt() -> None:
        with path.open("r+b") as file:
            for block in blocks:
                file.seek(block.offset)
                crc = sstable.mask(sstable.crc32c(memoryview(file.read(block.size + 1))))
                file.seek(block.offset + block.size + 1)
                file.write(struct.pack("<I", crc))

    return adapt


def adapt_archive(path: Path) -> Callable[[], None]:
    """Return a function that adapts the checksums of the stored ZIP archive at `path`."""
    members = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entry = archive.start_dir
        for info in archive.infolist():
            file.seek(info.header_offset)
            name, extra = struct.unpack("<26xHH", file.read(30))
            start = info.header_offset + 30 + name + extra
            members.append((start, info.file_size, info.header_offset + 14, entry + 16))
            file.seek(entry)
            entry += 46 + sum(struct.unpack("<28xHHH12x", file.read(46)))

    def adapt() -> None:
        with path.open("r+b") as file:
            for start, size, *fields in members:
                file.seek(start)
                crc = struct.pack("<I", zlib.crc32(file.read(size)))
                for field in fields:
                    file.seek(field)
                    file.write(crc)

    return adapt


def load(folder: Path) -> str:
    """Load the weights in `folder`; return their fingerprint."""
    file = checkpoint.open_checkpoint(folder)
    network = checkpoint.choose_network(file)
    return checkpoint.read_weights(file, network, used_units=True).fingerprint


def fuzz(
    label: str,
    folder: Path,
    target: Path,
    count: int,
    seed: int,
    *,
    checked: bool = True,
    adapt: Callable[[], None] | None = None,
) -> None:
    """Run cases that damage one file of a checkpoint, and print their outcomes.

    Args:
        label: what to call them.
        folder: contains the checkpoint.
        target: the file to damage.
        count: number of cases.
        seed: of the random numbers.
        checked: whether other weights than before are a failure.
        adapt: adapts the checksums of `target` to the damage.
    """
    chance = random.Random(seed)
    good, slowest = load(folder), 0.0
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(count):
        undo = damage(target, chance)
        if adapt is not None and target.stat().st_size == undo[-1][0]:
            adapt()
        case_started = time.monotonic()
        outcome = load_damaged(f"{label} {number}", folder, good, checked=checked)
        slowest = max(slowest, time.monotonic() - case_started)
        repair(target, undo)
        if adapt is not None:
            adapt()
        outcomes[outcome] += 1
    assert load(folder) == good, "the copy was not repaired"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{label}: {count} cases in {time.monotonic() - started:.0f} s, slowest {slowest:.2f} s, "
          f"peak {peak} MB: {dict(outcomes.most_common())}", flush=True)  # fmt: skip


def load_damaged(label: str, folder: Path, good: str, *, checked: bool) -> str:
    """Load a damaged checkpoint; return the outcome, and print it if it is a failure.

    Args:
        label: what to call the case.
        folder: contains the checkpoint.
        good: fingerprint of the sound checkpoint.
        checked: whether other weights are a failure.
    """
    try:
        if load(folder) == good:
            return "same weights"
    except CheckpointError as error:
        if "\n" not in str(error) and str(folder) in str(error):
            return type(error).__name__
        print(f"{label}: {error!r}")
        return "BAD MESSAGE"
    except Exception as error:
        print(f"{label}: {error!r}")
        return "FAILED"
    if not checked:
        return "other weights"
    print(f"{label}: other weights")
    return "WRONG WEIGHTS"


def copy(folder: Path, into: Path, suffixes: Sequence[str]) -> Path:
    """Copy the files of the checkpoint in `folder` that have `suffixes`; return the prefix."""
    prefix = checkpoint.find(folder).prefix
    into.mkdir()
    for suffix in suffixes:
        shutil.copy(f"{prefix}{suffix}", into)
        os.chmod(into / f"{prefix.name}{suffix}", 0o600)
    return into / prefix.name


def fuzz_v2(v2: Path, count: int, seed: int) -> None:
    """Fuzz the V2 checkpoint with the prefix `v2`."""
    index, values = v2.with_name(f"{v2.name}.index"), v2.with_name(f"{v2.name}{DATA}")
    fuzz("V2 index", v2.parent, index, count, seed)
    fuzz("V2 data", v2.parent, values, count, seed)
    label = "V2 index, adapted checksums"
    fuzz(label, v2.parent, index, count, seed, checked=False, adapt=adapt_table(index))
    index.unlink()
    fuzz("V2 without index", v2.parent, values, count, seed, checked=False)


def fuzz_v1(v1: Path, count: int, seed: int) -> None:
    """Fuzz the V1 checkpoint in the file `v1`."""
    fuzz("V1", v1.parent, v1, count, seed)
    label = "V1, adapted checksums"
    fuzz(label, v1.parent, v1, count, seed, checked=False, adapt=adapt_table(v1))


def fuzz_packed(packed: Path, count: int, seed: int) -> None:
    """Fuzz the packed checkpoint in the file `packed`, which is then stored uncompressed."""
    fuzz("packed", packed.parent, packed, count, seed)
    with zipfile.ZipFile(packed) as archive:
        contents = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(packed, "w") as archive:
        for info, content in contents.items():
            archive.writestr(info.filename, content)
    label = "packed, adapted checksums"
    fuzz(label, packed.parent, packed, count, seed, checked=False, adapt=adapt_archive(packed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--v2", type=Path)
    parser.add_argument("--v1", type=Path)
    parser.add_argument("--packed", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for source, suffixes, fuzz_format in (
        (options.v2, [".index", DATA], fuzz_v2),
        (options.v1, [""], fuzz_v1),
        (options.packed, [""], fuzz_packed),
    ):
        if source is not None:
            with tempfile.TemporaryDirectory() as scratch:
                prefix = copy(source, Path(scratch, "copy"), suffixes)
                fuzz_format(prefix, options.count, options.seed)


if __name__ == "__main__":
    main()
