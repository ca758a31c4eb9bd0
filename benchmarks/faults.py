"""What `gudi batch` survives: being killed at random moments, and thousands of damaged inputs.

    python benchmarks/faults.py kills --inputs DIR [--count 50]
    python benchmarks/faults.py damage --inputs DIR [--photos 2000] [--videos 100]

kills   Runs are killed (SIGKILL, parent and workers) at random moments and begun again until
        --count were killed; whenever one gets to its end, the folder is begun anew. Each time it
        ends its tables have to be those of a run that nobody disturbed.
damage  Photos and videos of DIR are damaged at random (bytes changed, cut out, put in, repeated,
        the end cut off) and laid among 200 good photos. All good ones have to keep their rows, all
        damaged ones to be accounted for, and the run to end with exit code 0 or 3.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

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
        began = time.monotonic()
        run(options.inputs, whole)
        length = time.monotonic() - began
        killed = finished = 0
        while killed < options.count:
            process = start(options.inputs, out)
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
            run(options.inputs, out)
            finished += 1
            check(whole, out)
        print(
            f"{killed} runs killed, {finished} times to the end: tables and "
            f"{pictures(whole)} pictures those of an undisturbed run ({length:.0f} s)"
        )


def check(whole: Path, out: Path) -> None:
    if tables(whole) != tables(out) or pictures(whole) != pictures(out):
        sys.exit(f"the results in {out} are not those of an undisturbed run")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return `content` with one to four things done to it."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data)), chance.randint(1, 2 ** chance.randint(0, 12))
        kind = chance.randrange(5)
        if kind == 0:
            for place in range(at, min(at + length, len(data))):
                data[place] ^= chance.randrange(256)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = chance.randbytes(length)
        elif kind == 3:
            data[at:at] = data[max(0, at - length) : at]
        elif at > 0:
            del data[at:]
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
        began = time.monotonic()
        code = run(mixed, Path(folder, "out"), *plain)
        seconds = time.monotonic() - began
        for name in TABLES:
            alone, found = (
                [row for row in rows(Path(folder, out, name)) if "/good/" in row["source"]]
                for out in ("alone", "out")
            )
            if alone != found:
                sys.exit(f"rows of good photos in {name} have changed")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kills", "damage"))
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    {"kills": kills, "damage": damage}[options.what](options)


if __name__ == "__main__":
    main()
