"""Detection in workers and prediction in this process, up to the results."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from clips import scene, write_video

import gudi_jobs
from gudi.errors import DeviceError
from gudi.media import video, video_index
from gudi.media.source import Source
from gudi.pipeline.detect_work import IndexedVideo
from gudi.pipeline.listing import list_sources
from gudi.pipeline.recognize import recognize
from gudi.pipeline.workers import start_workers
from gudi.records import Result, VideoFrame
from gudi.settings import BatchOptions

ONE_KEY_FRAME = {"g": "1000", "sc_threshold": "0"}


class Results(dict):
    """A sink that keeps the results of photos by file name."""

    def add(self, result):
        self[Path(result.source.path).name] = result


@pytest.fixture(scope="module")
def workers():
    with start_workers(BatchOptions(), 2) as started:
        yield started


def recognize_photos(sources, predictor, workers, **settings):
    results, opened = Results(), Future()
    opened.set_result(predictor)
    recognize(
        sources,
        options=BatchOptions(device="cpu", detector="haar", **settings),
        predictor=opened,
        workers=workers,
        sink=results,
    )
    return results


def test_each_photo_has_one_result_with_its_probabilities(photos, predictor, workers):
    results = recognize_photos(list(list_sources([str(photos)])), predictor, workers)
    assert {name: result.status for name, result in results.items()} == {
        "one.jpg": "ok", "one.png": "ok", "two.bmp": "ok", "none.jpg": "no_face",
    }  # fmt: skip
    two = results["two.bmp"]
    assert (two.width, two.height, len(two.faces)) == (500, 300, 2)
    assert all(face.probabilities.shape == (7,) for face in two.faces)
    assert all(face.crop is None for face in two.faces)
    assert two.seconds["decode"] > 0 < two.seconds["detect"]


def test_photo_that_disappears_during_a_run_fails_alone(photos, predictor, workers):
    sources = list(list_sources([str(photos)]))
    (photos / "one.jpg").unlink()
    results = recognize_photos(sources, predictor, workers)
    assert results["one.jpg"].error == "no such file"
    assert results["two.bmp"].status == "ok"


def test_detection_settings_reach_the_detector(photos, predictor, workers):
    sources = list(list_sources([str(photos / "two.bmp")]))

    def boxes(**options):
        return recognize_photos(sources, predictor, workers, **options)["two.bmp"].faces

    assert len(boxes()) == 2
    assert len(boxes(faces="largest")) == 1
    assert boxes(min_face=200) == []
    assert len(boxes(max_side=250)) == 2
    assert boxes(min_neighbors=10_000) == []


class Segments:
    """A sink that collects the segments of a video."""

    def __init__(self):
        self.frames, self.errors, self.finished = [], [], []

    def start_video(self, source, index):
        return ()

    def forget(self, source):
        self.frames.clear()

    def add(self, result):
        self.frames.append(len(result.frames or ()))
        self.errors.append(result.error)

    def finish(self, source, problem, digest):
        self.finished.append(source)


class ScriptedWorkers:
    """Workers that take all items that there are, and finish them as a script says."""

    def __init__(self, script):
        self.script = script

    def map_unordered(self, work, items):
        yield from self.script(items)


def run_script(script, source, sink, **options):
    workers = ScriptedWorkers(script)
    recognize(
        [source], options=BatchOptions(), predictor=None, workers=workers, sink=sink, **options
    )


def test_video_with_misleading_packets_is_decoded_as_a_whole(tmp_path):
    """Whichever of its segments are still in progress then, and however they end."""
    path = write_video(tmp_path / "v.mp4", [scene(n) for n in range(200)], options=ONE_KEY_FRAME)
    source, sink = Source("v.mp4", str(path), "video"), Segments()
    late = video_index.UnreliableTimestamps("3 frames are not where the packets say")

    def processed(item, frames):
        for segment in item.segments:
            found = [VideoFrame(each, each / 25, b"") for each in range(frames)]
            result = Result(item.source, segment.number, frames=found)
            yield gudi_jobs.Result(item, result, is_last=False)
        yield gudi_jobs.Result(item)

    def script(items):
        yield gudi_jobs.Result(next(items), IndexedVideo(video.read_index(path), b""))
        runs = list(items)
        assert len(runs) == 4
        yield from processed(runs[1], 64)
        for run in runs[2:]:
            yield gudi_jobs.Result(run, error=late)
        (whole,) = items
        yield from processed(runs[0], 64)
        assert (sink.frames, sink.finished) == ([], [])
        yield from processed(whole, 200)
        yield gudi_jobs.Result(runs[1], error=late)
        assert not list(items)

    run_script(script, source, sink, runs=4)
    assert sink.frames == [200]
    assert sink.finished == [source]


def test_segments_after_one_that_fails_are_processed_again(tmp_path):
    """Whether it ends early or kills its worker, and whether others came before it."""
    path = write_video(tmp_path / "v.mp4", [scene(n) for n in range(200)], options=ONE_KEY_FRAME)
    source, sink = Source("v.mp4", str(path), "video"), Segments()

    def script(items):
        yield gudi_jobs.Result(next(items), IndexedVideo(video.read_index(path), b""))
        (item,) = items
        assert [each.number for each in item.segments] == [0, 64, 128, 192]
        first, second = (Result(source, number, frames=[]) for number in (0, 64))
        yield gudi_jobs.Result(item, first, is_last=False)
        second.error = "it ends unexpectedly after frame 70"
        yield gudi_jobs.Result(item, second, is_last=False)
        yield gudi_jobs.Result(item)
        (item,) = items
        assert [each.number for each in item.segments] == [128, 192]
        yield gudi_jobs.Result(item, error=gudi_jobs.WorkerDied("it died"))
        (item,) = items
        yield gudi_jobs.Result(item, Result(source, 192, frames=[]), is_last=False)
        yield gudi_jobs.Result(item)
        assert not list(items)

    run_script(script, source, sink)
    assert sink.errors == [
        "",
        "frames 64 to 127: it ends unexpectedly after frame 70",
        "frames 128 to 191: it died",
        "",
    ]
    assert sink.finished == [source]


def test_predictor_that_cannot_be_opened_is_an_error_even_if_there_is_no_face(photos, workers):
    opened = Future()
    opened.set_exception(DeviceError("no such GPU"))
    sources = [each for each in list_sources([str(photos)]) if "none" in each.path]
    with pytest.raises(DeviceError, match="no such GPU"):
        recognize(
            sources,
            options=BatchOptions(),
            predictor=opened,
            workers=workers,
            sink=Results(),
        )
