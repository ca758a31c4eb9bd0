"""Progress on a terminal, in a pipe, in a JSON log and for a callback."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from conftest import fer_row, gudi_environment, small_face, write_fer

from gudi import progress
from gudi.errors import OutputError
from gudi.progress import FinishedItem, ProgressCounts, format_duration, progress_for

WIDTH = 80

# A stage of eight items, two of which fail, with notes before, in and after it.
STAGE = """
import sys
from pathlib import Path
from gudi.progress import FinishedItem, terminal_progress

progress = terminal_progress(*map(Path, sys.argv[1:]))
progress.note("before")
progress.start("inputs", 8, videos=1)
progress.expect(10)
for number in range(8):
    progress.processed(10)
    if number == 4:
        progress.note("in the middle\\n")
    progress.advance(FinishedItem(f"{number}.jpg", "failed" if number % 4 == 1 else "ok"))
progress.note("at the end")
progress.finish()
progress.note("after")
"""


class Terminal:
    """A pseudo-terminal of 80 columns that a command writes to."""

    def __init__(self, *command, cwd=None):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=cwd, env=gudi_environment(),
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)

    def read(self) -> str:
        """Return all output from here on."""
        pieces = []
        with contextlib.suppress(OSError):  # the command has closed its end
            while piece := os.read(self._ours, 2**16):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def close(self) -> None:
        os.close(self._ours)


def screen(output: str) -> list[str]:
    """Return the lines that a terminal shows after `output`, which moves only by \\r and \\n."""
    assert "\x1b" not in output
    lines, column = [""], 0
    for part in re.split("([\r\n])", output):
        if part == "\n":
            lines.append("")
        elif part == "\r":
            column = 0
        else:
            line = lines[-1].ljust(column)
            lines[-1] = line[:column] + part + line[column + len(part) :]
            column += len(part)
            assert column <= WIDTH
    return [line.rstrip() for line in lines]


def test_notes_leave_the_bar_of_a_terminal_intact():
    terminal = Terminal("-c", STAGE)
    output = terminal.read()
    assert terminal.process.wait(60) == 0
    *notes, bar, after, end = screen(output)
    assert notes == ["note: before", "note: in the middle\\n", "note: at the end"]
    assert re.fullmatch(
        r"finding faces: 100%\|█+\| 00:0\d, 8 of 8 files, 2 failed, 80 of 80 photos and .*", bar
    )
    assert (after, end) == ("note: after", "")


def test_a_command_on_a_terminal_draws_a_bar(tmp_path):
    write_fer(tmp_path / "fer2013.csv", [fer_row(3, small_face(seed)) for seed in range(5)])
    terminal = Terminal("-m", "gudi", "prepare", "fer", "fer2013.csv", "--whole", cwd=tmp_path)
    lines = screen(terminal.read())
    assert terminal.process.wait(60) == 0
    assert re.match(r"rows: 100%\|█+\| 00:\d\d, 5 of 5", lines[0])
    assert lines[1] == "5 faces from 5 rows"


def test_work_goes_on_when_its_terminal_closes():
    # Waits for the terminal to close before it draws.
    waiting = STAGE.replace("progress.note", "input_closed()\nprogress.note", 1)
    define = """
def input_closed():
    try: sys.stdin.read()
    except OSError: pass
"""
    terminal = Terminal("-c", define + waiting)
    terminal.close()
    assert terminal.process.wait(60) == 0


def test_work_goes_on_when_the_reader_of_its_lines_is_gone():
    process = subprocess.Popen(
        [sys.executable, "-c", f"sys = __import__('sys')\nsys.stdin.read()\n{STAGE}"],
        env=gudi_environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stderr.close()
    process.stdin.close()
    assert process.wait(60) == 0


def test_a_pipe_gets_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0)
    lines = progress.terminal_progress()
    lines.start("inputs", 4)
    lines.processed(1)
    lines.advance(FinishedItem("a.jpg", "failed"))
    lines.note("a\nb")
    lines.finish()
    first, second, note, last = capsys.readouterr().err.splitlines()
    left, rate = "about 0.0 s left", r"[\d.]+ per second"
    assert re.fullmatch(rf"finding faces: 0 of 4 files, {left}, {rate}", first)
    assert re.fullmatch(rf"finding faces: 1 of 4 files, {left}, 1 failed, {rate}", second)
    assert (note, last) == ("note: a\\nb", "finding faces: 1 of 4 files")


def test_a_long_video_advances_by_its_frames_and_the_time_left_is_that_of_all_stages(
    capsys, monkeypatch
):
    clock = iter((0.0, 20.0, 20.0, 40.0, 40.0, 60.0, 60.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = progress.terminal_progress()
    lines.start("inputs", 2, videos=2, later=0.2)
    lines.processed(100)  # of a video whose frames are not counted
    lines.expect(500)
    lines.processed(400)
    lines.expect(500)
    lines.processed(300)
    assert capsys.readouterr().err.splitlines() == [
        "finding faces: 0 of 2 files, 100 frames, 5.0 per second",
        "finding faces: 0 of 2 files, about 56 s left, 500 of 1,000 frames, 12.5 per second",
        "finding faces: 0 of 2 files, about 30 s left, 800 of 1,000 frames, 13.3 per second",
    ]


def test_a_pipe_gets_no_more_than_a_line_in_ten_seconds(capsys):
    lines = progress.terminal_progress()
    lines.start("inputs", 100)
    for _ in range(100):
        lines.advance()
    lines.finish()
    assert capsys.readouterr().err == "finding faces: 100 of 100 files\n"


def test_a_callback_gets_the_counts_after_each_change():
    calls = []
    counted = progress_for(calls.append)
    counted.note("is for people")
    counted.start("inputs", 3, videos=1)
    counted.expect(64)
    counted.processed(64)
    counted.advance(FinishedItem("film.mp4", "ok"))
    counted.advance(FinishedItem("bad.jpg", "failed", "it is empty"))
    counted.advance()
    counted.finish()
    counted.start("pictures", 1)
    assert calls == [
        ProgressCounts("inputs", finished=0, total=3),
        ProgressCounts("inputs", finished=0, total=3, pictures=64, expected=66),
        ProgressCounts("inputs", finished=1, total=3, pictures=64, expected=66),
        ProgressCounts("inputs", finished=2, total=3, pictures=64, failed=1, expected=66),
        ProgressCounts("inputs", finished=3, total=3, pictures=64, failed=1, expected=66),
        ProgressCounts("pictures", finished=0, total=1, expected=1),
    ]


def test_an_error_of_a_callback_ends_the_work():
    def stop(counts):
        raise StopIteration

    with pytest.raises(StopIteration):
        progress_for(stop).start("inputs", 1)


@pytest.mark.parametrize(("choice", "drawn"), [(True, True), (False, False)])
def test_a_caller_chooses_between_a_bar_and_silence(capsys, choice, drawn):
    chosen = progress_for(choice)
    chosen.start("inputs", 1)
    chosen.advance()
    chosen.finish()
    out, err = capsys.readouterr()
    assert (out, "finding faces: 100%" in err, bool(err)) == ("", drawn, drawn)


def test_without_stderr_there_is_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    silent = progress_for(True)
    silent.start("inputs", 1)
    silent.note("unseen")
    silent.finish()


def events(path) -> list[dict]:
    """Return the events of a log without their times."""
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for entry in entries:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry.pop("time"))
    return entries


def test_the_log_has_a_line_of_json_for_each_event(tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    for _ in range(2):
        log = progress.terminal_progress(path)
        log.start("inputs", 2)
        log.processed(1)
        log.advance(FinishedItem("ü\udcff.jpg", "failed", "it is empty"))
        log.note("a\nb")
        log.advance()
        log.finish()
    written = events(path)
    assert written[: len(written) // 2] == written[len(written) // 2 :] == [
        {"event": "begin", "stage": "inputs", "total": 2},
        {"event": "item", "stage": "inputs", "source": "ü\udcff.jpg", "status": "failed",
         "error": "it is empty"},
        {"event": "note", "stage": "inputs", "text": "a\nb"},
        {"event": "item", "stage": "inputs"},
        {"event": "end", "stage": "inputs", "done": 2},
    ]  # fmt: skip
    assert capsys.readouterr().err == "note: a\\nb\nfinding faces: 2 of 2 files\n" * 2


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*no-folder/run.jsonl: No such file"):
        progress.terminal_progress(tmp_path / "no-folder" / "run.jsonl")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_ends_the_log_with_one_note_and_not_the_work():
    done = subprocess.run(
        [sys.executable, "-c", STAGE, "/dev/full"],
        env=gudi_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "note: before",
        "note: the log /dev/full is incomplete: No space left on device",
        "note: in the middle\\n",
        "note: at the end",
        "finding faces: 8 of 8 files",
        "note: after",
    ]


def test_a_log_goes_on_below_a_line_that_a_full_disk_cut_short(tmp_path):
    script = (
        "import resource\n"
        "limits = lambda soft: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, -1))\n"
        f"limits(100)\n{STAGE}\nlimits(-1)\nprogress.note('there is room again')\n"
    )
    path = tmp_path / "run.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        env=gudi_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("is incomplete: ")) == (0, 1), done.stderr
    first, cut, last = path.read_text().splitlines()
    assert json.loads(first)["text"] == "before"
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    assert json.loads(last)["text"] == "there is room again"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (3_600_000, "1,000 h 0 min"),
    ],
)
def test_durations_are_rounded_for_people(seconds, text):
    assert format_duration(seconds) == text
