"""Make what the original's code answers for: two folders of pictures and frames, and faces.npy.

    python tests/checkpoint/genuine/make_pictures.py PICTURES FRAMES

The portrait is a work of NASA in the public domain; the other faces are drawn.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from conftest import ROOT, draw_face, save, small_face  # noqa: E402

EXAMPLE = ROOT / "data" / "example"
STEP = 5  # of the clip's frames; each differs little from the last


def make_pictures(folder: Path) -> None:
    portrait = cv2.imread(str(EXAMPLE / "portrait.jpg"))
    shutil.copy(EXAMPLE / "portrait.jpg", folder)
    small = cv2.resize(portrait[:240], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    save(folder / "pair.jpg", np.hstack([small, small[:, ::-1]]))
    save(folder / "dark.png", cv2.cvtColor(small // 3, cv2.COLOR_BGR2GRAY))
    save(folder / "drawn.png", np.hstack([draw_face(), draw_face(120, 250, 300, 60, 80)]))
    save(folder / "none.png", np.full((100, 120, 3), 128, np.uint8))


def make_frames(folder: Path) -> None:
    clip = cv2.VideoCapture(str(EXAMPLE / "clip.mp4"))
    for number in range(int(clip.get(cv2.CAP_PROP_FRAME_COUNT))):
        read, frame = clip.read()
        if read and number % STEP == 0:
            save(folder / f"{number:03}.png", frame)


def make_faces() -> None:
    """Write 24 faces, uint8 of shape (24, 48, 48): cut-outs of the portrait, and drawn ones."""
    portrait = cv2.imread(str(EXAMPLE / "portrait.jpg"), cv2.IMREAD_GRAYSCALE)
    random = np.random.default_rng(1)
    faces = []
    for _ in range(16):
        x, y, side = random.integers((150, 40, 70), (200, 90, 140))
        face = cv2.resize(portrait[y : y + side, x : x + side], (48, 48))
        faces.append(np.uint8(face * random.uniform(0.3, 1)))
    faces += [small_face(seed) * (seed % 4 > 0) for seed in range(8)]
    np.save(HERE / "faces.npy", np.uint8(faces))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        Path(argument).mkdir(parents=True, exist_ok=True)
    make_pictures(Path(sys.argv[1]))
    make_frames(Path(sys.argv[2]))
    make_faces()
