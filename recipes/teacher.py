"""Train a bigger network on FER2013's and FER+'s labels, and write what it predicts as labels.

    python recipes/teacher.py --labels labels --votes votes --out taught

The two folders hold the same sets of prepared faces, one with FER2013's labels, one with FER+'s
votes (see `prepare` in default_checkpoint.py). The folder `taught` receives these sets with new
labels for `gudi train`: 30% the mean of both labels, 70% what the bigger network predicts of them.
The state is saved after each epoch; to resume, repeat the command.

The network is a plain one with batch normalisation (Simonyan and Zisserman 2015, Ioffe and Szegedy
2015), trained by SGD with Nesterov momentum. It has two outputs, one per kind of label, because
they disagree in a third of the pictures.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from gudi.predictor import UNIT
from gudi.training.augment import augment, corrupt

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

CLASSES = 7
CHANNELS = 32  # of the first layers
BATCH = 128
WEIGHT_DECAY = 5e-4
CORRUPTION = 0.15
SMOOTHING = 0.05  # of FER2013's labels
PREDICTED = 0.7  # how much of the written labels is predicted

Floats = npt.NDArray[np.float32]


class Faces:
    """Faces of several sets, with labels of both kinds."""

    def __init__(self, labels: Path, votes: Path) -> None:
        self.prefixes = sorted(
            path.name.removesuffix("_images.npy") for path in labels.glob("*_images.npy")
        )
        if not self.prefixes:
            raise click.UsageError(f"{labels} has no prepared faces")
        images, first, second, self.sizes = [], [], [], []
        for prefix in self.prefixes:
            images.append(_read(labels / f"{prefix}_images.npy"))
            first.append(_read(labels / f"{prefix}_labels.npy"))
            second.append(_read(votes / f"{prefix}_labels.npy"))
            if not len(images[-1]) == len(first[-1]) == len(second[-1]):
                raise click.UsageError(f"{labels} and {votes} have other faces of {prefix}")
            self.sizes.append(len(images[-1]))
        self.grey = np.concatenate([np.rint(each * 255).astype(np.uint8) for each in images])
        self.labels = np.concatenate(first).astype(np.float32)
        self.votes = np.concatenate(second).astype(np.float32)

    def __len__(self) -> int:
        return len(self.grey)


def _read(path: Path) -> npt.NDArray[Any]:
    try:
        values: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error
    return values


def build_teacher() -> Any:
    """Return the network: grey levels in, logits of FER2013's label and of FER+'s votes out."""
    from keras import Input, Model, layers

    def convolution(values: Any, channels: int) -> Any:
        values = layers.Conv2D(channels, 3, padding="same", use_bias=False)(values)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(values))

    values = faces = Input((48, 48, 1))
    for block in range(4):
        if block:
            values = layers.MaxPooling2D()(values)
        for _ in range(2):
            values = convolution(values, CHANNELS * 2**block)
    values = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(values))
    return Model(faces, layers.Dense(2 * CLASSES)(values))


def batches(faces: Faces, epoch: int) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield augmented faces and the labels of both kinds."""
    order = np.random.default_rng((1, epoch)).permutation(len(faces))

    def batch(start: int) -> tuple[Floats, Floats, Floats]:
        chosen = order[start : start + BATCH]
        random = np.random.default_rng((2, epoch, start))
        augmented = augment(UNIT[faces.grey[chosen]].astype(np.float32), random)
        corrupted = corrupt(augmented, random, CORRUPTION)
        return corrupted[..., None], faces.labels[chosen], faces.votes[chosen]

    with ThreadPoolExecutor(1) as thread:
        starts = range(0, len(order) - BATCH, BATCH)
        ahead = [thread.submit(batch, start) for start in starts[:3]]
        for start in starts[3:]:
            yield ahead.pop(0).result()
            ahead.append(thread.submit(batch, start))
        for each in ahead:
            yield each.result()


def train(faces: Faces, out: Path, epochs: int, rate: float, bfloat16: bool) -> Any:
    """Return the trained network; its state is in `out` after each epoch."""
    import keras
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": bfloat16})
    network = build_teacher()
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    optimizer.build(network.trainable_variables)
    state, variables = out / "teacher.npz", [*network.variables, *optimizer.variables]
    first = 0
    if state.exists():
        with np.load(state, allow_pickle=False) as values:
            first = int(values["epoch"])
            for number, variable in enumerate(variables):
                variable.assign(values[str(number)])
        click.echo(f"resuming after epoch {first}")

    def cross_entropy(targets: Any, logits: Any) -> Any:
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))

    @tf.function(jit_compile=False)
    def step(images: Any, labels: Any, votes: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            loss = cross_entropy(
                labels * (1 - SMOOTHING) + SMOOTHING / CLASSES, logits[:, :CLASSES]
            ) + cross_entropy(votes, logits[:, CLASSES:])
            decayed = sum(
                tf.nn.l2_loss(each) for each in network.trainable_variables if each.ndim > 1
            )
            whole = loss + WEIGHT_DECAY * decayed
        gradients = tape.gradient(whole, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables))
        return loss

    steps = (len(faces) - 1) // BATCH
    for epoch in range(first, epochs):
        started, losses = time.monotonic(), []
        for number, batch in enumerate(batches(faces, epoch)):
            done = (epoch + number / steps) / epochs
            warm = min(1.0, (epoch * steps + number) / 200)
            optimizer.learning_rate.assign(rate * warm * (1 + math.cos(math.pi * done)) / 2)
            losses.append(step(*batch))
        named = {str(number): variable.numpy() for number, variable in enumerate(variables)}
        np.savez(out / "teacher.part.npz", epoch=epoch + 1, **named)
        (out / "teacher.part.npz").replace(state)
        seconds = time.monotonic() - started
        click.echo(
            f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}, {seconds:.0f} seconds"
        )
    return network


def predictions(network: Any, grey: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return the probabilities of both outputs, the mean for each face and its mirror image."""
    import tensorflow as tf

    predict = tf.function(lambda faces: network(faces, training=False))
    found: list[tuple[Floats, Floats]] = []
    for start in range(0, len(grey), 512):
        faces = UNIT[grey[start : start + 512]].astype(np.float32)[..., None]
        both = [predict(each) for each in (faces, faces[:, :, ::-1])]
        found.append(
            tuple(
                np.mean([tf.nn.softmax(logits[:, part]).numpy() for logits in both], axis=0)
                for part in (slice(CLASSES), slice(CLASSES, None))
            )  # type: ignore[arg-type]
        )
    labels, votes = zip(*found)
    return np.concatenate(labels), np.concatenate(votes)


@click.command()
@click.option("--labels", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--votes", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--epochs", type=int, default=26, show_default=True)
@click.option("--learning-rate", type=float, default=0.05, show_default=True)
@click.option("--bfloat16", is_flag=True, help="Faster on CPUs with AVX512-BF16 or AMX.")
def main(
    labels: Path, votes: Path, out: Path, epochs: int, learning_rate: float, bfloat16: bool
) -> None:
    """Train the network and write labels."""
    out.mkdir(parents=True, exist_ok=True)
    faces = Faces(labels, votes)
    network = train(faces, out, epochs, learning_rate, bfloat16)
    of_labels, of_votes = predictions(network, faces.grey)
    given, predicted = faces.labels + faces.votes, of_labels + of_votes
    mixed = ((1 - PREDICTED) * given + PREDICTED * predicted) / 2
    start = 0
    for prefix, size in zip(faces.prefixes, faces.sizes):
        shutil.copyfile(labels / f"{prefix}_images.npy", out / f"{prefix}_images.npy")
        np.save(out / f"{prefix}_labels.npy", mixed[start : start + size])
        start += size


if __name__ == "__main__":
    main()
