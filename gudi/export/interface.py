"""Input and output of an exported network, and the metadata in its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE
from gudi.engines.onnx_model import INPUTS, OUTPUT
from gudi.predictor import UNIT
from gudi.version import __version__

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Interface:
    """The interface of an exported network.

    Attributes:
        emotions: the names of the outputs, in order.
        dtype: the type of the input, `uint8` (0 to 255) or `float32` (0 to 1).
        fingerprint: that of the weights.
        mirror: whether the network returns the mean for each face and its mirror image.
    """

    emotions: tuple[str, ...]
    dtype: str
    fingerprint: str
    mirror: bool = False

    @property
    def input(self) -> str:
        """The name of the input."""
        return INPUTS[self.dtype]

    def convert(self, faces: npt.NDArray[np.uint8]) -> Array:
        """Return `faces`, uint8 of shape (n, 48, 48), as the network's input."""
        return (faces if self.dtype == "uint8" else UNIT[faces])[..., None]

    def metadata(self) -> dict[str, Any]:
        """Return what the files say about the network."""
        grey = "grey levels from 0 (black) to 255"
        if self.dtype == "float32":
            grey = "grey levels / 255, 0 to 1"
        return {
            "emotions": list(self.emotions),
            "input": f"{self.input}: {self.dtype} of shape (n, {FACE_SIZE}, {FACE_SIZE}, 1), "
            f"faces cut out and resized, {grey}",
            "output": f"{OUTPUT}: float32 of shape (n, {len(self.emotions)}), in the order of "
            "emotions",
            "mirror": self.mirror,
            "fingerprint": self.fingerprint,
            "written_by": f"gudi {__version__}",
        }
