"""Engines: the software that computes the network's probabilities."""

from gudi.engines.engine import ENGINES, ONNX, Engine, engine_for, open_engine

__all__ = ["ENGINES", "ONNX", "Engine", "engine_for", "open_engine"]
