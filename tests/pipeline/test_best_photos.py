"""The best photos: copies, and a page to be sent."""

from __future__ import annotations

import re
import zipfile

import pytest
from conftest import call_gudi, draw_face, save
from result_folders import SETTINGS, add_results, probabilities

from gudi.errors import InputError
from gudi.media.source import Source
from gudi.pipeline.best_photos import best_photos
from gudi.records import Box, Face, Result
from gudi.store import STORE, Store

# The probability of happy in each face.
PHOTOS = {
    "one/a.png": [0.9],
    "two/a.png": [0.8],
    "two/A.png": [0.7],
    "group <b>.png": [0.95, 0.2],
    "photos.zip/c.png": [0.6],
    "nobody.png": [],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with photos, one of them in an archive, and their results in `out`."""
    monkeypatch.chdir(tmp_path)
    results = []
    for name, happy in PHOTOS.items():
        faces = [Face(Box(0, 0, 9, 9), 9.0, probabilities("happy", each)) for each in happy]
        source = Source(name, name, "image")
        if name.startswith("photos.zip/"):
            save(tmp_path / "c.png", draw_face())
            with zipfile.ZipFile("photos.zip", "w") as archive:
                archive.write("c.png")
            source = Source(name, "photos.zip", "image", member=("c.png",))
        else:
            save(tmp_path / name, draw_face(x=40 + len(results)))
        results.append(Result(source, None, 300, 300, faces))
    (tmp_path / "out").mkdir()
    with Store(tmp_path / "out" / STORE) as store:
        store.start_run(SETTINGS)
        add_results(store, results)
    return tmp_path


def test_best_photos_come_first_by_their_most_or_least_happy_face(folder):
    found = [each.source.name for each in best_photos(folder / "out", "happy", 3)]
    assert found == ["group <b>.png", "one/a.png", "two/a.png"]
    everybody = best_photos(folder / "out", "happy", 9, everybody=True)
    assert [each.source.name for each in everybody] == [*list(PHOTOS)[:3], *list(PHOTOS)[4:2:-1]]
    with pytest.raises(InputError, match="no emotion 'joy', only angry"):
        best_photos(folder / "out", "joy", 3)


def test_files_are_copied_and_equal_names_kept_apart(folder):
    run = call_gudi("select", "out", "--top", "happy", "5", "--copy", "best", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[:2] == ["group <b>.png\t0.950", "one/a.png\t0.900"]
    copies = {path.name: path for path in (folder / "best").iterdir()}
    assert sorted(copies) == ["2-a.png", "3-A.png", "a.png", "c.png", "group <b>.png"]
    for copy, name in {"a.png": "one/a.png", "2-a.png": "two/a.png", "c.png": "c.png"}.items():
        assert copies[copy].read_bytes() == (folder / name).read_bytes()
    again = call_gudi("select", "out", "--top", "happy", "5", "--copy", "best", cwd=folder)
    assert (again.returncode, again.stdout) == (1, "")
    assert "best is not empty" in again.stderr


@pytest.mark.parametrize("options", [(), ("--pictures", "pictures")])
def test_page_shows_the_pictures_and_nothing_else(folder, browser, options):
    (folder / "two" / "a.png").unlink()
    title = "A <party> & more"
    run = call_gudi(
        "report", "out", "--top", "happy", 3, "--out", "page.html", "--title", title, *options,
        cwd=folder,
    )  # fmt: skip
    assert run.returncode == 3
    assert "two/a.png cannot be read" in run.stderr
    browser.get((folder / "page.html").as_uri())
    assert browser.find_element("tag name", "h1").text == title
    names = [each.text for each in browser.find_elements("tag name", "figcaption")]
    assert names == ["group <b>.png", "a.png"]
    sizes = browser.execute_script(
        "return [...document.images].map(image => { image.loading = 'eager'; return image.decode()"
        ".then(() => image.naturalWidth); }).reduce((all, one) => all.then(list => one.then("
        "width => [...list, width])), Promise.resolve([]))"
    )
    assert sizes == [draw_face().shape[1]] * 2
    text = re.sub('base64,[^"]*', "", (folder / "page.html").read_text())
    for word in ("one/", "happy", "sad", "0.9", str(folder)):
        assert word not in text
    assert (folder / "pictures").exists() == bool(options)
    assert not browser.get_log("browser")
