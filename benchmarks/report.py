"""Measure how long `report.html` takes to write, to load and to use.

    python benchmarks/report.py [--inputs 10000] [--rounds 5]

Needs chromium, chromedriver and `pip install selenium`. `interactive` is the time from the start of
loading until the page's script has shown the first cards. `filter`, `search`, `sort` and `turn`
are the times until the next frame is painted after choosing an emotion, a name, an order, the next
page. All figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from gudi.constants import EMOTIONS
from gudi.media.source import Source
from gudi.outputs import report
from gudi.outputs.folder import thumbnail_paths
from gudi.outputs.run_record import CheckpointRecord, RunRecord
from gudi.pipeline.summarise import summarise
from gudi.records import Box, Face, Result, VideoFrame
from gudi.settings import PICTURE, THUMBNAIL
from gudi.store import STORE, Store

# Milliseconds until the effect of a changed field has been painted.
TIMED = """
const done = arguments[arguments.length - 1];
const field = document.querySelector(arguments[0]);
const started = performance.now();
if (arguments[1] === null) field.click();
else { field.value = arguments[1]; field.dispatchEvent(new Event("input", { bubbles: true })); }
requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
"""

STEPS = {
    "filter": ("#emotions input[value='3']", None),
    "search": ("#name", "holiday"),
    "sort": ("#order", "highest"),
    "turn": ("#gallery .next", None),
}


def results(count: int) -> Iterator[Result]:
    """Yield photos, nine of ten with one or two faces, a few failures, and one video in 20."""
    random = np.random.default_rng(7)
    frames = list(_video(random))
    for number in range(count):
        folder = "holiday" if number % 3 else "work"
        name = f"archive/{2000 + number % 25}/{folder}/{number:07}.jpg"
        if number % 100 == 99:
            error = "it is damaged, cut short, or not a picture that OpenCV can decode"
            yield Result(Source(name, name, "image"), error=error)
        elif number % 20 == 10:
            faces = [face for frame in frames for face in frame.faces]
            source = Source(f"{name}.mp4", f"{name}.mp4", "video")
            yield Result(source, 0, 1920, 1080, faces, frames)
        else:
            rows = random.dirichlet(np.full(len(EMOTIONS), 0.4), number % 10 and 1 + number % 2)
            faces = [Face(Box(300 * n, 50, 90, 90), 20.0, row) for n, row in enumerate(rows)]
            yield Result(Source(name, name, "image"), None, 4000, 3000, faces)


def _video(random: np.random.Generator) -> Iterator[VideoFrame]:
    """Yield 1,000 frames of two faces."""
    rows = random.dirichlet(np.full(len(EMOTIONS), 0.4), (1000, 2)).astype(np.float32)
    for number, pair in enumerate(rows):
        time = number / 10
        faces = [
            Face(Box(300 * n, 50, 90, 90), 20.0, row, EMOTIONS, frame=number, time_s=time)
            for n, row in enumerate(pair)
        ]
        yield VideoFrame(number, time, bytes(32), faces)


def fill(store: Store, folder: Path, count: int) -> None:
    """Fill a store as a run does, and note pictures, of which only the thumbnails exist."""
    store.start_run({"emotions": list(EMOTIONS)})
    for result in results(count):
        store.register(result.source)
        store.faces.add(result)
        if result.segment is not None:
            store.faces.finish(result.source, "", None)
    summarise(store, tracked=True)
    thumbnail = cv2.imencode(".jpg", np.full((180, 240, 3), 128, np.uint8))[1].tobytes()
    for record in store.inputs.all_runs():
        if record.faces:
            store.drawings.assign_path(record, [record.source.name])
            store.drawings.mark_drawn(record, PICTURE | THUMBNAIL)
        for name in thumbnail_paths(record)[:7] if record.faces else ():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(thumbnail)
    store.commit()


def start_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1200,900"):
        options.add_argument(argument)
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def measure(browser: webdriver.Chrome, page: Path) -> dict[str, float]:
    """Load the page once. Return milliseconds by step."""
    browser.get("about:blank")
    browser.get(page.as_uri())
    timing = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    figures = {"interactive_ms": browser.execute_script(timing)}
    for name, step in STEPS.items():
        figures[f"{name}_ms"] = browser.execute_async_script(TIMED, *step)
    figures["heap_MB"] = browser.execute_script("return performance.memory.usedJSHeapSize / 2**20")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        record = RunRecord(inputs=[], settings={}, checkpoint=CheckpointRecord(None, ""))
        with Store(Path(folder, STORE)) as store:
            fill(store, Path(folder), options.inputs)
        with Store.open_results(Path(folder)) as store:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            started = time.perf_counter()
            report.write(page, record, store, tracked=True)
        seconds = time.perf_counter() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(
            f"{options.inputs:,} inputs: written in {seconds:.1f} s with {grown / 1024:.0f} MB "
            f"of additional memory, {page.stat().st_size / 2**20:.1f} MB"
        )
        browser = start_browser()
        try:
            rounds = [measure(browser, page) for _ in range(options.rounds)]
        finally:
            browser.quit()
    for name in rounds[0]:
        values = sorted(figures[name] for figures in rounds)
        print(f"  {name} {statistics.median(values):.0f} ({values[0]:.0f} to {values[-1]:.0f})")


if __name__ == "__main__":
    main()
