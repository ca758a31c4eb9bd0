"""Turn labelled pictures into npy files, as the original's `data_process.py` does."""

from gudi.training.prepare.dataset_rows import LabelledFace, RowCounts
from gudi.training.prepare.faces_file import collect
from gudi.training.prepare.fer import bordered_face, fer_faces, is_fer, prepare_fer
from gudi.training.prepare.folder import folder_faces, prepare_folder
from gudi.training.prepare.raf import prepare_raf

__all__ = [
    "LabelledFace",
    "RowCounts",
    "bordered_face",
    "collect",
    "fer_faces",
    "folder_faces",
    "is_fer",
    "prepare_fer",
    "prepare_folder",
    "prepare_raf",
]
