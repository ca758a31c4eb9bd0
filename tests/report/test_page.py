"""`report.html` in a real browser."""

from __future__ import annotations

import csv
import itertools
import random
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import av
import numpy as np
import pytest
from conftest import draw_face, save

from gudi import report
from gudi.constants import EMOTIONS
from gudi.errors import OutputError, one_line
from gudi.report import ReportEntry, ReportFace, rows
from gudi.report.film import MAX_TRACKS
from gudi.report.timeline import BINS
from gudi.results.run_record import CheckpointRecord, RunCounts, RunRecord

RUN = RunRecord(
    state="finished",
    started="2025-11-24T13:35:07+00:00",
    inputs=["./photos"],
    settings={"batch_size": 256, "detection": {"min_face": 50}, "debug": False},
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
        complaints = [entry["message"] for entry in log if "gone.jpg" not in entry["message"]]
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


@pytest.fixture(scope="module")
def show(browser, tmp_path_factory):
    """A function that writes a report and opens it."""

    def shown(entries, run=RUN, emotions=EMOTIONS, folder=None) -> Page:
        path = (folder or tmp_path_factory.mktemp("report")) / "report.html"
        report.write(path, run, emotions, entries)
        return Page(browser, path)

    return shown


def probabilities(emotion: str, confidence: float) -> list[float]:
    """Return probabilities, with `confidence` for `emotion`."""
    others = (1 - confidence) / (len(EMOTIONS) - 1)
    return [confidence if each == emotion else others for each in EMOTIONS]


def photo(name: str, *found: tuple[str, float], **options) -> ReportEntry:
    status = "ok" if found else "no_face"
    faces = [ReportFace(probabilities(*each)) for each in found]
    return ReportEntry(name, "image", status, iter(faces), 300, 200, **options)


def video(name: str, faces: Iterable[ReportFace], status="ok", **options) -> ReportEntry:
    return ReportEntry(name, "video", status, iter(faces), 64, 48, **options)


def save_clip(path: Path, frames: int) -> None:
    """Save a video of ten frames per second that gets brighter."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width = stream.height = 64
        for level in range(frames):
            picture = np.full((64, 64, 3), 2 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def few(show) -> Page:
    """A report with all kinds of entries."""
    scene = [
        ReportFace(probabilities("happy" if frame < 50 else "sad", 0.8), frame / 25)
        for frame in range(100)
    ]
    return show([
        photo("photos/a.jpg", ("happy", 0.9)),
        photo("photos/b.jpg", ("happy", 0.5), ("sad", 0.95), ("happy", 0.4)),
        photo("photos/c.jpg"),
        photo("photos/Ä.jpg", ("neutral", 0.7)),
        video("videos/d.mp4", scene, frames=120, duration=4.8),
        ReportEntry("videos/e.mp4", "video", "failed", error="not a video"),
        ReportEntry("photos/f", "folder", "failed", error="Permission denied"),
    ])  # fmt: skip


@pytest.fixture
def fresh(few) -> Page:
    """The same page, just opened."""
    few.load()
    return few


def test_overview_shows_totals_bars_settings_and_failures(fresh):
    totals = fresh.text(".totals").splitlines()
    assert dict(zip(totals[::2], totals[1::2])) == {
        "Photos": "4", "Videos": "2", "Frames": "120", "Faces": "105", "No face": "1",
        "Failed": "2", "Time": "25 s", "Photos and frames / s": "6.2",
    }  # fmt: skip
    bars = [row.text.split() for row in fresh.all(".bars tbody tr")]
    assert [bar[0] for bar in bars] == list(EMOTIONS)
    assert bars[3] == ["happy", "53", "50.5%"]
    assert bars[0] == ["angry", "0", "0.0%"]
    run = fresh.text("#run")
    for fact in ("detection.min_face\n50", "debug\nno", "3f6c2a9d", "tensorflow\n2.21.0"):
        assert fact in run
    assert "2025-11-24 13:35 UTC" in fresh.text("header")
    assert not fresh.all(".note")
    failures = [item.text.splitlines() for item in fresh.all("#failures li")]
    assert failures == [["videos/e.mp4", "not a video"], ["photos/f", "Permission denied"]]


def test_filters_change_the_count_and_the_cards(fresh):
    assert fresh.shown == "1–7 of 7 inputs"
    assert "happy\n×2\n≤ 50.0%" in fresh.all(".card")[1].text

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
    for status, names in {"no_face": ["c.jpg"], "failed": ["e.mp4", "f"]}.items():
        fresh.set("#status", status)
        assert fresh.names == names
    fresh.set("#status", "")
    fresh.set("#name", "a\u0308.JPG")  # as some systems write Ä
    assert fresh.names == ["Ä.jpg"]
    fresh.set("#name", "nothing of the kind")
    assert (fresh.shown, fresh.names) == ("No inputs", [])


def test_entries_without_a_face_of_enough_score_are_filtered(show):
    faces = {"sure.jpg": (7, 93.5), "less.jpg": (40, 12), "none.jpg": ()}
    page = show([
        ReportEntry(
            name, "image", "ok" if scores else "no_face",
            iter([ReportFace(probabilities("happy", 0.9), score=each) for each in scores]),
        )
        for name, scores in faces.items()
    ])  # fmt: skip
    assert page.names == ["sure.jpg", "less.jpg", "none.jpg"]
    for score, names in ((1, ["sure.jpg", "less.jpg"]), (41, ["sure.jpg"]), (93, ["sure.jpg"])):
        page.set("#score", str(score))
        assert (page.names, page.text("#least")) == (names, str(score))


def test_slider_is_hidden_if_no_score_is_known(fresh):
    assert not fresh.one("#score").is_displayed()


def test_cards_are_sorted_as_chosen(fresh):
    orders = {
        "name-reverse": "f e.mp4 d.mp4 Ä.jpg c.jpg b.jpg a.jpg",
        "highest": "b.jpg a.jpg d.mp4 Ä.jpg c.jpg e.mp4 f",
        "lowest": "Ä.jpg d.mp4 a.jpg b.jpg c.jpg e.mp4 f",
        "faces": "d.mp4 b.jpg a.jpg Ä.jpg c.jpg e.mp4 f",
    }
    for order, names in orders.items():
        fresh.set("#order", order)
        assert fresh.names == names.split()


def test_page_can_be_used_by_keyboard(fresh):
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
    fresh.press(Keys.HOME, Keys.TAB, "b.j")
    assert fresh.names == ["b.jpg"]
    fresh.all("details.video summary")[0].send_keys(Keys.ENTER)
    fresh.until(lambda: fresh.all(".plot"))
    fresh.one(".plot input").send_keys(Keys.END)
    assert "no face" in fresh.text(".reading")
    assert fresh.one(".plot input").get_attribute("aria-valuetext") == fresh.text(".reading")


def test_all_controls_have_names_and_landmarks_exist(fresh):
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


def test_click_on_a_timeline_seeks_in_the_annotated_video(show, tmp_path):
    save_clip(tmp_path / "a # video.webm", 100)
    scene = [ReportFace(probabilities("happy", 0.5), frame / 10) for frame in range(100)]
    page = show([video("v", scene, annotated="a # video.webm", frames=100)], folder=tmp_path)
    page.until(lambda: page.all(".plot"))  # a single video is open from the start
    page.until(lambda: page.script("return document.querySelector('video').readyState > 0"))
    page.all("#videos .strip")[0].click()
    at = page.script("return document.querySelector('video').currentTime")
    assert 4.5 < at < 5.5
    assert page.text(".reading").startswith(("0:04", "0:05"))
    assert page.one(".video p a").get_attribute("href").endswith(f"a%20%23%20video.webm#t={at:g}")


def test_click_seeks_to_a_frame_with_a_face(show, tmp_path):
    save_clip(tmp_path / "v.webm", 100)
    late = [ReportFace(probabilities("happy", 0.5), 0.4 + frame) for frame in range(0, 10, 2)]
    page = show([video("v", late, annotated="v.webm", frames=10, duration=10)], folder=tmp_path)
    page.until(lambda: page.all(".plot"))
    page.until(lambda: page.script("return document.querySelector('video').readyState > 0"))
    page.all("#videos .strip")[0].click()  # its middle: the bin from 4 s on
    assert page.script("return document.querySelector('video').currentTime") == pytest.approx(4.4)


def test_mean_of_a_video_counts_its_time(show):
    scene = [
        ReportFace(probabilities("happy", 0.9), 0.0, seconds=3.0),
        ReportFace(probabilities("happy", 0.5), 3.0, seconds=1.0),
    ]
    page = show([video("v", scene, frames=2, duration=4)])
    page.until(lambda: page.all(".plot"))
    assert page.all(".plot .mean")[EMOTIONS.index("happy")].text == "80%"


def test_band_shows_how_far_faces_are_apart(show):
    two = [
        ReportFace(probabilities("happy", confidence), frame / 10)
        for frame in range(40)
        for confidence in ((0.9, 0.5) if frame < 20 else (0.7,))
    ]
    page = show([video("v", two, frames=40, duration=4)])
    page.until(lambda: page.all(".plot"))
    path = page.all(".plot .band")[EMOTIONS.index("happy")].get_attribute("d")
    points = [tuple(map(float, point.split())) for point in path[1:-1].split("L")]
    at_first = {y for x, y in points if x < 7}
    at_last = {y for x, y in points if x > 9}
    assert at_first == {100 - 70 - 20, 100 - 70 + 20}
    assert at_last == {100 - 70}
    page.one(".numbers summary").click()
    page.until(lambda: page.all(".numbers td"))
    assert len(page.all(".numbers tbody tr:first-child td")) == 1 + len(EMOTIONS)


def test_tracks_are_strips_of_their_top_emotions(show):
    def face(number, emotion, frame):
        row = probabilities(emotion, 0.8)
        return ReportFace(row, frame / 10, frame=frame, track=number, smoothed=row)

    scene = [
        face(number, "sad" if number and frame >= 50 else "happy", frame)
        for frame in range(100)
        for number in (0, 1)
        if number or frame < 25
    ]
    page = show([video("v", scene, frames=100, duration=10)])
    page.until(lambda: page.all(".plot"))
    first, second = page.all(".strip.track")
    assert first.get_attribute("aria-label") == "Track 0: 0:00.0 to 0:02.5, happy 100%"
    assert second.get_attribute("aria-label") == ("Track 1: 0:00.0 to 0:10.0, happy 50%, sad 50%")
    classes = [each.get_attribute("class") for each in second.find_elements("css selector", "rect")]
    assert classes == [f"e{EMOTIONS.index('happy')}", f"e{EMOTIONS.index('sad')}"]
    assert [each.text for each in page.all(".track + .mean")] == ["25", "100"]


def test_tracks_with_the_most_faces_are_shown(show):
    """A crowd passes: a new face every second, each tenth stays longer."""
    row = probabilities("happy", 0.8)
    crowd = sorted(
        (frame, number)
        for number in range(100)
        for frame in range(10 * number, 10 * number + (30 if number % 10 == 0 else 2))
    )
    faces = [
        ReportFace(row, frame / 10, frame=frame, track=number, smoothed=row)
        for frame, number in crowd
    ]
    page = show([video("v", faces, frames=1030, duration=103)])
    page.until(lambda: page.all(".plot"))
    shown = [each.text for each in page.all(".plot .label") if "Track" in each.text]
    assert len(shown) == MAX_TRACKS
    assert {f"Track {number}" for number in range(0, 100, 10)} <= set(shown)
    assert "80 other tracks" in page.text(".plot .across")


def test_peaks_are_pictures_that_seek(show, tmp_path):
    for name in ("v.jpg", "v-1.jpg"):
        save(tmp_path / name, draw_face())
    emotions = ["happy", "sad", "angry"]  # the third one's picture does not exist
    scene = [
        ReportFace(probabilities(emotion, 0.9 - number / 10), 2.0 + number, frame=number)
        for number, emotion in enumerate(emotions)
    ]
    paths = ["v.jpg", "v-1.jpg", "v-2.jpg"]
    page = show(
        [video("v", scene, frames=100, duration=10, peak_thumbnails=paths)], folder=tmp_path
    )
    page.until(lambda: page.all(".peaks"))
    happy, sad = page.all(".peaks button")
    assert happy.text.splitlines() == ["happy", "90%", "at 0:02.0"]
    assert sad.get_attribute("aria-label") == "Strongest sad, 80.0% at 0:03.0"
    sad.click()
    assert page.text(".reading").startswith("0:03.0: sad 80%")
    page.until(lambda: page.script(
        "return [...document.querySelectorAll('.peaks img')].every(img => img.naturalWidth)"
    ))  # fmt: skip


def test_player_shows_the_subtitles(show, tmp_path):
    save_clip(tmp_path / "v.webm", 40)
    cues = "00:00:00.500 --> 00:00:01.000\ntrack 0: happy 80%\ntrack 1: a &lt;b&gt; 70%\n"
    more = "01:01:02.000 --> 01:01:03.500\ntrack 0: sad 60%\n"
    path = tmp_path / "v.webm.vtt"
    path.write_text(f"WEBVTT\n\n{cues}\n{more}")
    face = [ReportFace(probabilities("happy", 0.5), 0.5)]
    page = show([video("v", face, annotated="v.webm", frames=40, subtitles=path)], folder=tmp_path)
    page.until(lambda: page.all("video"))
    shown = page.script("""
        const [track] = document.querySelector("video").textTracks;
        return [track.mode, [...track.cues].map(cue =>
            [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])]""")
    assert shown == ["showing", [
        [0.5, 1, "track 0: happy 80%\ntrack 1: a <b> 70%"], [3662, 3663.5, "track 0: sad 60%"],
    ]]  # fmt: skip


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


def test_shares_of_a_video_are_of_its_time(show):
    scene = [
        ReportFace(probabilities("happy", 0.9), 0.0, seconds=3.0),
        ReportFace(probabilities("sad", 0.9), 3.0, seconds=1.0),
    ]
    page = show([video("v", scene, frames=2, duration=4)])
    page.set("#view", "table")
    (row,) = read_shares(page)
    shares = dict(zip(EMOTIONS, row[2:]))
    assert (shares["happy"], shares["sad"]) == ("75%", "25%")


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


def test_what_is_filtered_is_saved_as_csv(show, tmp_path):
    names = ['b, "c".jpg', "a.jpg", "zwölf.jpg"]
    page = show([
        photo(names[0], ("happy", 0.6), ("sad", 0.9), annotated="annotated/b c.jpg"),
        photo(names[1], ("happy", 0.8)),
        photo(names[2]),
        ReportEntry("d.jpg", "image", "failed", error="no picture"),
    ])  # fmt: skip
    page.set("#order", "name-reverse")
    page.one(f"#emotions input[value='{EMOTIONS.index('happy')}']").click()
    rows = save_filtered(page, tmp_path)
    assert [row["source"] for row in rows] == [names[1], names[0]]
    assert rows[1]["share_happy"] == "0.500"
    assert (rows[1]["emotion"], rows[1]["highest"]) == ("happy", "0.6")
    assert (rows[1]["faces"], rows[1]["status"], rows[1]["error"]) == ("2", "ok", "")
    assert rows[1]["annotated"] == "annotated/b c.jpg"
    page.one("button[type=reset]").click()
    page.set("#status", "failed")
    (row,) = save_filtered(page, tmp_path)
    assert (row["source"], row["emotion"], row["error"]) == ("d.jpg", "", "no picture")


def test_columns_of_a_list_are_shown_searched_and_saved(browser, tmp_path):
    entries = [
        photo("a.jpg", ("happy", 0.8), extra=["P01", "<b>"]),
        photo("b.jpg", ("happy", 0.8), extra=["P02", None]),
    ]
    report.write(tmp_path / "report.html", RUN, EMOTIONS, entries, ["participant", "note"])
    page = Page(browser, tmp_path / "report.html")
    page.set("#view", "table")
    assert "participant" in page.text("#shares thead")
    assert read_shares(page)[0][:3] == ["a.jpg", "P01", "<b>"]
    page.set("#name", "p02")
    assert [row[0] for row in read_shares(page)] == ["b.jpg"]
    assert save_filtered(page, tmp_path)[0]["participant"] == "P02"


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
    entries = []
    for name in HOSTILE:
        save(tmp_path / "annotated" / "x.jpg", draw_face()).rename(tmp_path / "annotated" / name)
        entries.append(photo(
            f"photos/{name}", ("happy", 0.9), annotated=f"annotated/{name}",
            thumbnail=f"annotated/{name}",
        ))  # fmt: skip
    entries += [
        ReportEntry(name, "image", "failed", error=f"{name}: no picture") for name in HOSTILE
    ]
    run = replace(
        RUN,
        inputs=list(HOSTILE),
        state="failed",
        failure=HOSTILE[0],
        checkpoint=CheckpointRecord(HOSTILE[1], "3f6c2a9d"),
    )
    page = show(entries, run, folder=tmp_path)
    visible = [one_line(name) for name in HOSTILE]
    assert page.names == [*visible, *visible]
    reasons = page.script(
        "return [...document.querySelectorAll('#failures p:last-child')].map(p => p.textContent)"
    )
    assert reasons == [f"{name}: no picture" for name in visible]
    assert visible[1] in page.text("#run")
    assert visible[0] in page.text(".note")
    links = [urlsplit(link.get_attribute("href")) for link in page.all(".card a")]
    assert [link.scheme for link in links] == ["file"] * len(HOSTILE)
    assert all(Path(unquote_to_bytes(link.path).decode("utf-8", "surrogateescape")).is_file()
               for link in links)  # fmt: skip
    page.script("document.querySelectorAll('img').forEach(img => { img.loading = 'eager' })")
    page.until(lambda: page.script(
        "return [...document.querySelectorAll('img')].every(img => img.naturalWidth)"
    ))  # fmt: skip
    assert len(page.all("img")) == len(HOSTILE)
    assert page.browser.title.startswith("gudi: ")
    assert not page.all("main script, svg[onload], img[onerror]")


def test_few_thumbnails_are_embedded_in_the_page(show, browser, tmp_path):
    save(tmp_path / "thumbnail.jpg", draw_face())
    entries = [photo("a", thumbnail="thumbnail.jpg"), photo("b", thumbnail="gone.jpg")]
    report.write(tmp_path / "report.html", RUN, EMOTIONS, entries)
    moved = (tmp_path / "report.html").rename(tmp_path.with_name(f"{tmp_path.name}.html"))
    (tmp_path / "thumbnail.jpg").unlink()
    page = Page(browser, moved)
    page.until(lambda: len(page.all("img")) == 1)  # a text replaces the missing one
    page.until(lambda: page.script("return document.querySelector('img').naturalWidth") == 300)
    assert page.one("img").get_attribute("alt") == "a"
    assert page.text(".missing") == "No face"


def test_ten_thousand_photos_are_shown_in_pages(show):
    chance = random.Random(7)
    page = show(
        photo(f"{number:05}.jpg", (chance.choice(EMOTIONS), 0.5 + number % 50 / 100))
        for number in range(10_000)
    )
    assert page.shown == "1–60 of 10,000 inputs"
    assert len(page.all(".card")) == 60
    previous, following = page.one("#gallery .previous"), page.one("#gallery .next")
    assert previous.get_attribute("aria-disabled") == "true"
    following.click()
    assert page.shown == "61–120 of 10,000 inputs"
    assert page.names[0] == "00060.jpg"
    page.one("#gallery .page").clear()
    page.one("#gallery .page").send_keys("999\n")
    assert page.shown == "9,961–10,000 of 10,000 inputs"
    assert following.get_attribute("aria-disabled") == "true"
    following.click()
    assert page.names[-1] == "09999.jpg"
    previous.click()
    assert page.names[0] == "09900.jpg"
    page.set("#confidence", "90")
    assert page.shown == "1–60 of 2,000 inputs"
    page.one("#emotions input[value='3']").click()
    happy = int(page.shown.split()[2])
    assert 200 < happy < 400
    assert all("happy" in card.text for card in page.all(".card"))


def test_inputs_beyond_the_limits_are_counted_and_mentioned(show, monkeypatch):
    monkeypatch.setattr(rows, "MAX_LISTED", 5)
    monkeypatch.setattr(rows, "MAX_FAILURES", 2)
    monkeypatch.setattr(rows, "MAX_FILMS", 1)
    failed = [ReportEntry(f"z{number}", "image", "failed", error="no") for number in range(4)]
    films = [
        video(f"v{number}", [ReportFace(probabilities("sad", 0.5), 0.0)], frames=1)
        for number in range(2)
    ]
    photos = [photo(f"{number}", ("happy", 0.9)) for number in range(9)]
    page = show([*films, *photos, *failed])
    assert page.shown == "1–7 of 7 inputs"
    note, timelines = (note.text for note in page.all(".note"))
    assert "It lists 7 of 15" in note
    assert "2 of 4 that failed" in note
    assert "faces.csv" in note
    assert "Only the first 1 videos" in timelines
    assert "Faces\n11" in page.text(".totals")
    assert "Failed\n4" in page.text(".totals")
    assert "happy\n9 81.8%" in page.text(".bars")
    page.all("details.video summary")[1].click()
    page.until(lambda: "Its faces are in faces.csv" in page.text("#videos"))


def test_page_without_faces_or_inputs_says_so(show):
    page = show([photo("a.jpg"), video("b.mp4", [], "no_face", frames=3)])
    assert page.shown == "1–2 of 2 inputs"
    assert "Faces\n0" in page.text(".totals")
    page.one("details.video").click()
    page.until(lambda: "No face was found" in page.text("#videos"))
    assert page.text("#failures [role=status]") == "No failures"

    page = show([], RunRecord(inputs=[], settings={}, checkpoint=CheckpointRecord(None, "")))
    assert page.shown == "No inputs"
    assert not page.one("#videos").is_displayed()
    assert "Photos\n0" in page.text(".totals")


def test_interrupted_run_is_mentioned(show):
    run = replace(RUN, state="interrupted", counts=replace(RUN.counts, not_reached=1234))
    page = show([photo("a.jpg", ("happy", 0.9))], run)
    assert "interrupted" in page.text(".note")
    assert "Not processed\n1,234" in page.text(".totals")


def test_other_emotions_are_shown(show):
    emotions = [*(f"class {number}" for number in range(9)), "<b>bold</b>"]
    face = ReportFace([0.05] * 9 + [0.55])
    page = show([ReportEntry("a.jpg", "image", "ok", [face], 9, 9)], emotions=emotions)
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
    path = tmp_path / "report.html"
    report.write(path, RUN, EMOTIONS, [photo("a.jpg")])
    before = path.read_bytes()

    def broken():
        yield photo("b.jpg")
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        report.write(path, RUN, EMOTIONS, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="cannot write .*report.html"):
        report.write(tmp_path / "missing" / "report.html", RUN, EMOTIONS, [])


def test_memory_does_not_grow_with_the_number_of_entries(tmp_path):
    def entries(count):
        face = ReportFace(probabilities("happy", 0.9), 0.0)
        yield video("long.mp4", itertools.repeat(face, count), frames=count)
        for number in range(count):
            yield photo(f"{number}.jpg", ("happy", 0.9), thumbnail=f"thumbnails/{number}.jpg")

    peaks = []
    for count in (1000, 5000):
        tracemalloc.start()
        report.write(tmp_path / "report.html", RUN, EMOTIONS, entries(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A hundred bytes per entry would be 400,000 more.
    assert peaks[1] < peaks[0] + 200_000
