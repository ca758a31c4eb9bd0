"""The figures of docs/model-card.md: how good a checkpoint is, and where it fails.

    python benchmarks/model_card.py --csv fer2013.csv [--usage PublicTest] [--checkpoint PATH]

In addition to what `gudi evaluate` prints, these are the accuracy by brightness and contrast of the
picture (in thirds), the accuracy with and without a face that the frontal Haar cascade finds (which
comes closest to a pose), and the accuracy by confidence, which shows how well the probabilities are
calibrated.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from gudi.constants import SCALE_FACTOR
from gudi.predictor import Predictor
from gudi.training import evaluate, prepare
from gudi.training.dataset import Dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--usage", default="PublicTest")
    parser.add_argument("--checkpoint")
    options = parser.parse_args()
    usage = options.usage.split(",")
    rows = prepare.fer_faces(options.csv, prepare.RowCounts(), settings=None, usage=usage)
    whole = prepare.collect(rows)
    faces = [prepare.bordered_face(face, SCALE_FACTOR) for face in whole.faces]
    frontal = np.array([face is not None for face in faces])
    cropped = np.array([face for face in faces if face is not None])
    detected = Dataset(cropped, whole.labels[frontal])
    with Predictor(options.checkpoint, fixed_batches=True) as predictor:
        for name, data in (("whole pictures", whole), ("detected faces", detected)):
            print(f"{name}: {evaluate.as_text(evaluate.evaluate(predictor, data))}\n")
        probabilities = predictor.predict(whole.faces)
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
