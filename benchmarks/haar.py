"""The compiled face search against OpenCV's: how much faster it is, and whether boxes differ.

    python benchmarks/haar.py speed --photos DIR [--fer NPZ] [--rounds 5] [--variant NAME]
    python benchmarks/haar.py compare [--photos DIR] [--count 5000] [--seed 1] [--variant NAME]
    python benchmarks/haar.py sanitize

speed     Both sides search the same pictures in turn, round after round, with one thread each:
          photos, rows of FER2013 on their border, and one picture of 4000×3000 put together from
          the photos. Prints the median CPU time of each side and their ratio.
compare   Pictures are generated (noise of many grains, gradients, checkerboards, parts of photos)
          with sides from 1 to 4000 pixels, and searched with scale factors from 1.01 to 3 and 0 to
          10 neighbours. Boxes, their order and their numbers of hits have to be the same.
sanitize  Build the search with AddressSanitizer and UndefinedBehaviorSanitizer in a temporary
          folder and run `tests/detection/test_haar.py` with it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from gudi.detection import haar

SCALE_FACTORS = (1.01, 1.03, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 1.7, 2.0, 2.5, 3.0)


def select(variant: str) -> None:
    os.environ["GUDI_HAAR"] = variant


def cpu_time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def photos_in(folder: Path) -> list[np.ndarray]:
    paths = sorted(folder.glob("*.jpg"))
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]


def fer_rows(path: Path, count: int) -> list[np.ndarray]:
    """Return rows of FER2013 as `gudi prepare fer` searches them."""
    with np.load(path) as rows:
        pixels = rows["pixels"]
    chosen = pixels[:: max(1, len(pixels) // count)]
    return [cv2.copyMakeBorder(each, *[51] * 4, cv2.BORDER_CONSTANT, value=200) for each in chosen]


def mosaic(photos: list[np.ndarray], height: int = 3000, width: int = 4000) -> np.ndarray:
    """Return a large picture of enlarged photos side by side."""
    tiles = [cv2.resize(each, (500, 500), interpolation=cv2.INTER_CUBIC) for each in photos[:48]]
    rows = [np.hstack([tiles[(8 * row + i) % len(tiles)] for i in range(8)]) for row in range(6)]
    return np.vstack(rows)[:height, :width]


def speed(options: argparse.Namespace) -> None:
    photos = [photo for photo in photos_in(options.photos) if photo.shape == (350, 350)]
    kinds = {"photos of 350×350": photos[:60]}
    if options.fer:
        kinds["rows of FER2013"] = fer_rows(options.fer, 200)
    kinds["4000×3000"] = [mosaic(photos)]
    variant = options.variant or haar.implementation().removeprefix("gudi's own, ")
    for kind, pictures in kinds.items():
        times: dict[str, list[float]] = {variant: [], "opencv": []}
        for _ in range(options.rounds):
            for side in times:
                select(side)
                haar.search(pictures[0][:50, :50], 1.1, 5)  # loads the cascade
                times[side].append(
                    cpu_time(lambda: [haar.search(each, 1.1, 5) for each in pictures])  # noqa: B023
                )
        ours, theirs = (1000 * statistics.median(each) / len(pictures) for each in times.values())
        ratios = [theirs / ours for ours, theirs in zip(*times.values())]
        print(
            f"{kind}: {variant} {ours:.2f} ms, OpenCV {theirs:.2f} ms, "
            f"{statistics.median(ratios):.2f} times as fast "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def noise(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    grain = int(random.integers(1, 12))
    coarse = random.integers(0, 256, (height // grain + 1, width // grain + 1), np.uint8)
    method = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[random.integers(3)]
    return cv2.resize(coarse, (width, height), interpolation=method)


def gradient(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    slope = random.uniform(-2, 2, 2)
    return (random.uniform(0, 255) + slope[0] * rows + slope[1] * columns).astype(int) % 256


def checkerboard(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    size = random.integers(1, 40, 2)
    dark, bright = random.integers(0, 256, 2)
    return np.where((rows // size[0] + columns // size[1]) % 2, dark, bright)


def flat(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = np.full((height, width), random.integers(256))
    return picture + (random.random((height, width)) < random.uniform(0, 0.02))


def photographic(
    photos: list[np.ndarray], random: np.random.Generator, height: int, width: int
) -> np.ndarray:
    """Photos of different sizes at random places, on noise, some upside down or in negative."""
    picture = noise(random, height, width)
    for _ in range(random.integers(1, 5)):
        photo = photos[random.integers(len(photos))]
        side = int(min(height, width) * random.uniform(0.2, 1)) or 1
        pasted = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        pasted = pasted[::-1] if random.random() < 0.1 else pasted
        pasted = 255 - pasted if random.random() < 0.1 else pasted
        y, x = (int(random.integers(0, length - side + 1)) for length in (height, width))
        picture[y : y + side, x : x + side] = pasted
    return picture


def sides(random: np.random.Generator) -> tuple[int, int]:
    """Mostly small pictures, a few of up to 4000×3000."""
    largest = random.choice([40, 100, 200, 400, 800, 3000], p=[0.3, 0.3, 0.25, 0.12, 0.026, 0.004])
    height, width = (int(random.integers(1, largest + 1)) for _ in range(2))
    return height, width * 4 // 3


def generated(photos: list[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    makers = [noise, noise, gradient, checkerboard, flat]
    if photos:
        makers += [lambda *arguments: photographic(photos, *arguments)] * 5
    while True:
        height, width = sides(random)
        maker = makers[random.integers(len(makers))]
        picture = np.clip(maker(random, height, width), 0, 255).astype(np.uint8)
        if random.random() < 0.2:
            picture = picture // int(random.integers(2, 20))  # little contrast
        yield picture


def difference(picture: np.ndarray, variant: str, *settings: float) -> str | None:
    found = []
    for side in (variant, "opencv"):
        select(side)
        found.append(haar.find_groups(picture, *settings))
    if found[0] == found[1]:
        return None
    return f"{picture.shape} {settings}: {len(found[0])} and {len(found[1])} boxes"


def compare(options: argparse.Namespace) -> None:
    photos = photos_in(options.photos) if options.photos else []
    variant = options.variant or haar.implementation().removeprefix("gudi's own, ")
    random = np.random.default_rng(options.seed)
    boxes = differences = pixels = 0
    for number, picture in enumerate(generated(photos, options.seed), 1):
        scale_factor = SCALE_FACTORS[number % len(SCALE_FACTORS)]
        if random.random() < 0.5:
            scale_factor = random.uniform(1.01, 3)
        if picture.size > 10**6:
            scale_factor = max(scale_factor, 1.1)  # or it takes minutes
        neighbors = int(random.integers(0, 11)) if random.random() < 0.6 else 0
        smallest = int(random.integers(0, max(picture.shape) + 9)) if random.random() < 0.2 else 0
        wrong = difference(picture, variant, scale_factor, neighbors, smallest)
        if wrong:
            differences += 1
            print(f"picture {number}: {wrong}", flush=True)
        boxes += len(haar.find_groups(picture, scale_factor, neighbors, smallest))
        pixels += picture.size
        if number == options.count:
            break
    print(
        f"{options.count} pictures, {pixels / 1e6:.0f} million pixels, {boxes} boxes of OpenCV's: "
        f"{variant} differed in {differences}"
    )
    sys.exit(differences > 0)


def sanitize(_: argparse.Namespace) -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "pytest", "-q", "-k", "sanitizers", "tests/detection"]
    sys.exit(subprocess.run(command, cwd=root, check=False).returncode)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "compare", "sanitize"))
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--fer", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    {"speed": speed, "compare": compare, "sanitize": sanitize}[options.what](options)


if __name__ == "__main__":
    main()
