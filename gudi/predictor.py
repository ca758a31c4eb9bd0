"""Predict the expressions of cropped faces: load a network once, then predict often."""

from __future__ import annotations

import os
import typing
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from gudi.checkpoint import Weights, load
from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.declarations import checked_path
from gudi.engines import Engine, engine_for, open_engine
from gudi.errors import CheckpointCorrupt, ClosedError, UsageError
from gudi.records import Face
from gudi.settings import PredictionOptions, PredictorOptions

Opened = TypeVar("Opened", bound="Closable")

# The network's input for each grey level. The original divides by 255 in float64 and feeds the
# result to the network as float32.
UNIT = (np.arange(256) / 255.0).astype(np.float32)


class Closable:
    """What holds a network until it is closed, and cannot be copied."""

    def close(self) -> None:
        """Free the network's memory. Closing twice does no harm."""
        raise NotImplementedError

    def check_open(self) -> None:
        """Raise `ClosedError` if it is closed."""
        raise NotImplementedError

    def __enter__(self: Opened) -> Opened:
        self.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise UsageError(f"a {name} cannot be pickled or copied; open one in each process")


class Predictor(Closable):
    """A loaded Gudi network.

    Use it as a context manager, or call `close`. Several threads may use one predictor, and several
    predictors with different checkpoints may be open at the same time. If a pass does not fit into
    a GPU's memory, `batch_size` is halved.

    Args:
        checkpoint: prefix, folder or any file of a checkpoint; None for the default one, see
            `gudi.checkpoint.find`. Or weights that `gudi.checkpoint.load` has read.
        device: `cpu`, `gpu`, `gpu:1` (the second GPU) or `auto` (a GPU if TensorFlow sees one).
        batch_size: the most faces that go through the network in one pass.
        emotions: the names of the network's outputs, in order; the original's seven by default.
        network: which network to use if the checkpoint holds several, from 1, in the order in
            which they were built; None for the trained one.
        mirror: predict each face and its mirror image, and return the mean: more accurate, but
            takes twice as long. None follows the checkpoint: True for the one that comes with gudi,
            False for others unless they were packed with `--mirror`.
        engine: `tensorflow` (the reference, and for GPUs), `onnx` (ONNX Runtime, faster on CPUs;
            probabilities differ by less than 1e-6), or `auto`: `onnx` on CPUs.
        threads: CPU threads to use; None for one per CPU.
        fixed_batches: make the probabilities of a face the same, bit for bit, in every batch;
            otherwise they may differ by less than 1e-6. With ONNX and a `batch_size` of 64 or more
            they always are. In other cases every pass is padded to `batch_size` faces, so that one
            face takes as long as that many; for TensorFlow, `batch_size` has to be 256.

    Attributes:
        checkpoint: the checkpoint's prefix.
        fingerprint: identifies the weights, see `gudi.checkpoint.Weights`.
        recovered: "", or how an incomplete checkpoint was made usable.
        emotions: the names of the network's outputs, in order.
        mirror: whether mirror images are predicted, too.
        engine: `tensorflow` or `onnx`.
        device: TensorFlow's name of the device, such as `/CPU:0`.
        batch_size: as above; smaller once the GPU's memory did not suffice.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DeviceError: the device is not available.
        UsageError: an argument is not valid.

    Example:
        >>> with gudi.Predictor() as predictor:
        ...     probabilities = predictor.predict(crops)
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | Weights | None = None,
        device: str = "auto",
        batch_size: int = 256,
        emotions: Sequence[str] | None = None,
        network: int | None = None,
        *,
        mirror: bool | None = None,
        engine: str = "auto",
        threads: int | None = None,
        fixed_batches: bool = False,
    ) -> None:
        options = PredictorOptions(
            device=device,
            batch_size=batch_size,
            emotions=EMOTIONS if emotions is None else emotions,
            network=network,
            mirror=mirror,
            engine=engine,
            threads=threads,
            fixed_batches=fixed_batches,
        )
        # Report errors before the seconds that TensorFlow takes to load.
        self.engine = engine_for(engine, device)
        self.emotions = tuple(options.emotions)
        self.batch_size, self._fixed_batches = options.batch_size, fixed_batches
        if not isinstance(checkpoint, Weights):
            if checkpoint is not None:
                checkpoint = checked_path(checkpoint, "checkpoint")
            checkpoint = load(checkpoint, self.emotions, network)
        self.checkpoint = checkpoint.source
        self.recovered = checkpoint.recovered
        self.fingerprint = checkpoint.fingerprint
        self.mirror = checkpoint.mirror if mirror is None else mirror
        self._loaded: Engine | None = open_engine(
            self.engine, checkpoint.values, device, threads, options.batch_size
        )
        self.device: str = self._loaded.device

    @classmethod
    def from_options(
        cls,
        checkpoint: str | os.PathLike[str] | Weights | None,
        options: PredictionOptions,
        **more: Any,
    ) -> Predictor:
        """Return a predictor with these options for the given checkpoint, not the one they name.

        Args:
            checkpoint: as above.
            options: how to predict.
            more: `batch_size`, `threads`, `fixed_batches`.
        """
        values = options.select(PredictionOptions).values()
        return cls(**values | more | {"checkpoint": checkpoint})

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the probabilities of the emotions, float32 of shape (n, classes), rows sum to 1.

        Args:
            faces: uint8 of shape (n, 48, 48), grey, as `gudi.detection.crop` cuts them.

        Raises:
            CheckpointCorrupt: the network's output is not finite.
            ClosedError: the predictor is closed.
            UsageError: `faces` has another shape or type.
        """
        self.check_open()
        engine, faces = typing.cast("Engine", self._loaded), _checked_faces(faces)
        probabilities = np.empty((len(faces), len(self.emotions)), np.float32)
        done = 0
        while done < len(faces):
            batch = faces[done : done + self.batch_size]
            padded = self._fixed_batches and not engine.same_bits
            size = max(len(batch), self.batch_size) if padded else len(batch)
            try:
                found = _predict_batch(engine, batch, size)
                if self.mirror:
                    mirrored = _predict_batch(engine, batch[:, :, ::-1], size)
                    found = np.mean([found, mirrored], axis=0, dtype=np.float32)
                probabilities[done : done + len(batch)] = found
            except MemoryError:
                if size == 1:
                    raise
                # Another thread may have halved it already.
                self.batch_size = min(self.batch_size, size // 2)
            else:
                done += len(batch)
        if not np.isfinite(probabilities).all():
            raise CheckpointCorrupt(
                f"{self.checkpoint} predicts NaN for some faces: its weights are far too large, "
                "which happens when training diverges; use an earlier checkpoint"
            )
        return probabilities

    def predict_faces(self, faces: Sequence[Face], *, keep_crops: bool = False) -> None:
        """Set the probabilities of `faces`, which have crops.

        Args:
            faces: any number.
            keep_crops: otherwise the crops are dropped, to free memory.
        """
        found = self.predict(np.array([face.crop for face in faces], np.uint8))
        for face, probabilities in zip(faces, found):
            face.emotions = self.emotions
            if not keep_crops:
                face.crop = None
            face.probabilities = probabilities  # last: other threads wait for it

    def close(self) -> None:
        """Free the network's memory. Closing twice does no harm."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None

    def check_open(self) -> None:
        """Raise `ClosedError` if it is closed."""
        if self._loaded is None:
            raise ClosedError("this predictor or recognizer is closed; open another one")


def _checked_faces(faces: Any) -> npt.NDArray[np.uint8]:
    try:
        faces = np.asarray(faces)
    except ValueError:  # lists of different lengths
        faces = np.empty(0, object)
    if faces.dtype != np.uint8 or faces.shape[1:] != (FACE_SIZE, FACE_SIZE):
        raise UsageError(
            f"faces must be uint8 of shape (n, {FACE_SIZE}, {FACE_SIZE}). "
            f"Received: {faces.dtype} of shape {faces.shape}"
        )
    return np.asarray(faces, np.uint8)


def _predict_batch(
    engine: Engine, faces: npt.NDArray[np.uint8], size: int
) -> npt.NDArray[np.float32]:
    """Predict `faces` in one pass, padded to `size` faces."""
    batch = np.zeros((size, FACE_SIZE, FACE_SIZE, 1), np.float32)
    batch[: len(faces), :, :, 0] = UNIT[faces]
    return engine.predict(batch)[: len(faces)]
