"""Turn FER2013 and RAF-DB into the original's npy files, as its `data_process.py` does."""

from gudi.training.prepare.dataset_rows import LabelledFace, RowCounts
from gudi.training.prepare.faces_file import collect
from gudi.training.prepare.fer import bordered_face, fer_faces, prepare_fer
from gudi.training.prepare.raf import prepare_raf

__all__ = [
    "LabelledFace",
    "RowCounts",
    "bordered_face",
    "collect",
    "fer_faces",
    "prepare_fer",
    "prepare_raf",
]
