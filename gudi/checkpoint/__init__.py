"""Find, read and write Gudi checkpoints, without executing anything in them.

`.meta` graphs are never imported, and pickles are never read.
"""

from gudi.checkpoint.convert import Adopted, adopt, pack_checkpoint
from gudi.checkpoint.formats import open_checkpoint
from gudi.checkpoint.inspect import InspectedNetwork, InspectedTensor, Inspection, inspect
from gudi.checkpoint.locate import CheckpointFiles, find
from gudi.checkpoint.networks import StoredNetwork, find_networks, used_units, weight_shapes
from gudi.checkpoint.packed import pack
from gudi.checkpoint.tensors import Tensor, TensorFile, is_finite, padded
from gudi.checkpoint.v2_write import write_v2
from gudi.checkpoint.weights import Weights, choose_network, load, read_weights
from gudi.checkpoint.write import check_free_space, save

__all__ = [
    "Adopted",
    "CheckpointFiles",
    "InspectedNetwork",
    "InspectedTensor",
    "Inspection",
    "StoredNetwork",
    "Tensor",
    "TensorFile",
    "Weights",
    "adopt",
    "check_free_space",
    "choose_network",
    "find",
    "find_networks",
    "inspect",
    "is_finite",
    "load",
    "open_checkpoint",
    "pack",
    "pack_checkpoint",
    "padded",
    "read_weights",
    "save",
    "used_units",
    "weight_shapes",
    "write_v2",
]
