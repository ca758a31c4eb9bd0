"""`report.html` in a real browser."""

from __future__ import annotations

import csv
import re
import sqlite3
import time
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import av
import numpy as np
import pytest
from conftest import draw_face, save
from result_folders import SETTINGS, add_results, probabilities, video_result
from result_folders import video_frame as frame

from gudi.constants import EMOTIONS
from gudi.errors import OutputError, one_line
from gudi.media.names import as_cell, printable_path
from gudi.media.source import Source
from gudi.outputs import report
from gudi.outputs.folder import thumbnail_paths
from gudi.outputs.report import rows
from gudi.outputs.report.timeline import BINS
from gudi.outputs.report.videos import MAX_TRACKS
from gudi.outputs.run_record import CheckpointRecord, RunCounts, RunRecord
from gudi.records import Box, Face, Result, VideoFrame
from gudi.settings import PICTURE, THUMBNAIL
from gudi.store import STORE, Store
from gudi.store.paths import safe_paths

RUN = RunRecord(
    state="finished",
    started="2025-11-24T13:35:07+00:00",
    inputs=["./photos"],
    settings={"batch_size": 256, "min_face": 50, "track": False},
    checkpoint=CheckpointRecord("checkpoints/Gudi_model", "3f6c2a9d"),
    versions={"tensorflow": "2.21.0"},
    seconds={"startup": 5.0, "inputs": 20.0},
    counts=RunCounts(**dict.fromkeys(RunCounts.__dataclass_fields__, 0) | {"processed": 124}),
)

# Names that a file system allows and that may break a page.
HOSTILE = (
    "<script>document.title='started'<\\script>.jpg",
    "<\\script><img src=x onerror=document.title='started'>.jpg",
    "\"'><svg onload=document.title='started'>.jpg",
    "javascript:document.title='started'",
    "a#b?c%20d & e.jpg",
    "annexe\u202egpj.exe",
    "two\nlines\t\x07.jpg",
    "no utf-8 \udcff.jpg",
    "<!--<script>.jpg",
    "${title} &lt;b&gt; `x`.jpg",
    "写真 é.jpg",
    "x" * 200 + ".jpg",
)


@pytest.fixture(autouse=True)
def no_console_errors(request):
    """No page writes errors to the console."""
    yield
    if "browser" in request.fixturenames:
        log = request.getfixturevalue("browser").get_log("browser")
        complaints = [entry["message"] for entry in log if "0/2.jpg" not in entry["message"]]
        assert not complaints


class Page:
    """A report in the browser, as a person sees it."""

    def __init__(self, browser, path: Path) -> None:
        self.browser, self.path = browser, path
        self.load()

    def load(self) -> None:
        self.browser.get(self.path.as_uri())

    def all(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def one(self, selector: str):
        (found,) = self.all(selector)
        return found

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def script(self, code: str, *arguments):
        return self.browser.execute_script(code, *arguments)

    def until(self, condition) -> None:
        """Wait until the browser has done something."""
        ends = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends
            time.sleep(0.02)

    def set(self, selector: str, value: str) -> None:
        self.script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            self.one(selector),
            value,
        )

    @property
    def shown(self) -> str:
        return self.text("#gallery [role=status]")

    @property
    def names(self) -> list[str]:
        return self.script(
            "return [...document.querySelectorAll('.card .name')].map(name => name.textContent)"
        )

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def open_timeline(self) -> None:
        """Wait for the timeline of a single video, which is open from the start."""
        self.until(lambda: self.all(".plot"))


@dataclass
class Entry:
    """An input of a report.

    Attributes:
        result: what was found in it.
        annotated: path of its annotated copy below `annotated/`.
        thumbnails: pictures for its thumbnails, from the first one on.
    """

    result: Result
    annotated: str | None = None
    thumbnails: Sequence[np.ndarray] | None = None


def photo(name: str, *found: tuple[str, float], extra=None, score=20.0, **options) -> Entry:
    """Return a photo, and faces with these top emotions and their probabilities."""
    faces = [Face(HERE, score, probabilities(*each)) for each in found]
    source = Source(name, name, "image", extra=extra or {})
    return Entry(Result(source, None, 300, 200, faces), **options)


def failed(name: str, error: str, kind: str = "image") -> Entry:
    return Entry(Result(Source(name, name, kind), error=error))


def video(name: str, frames: Sequence[VideoFrame], extra=None, **options) -> Entry:
    result = video_result(name, frames)
    return Entry(replace(result, source=replace(result.source, extra=extra or {})), **options)


def scene(count: int, rate: float, faces: Mapping[int, tuple]) -> list[VideoFrame]:
    """Return so many frames; `faces` has emotions and probabilities by number of the frame."""
    boxes = (HERE, THERE)
    return [
        frame(n, n / rate, [(box, *face) for box, face in zip(boxes, faces.get(n, ()))])
        for n in range(count)
    ]


HERE, THERE = Box(50, 50, 90, 90), Box(450, 50, 90, 90)


def write(
    folder: Path, entries: Iterable[Entry], run=RUN, emotions=EMOTIONS, tracked=False, extra=()
) -> Path:
    """Write a report of a store with these inputs and extra columns, and return its path."""
    with Store(folder / STORE, emotions) as store:
        store.start_run(SETTINGS | {"emotions": list(emotions)})
        store.add_extra(extra)
        entries = list(entries)
        records = add_results(store, [each.result for each in entries], tracked=tracked)
        for entry, record in zip(entries, records):
            if entry.annotated is not None:
                store.drawings.assign_path(record, [entry.annotated])
                store.drawings.mark_drawn(record, PICTURE)
            if entry.thumbnails is not None:
                store.drawings.mark_drawn(record, THUMBNAIL)
                for path, picture in zip(thumbnail_paths(record), entry.thumbnails):
                    save(folder / path, picture)
        report.write(folder / "report.html", run, store, tracked=tracked)
    return folder / "report.html"


@pytest.fixture(scope="module")
def show(browser, tmp_path_factory):
    """A function that writes a report and opens it."""

    def shown(entries, folder=None, **options) -> Page:
        return Page(browser, write(folder or tmp_path_factory.mktemp("report"), entries, **options))

    return shown


def save_clip(path: Path, frames: int) -> None:
    """Save a video of ten frames per second that gets brighter."""
    path.parent.mkdir(exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width = stream.height = 64
        for level in range(frames):
            picture = np.full((64, 64, 3), 2 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def few(show) -> Page:
    """A report with all kinds of inputs."""
    happy_then_sad = {n: [("happy" if n < 50 else "sad", 0.8)] for n in range(100)}
    return show([
        photo("photos/a.jpg", ("happy", 0.9), score=7),
        photo("photos/b.jpg", ("happy", 0.5), ("sad", 0.95), ("happy", 0.4), score=40.5),
        photo("photos/c.jpg"),
        photo("photos/Ä.jpg", ("neutral", 0.7)),
        video("videos/d.mp4", scene(120, 25, happy_then_sad)),
        failed("videos/e.mp4", "not a video", "video"),
        failed("photos/f", "Permission denied", "folder"),
    ])  # fmt: skip


@pytest.fixture
def fresh(few) -> Page:
    """The same page, just opened."""
    few.load()
    return few


NAMES = ["a.jpg", "b.jpg", "c.jpg", "f", "Ä.jpg", "d.mp4", "e.mp4"]  # ordered by their folders


def test_overview_shows_totals_bars_settings_and_failures(fresh):
    totals = fresh.text(".totals").splitlines()
    assert dict(zip(totals[::2], totals[1::2])) == {
        "Photos": "4", "Faces in photos": "5", "Videos": "2", "Frames": "120",
        "Time with a face": "4.0 s", "No face": "1", "Failed": "2",
    }  # fmt: skip
    photos, videos = ([row.text.split() for row in table.find_elements("css selector", "tbody tr")]
                      for table in fresh.all(".bars"))  # fmt: skip
    assert [bar[0] for bar in photos] == list(EMOTIONS)
    assert photos[3] == ["happy", "3", "60.0%"]
    assert photos[0] == ["angry", "0", "0.0%"]
    assert videos[3] == ["happy", "2.0", "s", "50.0%"]
    run = fresh.text("#run")
    for fact in ("min_face\n50", "track\nno", "3f6c2a9d", "tensorflow\n2.21.0"):
        assert fact in run
    assert "2025-11-24 13:35 UTC" in fresh.text("header")
    assert not fresh.all(".note")
    failures = [item.text.splitlines() for item in fresh.all("#failures li")]
    assert failures == [["photos/f", "Permission denied"], ["videos/e.mp4", "not a video"]]


def test_cards_are_filtered_and_sorted_as_chosen(fresh):
    assert (fresh.shown, fresh.names) == ("1–7 of 7 inputs", NAMES)
    orders = {
        "name-reverse": " ".join(reversed(NAMES)),
        "highest": "b.jpg a.jpg d.mp4 Ä.jpg c.jpg f e.mp4",
        "lowest": "Ä.jpg d.mp4 a.jpg b.jpg c.jpg f e.mp4",
        "faces": "d.mp4 b.jpg a.jpg Ä.jpg c.jpg f e.mp4",
        "name": " ".join(NAMES),
    }
    for order, names in orders.items():
        fresh.set("#order", order)
        assert fresh.names == names.split()
    assert "happy\n×2\nup to 50.0%" in fresh.all(".card")[1].text
    assert "happy\n50% of time\nsad\n50% of time" in fresh.all(".card")[5].text

    def select(emotion: str) -> None:
        fresh.one(f"#emotions input[value='{EMOTIONS.index(emotion)}']").click()

    select("happy")
    assert (fresh.shown, fresh.names) == ("1–3 of 3 inputs", ["a.jpg", "b.jpg", "d.mp4"])
    fresh.set("#confidence", "60")  # of a happy face; that of b.jpg is less certain
    assert (fresh.names, fresh.text("#threshold")) == (["a.jpg", "d.mp4"], "60%")
    select("sad")
    assert fresh.names == ["a.jpg", "b.jpg", "d.mp4"]
    fresh.set("#kind", "video")
    assert fresh.names == ["d.mp4"]
    fresh.one("button[type=reset]").click()
    fresh.until(lambda: fresh.shown == "1–7 of 7 inputs")
    for score, names in ((8, ["b.jpg", "Ä.jpg", "d.mp4"]), (40, ["b.jpg"]), (0, NAMES)):
        fresh.set("#score", str(score))  # of the best face
        assert (fresh.names, fresh.text("#least")) == (names, str(score))
    for status, names in {"no_face": ["c.jpg"], "failed": ["f", "e.mp4"]}.items():
        fresh.set("#status", status)
        assert fresh.names == names
    fresh.set("#status", "")
    fresh.set("#name", "a\u0308.JPG")  # as some systems write Ä
    assert fresh.names == ["Ä.jpg"]
    fresh.set("#name", "nothing of the kind")
    assert (fresh.shown, fresh.names) == ("No inputs", [])


def test_page_can_be_used_by_keyboard_and_screen_reader(fresh):
    from selenium.webdriver import Keys

    fresh.press(Keys.TAB)
    assert fresh.browser.switch_to.active_element.text == "Skip to the photos and videos"
    fresh.press(Keys.ENTER)
    fresh.press(Keys.TAB, Keys.SPACE)
    box = fresh.browser.switch_to.active_element
    assert box.is_selected()
    assert box.value_of_css_property("outline-style") == "solid"
    assert fresh.shown == "No inputs"  # nobody is angry
    fresh.press(Keys.SPACE, *[Keys.TAB] * len(EMOTIONS), Keys.END)
    assert fresh.text("#threshold") == "100%"
    fresh.press(Keys.HOME, Keys.TAB, Keys.HOME, Keys.TAB, "b.j")
    assert fresh.names == ["b.jpg"]
    fresh.all("details.video summary")[0].send_keys(Keys.ENTER)
    fresh.until(lambda: fresh.all(".plot"))
    fresh.one(".plot input").send_keys(Keys.END)
    assert "no face" in fresh.text(".reading")
    assert fresh.one(".plot input").get_attribute("aria-valuetext") == fresh.text(".reading")
    named = fresh.script("""
        return [...document.querySelectorAll("input, select, button, a, summary, img, video")]
            .filter(each => !(each.labels?.length || each.textContent.trim() || each.alt
                              || each.ariaLabel))
            .map(each => each.outerHTML)""")
    assert not named
    for landmark in ("header", "main", "header nav", "form[role=search]", "h1"):
        assert len(fresh.all(landmark)) == 1
    assert fresh.one("html").get_attribute("lang") == "en"


def test_timeline_shows_the_emotions_over_time(fresh):
    assert len(fresh.all("details.video")) == 2
    assert not fresh.all(".plot")  # drawn when it is opened
    fresh.one("#gallery .card button").click()
    fresh.until(lambda: fresh.all(".plot"))
    bins = int(fresh.one(".plot input").get_attribute("max")) + 1
    assert 30 < bins <= BINS
    for emotion, heights in (("happy", (20, 97)), ("sad", (97, 20))):
        path = fresh.all(".plot .line")[EMOTIONS.index(emotion)].get_attribute("d")
        (line,) = path.split("M")[1:]  # in one piece
        points = [tuple(map(float, point.split())) for point in line.split("L")]
        # From one probability to the other one, up to where the face is seen last.
        assert (points[1][1], points[-1][1]) == heights
        assert points[0][0] == 0
        assert 0.7 * bins < points[-1][0] < 0.9 * bins
    assert len(fresh.all(".plot .band")) == len(EMOTIONS)
    assert fresh.text(".reading").startswith("0:00.0")
    assert "happy 80%" in fresh.text(".reading")
    fresh.one(".numbers summary").click()
    fresh.until(lambda: fresh.all(".numbers td"))
    rows = [row.text.split() for row in fresh.all(".numbers tbody tr")]
    assert len(rows) == bins
    assert rows[0][2 + EMOTIONS.index("happy")] == "80%"
    assert rows[-1][1:] == ["0"]


def test_tracks_are_strips_of_their_smoothed_top_emotions(show):
    other = [("sad" if n >= 50 else "happy", 0.8) for n in range(100)]
    frames = [
        frame(n, n / 10, [(HERE, "happy")] * (n < 25) + [(THERE, *other[n])]) for n in range(100)
    ]
    page = show([video("v", frames)], tracked=True)
    page.open_timeline()
    first, second = page.all(".strip.track")
    assert first.get_attribute("aria-label") == "Track 0: 0:00.0 to 0:02.5, happy 100%"
    label = r"Track 1: 0:00\.0 to 0:10\.0, happy 5\d%, sad 4\d%"
    assert re.fullmatch(label, second.get_attribute("aria-label"))
    classes = [each.get_attribute("class") for each in second.find_elements("css selector", "rect")]
    assert classes == [f"e{EMOTIONS.index('happy')}", f"e{EMOTIONS.index('sad')}"]
    assert [each.text for each in page.all(".track + .mean")] == ["2.5 s", "10.0 s"]


def test_tracks_with_the_most_faces_are_shown(show):
    """A crowd passes: a new face every second, each tenth stays longer."""
    crowd: dict[int, list] = {n: [] for n in range(1030)}
    for person in range(100):
        box = Box(500 * (person % 5), 50, 90, 90)
        for n in range(10 * person, 10 * person + (30 if person % 10 == 0 else 2)):
            crowd[n].append((box, "happy"))
    page = show([video("v", [frame(n, n / 10, crowd[n]) for n in crowd])], tracked=True)
    page.open_timeline()
    shown = [each.text for each in page.all(".plot .label") if "Track" in each.text]
    assert len(shown) == MAX_TRACKS
    assert {f"Track {number}" for number in range(0, 100, 10)} <= set(shown)
    assert "80 other tracks" in page.text(".plot .across")


def test_clicks_and_peaks_seek_in_the_annotated_video_with_its_subtitles(show, tmp_path):
    save_clip(tmp_path / "annotated" / "a # video.webm", 100)
    cues = "00:00:00.500 --> 00:00:01.000\ntrack 0: happy 80%\ntrack 1: a &lt;b&gt; 70%\n"
    more = "01:01:02.000 --> 01:01:03.500\ntrack 0: sad 60%\n"
    (tmp_path / "annotated" / "a # video.vtt").write_text(f"WEBVTT\n\n{cues}\n{more}")
    tops = [("happy", 0.9), ("happy", 0.5), ("sad", 0.8), ("angry", 0.7)]
    seen = [frame(n, 0.4 + 2 * n, [(HERE, *top)]) for n, top in enumerate(tops)]
    pictures = [draw_face()] * 2  # the third peak's does not exist
    entry = video("v", [*seen, frame(4, 10.0)], annotated="a # video.webm", thumbnails=pictures)
    page = show([entry], folder=tmp_path)
    page.open_timeline()
    page.until(lambda: page.script("return document.querySelector('video').readyState > 0"))
    page.all("#videos .strip")[0].click()  # its middle: the bin from 4 s on
    at = page.script("return document.querySelector('video').currentTime")
    assert at == pytest.approx(4.4)
    assert page.text(".reading").startswith("0:04")
    assert page.one(".video p a").get_attribute("href").endswith(f"a%20%23%20video.webm#t={at:g}")
    happy, sad = page.all(".peaks button")
    assert happy.text.splitlines() == ["happy", "90%", "at 0:00.4"]
    assert sad.get_attribute("aria-label") == "Strongest sad, 80.0% at 0:04.4"
    happy.click()
    assert page.text(".reading").startswith("0:00: happy 70%")  # the mean of the bin
    page.until(lambda: page.script(
        "return [...document.querySelectorAll('.peaks img')].every(img => img.naturalWidth)"
    ))  # fmt: skip
    shown = page.script("""
        const [track] = document.querySelector("video").textTracks;
        return [track.mode, [...track.cues].map(cue =>
            [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])]""")
    assert shown == ["showing", [
        [0.5, 1, "track 0: happy 80%\ntrack 1: a <b> 70%"], [3662, 3663.5, "track 0: sad 60%"],
    ]]  # fmt: skip


def test_means_and_shares_are_of_the_time_and_the_band_shows_how_far_faces_are_apart(show):
    two = [(HERE, "happy", 0.9), (THERE, "happy", 0.5)]
    frames = [frame(n, n / 10, two) for n in range(20)]
    frames += [frame(20 + n, 2 + 0.3 * n, [(HERE, "sad", 0.5)]) for n in range(20)]
    page = show([video("v", [*frames, frame(40, 8.0)])])
    page.open_timeline()
    happy = EMOTIONS.index("happy")
    assert page.all(".plot .mean")[happy].text == f"{(2 * 0.7 + 6 * 0.5 / 6) / 8:.0%}"
    band = page.all(".plot .band")[happy].get_attribute("d")[1:-1]
    points = [tuple(map(float, point.split())) for point in band.split("L")]
    assert {y for x, y in points if x < 4} == {100 - 70 - 20, 100 - 70 + 20}
    assert {y for x, y in points if x > 5} == {100 - 8}
    page.set("#view", "table")
    shares = dict(zip(EMOTIONS, read_shares(page)[0][2:]))
    assert (shares["happy"], shares["sad"]) == ("25%", "75%")


def read_shares(page: Page) -> list[list[str]]:
    """Return the table of shares without its last column."""
    return page.script(
        "return [...document.querySelectorAll('#shares tbody tr')].map("
        "row => [...row.cells].slice(0, -1).map(cell => cell.textContent))"
    )


def test_table_sorts_by_the_share_of_an_emotion(fresh):
    fresh.set("#view", "table")
    assert not fresh.one("#gallery").is_displayed()
    table = {row[0]: dict(zip(["faces", *EMOTIONS], row[1:])) for row in read_shares(fresh)}
    assert list(table)[:2] == ["photos/a.jpg", "photos/b.jpg"]
    assert table["photos/b.jpg"]["happy"] == "67%"
    assert table["photos/b.jpg"]["sad"] == "33%"
    assert table["videos/d.mp4"]["happy"] == "50%"
    assert set(table["photos/c.jpg"].values()) == {"0", "–"}
    sad = fresh.one(f"#shares thead th[data-order='share-{EMOTIONS.index('sad')}']")
    sad.find_element("css selector", "button").click()
    assert sad.get_attribute("aria-sort") == "descending"
    assert [row[0] for row in read_shares(fresh)][:2] == ["videos/d.mp4", "photos/b.jpg"]
    fresh.set("#kind", "image")  # filters stay
    assert read_shares(fresh)[0][0] == "photos/b.jpg"
    fresh.one("#shares thead th[data-order=name] button").click()
    fresh.one("#shares thead th[data-order=name] button").click()
    assert [row[0] for row in read_shares(fresh)][-1] == "photos/a.jpg"
    fresh.set("#view", "cards")
    assert fresh.names[-1] == "a.jpg"


def save_filtered(page: Page, folder: Path) -> list[dict[str, str]]:
    """Save what is filtered into `folder`, and return its rows."""
    path = folder / "filtered.csv"
    page.browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    page.one("#save").click()
    page.until(path.exists)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    path.unlink()
    return rows


def test_what_is_filtered_is_saved_as_csv_with_the_columns_of_a_list(show, tmp_path):
    names = ['b\u200d, "c".jpg', "a.jpg", "zwölf.jpg"]
    columns = {"participant": "P01", "note": "<b>\u200f"}
    page = show([
        photo(names[0], ("happy", 0.6), ("sad", 0.9), annotated="b c.jpg", extra=columns),
        photo(names[1], ("happy", 0.8), extra={"participant": "P02"}),
        photo(names[2]),
        failed("d.jpg", "no picture"),
    ], extra=columns)  # fmt: skip
    page.set("#order", "name-reverse")
    page.one(f"#emotions input[value='{EMOTIONS.index('happy')}']").click()
    rows = save_filtered(page, tmp_path)
    assert [row["source"] for row in rows] == names[:2]
    assert rows[0]["share_happy"] == "0.5"
    assert (rows[0]["emotion"], rows[0]["highest"]) == ("happy", "0.6")
    assert (rows[0]["faces"], rows[0]["status"], rows[0]["error"]) == ("2", "ok", "")
    assert (rows[0]["annotated"], rows[0]["note"]) == ("annotated/b c.jpg", "<b>\u200f")
    page.set("#view", "table")
    assert "participant" in page.text("#shares thead")
    assert read_shares(page)[0][:3] == [names[0], *columns.values()]
    page.set("#name", "p02")
    assert [row[0] for row in read_shares(page)] == ["a.jpg"]
    page.one("button[type=reset]").click()
    page.set("#status", "failed")
    (row,) = save_filtered(page, tmp_path)
    assert (row["source"], row["emotion"], row["error"]) == ("d.jpg", "", "no picture")


def test_columns_of_a_list_are_shown_filtered_sorted_and_grouped(show):
    long = "The participant came late. " * 9
    rows = {
        "a.mp4": (12, {"condition": "solo", "age": "9", "notes": "ok"}),
        "b.mp4": (4, {"condition": "solo", "age": "10", "notes": long}),
        "c.mp4": (8, {"condition": "group", "age": "100"}),
        "d.mp4": (4, {}),
    }
    faces = {n: [("happy" if n < 4 else "sad", 0.8)] for n in range(12)}
    entries = [
        video(name, scene(count, 4, faces), extra=extra) for name, (count, extra) in rows.items()
    ]
    page = show(entries, extra=("condition", "age", "notes"))
    assert "solo · age 9 · ok" in page.all(".card")[0].text
    assert "solo · age 10 · The participant" in page.all("#videos summary")[1].text
    assert not [
        each for each in page.all("[data-extra]") if each.get_attribute("data-extra") == "2"
    ]
    page.set("#view", "table")
    for width in (500, 900, 1920):
        page.script("document.body.style.width = arguments[0]", f"{width}px")
        # No column is narrower than its texts, and only the table scrolls sideways.
        narrow = page.script("""
            return [...document.querySelectorAll("#shares :is(th, td).text > *")]
                .filter(each => each.scrollWidth > each.parentElement.clientWidth).length""")
        assert not narrow
        assert page.script("return document.body.scrollWidth <= document.body.clientWidth")
    page.script("document.body.style.width = ''")
    cell = page.one("#shares details.long")
    assert len(cell.text) < 60
    cell.find_element("css selector", "summary").click()
    page.until(lambda: long.strip() in cell.text)
    page.one("[data-order=extra-1] button").click()
    assert [row[0] for row in read_shares(page)] == ["d.mp4", "a.mp4", "b.mp4", "c.mp4"]
    page.one("[data-order=extra-1] button").click()
    assert [row[0] for row in read_shares(page)] == ["c.mp4", "b.mp4", "a.mp4", "d.mp4"]
    page.set("[data-extra='0']", "solo")
    assert [row[0] for row in read_shares(page)] == ["b.mp4", "a.mp4"]
    page.set("[data-extra='0']", "")
    page.set("#group", "0")
    happy, sad = (2 + EMOTIONS.index(name) for name in ("happy", "sad"))
    groups = [(row[0], row[1], row[happy], row[sad]) for row in read_shares(page)]
    # By time: 1 of 3 seconds and 1 of 1, not the mean of their shares.
    assert groups == [
        ("(empty) 1 video", "1.0 s", "100%", "0%"),
        ("group 1 video", "2.0 s", "50%", "50%"),
        ("solo 2 videos", "4.0 s", "50%", "50%"),
    ]
    assert page.text("#shares [role=status]") == "1–3 of 3 groups"


def test_paper_shows_the_open_and_the_closed_videos(fresh):
    fresh.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        fresh.script("dispatchEvent(new Event('beforeprint'))")
        assert len([each for each in fresh.all("details.video") if each.get_attribute("open")]) == 2
        assert len(fresh.all(".plot")) == 1
        assert fresh.text("#videos").endswith("not a video")  # why there is nothing to show
        assert not fresh.one("#filters").is_displayed()
        assert fresh.one("body").value_of_css_property("background-color") == (
            "rgba(255, 255, 255, 1)"
        )
        fresh.script("dispatchEvent(new Event('afterprint'))")
        assert not [each for each in fresh.all("details.video") if each.get_attribute("open")]
    finally:
        fresh.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_hostile_names_are_shown_as_text_and_linked_correctly(show, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MAX_EMBEDDED", 0)
    names = [as_cell(printable_path(name)) for name in HOSTILE]
    paths = [next(safe_paths(name)) for name in names]
    entries = []
    for name, path in zip(names, paths):
        save(tmp_path / "annotated" / "x.jpg", draw_face()).rename(tmp_path / "annotated" / path)
        entry = photo(f"1/{name}", ("happy", 0.9), annotated=path, thumbnails=[draw_face()])
        entries += [entry, failed(f"2/{name}", f"{name}: no picture")]
    run = replace(
        RUN,
        inputs=list(HOSTILE),
        state="failed",
        failure=HOSTILE[0],
        checkpoint=CheckpointRecord(HOSTILE[1], "3f6c2a9d"),
    )
    page = show(entries, run=run, folder=tmp_path)
    visible = sorted(names)
    assert [sorted(page.names[: len(names)]), sorted(page.names[len(names) :])] == [visible] * 2
    reasons = page.script(
        "return [...document.querySelectorAll('#failures p:last-child')].map(p => p.textContent)"
    )
    assert sorted(reasons) == sorted(f"{name}: no picture" for name in names)
    assert one_line(HOSTILE[1]) in page.text("#run")
    assert one_line(HOSTILE[0]) in page.text(".note")
    links = [urlsplit(link.get_attribute("href")) for link in page.all(".card a")]
    assert [link.scheme for link in links] == ["file"] * len(HOSTILE)
    assert all(Path(unquote_to_bytes(link.path).decode()).is_file() for link in links)
    page.script("document.querySelectorAll('img').forEach(img => { img.loading = 'eager' })")
    page.until(lambda: page.script(
        "return [...document.querySelectorAll('img')].every(img => img.naturalWidth)"
    ))  # fmt: skip
    assert len(page.all("img")) == len(HOSTILE)
    assert page.browser.title.startswith("gudi: ")
    assert not page.all("main script, svg[onload], img[onerror]")


def test_few_thumbnails_are_embedded_in_the_page(browser, tmp_path):
    entries = [photo("a", ("sad", 0.9), thumbnails=[draw_face()]), photo("b", thumbnails=[])]
    path = write(tmp_path, entries)
    moved = path.rename(tmp_path.with_name(f"{tmp_path.name}.html"))
    for picture in (tmp_path / "thumbnails").rglob("*.jpg"):
        picture.unlink()
    page = Page(browser, moved)
    page.until(lambda: len(page.all("img")) == 1)  # a text replaces the missing one
    page.until(lambda: page.script("return document.querySelector('img').naturalWidth") == 300)
    assert page.one("img").get_attribute("alt") == "a"
    assert page.text(".missing") == "No face"


def test_many_photos_are_shown_in_pages(show):
    page = show(
        photo(f"{n:04}.jpg", (EMOTIONS[n % 7], 0.5 + n % 50 / 100)) for n in range(2_000)
    )  # fmt: skip
    assert page.shown == "1–60 of 2,000 inputs"
    assert len(page.all(".card")) == 60
    previous, following = page.one("#gallery .previous"), page.one("#gallery .next")
    assert previous.get_attribute("aria-disabled") == "true"
    following.click()
    assert (page.shown, page.names[0]) == ("61–120 of 2,000 inputs", "0060.jpg")
    page.one("#gallery .page").clear()
    page.one("#gallery .page").send_keys("999\n")
    assert page.shown == "1,981–2,000 of 2,000 inputs"
    assert following.get_attribute("aria-disabled") == "true"
    following.click()
    assert page.names[-1] == "1999.jpg"
    previous.click()
    assert page.names[0] == "1920.jpg"
    page.set("#confidence", "90")
    page.one("#emotions input[value='3']").click()
    happy = sum(n % 50 >= 40 and n % 7 == 3 for n in range(2_000))
    assert page.shown == f"1–{happy} of {happy} inputs"
    assert all("happy" in card.text for card in page.all(".card"))


def test_inputs_beyond_the_limits_are_counted_and_mentioned(show, monkeypatch):
    for name, most in {"MAX_LISTED": 5, "MAX_FAILURES": 2, "MAX_VIDEOS": 1}.items():
        monkeypatch.setattr(rows, name, most)
    videos = [video(f"a{number}", scene(1, 10, {0: [("sad", 0.5)]})) for number in range(2)]
    photos = [photo(f"b{number}", ("happy", 0.9)) for number in range(9)]
    page = show([*videos, *photos, *(failed(f"c{number}", "no") for number in range(4))])
    assert page.shown == "1–7 of 7 inputs"
    note, timelines = (note.text for note in page.all(".note"))
    assert "It lists 7 of 15" in note
    assert "2 of 4 that failed" in note
    assert "faces.csv" in note
    assert "Only the first 1 videos" in timelines
    assert "Faces in photos\n9" in page.text(".totals")
    assert "Failed\n4" in page.text(".totals")
    assert "happy\n9 100.0%" in page.all(".bars")[0].text
    page.all("details.video summary")[1].click()
    page.until(lambda: "Its faces are in faces.csv" in page.text("#videos"))


def test_page_without_faces_or_inputs_says_so(show):
    run = replace(RUN, state="interrupted", counts=replace(RUN.counts, not_reached=1234))
    page = show([photo("a.jpg"), video("b.mp4", scene(3, 10, {}))], run=run)
    assert page.shown == "1–2 of 2 inputs"
    assert "interrupted" in page.text(".note")
    assert "Faces in photos\n0" in page.text(".totals")
    assert "Not processed\n1,234" in page.text(".totals")
    assert not page.one("#score").is_displayed()
    page.one("details.video").click()
    page.until(lambda: "No face was found" in page.text("#videos"))
    assert page.text("#failures [role=status]") == "No failures"

    page = show([], run=RunRecord(inputs=[], settings={}, checkpoint=CheckpointRecord(None, "")))
    assert page.shown == "No inputs"
    assert not page.one("#videos").is_displayed()
    assert "Photos\n0" in page.text(".totals")


def test_other_emotions_are_shown(show):
    emotions = [*(f"class {number}" for number in range(9)), "<b>bold</b>"]
    face = Face(HERE, 20.0, np.array([0.05] * 9 + [0.55], np.float32))
    result = Result(Source("a.jpg", "a.jpg", "image"), None, 9, 9, [face])
    page = show([Entry(result)], emotions=emotions)
    assert len(page.all("#emotions input")) == 10
    assert page.text(".bars tbody tr:last-child") == "<b>bold</b>\n1 100.0%"
    page.one("#emotions input[value='9']").click()
    assert page.names == ["a.jpg"]
    assert "<b>bold</b>" in page.text(".card")


def test_page_fits_a_phone_and_follows_dark_mode(fresh):
    browser = fresh.browser
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    try:
        fresh.all("details.video summary")[0].click()
        fresh.until(lambda: fresh.all(".numbers summary"))
        fresh.one(".numbers summary").click()
        fresh.until(lambda: fresh.all(".numbers td"))
        assert fresh.script("return document.documentElement.scrollWidth") <= 360
        background = fresh.one("body").value_of_css_property("background-color")
        text = fresh.one("body").value_of_css_property("color")
        assert "rgba(19, 21, 24" in background
        assert "rgba(230, 231, 233" in text
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_report_appears_complete_or_not_at_all(tmp_path):
    path = write(tmp_path, [photo("a.jpg"), photo("b.jpg")])
    before, names = path.read_bytes(), sorted(tmp_path.iterdir())
    with sqlite3.connect(tmp_path / STORE) as database:
        database.execute("UPDATE inputs SET status = 'odd' WHERE source = 'b.jpg'")
    database.close()
    with Store(tmp_path / STORE) as store:
        with pytest.raises(OutputError, match="is damaged"):
            report.write(path, RUN, store)
        with pytest.raises(OutputError, match="cannot write .*report.html"):
            report.write(tmp_path / "missing" / "report.html", RUN, store)
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == (before, names)


def test_memory_does_not_grow_with_the_number_of_inputs(tmp_path):
    peaks = []
    for count in (1000, 5000):
        folder = tmp_path / str(count)
        folder.mkdir()
        photos = (photo(f"{n}.jpg", ("happy", 0.9), thumbnails=[]) for n in range(count))
        faces = {n: [("happy", 0.9)] for n in range(count)}
        write(folder, [video("long.mp4", scene(count, 25, faces)), *photos])
        with Store.open_results(folder) as store:
            tracemalloc.start()
            report.write(folder / "report.html", RUN, store)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    # A hundred bytes per input would be 400,000 more.
    assert peaks[1] < peaks[0] + 200_000
