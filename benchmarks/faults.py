"""What `gudi batch` survives: being killed, damaged inputs, and items that kill their workers.

    python benchmarks/faults.py kills --inputs DIR [--count 50]
    python benchmarks/faults.py damage --inputs DIR [--photos 2000] [--videos 100]
    python benchmarks/faults.py poison [--items 5000] [--rounds 3]

kills   Runs are killed (SIGKILL, parent and workers) at random moments and resumed, until --count
        runs have been killed. Whenever a run finishes, its tables must equal those of an
        undisturbed run, and the next run starts in a new folder. Also prints how many inputs were
        processed more than once.
damage  Photos and videos of DIR are damaged at random (bytes changed, removed, inserted, repeated,
        the end cut off) and put among 200 good photos. All good photos must keep their rows, all
        damaged inputs must have a row, and the run must end with exit code 0 or 3.
poison  --items items of 10 ms of processor time each go through two workers, and then, in turn,
        once more with one in a hundred that kills its worker. Those have to fail, all others to
        come back with their values. Prints what the deaths cost.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

import jobs

TABLES = ("faces.csv", "files.csv")
VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".webm")


def start(inputs: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "gudi", "batch", inputs.name, "--out", out, *options]
    return subprocess.Popen(
        list(map(str, command)),
        cwd=inputs.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run(inputs: Path, out: Path, *options: str) -> int:
    process = start(inputs, out, *options)
    _, errors = process.communicate()
    if process.returncode not in (0, 3):
        sys.exit(f"exit code {process.returncode}: {errors.decode()}")
    return process.returncode


def tables(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in TABLES]


def pictures(out: Path) -> int:
    return sum(path.is_file() for path in (out / "annotated").rglob("*"))


def kills(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, out = Path(folder, "whole"), Path(folder, "out")
        started = time.monotonic()
        run(options.inputs, whole)
        length = time.monotonic() - started
        log, logged = Path(folder, "log"), ("--log-json", Path(folder, "log"))
        killed = finished = 0
        while killed < options.count:
            process = start(options.inputs, out, *logged)
            try:
                process.communicate(timeout=chance.uniform(0, length))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                killed += 1
            else:
                finished += 1
                check(whole, out)
                shutil.rmtree(out)
        if out.exists():
            run(options.inputs, out, *logged)
            finished += 1
            check(whole, out)
        inputs = len(rows(whole / "files.csv"))
        print(
            f"{killed} runs killed, {finished} finished: tables and {pictures(whole)} pictures "
            f"equal those of an undisturbed run ({length:.0f} s); of {finished * inputs} inputs, "
            f"{count_finished(log) - finished * inputs} were processed again"
        )


def count_finished(log: Path) -> int:
    """Return how often an input was reported finished. A line cut off by a kill does not count."""
    events = [line for line in log.read_text().splitlines() if line.endswith("}")]
    return sum('"item", "stage": "inputs"' in event for event in events)


def check(whole: Path, out: Path) -> None:
    if tables(whole) != tables(out) or pictures(whole) != pictures(out):
        sys.exit(f"the results in {out} differ from those of an undisturbed run")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return `content` with one to four random changes."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        start, length = chance.randrange(len(data)), chance.randint(1, 2 ** chance.randint(0, 12))
        kind = chance.randrange(5)
        if kind == 0:
            for position in range(start, min(start + length, len(data))):
                data[position] ^= chance.randrange(256)
        elif kind == 1:
            del data[start : start + length]
        elif kind == 2:
            data[start:start] = chance.randbytes(length)
        elif kind == 3:
            data[start:start] = data[max(0, start - length) : start]
        elif start > 0:
            del data[start:]
    return bytes(data) or b"\0"


def damage(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    files = sorted(path for path in options.inputs.rglob("*") if path.is_file())
    photos = [path for path in files if path.suffix.lower() in (".jpg", ".png")]
    videos = [path for path in files if path.suffix.lower() in VIDEOS]
    with tempfile.TemporaryDirectory() as folder:
        good, mixed = Path(folder, "good", "in"), Path(folder, "mixed", "in")
        for each in (good, mixed):
            (each / "good").mkdir(parents=True)
            for number in range(200):
                photo = photos[number % len(photos)]
                shutil.copy(photo, each / "good" / f"{number:03}{photo.suffix}")
        (mixed / "bad").mkdir()
        for pool, count in ((photos, options.photos), (videos, options.videos)):
            for number in range(count if pool else 0):
                path = chance.choice(pool)
                content = damaged(path.read_bytes(), chance)
                (mixed / "bad" / f"{number:05}{path.suffix}").write_bytes(content)
        plain = ("--no-annotate", "--no-report", "--timeout", "60", "--every", "5")
        run(good, Path(folder, "alone"), *plain)
        started = time.monotonic()
        code = run(mixed, Path(folder, "out"), *plain)
        seconds = time.monotonic() - started
        for name in TABLES:
            alone, found = (
                [row for row in rows(Path(folder, out, name)) if "/good/" in row["source"]]
                for out in ("alone", "out")
            )
            if alone != found:
                sys.exit(f"rows of good photos changed in {name}")
        table = [row for row in rows(Path(folder, "out", "files.csv")) if "/bad/" in row["source"]]
        if len(table) != len(list((mixed / "bad").iterdir())):
            sys.exit("damaged inputs are missing in files.csv")
        statuses = Counter((row["kind"], row["status"]) for row in table)
        print(f"exit code {code}, {seconds:.0f} s, 200 good photos unchanged; damaged ones:")
        for (kind, status), count in sorted(statuses.items()):
            print(f"  {kind} {status}: {count}")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def spend(item: int) -> int:
    """Take 10 ms of processor time."""
    end = time.process_time() + 0.01
    while time.process_time() < end:
        sum(range(1000))
    return item * item


def spend_or_die(item: int) -> int:
    """Do the same unless the item is one in a hundred, which kills its worker."""
    if item % 200 == 50:
        os.kill(os.getpid(), signal.SIGKILL)
    elif item % 200 == 150:
        ctypes.string_at(0)
    return spend(item)


def poison(options: argparse.Namespace) -> None:
    items = range(options.items)
    bad = [item for item in items if item % 100 == 50]
    ratios = []
    for number in range(options.rounds):
        clean = measure(spend, items, [])
        poisoned = measure(spend_or_die, items, bad)
        ratios.append([there / here for here, there in zip(clean, poisoned)])
        print(
            f"round {number + 1}: clean {clean[0]:.1f} s ({clean[1]:.1f} s of processors), "
            f"poisoned {poisoned[0]:.1f} s ({poisoned[1]:.1f} s)",
            flush=True,
        )
    wall, processor = (statistics.median(each) for each in zip(*ratios))
    print(
        f"{len(bad)} of {len(items)} items killed their workers and no other failed; poisoned / "
        f"clean: median {wall:.2f} in time, {processor:.2f} in processor time"
    )


def measure(work: Callable[[int], int], items: Sequence[int], bad: list[int]) -> tuple:
    """Run `work` on two workers; return seconds of the clock and of the processors."""
    began, spent = time.monotonic(), processor_seconds()
    with jobs.Workers(2, quiet=True) as workers:
        outcomes = {outcome.item: outcome for outcome in workers.run(work, items)}
        seconds = time.monotonic() - began, processor_seconds() - spent
    died = [item for item in items if isinstance(outcomes[item].error, jobs.WorkerDied)]
    values = [outcomes[item].value for item in items if item not in died]
    if died != bad or values != [item * item for item in items if item not in bad]:
        sys.exit("not the items that kill their workers failed, and no others")
    return seconds


def processor_seconds() -> float:
    """Return the processor time of this process and all below it, also of those that have ended."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (me, *me.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kills", "damage", "poison"))
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what != "poison" and options.inputs is None:
        parser.error(f"{options.what} needs --inputs")
    {"kills": kills, "damage": damage, "poison": poison}[options.what](options)


if __name__ == "__main__":
    main()
