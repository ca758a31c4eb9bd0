"""Measure how long `report.html` takes to write, to load and to use.

    python benchmarks/report.py [--entries 10000] [--rounds 5]

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

from gudi import report
from gudi.constants import EMOTIONS
from gudi.outputs.run_record import CheckpointRecord, RunRecord

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


def entries(count: int) -> Iterator[report.ReportEntry]:
    """Yield photos, nine of ten with one or two faces, a few failures, and one video in 20."""
    random = np.random.default_rng(7)
    film = list(_film(random))
    for number in range(count):
        folder = "holiday" if number % 3 else "work"
        source = f"archive/{2000 + number % 25}/{folder}/{number:07}.jpg"
        if number % 100 == 99:
            error = "it is damaged, cut short, or not a picture that OpenCV can decode"
            yield report.ReportEntry(source, "image", "failed", error=error)
            continue
        if number % 20 == 10:
            yield report.ReportEntry(
                f"{source}.mp4", "video", "ok", film, 1920, 1080, frames=1000, duration=100,
                annotated=f"annotated/{source}.mp4", thumbnail="thumbnail.jpg",
                peak_thumbnails=["thumbnail.jpg"] * 7,
            )  # fmt: skip
            continue
        rows = random.dirichlet(np.full(len(EMOTIONS), 0.4), number % 10 and 1 + number % 2)
        yield report.ReportEntry(
            source, "image", "ok" if len(rows) else "no_face",
            map(report.ReportFace, rows), 4000, 3000,
            annotated=f"annotated/{source}", thumbnail="thumbnail.jpg",
        )  # fmt: skip


def _film(random: np.random.Generator) -> Iterator[report.ReportFace]:
    """Yield 1,000 frames of two faces that are followed."""
    rows = random.dirichlet(np.full(len(EMOTIONS), 0.4), 2000).tolist()
    for number, row in enumerate(rows):
        frame = number // 2
        yield report.ReportFace(
            row, frame / 10, frame=frame, seconds=0.05, track=number % 2, smoothed=row
        )


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
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        cv2.imwrite(str(page.with_name("thumbnail.jpg")), np.full((180, 240, 3), 128, np.uint8))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        record = RunRecord(inputs=[], settings={}, checkpoint=CheckpointRecord(None, ""))
        report.write(page, record, EMOTIONS, entries(options.entries))
        seconds = time.perf_counter() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(
            f"{options.entries:,} entries: written in {seconds:.1f} s with {grown / 1024:.0f} MB "
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
