"""What `gudi batch` survives: signals, being killed, damaged inputs, items that kill their workers.

    python benchmarks/faults.py kills --inputs DIR [--count 50] [--options ARGS]
    python benchmarks/faults.py damage --inputs DIR [--photos 2000] [--videos 100] [--options ARGS]
    python benchmarks/faults.py poison [--items 5000] [--rounds 3]
    python benchmarks/faults.py signals --inputs DIR [--count 200]

kills   Runs are killed (SIGKILL, parent and workers) at random moments and resumed, until --count
        runs have been killed. Whenever a run finishes, its tables must equal those of an
        undisturbed run, and the next run starts in a new folder. Also prints how many inputs were
        processed more than once. --options are passed to all runs.
damage  Photos and videos of DIR are damaged at random (bytes changed, removed, inserted, repeated,
        the end cut off) and put among 200 good photos, some under difficult names. A good photo is
        named by a list in each encoding that lists may have. All good photos must keep their rows,
        all damaged inputs must have a row, and the run, to which --options are passed, must end
        with exit code 0 or 3.
poison  --items items of 10 ms of processor time each go through two workers, and then, in turn,
        once more with one in a hundred that kills its worker. Those have to fail, all others to
        come back with their values. Prints what the deaths cost.
signals Runs are interrupted at random moments, by Ctrl-C (SIGINT to parent and workers) and by
        `kill` (SIGTERM to the parent) in turn, beside a process that keeps a CPU busy. Each run
        has to end with exit code 130 (0 or 3 if it was quicker), without a traceback, and leave no
        process and no semaphore. Half of the signals come before the inputs are processed, while
        the checkpoint is read and workers start. Prints how long the runs took to end.
"""

from __future__ import annotations

import argparse
import contextlib
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

import gudi_jobs
from gudi.media.find import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from gudi.media.lists import CODE_PAGES
from gudi.media.names import printable_path

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz")
# Parts of names that disks, tables, figures and encodings find difficult.
NAMES = ("", "?*|", "$x^", "\u00fc" * 120, "\udcff", " . ", "=1", "\u202e")
TABLES = ("faces.csv", "files.csv")
# Two letters, or one, in each of the code pages.
LETTERS = b"\xb3\xd0"
ENCODINGS = (*CODE_PAGES, "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


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
    return [path.read_bytes() for path in sorted(out.glob("*.csv"))]


def pictures(out: Path) -> int:
    folders = (out / name for name in ("annotated", "thumbnails"))
    return sum(path.is_file() for folder in folders for path in folder.rglob("*"))


def kills(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, out = Path(folder, "whole"), Path(folder, "out")
        started = time.monotonic()
        wanted = (options.options or "").split()
        run(options.inputs, whole, *wanted)
        length = time.monotonic() - started
        log = Path(folder, "log")
        logged = ("--log-json", str(log), *wanted)
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
    good_photos = [path for path in files if path.suffix.lower() in (".jpg", ".png")]
    photos = [path for path in files if path.suffix.lower() in PHOTO_SUFFIXES]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    archives = [path for path in files if path.suffix.lower() in ARCHIVE_SUFFIXES]
    with tempfile.TemporaryDirectory() as folder:
        good, mixed = Path(folder, "good", "in"), Path(folder, "mixed", "in")
        for each in (good, mixed):
            (each / "good").mkdir(parents=True)
            for number in range(200):
                photo = good_photos[number % len(good_photos)]
                shutil.copy(photo, each / "good" / f"{number:03}{photo.suffix}")
        (mixed / "bad").mkdir()
        pools = (
            (photos, options.photos), (videos, options.videos), (archives, options.archives),
        )  # fmt: skip
        for pool, count in pools:
            for number in range(count if pool else 0):
                path = chance.choice(pool)
                content = damaged(path.read_bytes(), chance)
                # In folders, a .ts file without a transport stream is a program.
                suffix = ".m2ts" if path.suffix == ".ts" else path.suffix
                name = f"{number:05}{NAMES[number % len(NAMES)]}{suffix}"
                (mixed / "bad" / name).write_bytes(content)
        lists = write_lists(mixed.parent, good_photos[0])
        output = "--no-annotate --no-report" if options.options is None else options.options
        plain = ("--timeout", "60", "--every", "5", "--track", *output.split())
        run(good, Path(folder, "alone"), *plain)
        started = time.monotonic()
        # Archives in folders are skipped: they have to be named.
        named = [str(path.relative_to(mixed.parent)) for path in sorted((mixed / "bad").iterdir())]
        named = [name for name in named if Path(name).suffix in ARCHIVE_SUFFIXES]
        Path(folder, "mixed", "list.txt").write_bytes(os.fsencode("\n".join(named)))
        lists += ["@list.txt"] if named else []
        code = run(mixed, Path(folder, "out"), *plain, *lists)
        seconds = time.monotonic() - started
        for name in TABLES:
            alone, found = (
                [row for row in rows(Path(folder, out, name)) if "/good/" in row["source"]]
                for out in ("alone", "out")
            )
            if alone != found:
                sys.exit(f"rows of good photos changed in {name}")
        files = rows(Path(folder, "out", "files.csv"))
        listed = {row["status"] for row in files if row["source"].startswith("listed/")}
        count = sum(row["source"].startswith("listed/") for row in files)
        if count != len(ENCODINGS) or "failed" in listed:
            sys.exit(f"{count} of {len(ENCODINGS)} listed photos have rows: {listed}")
        table = [row for row in files if "/bad/" in row["source"]]
        found = {"/".join(row["source"].split("/")[:3]) for row in table}
        bad = (f"in/bad/{printable_path(path.name)}" for path in (mixed / "bad").iterdir())
        if lost := sorted(set(bad) - found):
            sys.exit(f"{len(lost)} damaged inputs are missing in files.csv, such as {lost[0]}")
        statuses = Counter((row["kind"], row["status"]) for row in table)
        print(
            f"exit code {code}, {seconds:.0f} s, 200 good photos unchanged, {count} found by "
            "lists; damaged ones:"
        )
        for (kind, status), count in sorted(statuses.items()):
            print(f"  {kind} {status}: {count}")


def write_lists(folder: Path, photo: Path) -> list[str]:
    """Write `listed/ENCODING/list.csv` with a copy of `photo` beside it; return the inputs."""
    for encoding in ENCODINGS:
        place = folder / "listed" / encoding
        place.mkdir(parents=True)
        name = LETTERS.decode(encoding if encoding in CODE_PAGES else "cp1252") + photo.suffix
        shutil.copy(photo, place / name)
        (place / "list.csv").write_bytes(f"path;\r\n{name};\r\n".encode(encoding))
    return [f"@listed/{encoding}/list.csv" for encoding in ENCODINGS]


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
    with gudi_jobs.WorkerPool(2, quiet=True) as workers:
        outcomes = {outcome.item: outcome for outcome in workers.map_unordered(work, items)}
        seconds = time.monotonic() - began, processor_seconds() - spent
    died = [item for item in items if isinstance(outcomes[item].error, gudi_jobs.WorkerDied)]
    values = [outcomes[item].value for item in items if item not in died]
    if died != bad or values != [item * item for item in items if item not in bad]:
        sys.exit("not the items that kill their workers failed, and no others")
    return seconds


def processor_seconds() -> float:
    """Return the processor time of this process and all below it, also of those that have ended."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (me, *me.children(recursive=True)))


def signals(options: argparse.Namespace) -> None:
    # A shell starts background processes with SIGINT ignored, and runs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance = random.Random(options.seed)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            # How long a run takes until it processes its inputs, and how long from then on.
            spans = [interrupt(options.inputs, folder, None, 3600, each).after for each in (0, 1)]
            spans[0] -= spans[1]
            runs = []
            for number in range(options.count):
                how, processing = (signal.SIGINT, signal.SIGTERM)[number % 2], number // 2 % 2
                after = chance.uniform(0, spans[processing])
                runs.append(interrupt(options.inputs, folder, how, after, processing))
                if runs[-1].problem:
                    when = "its inputs" if processing else "its start"
                    print(f"{number}: {how.name} {after:.2f} s after {when}: {runs[-1].problem}")
                if number % 20 == 19:
                    print(f"{number + 1} signals", flush=True)
    finally:
        busy.kill()
        busy.wait()
    codes = dict(Counter(run.code for run in runs))
    failed = sum(bool(run.problem) for run in runs)
    seconds = [run.seconds for run in runs if run.code == 130]
    print(
        f"{len(runs)} signals, half of them within {spans[0]:.1f} s of the start, half within "
        f"{spans[1]:.1f} s of work: exit codes {codes}, {failed} problems; interrupted runs ended "
        f"after {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s (longest)"
    )
    sys.exit(failed > 0)


@dataclass
class Ended:
    """How an interrupted run ended.

    Attributes:
        code: the exit code.
        after: seconds from the moment that was waited for to the signal, or to the end.
        seconds: from the signal to the end.
        problem: what is wrong with that, or "".
    """

    code: int
    after: float
    seconds: float
    problem: str


def interrupt(
    inputs: Path, folder: str, how: signal.Signals | None, after: float, processing: int
) -> Ended:
    """Start a run and send it `how`, `after` seconds after its folder or its inputs have begun."""
    out, log, shared = Path(folder, "out"), Path(folder, "log"), semaphores()
    shutil.rmtree(out, ignore_errors=True)
    log.write_text("")
    process = start(inputs, out, "--no-annotate", "--no-report", "--log-json", str(log))
    while process.poll() is None and not (
        '"stage": "inputs"' in log.read_text() if processing else out.exists()
    ):
        time.sleep(0.01)
    begun = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    sent = time.monotonic()
    if how == signal.SIGINT and process.poll() is None:
        os.killpg(process.pid, how)
    elif how is not None:
        process.send_signal(how)
    _, stderr = process.communicate(timeout=300)
    ended = time.monotonic()
    problem = "; ".join(problems(process.returncode, stderr.decode(), process.pid, how, shared))
    return Ended(process.returncode, sent - begun, ended - sent, problem)


def problems(
    code: int, stderr: str, pid: int, how: signal.Signals | None, shared: set[str]
) -> Iterator[str]:
    """Yield what is wrong with how a run has ended."""
    # Python dies of a signal that comes after its last line has been run.
    if code not in (0, 3, *((130, -how) if how else ())):
        yield f"exit code {code}: {stderr}"
    elif "Traceback" in stderr or "Exception ignored" in stderr:
        yield stderr
    deadline = time.monotonic() + 5
    while group_exists(pid):
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            yield "a process was left"
        time.sleep(0.05)
    left = {name for name in semaphores() - shared if str(pid) in name}
    if left:
        yield f"{len(left)} semaphores were left"


def group_exists(leader: int) -> bool:
    """Tell whether a process of the group of `leader` exists."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def semaphores() -> set[str]:
    """Return the names of the semaphores and the shared memory of all processes."""
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kills", "damage", "poison", "signals"))
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--archives", type=int, default=0)
    parser.add_argument("--options")
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what != "poison" and options.inputs is None:
        parser.error(f"{options.what} needs --inputs")
    options.count = options.count or {"signals": 200}.get(options.what, 50)
    runs = {"kills": kills, "damage": damage, "poison": poison, "signals": signals}
    runs[options.what](options)


if __name__ == "__main__":
    main()
