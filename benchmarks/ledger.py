"""Memory and time of a run's bookkeeping for up to a million inputs.

    python benchmarks/ledger.py [--counts 10000,100000,1000000]

Everything is real but the photos and the search for faces: inputs are listed, entered into the
ledger, handed to worker processes, which give back one face each, taken down, and written as
tables; then listed once more by a second run, which has to find them all finished. Each count is a
process of its own. Times an input are the parent's processor time, of which other work on the
machine takes less away than of the time on the clock. `above` is the parent's highest resident
memory above what its imports take.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import jobs
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.media import sources
from gudi.media.sources import Source
from gudi.pipeline.run import write_tables
from gudi.results import ledger
from gudi.results.folder import FileResult, ResultFolder
from gudi.settings import OutputSettings

SHARES = np.full((1, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)


def peak() -> float:
    """Return the highest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make(folder: Path, count: int) -> None:
    """Make empty files, 1,000 a folder."""
    for number in range(count):
        path = folder / f"{number // 1000:04}" / f"{number % 1000:03}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.touch()


def look(source: Source) -> Box:
    return Box(1, 2, 30, 40)


def find(folder: Path) -> float:
    """Find all inputs and do nothing with them; return how many seconds of processor it took."""
    began = time.process_time()
    for _ in sources.find([str(folder)]):
        pass
    return time.process_time() - began


def enlist(there: ledger.Ledger, folder: Path) -> float:
    """List all inputs; return how many seconds of processor it took."""
    began = time.process_time()
    there.begin({})
    for source in sources.find([str(folder)], is_new=there.is_new):
        there.enlist(source)
    there.commit()
    return time.process_time() - began


def run(count: int) -> None:
    """Do it for so many inputs, and print what it took."""
    imported = peak()
    with tempfile.TemporaryDirectory() as scratch:
        out = ResultFolder(Path(scratch))
        make(Path(scratch, "photos"), count)
        with ledger.Ledger(out.path / ledger.NAME, len(EMOTIONS)) as there:
            listing = enlist(there, Path(scratch, "photos"))
            began, clock = time.process_time(), time.perf_counter()
            with jobs.Workers() as workers:
                for outcome in workers.run(look, there.pending()):
                    there.add(FileResult(outcome.item, [outcome.value], [], SHARES))
            working, waited = time.process_time() - began, time.perf_counter() - clock
            began = time.process_time()
            write_tables(there, out, EMOTIONS, OutputSettings())
            writing = time.process_time() - began
        memory = peak() - imported
        finding = find(Path(scratch, "photos"))  # which keeps all places in memory
        with ledger.Ledger(out.path / ledger.NAME, len(EMOTIONS)) as there:
            again = enlist(there, Path(scratch, "photos"))
            left = there.counts()[None]
        size = sum(path.stat().st_size for path in out.path.glob("ledger.sqlite*"))
    each = 1e6 / count
    print(
        f"{count:9,} inputs: above {memory:.0f} MB; list {listing * each:.0f}, work "
        f"{working * each:.0f} ({waited * each:.0f} on the clock), tables {writing * each:.0f} µs "
        f"an input; {again - finding:.1f} s beyond {finding:.1f} s of listing to see that "
        f"{count - left:,} are finished; ledger {size / count:.0f} bytes an input",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="10000,100000,1000000")
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    if len(counts) == 1:
        run(counts[0])
        return
    for count in counts:
        subprocess.run([sys.executable, __file__, "--counts", str(count)], check=True)


if __name__ == "__main__":
    main()
