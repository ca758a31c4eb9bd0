"""TensorFlow with TFLearn's graph, on CPUs and GPUs."""

from __future__ import annotations


class TensorFlowEngine:
    """The original's network.

    On a GPU it takes memory as it needs it and leaves the rest to others. On a GPU, the number of
    faces is padded to the next power of two, because TensorFlow chooses its kernels anew for every
    new shape.

    Args:
        weights: by their names in the network.
        device: `auto`, `cpu`, `gpu` or `gpu:N`.
        threads: CPU threads to use; None for one per CPU.

    Raises:
        DeviceError: TensorFlow does not see this GPU.
    """

    name, same_bits = "tensorflow", False
