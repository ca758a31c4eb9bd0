"""What takes any text or bytes, with whatever hypothesis thinks of."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gudi.analysis.tracking import Tracker
from gudi.checkpoint.sstable import Table, table
from gudi.errors import InputError
from gudi.media.archives.archive import safe_name
from gudi.media.lists import read_list
from gudi.media.names import printable_path
from gudi.records import Box, Face
from gudi.store.paths import ANY_DISK, safe_paths

# The same examples in each run: a failure belongs to the change that causes it.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

PATHS = st.binary(min_size=1, max_size=60).filter(lambda path: b"\0" not in path)


def sorted_by_key(entries: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return entries in the order in which tables have them."""
    return dict(sorted(entries.items()))


CELLS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)


@given(PATHS)
def test_a_printed_path_is_one_line_of_text_and_leads_back(path):
    printed = printable_path(os.fsdecode(path))
    assert len(f"{printed}.".splitlines()) == 1
    codes = re.sub(rb"\\x(..)", lambda match: bytes([int(match[1], 16)]), printed.encode())
    assert codes == path


@given(st.binary(max_size=300), st.sampled_from(["", "../", "/", "C:", "é" * 300]))
def test_names_of_pictures_stay_in_their_folder_and_fit_the_disk(path, start):
    name = printable_path(os.fsdecode(path.replace(b"\0", b"") + b"x"))
    for made in itertools.islice(safe_paths(start + name), 3):
        assert not os.path.isabs(made)
        assert ".." not in made.split("/")
        assert all(0 < len(part.encode()) <= ANY_DISK.longest_name for part in made.split("/"))


@given(st.text(max_size=40))
def test_members_of_archives_lead_nowhere_but_down(name):
    parts = safe_name(name).split("/")
    assert "" not in parts
    assert not {".", ".."} & set(parts)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_an_error_in_one_line(data):
    try:
        for each in read_list(data, "list.csv", "/no/such/folder"):
            assert each.path
    except InputError as error:
        assert len(str(error).splitlines()) == 1


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([",", ";", "\t"]),
)
def test_tables_are_read_as_they_were_written(rows, encoding, delimiter):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["path", "one", "two"])
    writer.writerows([f"{number}.jpg", *cells] for number, cells in enumerate(rows))
    found = list(read_list(text.getvalue().encode(encoding), "list.csv"))
    assert [each.path for each in found] == [f"{number}.jpg" for number, _ in enumerate(rows)]
    assert [tuple(each.extra.values()) for each in found] == rows


ENTRIES = st.dictionaries(st.binary(max_size=9), st.binary(max_size=30), min_size=1, max_size=12)


@given(ENTRIES.map(sorted_by_key), st.data())
def test_tables_of_checkpoints_keep_their_entries_and_notice_damage(entries, data):
    content = table(entries)
    opened = Table(io.BufferedReader(io.BytesIO(content)))
    found = {key: bytes(value) for block in opened.blocks for key, value in opened.entries(block)}
    assert found == entries
    position = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[position] ^= data.draw(st.integers(1, 255))
    try:
        opened = Table(io.BufferedReader(io.BytesIO(damaged)))
        again = {k: bytes(v) for block in opened.blocks for k, v in opened.entries(block)}
    except ValueError:
        return
    assert again == entries  # in bytes that mean nothing, such as padding


BOXES = st.builds(Box, *[st.integers(-500, 500)] * 2, *[st.integers(1, 400)] * 2)


@given(st.lists(st.tuples(st.floats(0, 5), st.lists(BOXES, max_size=5)), max_size=12))
def test_each_face_is_in_one_track_and_each_track_has_one_face_per_frame(frames):
    tracker, time, seen = Tracker(), 0.0, set()
    for seconds, boxes in frames:
        time += seconds
        faces = [Face(box, 1.0, np.full(7, 1 / 7, np.float32)) for box in boxes]
        tracker.update(time, faces)
        tracks = [face.track for face in faces]
        assert len(set(tracks)) == len(faces)
        seen.update(tracks)
    assert seen == set(range(len(seen)))
