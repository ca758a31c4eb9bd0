"""The figures of docs/model-card.md: how good a checkpoint is, and where it fails.

    python benchmarks/model_card.py --csv fer2013.csv [--usage PublicTest] [--checkpoint PATH]
        [--votes fer2013new.csv] [--fer]

In addition to what `gudi evaluate` prints, these are the accuracy by detector; with and without a
face that the frontal Haar cascade finds (which comes closest to a pose); by brightness and contrast
of the picture (in thirds); of pictures that are turned, shrunk, blurred and so on; and by
confidence, which shows how well the probabilities are calibrated. With FER+'s votes, the accuracy
on the majority of its annotators, too. With --fer, that of the package fer on the same faces.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np

from gudi.predictor import Predictor
from gudi.settings import DetectionOptions
from gudi.training import evaluate, prepare
from gudi.training.dataset import Dataset

# The package fer's names, in gudi's order.
FER_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def print_agreement(options: argparse.Namespace) -> None:
    """Print how often the network, mirrored or not, says what FER+'s annotators say."""
    rows = prepare.fer_faces(
        options.csv,
        prepare.RowCounts(),
        settings=None,
        usage=options.usage.split(","),
        votes=options.votes,
        votes_weight=1.0,
    )
    _, faces, shares = zip(*rows)
    faces, shares = np.array(faces), np.array(shares)
    majority, clear = shares.argmax(axis=1), shares.max(axis=1) >= 0.6
    print("FER+, accuracy on the majority of its annotators")
    for mirror in (True, False):
        with Predictor(options.checkpoint, mirror=mirror, fixed_batches=True) as predictor:
            right = predictor.predict(faces).argmax(axis=1) == majority
        name = "mirrored" if mirror else "not mirrored"
        agreed = f"{right[clear].mean():.3f} (n={clear.sum():,})"
        print(f"  {name}, all rows {right.mean():.3f} (n={len(right):,})")
        print(f"  {name}, six tenths of the votes for emotions {agreed}")
    print()


def detected_by_cnn(whole: Dataset) -> Dataset:
    """Return the faces that the CNN crops of FER2013's pictures."""
    settings = DetectionOptions(detector="cnn", faces="largest")
    faces = [prepare.bordered_face(face, settings) for face in whole.faces]
    found = np.array([face is not None for face in faces])
    return Dataset(np.array([face for face in faces if face is not None]), whole.labels[found])


def turned(faces: np.ndarray, degrees: float) -> np.ndarray:
    """Return pictures turned to the left."""
    matrix = cv2.getRotationMatrix2D((23.5, 23.5), degrees, 1)
    return np.stack(
        [cv2.warpAffine(face, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE) for face in faces]
    )


def shrunk(faces: np.ndarray, side: int) -> np.ndarray:
    """Return pictures of faces with a side of `side` pixels, enlarged again."""
    small = (cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces)
    return np.stack([cv2.resize(face, (48, 48), interpolation=cv2.INTER_CUBIC) for face in small])


def blurred(faces: np.ndarray, deviation: float) -> np.ndarray:
    """Return pictures that are out of focus."""
    return np.stack([cv2.GaussianBlur(face, (0, 0), deviation) for face in faces])


def compressed(faces: np.ndarray, quality: int) -> np.ndarray:
    """Return pictures after JPEG compression."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    data = (cv2.imencode(".jpg", face, options)[1] for face in faces)
    return np.stack([cv2.imdecode(each, cv2.IMREAD_GRAYSCALE) for each in data])


def print_worn(predictor: Predictor, whole: Dataset) -> None:
    """Print how often the network is right about turned, small and bad pictures."""
    print("whole pictures, changed")
    for name, changed in {
        "turned by 15°": turned(whole.faces, 15),
        "turned by 30°": turned(whole.faces, 30),
        "32 pixels": shrunk(whole.faces, 32),
        "24 pixels": shrunk(whole.faces, 24),
        "16 pixels": shrunk(whole.faces, 16),
        "blurred, 1 pixel": blurred(whole.faces, 1),
        "JPEG of quality 20": compressed(whole.faces, 20),
    }.items():
        right = predictor.predict(changed).argmax(axis=1) == whole.labels
        print(f"  {name:34} {right.mean():.3f}")
    print()


def print_fer(checkpoint: str | None, sets: dict[str, Dataset]) -> None:
    """Print how often gudi and the package fer are right about the same faces."""
    from fer.fer import FER

    detector = FER()

    def predicted(face: np.ndarray) -> int:
        # fer adds 10 pixels on each side of the box that it is given.
        picture = cv2.cvtColor(face, cv2.COLOR_GRAY2BGR)
        found = detector.detect_emotions(picture, face_rectangles=[(10, 10, 28, 28)])
        emotions = found[0]["emotions"]
        return FER_EMOTIONS.index(max(emotions, key=emotions.get))

    print("gudi and fer, accuracy and mean recall")
    for name, data in sets.items():
        theirs = np.array([predicted(face) for face in data.faces])
        with Predictor(checkpoint, fixed_batches=True) as predictor:
            ours = predictor.predict(data.faces).argmax(axis=1)
        for package, found in (("gudi", ours), ("fer", theirs)):
            right = found == data.labels
            recall = np.mean([right[data.labels == label].mean() for label in range(7)])
            print(f"  {name}, {package}: {right.mean():.3f}, {recall:.3f} (n={len(right):,})")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--usage", default="PublicTest")
    parser.add_argument("--checkpoint")
    parser.add_argument("--votes", type=Path)
    parser.add_argument("--fer", action="store_true")
    options = parser.parse_args()
    usage = options.usage.split(",")
    rows = prepare.fer_faces(options.csv, prepare.RowCounts(), settings=None, usage=usage)
    whole = prepare.collect(rows)
    faces = [prepare.bordered_face(face) for face in whole.faces]
    frontal = np.array([face is not None for face in faces])
    cropped = np.array([face for face in faces if face is not None])
    sets = {
        "whole pictures": whole,
        "faces that haar detects": Dataset(cropped, whole.labels[frontal]),
        "faces that cnn detects": detected_by_cnn(whole),
    }
    with Predictor(options.checkpoint, fixed_batches=True) as predictor:
        for name, data in sets.items():
            print(f"{name}: {evaluate.as_text(evaluate.evaluate(predictor, data))}\n")
        probabilities = predictor.predict(whole.faces)
        print_worn(predictor, whole)
    if options.fer:
        print_fer(options.checkpoint, sets)
    if options.votes:
        print_agreement(options)
    right = probabilities.argmax(axis=1) == whole.labels
    confidence = probabilities.max(axis=1)

    def line(name: str, chosen: np.ndarray) -> None:
        print(f"  {name:34} {right[chosen].mean():.3f} (n={chosen.sum():,})")

    print("whole pictures, accuracy")
    line("frontal face found", frontal)
    line("no frontal face found", ~frontal)
    for name, values in (
        ("brightness", whole.faces.mean(axis=(1, 2))),
        ("contrast", whole.faces.std(axis=(1, 2))),
    ):
        low, high = np.quantile(values, (1 / 3, 2 / 3))
        line(f"{name} below {low:.0f}", values < low)
        line(f"{name} {low:.0f} to {high:.0f}", (values >= low) & (values < high))
        line(f"{name} from {high:.0f}", values >= high)
    edges = (0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
    for low, high in itertools.pairwise(edges):
        chosen = (confidence >= low) & (confidence < high)
        mean = confidence[chosen].mean()
        line(f"confidence {low:.1f} to {min(high, 1):.1f}, mean {mean:.3f}", chosen)


if __name__ == "__main__":
    main()
