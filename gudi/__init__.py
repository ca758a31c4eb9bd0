"""Recognise facial expressions in photos."""

__version__ = "0.1.0"
