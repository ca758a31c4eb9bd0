"""Detection in workers and prediction in this process, up to the results."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from clips import scene, write_video

import gudi_jobs
from gudi.errors import DeviceError
from gudi.media import video
from gudi.media.source import Source
from gudi.pipeline.detect_work import IndexedVideo
from gudi.pipeline.listing import list_sources
from gudi.pipeline.recognize import recognize
from gudi.pipeline.workers import start_workers
from gudi.records import Result, VideoFrame
from gudi.settings import BatchOptions


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
        self.frames, self.finished = [], []

    def start_video(self, source, index):
        return ()

    def forget(self, source):
        self.frames.clear()

    def add(self, result):
        self.frames.append(len(result.frames))

    def finish(self, source, problem, digest):
        self.finished.append(source)


class ScriptedWorkers:
    """Workers that take all items that there are, and finish them as a script says."""

    def __init__(self, script):
        self.script = script

    def map_unordered(self, work, items):
        yield from self.script(items)


def test_video_with_misleading_packets_is_decoded_as_a_whole(tmp_path):
    """Whichever of its segments are still in progress then, and however they end."""
    path = write_video(tmp_path / "v.mp4", [scene(n) for n in range(200)])
    source, sink = Source("v.mp4", str(path), "video"), Segments()
    late = video.UnreliableTimestamps("3 frames are not where the packets say")

    def processed(item, frames):
        number = item.segment.number
        found = [VideoFrame(each, each / 25, b"") for each in range(frames)]
        return gudi_jobs.Result(item, Result(item.source, number, frames=found))

    def script(items):
        yield gudi_jobs.Result(next(items), IndexedVideo(video.read_index(path), b""))
        segments = list(items)
        assert len(segments) == 4
        yield processed(segments[1], 64)
        for segment in segments[2:]:
            yield gudi_jobs.Result(segment, error=late)
        (whole,) = items
        yield processed(segments[0], 64)
        assert (sink.frames, sink.finished) == ([], [])
        yield processed(whole, 200)
        yield gudi_jobs.Result(segments[1], error=late)
        assert not list(items)

    recognize(
        [source],
        options=BatchOptions(),
        predictor=None,
        workers=ScriptedWorkers(script),
        sink=sink,
    )
    assert sink.frames == [200]
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
