"""Compare `gudi batch` on videos with the limit of the machine, or measure its memory.

    python benchmarks/videos.py --video FILE --checkpoint PATH [--seconds 20] [--rounds 3]
        [--before GUDI]
    python benchmarks/videos.py --video FILE --cost [--rounds 3] [--before GUDI]
    python benchmarks/videos.py --video FILE --checkpoint PATH --memory 10,600

FILE is repeated until it lasts `--seconds`. Each side runs in its own process, one after the other,
round after round:

limit  what the CPUs could do if only the work itself took time: the CPU time of single-threaded
       decoding and Haar detection plus that of predicting in batches of 256, divided by the number
       of CPUs that this process may use.
one    `gudi batch` on one such video, its `inputs` stage.
ten    the same on ten videos, each a tenth as long.
before as `one`, with another installation of gudi, whose command GUDI is.
plain  as `one`, the whole run with annotated video and report.
full   as `plain`, with tracks and subtitles.

`--cost` prints the CPU time per frame of whole commands, of all their processes, on FILE as it is,
with the detector cnn:

decode    PyAV decodes FILE into BGR pictures.
tables    `gudi batch` with tables only. With `--before`, also `before_tables`.
all       the same with annotated video, tracks and report. With `--before`, also `before_all`.

`--memory` prints the peak memory of the parent for `full` runs on videos of these lengths in
seconds. They are searched for large faces only, which takes less time and the same memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import compare, measure, seconds_of_batch, seconds_per_face


def repeat(path: Path, seconds: float, out: Path) -> int:
    """Repeat the pictures of the video at `path` in `out`. Return the number of frames."""
    import av

    count, start = 0, 0
    with av.open(str(out), "w") as container:
        stream = None
        while True:
            with av.open(str(path)) as source:
                pictures = source.streams.video[0]
                stream = stream or container.add_stream_from_template(pictures)
                packets = [each for each in source.demux(pictures) if each.dts is not None]
                first = packets[0].dts
                for packet in packets:
                    packet.pts, packet.dts = packet.pts - first + start, packet.dts - first + start
                    packet.stream = stream
                    container.mux(packet)
                length = packets[-1].dts - packets[0].dts
                start += length * len(packets) // (len(packets) - 1)
                count += len(packets)
                if start * pictures.time_base >= seconds:
                    return count


def side_limit(options: argparse.Namespace) -> dict[str, float]:
    import cv2

    from gudi import detection
    from gudi.media import video

    cv2.setNumThreads(1)
    crops, count = [], 0
    started = time.process_time()
    for frame in video.read_frames(options.video):
        grey = detection.grey(frame.image)
        crops += [
            detection.crop(grey, box) for box in detection.detect(grey, min_face=options.min_face)
        ]
        count += 1
    detecting = time.process_time() - started
    face = seconds_per_face(options.checkpoint, crops)
    seconds = detecting + face * len(crops)
    return {
        "rate": count / seconds * len(os.sched_getaffinity(0)),
        "ms_detect": 1000 * detecting / count,
        "ms_face": 1000 * face,
    }


def _batch(
    options: argparse.Namespace, videos: int, seconds: float, **output: bool
) -> dict[str, float]:
    from gudi.pipeline import run as batch
    from gudi.settings import BatchOptions

    chosen = BatchOptions(
        checkpoint=options.checkpoint,
        device="cpu",
        min_face=options.min_face,
        **{"annotate": False, "report": False, **output},
    )
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "videos")
        inputs.mkdir()
        for number in range(videos):
            repeat(options.video, seconds, inputs / f"{number}.mp4")
        started = time.perf_counter()
        report = batch.run_batch([str(inputs)], Path(folder, "out"), chosen)
        whole = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rate": report.frames / report.seconds["inputs"],
        "whole_rate": report.frames / whole,
        "frames": report.frames,
        "peak_MB": peak,
    }


def side_one(options: argparse.Namespace) -> dict[str, float]:
    return _batch(options, 1, options.seconds)


def side_ten(options: argparse.Namespace) -> dict[str, float]:
    return _batch(options, 10, options.seconds / 10)


def side_before(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "0.mp4")
        frames = repeat(options.video, options.seconds, video)
        arguments = ["--checkpoint", options.checkpoint, "--min-face", str(options.min_face)]
        return {"rate": frames / seconds_of_batch(options.before, video, arguments)}


def side_plain(options: argparse.Namespace) -> dict[str, float]:
    return _batch(options, 1, options.seconds, annotate=True, report=True)


def side_full(options: argparse.Namespace) -> dict[str, float]:
    return _batch(options, 1, options.seconds, **FULL)


DECODE = """
import sys, av
with av.open(sys.argv[1]) as container:
    for stream in container.streams.video[:1]:
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            frame.to_ndarray(format="bgr24")
"""


def _cost(options: argparse.Namespace, *command: str) -> dict[str, float]:
    """Return the CPU time of a command in ms per frame, and how many frames it does per second."""
    from gudi.media.video import read_index

    frames = len(read_index(options.video).stamps)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cost": 1000 * used / frames, "rate": frames / seconds}


def side_decode(options: argparse.Namespace) -> dict[str, float]:
    return _cost(options, sys.executable, "-c", DECODE, str(options.video))


def _command(options: argparse.Namespace, gudi: str, *arguments: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        inputs = ("batch", str(options.video), "--out", folder, "--detector", "cnn")
        return _cost(options, gudi, *inputs, *arguments)


def side_tables(options: argparse.Namespace) -> dict[str, float]:
    return _command(options, GUDI, *TABLES)


def side_all(options: argparse.Namespace) -> dict[str, float]:
    return _command(options, GUDI, "--track")


def side_before_tables(options: argparse.Namespace) -> dict[str, float]:
    return _command(options, options.before, *TABLES)


def side_before_all(options: argparse.Namespace) -> dict[str, float]:
    return _command(options, options.before, "--track")


GUDI = str(Path(sys.executable).with_name("gudi"))
TABLES = ("--no-annotate", "--no-report")
FULL = dict.fromkeys(("annotate", "report", "track", "subtitles"), True)

SIDES = {
    "limit": side_limit,
    "one": side_one,
    "ten": side_ten,
    "before": side_before,
    "plain": side_plain,
    "full": side_full,
    "decode": side_decode,
    "tables": side_tables,
    "all": side_all,
    "before_tables": side_before_tables,
    "before_all": side_before_all,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--checkpoint")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--min-face", type=int, default=0)
    parser.add_argument("--before")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--memory", metavar="SECONDS,SECONDS")
    parser.add_argument("--side")
    options = parser.parse_args()
    if options.side in SIDES:
        print(json.dumps(SIDES[options.side](options)))
    elif options.side:
        options.min_face = options.min_face or 150
        print(json.dumps(_batch(options, 1, float(options.side), **FULL)))
    elif options.cost:
        before = ["before_tables", "before_all"] if options.before else []
        for side in ("tables", "all", *before):
            compare(["decode", side], options.rounds, "frames/s", against=side, keys=("cost",))
    elif options.memory:
        for seconds in options.memory.split(","):
            found = measure(seconds)
            print(f"{seconds} s, {found['frames']} frames: {found['peak_MB']:.0f} MB", flush=True)
    else:
        print(
            f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, Python "
            f"{platform.python_version()}, {options.video.name}, --seconds {options.seconds:g}"
        )
        before = ["before"] if options.before else []
        compare(["limit", "one", *before], options.rounds, "frames/s", against="one")
        compare(["limit", "ten"], options.rounds, "frames/s", against="ten")
        compare(["plain", "full"], options.rounds, "frames/s", against="full", keys=("whole_rate",))


if __name__ == "__main__":
    main()
