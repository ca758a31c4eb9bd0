"""Run `gudi live`: read, recognise, draw, show, save."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.detection import opencv
from gudi.errors import ExitCode, VideoError
from gudi.live.exit_guard import before_exit
from gudi.live.face_overlay import draw_face
from gudi.live.frames import check_source, is_camera, is_live, open_frames, source_name
from gudi.live.window import Window, check_display
from gudi.media.recording import Recording, check_recording
from gudi.media.video import Frame
from gudi.outputs.drawing.text import undrawable
from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.records import Face
from gudi.run_setup import choose_detector, load_weights, note_setup
from gudi.settings import AUTO, BARS, EMOJI, NOTHING, RecognizerOptions, debugging, drawn_parts
from gudi.signals import stop_requested

OnFace = Callable[[Frame, Face], None]


@dataclass
class LiveReport:
    """The outcome of a run. It decides the exit code.

    Attributes:
        frames: number of frames processed.
        faces: number of those with a face.
        seconds: how long the run took.
        interrupted: whether a signal ended it.
        problem: "" or why the source ended unexpectedly.
    """

    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    problem: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run with this report."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_INPUTS_FAILED if self.problem else ExitCode.FINISHED


def run_live(
    source: str,
    options: RecognizerOptions,
    *,
    save: Path | None = None,
    overwrite: bool = False,
    window: bool = True,
    draw: str = AUTO,
    on_face: OnFace | None = None,
    on_lost: Callable[[LiveReport], object] | None = None,
    progress: Progress | None = None,
) -> LiveReport:
    """Process the frames of `source` until it ends or the user ends the run.

    Args:
        source: the number of a camera, from 0, its address, or the path of a video.
        options: which checkpoint to use and how to detect faces, of which the largest is used.
        save: where to write the annotated frames, as an MP4.
        overwrite: replace the file at `save`.
        window: show the frames in a window, those of a video no faster than at its own speed.
        draw: what to draw onto the frames, see `gudi.settings.drawn_parts`.
        on_face: called with each frame that has a face, before anything is drawn on it.
        on_lost: called when the display is lost and the recording saved; then the process ends.
        progress: receives notes for the user.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DeviceError: the device is not available.
        DisplayError: no window can be opened.
        InputError: the source does not exist, or cannot be opened.
        UsageError: the source is an address that names no host.
        OutputError: `save` cannot be written.
    """
    check_source(source)
    if save is not None:
        check_recording(save, overwrite=overwrite, source=source)
    weights = load_weights(options)
    progress = progress or Progress()
    options = choose_detector(options, weights, progress)
    if window:
        check_display()
    with (
        stop_requested() as stop,  # what is opened next is closed before handlers are restored
        open_frames(source, debug=debugging(), progress=progress, stop=stop) as frames,
        Predictor.from_options(weights, options, batch_size=1) as predictor,
        contextlib.ExitStack() as outputs,
    ):
        session = _Session(
            options=replace(options, faces="largest"),
            predictor=predictor,
            parts=drawn_parts(draw, (BARS, EMOJI)),
            on_face=on_face,
            recording=outputs.enter_context(Recording(save)) if save is not None else None,
            window=(
                outputs.enter_context(Window(stop, paced=not is_live(source))) if window else None
            ),
        )
        note_setup(weights, options, options.detector, progress)
        if save is not None and not is_camera(source):
            progress.note("the saved video has no sound")
        if draw != NOTHING and (note := undrawable(options.emotions)):
            progress.note(note)
        if draw != NOTHING and not opencv.AVAILABLE:
            progress.note("OpenCV 5 cannot detect eyes, so none are drawn; OpenCV 4 can")
        started = time.monotonic()
        if window:
            outputs.enter_context(before_exit(lambda: session.end_process(started, on_lost)))
        try:
            for frame in frames:
                if not session.process(frame) or stop:
                    break
        except VideoError as error:
            session.report.problem = f"{source_name(source)}: {error}"
        session.report.interrupted = bool(stop)
        session.report.seconds = time.monotonic() - started
    return session.report


@dataclass(kw_only=True)
class _Session:
    """The processing of each frame of a run."""

    options: RecognizerOptions
    predictor: Predictor
    parts: Collection[str]
    on_face: OnFace | None
    recording: Recording | None
    window: Window | None
    report: LiveReport = field(default_factory=LiveReport)

    def process(self, frame: Frame) -> bool:
        """Recognise the face of `frame` and pass both on. Return whether to continue."""
        face = self._largest_face(frame.image)
        self.report.frames += 1
        if face is not None:
            self.report.faces += 1
            if self.on_face is not None:
                self.on_face(frame, face)
            if self.recording is not None or self.window is not None:
                draw_face(frame.image, face, self.parts)
        if self.recording is not None:
            self.recording.add(frame.image, frame.seconds)
        return self.window is None or self.window.show(frame)

    def end_process(
        self, started: float, on_lost: Callable[[LiveReport], object] | None
    ) -> NoReturn:
        """Save what was recorded and end the process, whose display is lost."""
        self.report.seconds = time.monotonic() - started
        self.report.problem = "the window is gone: its display or the connection to it has ended"
        if self.recording is not None:
            self.recording.close()
        if on_lost is not None:
            on_lost(self.report)
        os._exit(self.report.exit_code)

    def _largest_face(self, image: npt.NDArray[np.uint8]) -> Face | None:
        found = detection.find_faces(image, self.options)
        if not found:
            return None
        box, score = found[0]
        (probabilities,) = self.predictor.predict(detection.crop(image, box)[np.newaxis])
        return Face(box, score, probabilities, self.predictor.emotions)
