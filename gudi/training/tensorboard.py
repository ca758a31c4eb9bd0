"""Event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

LOGS = "logs"
RUN_ID = "FER"  # the original's


class TensorBoardLog:
    """Writes one event file into `folder`; a context manager."""

    def __init__(self, folder: Path) -> None:
        from gudi.network import tf

        # The writer refuses to work in eager mode; in a graph of its own it does not notice.
        with tf.Graph().as_default():
            self._writer = tf.summary.FileWriter(str(folder))
        self._summary = tf.Summary

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(
        self, step: int, scalars: Mapping[str, float], summaries: Sequence[bytes] = ()
    ) -> None:
        """Write scalars, by tag, and serialized summaries of one step."""
        values = [
            self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()
        ]
        self._writer.add_summary(self._summary(value=values), step)
        for each in summaries:
            self._writer.add_summary(each, step)
