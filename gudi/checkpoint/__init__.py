"""Find, read and write Gudi checkpoints. Nothing in them is executed, no `.meta` graph imported."""

from gudi.checkpoint.inspect import inspect
from gudi.checkpoint.locate import Files, find
from gudi.checkpoint.networks import Layout, find_networks, weight_shapes
from gudi.checkpoint.opening import open_checkpoint
from gudi.checkpoint.packed import pack
from gudi.checkpoint.tensors import Tensor, TensorFile
from gudi.checkpoint.weights import Weights, choose_network, load, read_weights
from gudi.checkpoint.write import (
    Adopted,
    adopt,
    make_sure_of_room,
    pack_checkpoint,
    save,
    write_bundle,
)

__all__ = [
    "Adopted",
    "Files",
    "Layout",
    "Tensor",
    "TensorFile",
    "Weights",
    "adopt",
    "choose_network",
    "find",
    "find_networks",
    "inspect",
    "load",
    "make_sure_of_room",
    "open_checkpoint",
    "pack",
    "pack_checkpoint",
    "read_weights",
    "save",
    "weight_shapes",
    "write_bundle",
]
