"""The dry run of a batch: the amount of work, the time and the disk space it would take."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2

import gudi_jobs
from gudi import detection
from gudi.errors import GudiError, one_line
from gudi.files import nearest_folder
from gudi.media import video
from gudi.media.content import IMAGE, VIDEO
from gudi.media.photo import open_photo
from gudi.media.source import Source
from gudi.outputs.folder import ResultFolder
from gudi.picture import Picture
from gudi.pipeline.identity import check_resumable, resolve_defaults, run_identity
from gudi.pipeline.listing import describe_skipped, list_sources
from gudi.pipeline.shards import in_shard
from gudi.run_setup import load_weights
from gudi.settings import BatchOptions
from gudi.store import Store

# The sample from which the running time is estimated.
SAMPLED_PHOTOS, SAMPLED_VIDEOS, FRAMES_PER_VIDEO = 24, 4, 6
SAMPLING_SECONDS = 20.0

MAX_PROBLEMS = 20  # that are listed one by one

# Measured, see docs/benchmarks.md: seconds to predict a face; bytes per face and per input in
# tables, store and report; bytes of a thumbnail.
PREDICT_SECONDS = 0.002
BYTES_PER_FACE, BYTES_PER_INPUT, BYTES_PER_THUMBNAIL = 350, 700, 9000
STARTUP_SECONDS = 5.0


@dataclass
class KindEstimate:
    """The photos, or the videos, of a dry run.

    Attributes:
        count: number of files.
        size: of all files, in bytes.
        pictures: photos, or frames of videos, to process.
        sampled: pictures that were processed as a sample.
        seconds: processing time of the sample.
        faces: faces in the sample.
    """

    count: int = 0
    size: int = 0
    pictures: float = 0
    sampled: int = 0
    seconds: float = 0
    faces: int = 0

    @property
    def all_seconds(self) -> float:
        """CPU seconds for all pictures, estimated from the sample."""
        return self.pictures * self.seconds / max(1, self.sampled)

    @property
    def all_faces(self) -> float:
        """Faces in all pictures, estimated from the sample."""
        return self.pictures * self.faces / max(1, self.sampled)


@dataclass
class Estimate:
    """The work of a run.

    Attributes:
        photos, videos: the inputs to process.
        video_seconds: length of all videos.
        finished: number of inputs that an earlier run has finished.
        unreadable: number of inputs that names or sample show to be unreadable.
        problems: the first of these inputs, with the reasons.
        skipped: "", or a sentence about files in folders that have other suffixes.
        seconds: running time; None if nothing could be sampled.
        disk: bytes that the run would write.
        free: bytes that are free there.
    """

    photos: KindEstimate = field(default_factory=KindEstimate)
    videos: KindEstimate = field(default_factory=KindEstimate)
    video_seconds: float = 0
    finished: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float | None = None
    disk: int = 0
    free: int = 0

    @property
    def faces(self) -> float:
        """Faces in all photos and videos."""
        return self.photos.all_faces + self.videos.all_faces

    def kind(self, source: Source) -> KindEstimate:
        """Return the estimate that `source` belongs to."""
        return self.videos if source.kind == VIDEO else self.photos

    def note_problem(self, source: Source, problem: object) -> None:
        """Count `source` as unreadable."""
        self.unreadable += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{source.name}: {one_line(problem)}")


def dry_run(inputs: Sequence[str], out: Path, options: BatchOptions) -> Estimate:
    """Estimate what `gudi.pipeline.run.run_batch` would do with these arguments; write nothing.

    Raises:
        GudiError: there is nothing to process, or the run would refuse the checkpoint or `out`.
    """
    folder, estimate, sample = ResultFolder(out), Estimate(), _Sample()
    weights = load_weights(options)
    options = resolve_defaults(options, weights, folder)
    resumes = folder.used and not options.restart
    if resumes:
        check_resumable(folder, run_identity(options, weights))
    skipped: Counter[str] = Counter()
    with contextlib.ExitStack() as stores:
        scratch = stores.enter_context(tempfile.TemporaryDirectory())
        listed = stores.enter_context(Store(Path(scratch, "list")))
        listed.start_run({})
        earlier = None
        if resumes and folder.store.exists():
            earlier = stores.enter_context(Store(folder.store, read_only=True))
        for source in list_sources(
            inputs,
            out=out,
            exclude=options.exclude,
            is_new=listed.inputs.is_new,
            skipped=skipped,
        ):
            if not in_shard(source, options.shard):
                continue
            listed.register(source)
            if earlier and earlier.inputs.is_finished(source, or_failed=not options.retry_failed):
                estimate.finished += 1
            else:
                _count(estimate, source, options)
                sample.offer(source)
    if skipped:
        estimate.skipped = describe_skipped(skipped)
    sample.process(estimate, options)
    _extrapolate(estimate, options)
    estimate.free = shutil.disk_usage(nearest_folder(out)).free
    return estimate


def _count(estimate: Estimate, source: Source, options: BatchOptions) -> None:
    """Add one source to the estimate."""
    if source.problem:
        estimate.note_problem(source, source.problem)
        return
    kind = estimate.kind(source)
    try:
        size, _ = source.status()
        pictures = 1.0
        if size and source.kind == VIDEO:
            seconds, frames = video.estimate_length(source)
            pictures = frames / options.every
            if options.fps is not None:
                pictures = min(pictures, seconds * options.fps)
            estimate.video_seconds += seconds
    except (OSError, GudiError) as error:
        estimate.note_problem(source, getattr(error, "strerror", None) or error)
        return
    if not size:
        estimate.note_problem(source, "it is empty (0 bytes)")
        return
    kind.count += 1
    kind.size += size
    kind.pictures += pictures


class _Sample:
    """A random sample of the sources, each equally likely (Vitter 1985, algorithm R)."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._chosen: dict[str, list[Source]] = {IMAGE: [], VIDEO: []}
        self._offered = {IMAGE: 0, VIDEO: 0}
        self._sizes = {IMAGE: SAMPLED_PHOTOS, VIDEO: SAMPLED_VIDEOS}

    def offer(self, source: Source) -> None:
        """Add `source` to the sample, or not."""
        if source.problem:
            return
        kind = source.kind
        self._offered[kind] += 1
        position = self._random.randrange(self._offered[kind])
        if len(self._chosen[kind]) < self._sizes[kind]:
            self._chosen[kind].append(source)
        elif position < self._sizes[kind]:
            self._chosen[kind][position] = source

    def process(self, estimate: Estimate, options: BatchOptions) -> None:
        """Detect the faces of the sample, and measure how long that takes."""
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # as in the workers
        end = time.monotonic() + SAMPLING_SECONDS
        try:
            for source in self._chosen[IMAGE]:
                if time.monotonic() < end:
                    _process_sampled(estimate, source, options)
            for source in self._chosen[VIDEO]:
                if time.monotonic() < end + SAMPLING_SECONDS:
                    _process_sampled(estimate, source, options)
        finally:
            cv2.setNumThreads(threads)


def _process_sampled(estimate: Estimate, source: Source, options: BatchOptions) -> None:
    """Detect the faces of a photo, or of the first frames of a video."""
    kind, start, count = estimate.kind(source), time.perf_counter(), 0
    try:
        for picture in _pictures(source, options):
            kind.faces += len(detection.find_faces(picture, options))
            count += 1
    except GudiError as error:
        estimate.note_problem(source, error)
        if source.kind != VIDEO:
            count = 1  # it represents other unreadable photos, which have no faces either
    kind.sampled += count
    kind.seconds += time.perf_counter() - start if count else 0


def _pictures(source: Source, options: BatchOptions) -> Iterator[Picture]:
    if source.kind != VIDEO:
        yield open_photo(source, detection.DETECTORS[options.detector].side)
        return
    for frame, _ in zip(video.read_frames(source), range(FRAMES_PER_VIDEO)):
        yield frame.picture


def _extrapolate(estimate: Estimate, options: BatchOptions) -> None:
    """Derive time and disk space from the counts and the sample."""
    kinds = (estimate.photos, estimate.videos)
    count = estimate.photos.count + estimate.videos.count
    if any(kind.sampled for kind in kinds):
        work = sum(kind.all_seconds for kind in kinds) + estimate.faces * PREDICT_SECONDS
        estimate.seconds = STARTUP_SECONDS + work / (options.workers or gudi_jobs.cpu_count())
    estimate.disk = round(estimate.faces * BYTES_PER_FACE + count * BYTES_PER_INPUT)
    for kind in kinds:
        with_faces = min(1.0, kind.faces / max(1, kind.sampled))
        if options.annotate:
            estimate.disk += round(kind.size * with_faces)
        if options.report:
            estimate.disk += round(kind.count * with_faces * BYTES_PER_THUMBNAIL)
