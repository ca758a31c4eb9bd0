"""The version of gudi."""

__version__ = "0.1.0"
