"""Write a network for use without TFLearn: as an ONNX file, or as TensorFlow's SavedModel."""

from gudi.export.exporter import Exported, export

__all__ = ["Exported", "export"]
