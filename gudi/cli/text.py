"""Text that the commands print."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gudi.constants import EMOTIONS
from gudi.errors import one_line
from gudi.progress import format_duration

if TYPE_CHECKING:
    from gudi.pipeline.dry_run import Inventory
    from gudi.pipeline.run import Report
    from gudi.results.folder import FileResult


def say_prepared(prefix: Path, found: Any) -> None:
    """Print what became of a data set: the files on stdout, the rest on stderr."""
    say = functools.partial(click.echo, err=True)
    say(f"{number(found.faces, 'face')} of {number(found.rows, 'row')}")
    say("  " + ", ".join(f"{name} {found.classes[name]:,}" for name in EMOTIONS))
    if found.no_face:
        say(f"  no face: {number(found.no_face, 'row')}")
    if found.rejected:
        say(f"  unusable: {number(found.rejected, 'row')}")
        for reason in found.reasons[:10]:
            say(f"    {one_line(reason)}")
        if found.rejected > 10:
            say(f"    … and {found.rejected - 10:,} more, see {prefix.name}.json")
    click.echo(prefix)


def describe_checkpoint(report: dict[str, Any]) -> str:
    """Return what `gudi.checkpoint.inspect` found, in lines for people."""
    lines = [
        ("checkpoint", report["prefix"]),
        *(("file", f"{name}  {size:,} bytes") for name, size in report["files"].items()),
        ("missing", ", ".join(report["missing"])),
        ("format", report["format"]),
        ("written by", report["written_by"]),
        *(("variable", f"{each['name']}  {each['dtype']} {each['shape']}")
          for each in report["tensors"]),
        *(("network", f"{number}: {each['classes']} classes, from layer {each['first_layer']}, "
           + (f"trained with {each['optimizer']}" if each["optimizer"] else "no optimizer slots")
           + (" (the one that is taken)" if each["taken"] and len(report["networks"]) > 1 else ""))
          for number, each in enumerate(report["networks"], start=1)),
        ("step", None if report["step"] is None else f"{report['step']:,}"),
        ("checksums", report["checksums"]),
        ("recovered", report["recovered"]),
        ("problem", report["problem"]),
        ("gudi", _verdict(report)),
    ]  # fmt: skip
    return "\n".join(f"{key + ':':<12}{one_line(value)}" for key, value in lines if value)


def _verdict(report: dict[str, Any]) -> str:
    if not report["usable"]:
        return "cannot use it"
    unseen = report["checksums"] == "not looked at"
    return "can use it" + (
        ", as far as was looked at (--verify reads everything)" if unseen else ""
    )


def as_lines(results: list[FileResult], emotions: tuple[str, ...]) -> str:
    """Return a line for each face."""
    lines = (
        "\t".join(map(str, (one_line(result.source.name), *box, emotion, f"{share:.3f}")))
        for result in results
        for box, (emotion, share) in zip(result.boxes, result.strongest(emotions))
    )
    return "".join(f"{line}\n" for line in lines)


def as_json_text(results: list[FileResult], emotions: tuple[str, ...]) -> str:
    """Return all that is known of some photos, as JSON."""
    photos = [
        {
            "source": result.source.name,
            "status": result.status,
            "error": result.error or None,
            "width": result.width,
            "height": result.height,
            "faces": [
                {
                    **box._asdict(),
                    "emotion": emotion,
                    "confidence": round(share, 6),
                    "probabilities": {
                        name: round(float(value), 6)
                        for name, value in zip(emotions, result.probabilities[number])
                    },
                }
                for number, (box, (emotion, share)) in enumerate(
                    zip(result.boxes, result.strongest(emotions))
                )
            ],
        }
        for result in results
    ]
    return json.dumps(photos, indent=2) + "\n"


def describe_inventory(found: Inventory, out: Path) -> str:
    """Return what there is to do, in lines for people."""
    photos, videos = found.photos, found.videos
    lines = [("photos", f"{photos.count:,}, {_size(photos.size)}")]
    if videos.count:
        length = f"{_size(videos.size)}, {format_duration(found.video_seconds)}"
        frames = f"{videos.pictures:,.0f} frames to look at"
        lines.append(("videos", f"{videos.count:,}, {length}, {frames}"))
    if found.finished:
        lines.append(("finished", f"{found.finished:,} by an earlier run"))
    if found.unreadable:
        lines.append(("unreadable", f"{found.unreadable:,}"))
        lines += [("", problem) for problem in found.problems]
    if found.skipped:
        lines.append(("left out", one_line(found.skipped)))
    faces = photos.faces_in_all + videos.faces_in_all
    lines.append(("faces", f"about {faces:,.0f}"))
    if found.seconds is not None:
        sampled = f"{photos.sampled} photos and {videos.sampled} frames were looked at"
        lines.append(("time", f"about {format_duration(found.seconds)} ({sampled})"))
    lines.append(("disk", f"about {_size(found.disk)} in {out}, of {_size(found.free)} free"))
    return "\n".join(f"{key + ':' if key else '':<12}{value}" for key, value in lines)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def summarise(report: Report, out: Path) -> None:
    """Print what a run came to, on stderr."""
    statuses, faces = report.statuses, sum(report.emotions.values())
    inputs = sum(statuses.values())
    say = functools.partial(click.echo, err=True)
    films = f" and {number(report.videos, 'video')} ({report.frames:,} frames)"
    what = number(report.photos, "photo") + (films if report.videos else "")
    seconds = report.seconds.get("inputs", 0)
    speed = f" in {seconds:.1f} s ({report.looked / seconds:.1f} a second)" if seconds else ""
    say(f"{what}, {number(faces, 'face')}{speed}")
    if report.emotions:
        say("  " + ", ".join(f"{name} {count}" for name, count in report.emotions.most_common()))
    noun = "photo" if report.photos == inputs else "input"
    if report.earlier:
        say(f"  finished earlier: {number(report.earlier, noun)}")
    if statuses["no_face"]:
        say(f"  no face: {number(statuses['no_face'], noun)}")
    if statuses["failed"]:
        say(
            f"  failed: {number(statuses['failed'], 'input')}, the reasons are in files.csv; "
            "--retry-failed looks at them once more"
        )
    say(f"results: {out}")
    if report.interrupted:
        missing = (
            f"{number(report.left, 'input')} not looked at" if report.left else "not all drawn"
        )
        say(f"interrupted: {missing}; the same command goes on")


def number(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
