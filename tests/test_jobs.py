"""The runner, with real processes that really die."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import connection
from pathlib import Path

import psutil
import pytest
from conftest import interruptible

import jobs

ROOT = Path(__file__).parent.parent


def square(number):
    return number * number


def work(what):
    """Do what the item says."""
    if what == "crash":
        ctypes.string_at(0)
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit":
        os._exit(0)
    elif what == "hang":
        time.sleep(1000)
    elif what == "grow":
        held = []
        while True:
            held.append(b"x" * 2**24)
            time.sleep(0.01)
    elif what == "raise":
        raise ValueError("no good")
    elif what == "strange":
        raise StrangeError("one", two="two")
    elif what == "print":
        os.write(1, b"to stdout")
        os.write(2, b"to stderr")
    elif isinstance(what, Path):
        first_time_only(what)
    return what


def first_time_only(marker: Path):
    """Die when called for the first time."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class StrangeError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, one, *, two):
        super().__init__(one)
        self.two = two


def run(items, function=work, **options):
    options.setdefault("count", 2)
    with jobs.Workers(quiet=True, **options) as workers:
        return list(workers.run(function, items))


def by_item(outcomes):
    return {outcome.item: outcome for outcome in outcomes}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_item_has_its_outcome(count):
    outcomes = run(range(50), square, count=count)
    assert sorted((each.item, each.value) for each in outcomes) == [(n, n * n) for n in range(50)]
    assert all(each.error is None for each in outcomes)


def test_no_items():
    assert run([]) == []


def test_workers_serve_one_run_after_another():
    with jobs.Workers(2) as workers:
        first = {outcome.value for outcome in workers.run(os_getpid, range(20))}
        second = {outcome.value for outcome in workers.run(os_getpid, range(20))}
    assert first == second
    assert len(first) == 2


def os_getpid(_):
    time.sleep(0.02)
    return os.getpid()


def test_an_exception_is_the_outcome_of_its_item():
    outcomes = by_item(run(["raise", *range(20)]))
    error = outcomes.pop("raise").error
    assert isinstance(error, ValueError)
    assert str(error) == "no good"
    assert [outcome.value for _, outcome in sorted(outcomes.items())] == list(range(20))


def test_an_exception_that_cannot_be_unpickled_breaks_nothing():
    outcomes = by_item(run(["strange", 1, 2, 3]))
    assert "one" in str(outcomes["strange"].error)
    assert "StrangeError" in str(outcomes["strange"].error)
    assert outcomes[3].value == 3


@pytest.mark.parametrize(
    ("killer", "cause"), [("crash", "SIGSEGV"), ("killed", "SIGKILL"), ("exit", "died")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_death_costs_only_the_item_that_caused_it(killer, cause, count):
    outcomes = by_item(run([*range(10), killer, *range(10, 30)], count=count))
    error = outcomes.pop(killer).error
    assert isinstance(error, jobs.WorkerDied)
    assert cause in str(error)
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(30))


@pytest.mark.parametrize(
    ("what", "error", "limits"),
    [
        ("crash", jobs.WorkerDied, {}),
        ("hang", jobs.TimedOut, {"timeout": 1}),
        ("grow", jobs.TooMuchMemory, {"memory": 400 * 2**20}),
    ],
)
def test_all_workers_in_trouble_at_once_and_again(what, error, limits):
    bad = [(what, number) for number in range(6)]
    outcomes = by_item(run([*bad[:3], *range(10), *bad[3:], *range(10, 20)], act, **limits))
    assert {type(outcomes.pop(each).error) for each in bad} == {error}
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(20))


def act(what):
    return work(what[0]) if isinstance(what, tuple) else what


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_workers_that_are_all_killed_at_once_and_again():
    outcomes, killed, seen = [], set(), set()
    with jobs.Workers(3, quiet=True) as workers:
        for outcome in workers.run(os_getpid, range(100)):
            outcomes.append(outcome)
            seen |= {outcome.value} - killed
            # Each of them has been heard of: nobody is killed twice with the same item.
            if len(seen) == 3 and len(killed) < 9:
                for child in children():
                    child.kill()
                killed, seen = killed | seen, set()
    assert [each.error for each in outcomes] == [None] * 100
    assert {each.item for each in outcomes} == set(range(100))
    assert len(killed) == 9


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("timeout", [None, 1])
def test_who_dies_in_the_middle_of_its_answer_is_noticed(timeout):
    outcomes = by_item(run([0, "half", 1, 2], answer, timeout=timeout))
    assert isinstance(outcomes.pop("half").error, (jobs.WorkerDied, jobs.TimedOut))
    assert [outcomes[each].value for each in range(3)] == [0, 1, 2]


def answer(what):
    if what == "half":

        def send(pipe, message):
            os.write(pipe.fileno(), bytes(message)[: len(message) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        connection.Connection._send = send
    return what


def test_who_dies_once_is_not_to_blame(tmp_path):
    marker = tmp_path / "marker"
    (outcome,) = run([marker], count=1)
    assert outcome.error is None
    assert outcome.value == marker


def test_a_hanging_item_is_stopped_and_the_others_finish():
    outcomes = by_item(run([*range(5), "hang", *range(5, 20)], timeout=1))
    error = outcomes.pop("hang").error
    assert isinstance(error, jobs.TimedOut)
    assert "1 s" in str(error)
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(20))


def test_the_time_of_a_slow_reader_is_not_the_items():
    with jobs.Workers(1, timeout=1) as workers:
        errors = []
        for outcome in workers.run(square, range(6)):
            errors.append(outcome.error)
            time.sleep(0.7)
    assert errors == [None] * 6


def test_items_are_taken_as_workers_become_free():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    with jobs.Workers(2) as workers:
        outcomes = workers.run(square, items())
        for done in range(1, 11):
            next(outcomes)
            assert len(taken) <= done + 2 * 2
        outcomes.close()


def test_the_initializer_runs_in_each_process(tmp_path):
    with jobs.Workers(2, initializer=os.chdir, initargs=(tmp_path,)) as workers:
        places = {outcome.value for outcome in workers.run(where, range(10))}
    assert places == {str(tmp_path)}


def where(_):
    return os.getcwd()


def test_workers_that_do_not_start_are_an_error():
    with (
        pytest.raises(jobs.WorkersUnavailable),
        jobs.Workers(2, initializer=os._exit, initargs=(3,), quiet=True) as workers,
    ):
        list(workers.run(square, range(10)))


def test_nothing_is_printed_when_quiet(capfd):
    run(["print", "crash"])
    assert capfd.readouterr() == ("", "")


def test_an_error_among_the_items_reaches_the_caller_and_ends_the_workers():
    def items():
        yield 1
        raise KeyError("broken list")

    with jobs.Workers(2) as workers, pytest.raises(KeyError, match="broken list"):
        list(workers.run(square, items()))
    assert_no_children()


def test_closing_leaves_no_process():
    with jobs.Workers(2) as workers:
        outcomes = workers.run(functools.partial(work), [1, "hang", "hang", "hang"])
        next(outcomes)
        outcomes.close()
        assert_no_children()


def assert_no_children():
    assert children() == []


OTHERS = []


@pytest.fixture(scope="module", autouse=True)
def others():
    """What runs since before these tests, such as the browser of others, is not theirs."""
    OTHERS.extend(psutil.Process().children())


def children():
    """Return what runs below the workers' parent; loky keeps its resource tracker."""
    own = [child for child in psutil.Process().children() if child not in OTHERS]
    below = [*own, *(each for child in own for each in child.children(recursive=True))]
    alive = [child for child in below if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "resource_tracker" not in " ".join(child.cmdline())]


SLEEPERS = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    import jobs

    def report(item):
        os.write(1, b"%d\\n" % os.getpid())  # in one piece
        time.sleep(1000)

    if __name__ == "__main__":
        with jobs.Workers(2) as workers:
            list(workers.run(report, range(4)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path, how):
    script = tmp_path / "sleepers.py"
    script.write_text(textwrap.dedent(SLEEPERS.format(root=str(ROOT))))
    # A session of its own, so that SIGINT reaches parent and workers as from a terminal.
    parent = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    try:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        if how == signal.SIGKILL:
            parent.kill()
        else:
            os.killpg(parent.pid, how)
        _, stderr = parent.communicate(timeout=30)
    finally:
        parent.kill()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.1)
    # The parent's own traceback, and none from a worker.
    assert stderr.count("Traceback") == (1 if how == signal.SIGINT else 0)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")
def test_workers_start_with_ctrl_c_held_back():
    # Their traceback, should it come in the middle of their imports, would be the user's to read.
    with jobs.Workers(3) as workers:
        masks = {outcome.value for outcome in workers.run(blocked, range(12))}
    assert masks == {True}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def blocked(_):
    time.sleep(0.02)
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_item_that_takes_too_much_memory_is_ended():
    outcomes = by_item(run(["grow", 1, 2, 3, 4], memory=400 * 2**20))
    assert isinstance(outcomes["grow"].error, jobs.TooMuchMemory)
    assert str(outcomes["grow"].error) == "stopped because it took more than 400 MB of memory"
    assert [outcomes[each].value for each in (1, 2, 3, 4)] == [1, 2, 3, 4]
