"""Find and read Gudi checkpoints. Nothing in them is executed; the `.meta` graph is not read."""

from gudi.checkpoint.bundle import Bundle, Tensor, open_bundle
from gudi.checkpoint.locate import find
from gudi.checkpoint.weights import Weights, load_weights, open_gudi, weight_shapes

__all__ = [
    "Bundle",
    "Tensor",
    "Weights",
    "find",
    "load_weights",
    "open_bundle",
    "open_gudi",
    "weight_shapes",
]
