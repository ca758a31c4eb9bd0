"""Recognise the largest face of a camera or video while it plays: `predict_cam&video.py`."""

from gudi.live.session import LiveReport, run_live

__all__ = ["LiveReport", "run_live"]
