"""Recognise the largest face of a camera or video while it plays: `predict_cam&video.py`."""

from gudi.live.faces import LiveFace
from gudi.live.session import LiveReport, run

__all__ = ["LiveFace", "LiveReport", "run"]
