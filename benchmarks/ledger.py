"""Memory and time that a run spends on its ledger and tables, for up to a million inputs.

    python benchmarks/ledger.py [--counts 10000,100000,1000000]

Everything is real except the photos and the detection. The inputs are listed, registered in the
ledger, and handed to worker processes, which return one face each. The results are stored and
written as tables. Then a second run lists the inputs again and has to find all of them finished.
Each count runs in a process of its own. Times per input are CPU time of the parent, which depends
less on other work on the machine than wall-clock time. `above` is the parent's peak memory above
what its imports take.
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

import gudi_jobs
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.media import sources
from gudi.media.sources import Source
from gudi.pipeline.outputs import write_tables
from gudi.results.folder import ResultFolder
from gudi.results.ledger import Ledger
from gudi.results.records import SourceResult
from gudi.settings import OutputSettings

PROBABILITIES = np.full((1, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_photos(folder: Path, count: int) -> None:
    """Make empty files, 1,000 per folder."""
    for number in range(count):
        path = folder / f"{number // 1000:04}" / f"{number % 1000:03}.jpg"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.touch()


def detect(source: Source) -> Box:
    """Stand in for the detection."""
    return Box(1, 2, 30, 40)


def find(folder: Path) -> float:
    """Find all inputs without registering them; return the CPU time in seconds."""
    start = time.process_time()
    for _ in sources.find([str(folder)]):
        pass
    return time.process_time() - start


def register(ledger: Ledger, folder: Path) -> float:
    """List and register all inputs; return the CPU time in seconds."""
    start = time.process_time()
    ledger.start_run({})
    for source in sources.find([str(folder)], is_new=ledger.sources.is_new):
        ledger.register(source)
    ledger.commit()
    return time.process_time() - start


def process(ledger: Ledger) -> tuple[float, float]:
    """Process all inputs in workers; return CPU and wall-clock time in seconds."""
    cpu_start, start = time.process_time(), time.perf_counter()
    with gudi_jobs.Workers() as workers:
        for outcome in workers.run(detect, ledger.sources.pending()):
            result = SourceResult(outcome.item, boxes=[outcome.value], probabilities=PROBABILITIES)
            ledger.faces.add(result)
    return time.process_time() - cpu_start, time.perf_counter() - start


def write(ledger: Ledger, out: ResultFolder) -> float:
    """Write the tables; return the CPU time in seconds."""
    start = time.process_time()
    write_tables(ledger, out, EMOTIONS, OutputSettings())
    return time.process_time() - start


def run(count: int) -> None:
    """Measure everything for this many inputs, and print the figures."""
    imports = peak_memory()
    with tempfile.TemporaryDirectory() as scratch:
        out, photos = ResultFolder(Path(scratch)), Path(scratch, "photos")
        make_photos(photos, count)
        with Ledger(out.ledger, len(EMOTIONS)) as ledger:
            registering = register(ledger, photos)
            processing, elapsed = process(ledger)
            writing = write(ledger, out)
        memory = peak_memory() - imports
        finding = find(photos)  # which keeps all locations in memory
        with Ledger(out.ledger, len(EMOTIONS)) as ledger:
            again = register(ledger, photos)
            unfinished = ledger.sources.status_counts()[None]
        size = sum(path.stat().st_size for path in out.path.glob("ledger.sqlite*"))
    each = 1e6 / count
    print(
        f"{count:9,} inputs: above {memory:.0f} MB; µs per input: list {registering * each:.0f}, "
        f"process {processing * each:.0f} ({elapsed * each:.0f} wall-clock), tables "
        f"{writing * each:.0f}; second run: {finding:.1f} s to list them, {again - finding:.1f} s "
        f"to see that {count - unfinished:,} are finished; ledger {size / count:.0f} bytes per "
        "input",
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
