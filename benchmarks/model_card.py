"""The figures of docs/model-card.md: how good a checkpoint is, and where it fails.

    python benchmarks/model_card.py --csv fer2013.csv [--usage PublicTest] [--checkpoint PATH]
        [--votes fer2013new.csv]

In addition to what `gudi evaluate` prints, these are the accuracy by brightness and contrast of the
picture (in thirds), the accuracy with and without a face that the frontal Haar cascade finds (which
comes closest to a pose), and the accuracy by confidence, which shows how well the probabilities are
calibrated. With FER+'s votes, the accuracy on the majority of its annotators, too.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from gudi.predictor import Predictor
from gudi.training import evaluate, prepare
from gudi.training.dataset import Dataset


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
        print(f"  {name}, all rows {right.mean():.3f} (n={len(right):,})")
        print(f"  {name}, six of ten agree {right[clear].mean():.3f} (n={clear.sum():,})")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--usage", default="PublicTest")
    parser.add_argument("--checkpoint")
    parser.add_argument("--votes", type=Path)
    options = parser.parse_args()
    usage = options.usage.split(",")
    rows = prepare.fer_faces(options.csv, prepare.RowCounts(), settings=None, usage=usage)
    whole = prepare.collect(rows)
    faces = [prepare.bordered_face(face) for face in whole.faces]
    frontal = np.array([face is not None for face in faces])
    cropped = np.array([face for face in faces if face is not None])
    detected = Dataset(cropped, whole.labels[frontal])
    with Predictor(options.checkpoint, fixed_batches=True) as predictor:
        for name, data in (("whole pictures", whole), ("detected faces", detected)):
            print(f"{name}: {evaluate.as_text(evaluate.evaluate(predictor, data))}\n")
        probabilities = predictor.predict(whole.faces)
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
