"""What a run would have to do, before it is begun: how much there is, how long, how much disk."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2

import jobs
from gudi import checkpoint, detection
from gudi.errors import GudiError, one_line
from gudi.files import nearest_folder
from gudi.media import sources, video
from gudi.media.photo import read_photo
from gudi.media.sources import Source
from gudi.pipeline.run import (
    check_same,
    describe_skipped,
    identify,
    in_shard,
    list_sources,
)
from gudi.results import ledger
from gudi.results.folder import ResultFolder
from gudi.results.ledger import Ledger
from gudi.settings import DEFAULT_OUTPUT, OutputSettings, RunSettings

# So many photos, and frames of so many videos, are looked at to tell how long all will take.
SAMPLED_PHOTOS, SAMPLED_VIDEOS, FRAMES_A_VIDEO = 24, 4, 6
SAMPLING_SECONDS = 20.0

MAX_LISTED = 20  # of what cannot be read

# Measured, see docs/benchmarks.md: seconds of prediction a face; bytes a face and an input in
# tables, ledger and report; bytes of a thumbnail.
PREDICT_SECONDS = 0.002
BYTES_A_FACE, BYTES_AN_INPUT, BYTES_A_THUMBNAIL = 350, 700, 9000
STARTUP_SECONDS = 5.0


@dataclass
class Kind:
    """The photos, or the videos, of an inventory.

    Attributes:
        count, size: how many, and their bytes.
        pictures: photos, or frames of videos, that would be looked at.
        sampled: how many pictures were looked at; `seconds` and `faces` are those of the sample.
    """

    count: int = 0
    size: int = 0
    pictures: float = 0
    sampled: int = 0
    seconds: float = 0
    faces: int = 0

    @property
    def seconds_in_all(self) -> float:
        """Seconds of one processor that looking at all pictures takes."""
        return self.pictures * self.seconds / max(1, self.sampled)

    @property
    def faces_in_all(self) -> float:
        """Faces in all pictures, going by the sample."""
        return self.pictures * self.faces / max(1, self.sampled)


@dataclass
class Inventory:
    """What a run would have to do.

    Attributes:
        photos, videos: what there is to look at.
        video_seconds: how long the videos are.
        finished: inputs that an earlier run has finished.
        unreadable: how many inputs cannot be read, as far as the names and the sample tell.
        problems: the first of those, with the reason.
        skipped: "" or which files in folders are left out by their endings.
        seconds: about how long the run would take; None where nothing could be sampled.
        disk, free: bytes that it would write, about, and those that are free there.
    """

    photos: Kind = field(default_factory=Kind)
    videos: Kind = field(default_factory=Kind)
    video_seconds: float = 0
    finished: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float | None = None
    disk: int = 0
    free: int = 0


def take_inventory(
    inputs: Sequence[str],
    out: Path,
    settings: RunSettings,
    output: OutputSettings = DEFAULT_OUTPUT,
    *,
    restart: bool = False,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
) -> Inventory:
    """Return what `gudi.batch.run` would have to do with the same arguments; nothing is written.

    Raises:
        GudiError: there is nothing to work on, or the run would refuse checkpoint or `out`.
    """
    folder, found = ResultFolder(out), Inventory()
    weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
    goes_on = folder.used and not restart
    if goes_on:
        check_same(folder, settings, identify(settings, weights, shard))
    sample, skipped = _Sample(), Counter()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as ledgers:
        listed, earlier = ledgers.enter_context(Ledger(Path(scratch, "list"), 0)), None
        if goes_on and (out / ledger.NAME).exists():
            earlier = ledgers.enter_context(
                Ledger(out / ledger.NAME, len(settings.emotions), crops=settings.crops)
            )
        listed.begin({})
        for source in list_sources(inputs, exclude=out, is_new=listed.is_new, skipped=skipped):
            if shard is not None and not in_shard(source, *shard):
                continue
            listed.enlist(source)
            if earlier is not None and earlier.is_finished(source, or_failed=not retry_failed):
                found.finished += 1
            else:
                _count(found, source, settings)
                sample.offer(source)
    if skipped:
        found.skipped = describe_skipped(skipped)
    sample.look(found, settings)
    _estimate(found, settings, output)
    found.free = shutil.disk_usage(nearest_folder(out)).free
    return found


def _count(found: Inventory, source: Source, settings: RunSettings) -> None:
    """Add one source."""
    problem = source.problem
    try:
        size = 0 if problem else os.path.getsize(source.path)
        if not (size or problem):
            problem = "it is empty (0 bytes)"
        if source.kind == sources.VIDEO and not problem:
            seconds, frames = video.estimate_length(source.path)
            choice = settings.frames
            wanted = frames / choice.every
            if choice.fps is not None:
                wanted = min(wanted, seconds * choice.fps)
            found.video_seconds += seconds
            found.videos.pictures += wanted
    except (OSError, GudiError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    if problem:
        _note(found, source, problem)
        return
    kind = found.videos if source.kind == sources.VIDEO else found.photos
    kind.count += 1
    kind.size += size
    found.photos.pictures = found.photos.count


def _note(found: Inventory, source: Source, problem: object) -> None:
    """Note that `source` cannot be read."""
    found.unreadable += 1
    if len(found.problems) < MAX_LISTED:
        found.problems.append(f"{one_line(source.name)}: {one_line(problem)}")


class _Sample:
    """Some of the sources, each as likely as any other (Vitter 1985, algorithm R)."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._chosen: dict[str, list[Source]] = {sources.IMAGE: [], sources.VIDEO: []}
        self._offered = {sources.IMAGE: 0, sources.VIDEO: 0}
        self._most = {sources.IMAGE: SAMPLED_PHOTOS, sources.VIDEO: SAMPLED_VIDEOS}

    def offer(self, source: Source) -> None:
        """Take `source` into the sample, or not."""
        if source.problem:
            return
        kind = source.kind
        self._offered[kind] += 1
        place = self._random.randrange(self._offered[kind])
        if len(self._chosen[kind]) < self._most[kind]:
            self._chosen[kind].append(source)
        elif place < self._most[kind]:
            self._chosen[kind][place] = source

    def look(self, found: Inventory, settings: RunSettings) -> None:
        """Look for faces in what was chosen, and note how long that takes."""
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # as in the workers
        ends = time.monotonic() + SAMPLING_SECONDS
        try:
            for source in self._chosen[sources.IMAGE]:
                if time.monotonic() < ends:
                    _look_at_photo(source, found, settings)
            for source in self._chosen[sources.VIDEO]:
                if time.monotonic() < ends + SAMPLING_SECONDS:
                    _look_at_video(source, found, settings)
        finally:
            cv2.setNumThreads(before)


def _look_at_photo(source: Source, found: Inventory, settings: RunSettings) -> None:
    began, kind = time.perf_counter(), found.photos
    try:
        image = read_photo(source.path)
        kind.faces += len(detection.detect(image, **asdict(settings.detection)))
    except GudiError as error:
        _note(found, source, error)
    kind.sampled += 1
    kind.seconds += time.perf_counter() - began


def _look_at_video(source: Source, found: Inventory, settings: RunSettings) -> None:
    began, kind = time.perf_counter(), found.videos
    count = 0
    try:
        for frame in video.read_frames(source.path):
            kind.faces += len(detection.detect(frame.image, **asdict(settings.detection)))
            count += 1
            if count == FRAMES_A_VIDEO:
                break
    except GudiError as error:
        _note(found, source, error)
    kind.sampled += count
    kind.seconds += time.perf_counter() - began if count else 0


def _estimate(found: Inventory, settings: RunSettings, output: OutputSettings) -> None:
    """Work out time and disk from what was counted and sampled."""
    kinds = (found.photos, found.videos)
    count = found.photos.count + found.videos.count
    in_all = sum(kind.faces_in_all for kind in kinds)
    if any(kind.sampled for kind in kinds):
        work = sum(kind.seconds_in_all for kind in kinds) + in_all * PREDICT_SECONDS
        found.seconds = STARTUP_SECONDS + work / (settings.workers or jobs.cpu_count())
    found.disk = round(in_all * BYTES_A_FACE + count * BYTES_AN_INPUT)
    for kind in kinds:
        with_faces = min(1.0, kind.faces / max(1, kind.sampled))
        if output.annotated:
            found.disk += round(kind.size * with_faces)
        if output.report:
            found.disk += round(kind.count * with_faces * BYTES_A_THUMBNAIL)
