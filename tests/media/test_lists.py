"""Lists of inputs, as people and spreadsheets write them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from conftest import draw_face, save

from gudi.errors import InputError
from gudi.media.find import find_sources

SPREADSHEET = "path,name\r\np/ü.jpg,Müller\r\nb.jpg,Jörg\r\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p/ü.jpg", "b.jpg", "a b.jpg", "two\nlines.jpg", "lists/b.jpg", "lists/c.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def read(content, name="list.csv"):
    """Return name, problem and values of the inputs of a list."""
    if name != "-":
        Path(name).write_bytes(content)
    found = find_sources([name if name == "-" else f"@{name}"], stdin=io.BytesIO(content))
    return [(each.name, each.problem, *each.extra.values()) for each in found]


def test_lists_name_paths_by_line_or_between_nul_characters():
    lines = b"a b.jpg\r\n\n  b.jpg \np\nmissing.jpg\n*es.jpg\n"
    assert read(lines, "list.txt") == [
        ("a b.jpg", ""), ("b.jpg", ""), ("p/ü.jpg", ""), ("missing.jpg", "no such file"),
        ("two\\x0alines.jpg", ""),
    ]  # fmt: skip
    assert read(b"two\nlines.jpg\0a b.jpg\0*.jpg\0", "-") == [
        ("two\\x0alines.jpg", ""), ("a b.jpg", ""), ("*.jpg", "no such file")
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"the list nothing\.txt cannot be read"):
        list(find_sources(["@nothing.txt"]))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("name", ["list.csv", "list.txt", "-"])
@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_lists_may_have_the_encodings_and_line_ends_of_spreadsheets(encoding, name, ends):
    mark = "\ufeff" if encoding.endswith("e") else ""
    for text, expected in (
        (SPREADSHEET, [("p/ü.jpg", "", "Müller"), ("b.jpg", "", "Jörg")]),
        (SPREADSHEET.replace(",", "\t"), [("p/ü.jpg", "", "Müller"), ("b.jpg", "", "Jörg")]),
        ("p/ü.jpg\r\nb.jpg\r\n", [("p/ü.jpg", ""), ("b.jpg", "")]),
    ):
        assert read((mark + text).replace("\r\n", ends).encode(encoding), name) == expected


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Žofie"), ("cp1251", "Ольга"), ("cp1253", "Ελένη"), ("cp1254", "Işık"),
        ("cp1255", "דוד"), ("cp1256", "محمد"), ("cp1257", "Jānis"), ("cp1258", "Đoan"),
        ("cp874", "สมชาย"), ("cp932", "田中"), ("gbk", "王伟"), ("cp949", "김철수"),
        ("cp950", "陳大文"), ("cp437", "Müller"), ("cp866", "Ольга"), ("mac_roman", "Jérôme"),
        ("koi8-r", "Фёдор"), ("koi8-u", "Їжак"), ("gb18030", "㐀王"),
    ],
)  # fmt: skip
def test_code_pages_are_told_apart_by_files_or_refused(encoding, text):
    Path(f"{text}.jpg").touch()
    table = f"path,name\n{text}.jpg,{text}\n".encode(encoding)
    assert read(table) == [(f"{text}.jpg", "", text)]
    with pytest.raises(InputError, match=r"list\.csv is neither UTF-8 .* save it as CSV UTF-8"):
        read(f"path,name\nb.jpg,{text}\n".encode(encoding))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sep=;\npath;name\nb.jpg;x\n", [("b.jpg", "", "x")]),
        ('"sep=|"\npath|name\nb.jpg|x\n', [("b.jpg", "", "x")]),
        ("path,name,,\nb.jpg,x,,\n,,,\n", [("b.jpg", "", "x")]),
        ("path,name\nb.jpg,x,\na b.jpg\n", [("b.jpg", "", "x"), ("a b.jpg", "", "")]),
        ('path,name\nb.jpg,"x\nsaid ""no"", then left"\n',
         [("b.jpg", "", 'x\nsaid "no", then left')]),
        (f"path,name\nb.jpg,{'x' * 2**20}\n", [("b.jpg", "", "x" * 2**20)]),
        ("name;File_Name\nx; b.jpg \n", [("b.jpg", "", "x")]),
        ("filename,name\nb.jpg,x\nb.jpg,x\n", [("b.jpg", "", "x")]),
        ("source\nb.jpg\n", [("b.jpg", "")]),
        ("path,name\n[ab]*.jpg,x\n", [("a b.jpg", "", "x"), ("b.jpg", "", "x")]),
        ("b.jpg\na b.jpg\n", [("b.jpg", ""), ("a b.jpg", "")]),
        ("", []),
    ],
)  # fmt: skip
def test_tables_are_read_as_spreadsheets_write_them(text, expected):
    assert read(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path,name\nb.jpg,1\n./b.jpg,2\n", "line 3: b.jpg was among the inputs before, with"),
        ("path,name\nb.jpg,1,2\n", "line 2: it has 3 cells, but the header has 2"),
        ("path,name,\nb.jpg,1,2\n", "line 2: it has a value in a column without a name"),
        ("path,name\n\n,x\n", "line 3: it has no path"),
        ('path,name\nb.jpg,"x\na b.jpg,y\n', "line 2: a quote is not closed"),
        ('path,name\nb.jpg,"x\na b.jpg,y"\n', "line 2: a quote is not closed"),
        ('path,name\n"b.jpg,x\n"a b.jpg",y\n', "line 2: a quote is not closed"),
        ("path,name\nb.jpg,x\na b.jpg,x\0y\n", "line 3: it has a NUL"),
        ("path,name,name\nb.jpg,1,2\n", "and none twice"),
        ("photo,name\nb.jpg,x\n", "has no column path, or file_name,"),
        ("photo\nb.jpg\n", "has no column path"),
    ],
)
def test_ambiguous_tables_are_refused(text, problem):
    with pytest.raises(InputError) as caught:
        read(text.encode())
    assert "list.csv" in str(caught.value)
    assert problem in str(caught.value)


def test_values_are_not_lost_to_an_input_before_the_list(here):
    (here / "list.csv").write_bytes(b"path,name\nb.jpg,x\n")
    with pytest.raises(InputError, match="line 2: b.jpg was among the inputs before"):
        list(find_sources(["b.jpg", "@list.csv"]))


def test_relative_paths_are_those_of_files_beside_the_list_or_in_the_current_folder():
    found = read(b"b.jpg\nc.jpg\na b.jpg\np/?.jpg\nno.jpg\n", "lists/list.txt")
    assert found == [
        ("lists/b.jpg", ""), ("lists/c.jpg", ""), ("a b.jpg", ""), ("p/ü.jpg", ""),
        ("no.jpg", "no such file, neither in the current folder nor in lists"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "what"), [("face.jpg", "a JPEG picture"), ("face.gif", "a GIF picture")]
)
def test_pictures_are_not_taken_for_lists(here, name, what):
    save(here / name, draw_face())
    with pytest.raises(InputError, match=f"{name} is not a list but {what}"):
        list(find_sources([f"@{name}"]))
    with pytest.raises(InputError, match=f"standard input is not a list but {what}"):
        read((here / name).read_bytes(), "-")
