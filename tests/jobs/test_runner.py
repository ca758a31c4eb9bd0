"""`gudi_jobs.Workers`, with real processes that really die."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial

import psutil
import pytest
import tasks
from conftest import ROOT, interruptible

import gudi_jobs
from gudi_jobs.crew import END_INTERVAL
from gudi_jobs.runner import MAX_QUEUE_DEPTH, QUEUE_DEPTH

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture(scope="module")
def workers():
    """Two workers for all tests that need nothing special; those that die are replaced."""
    with gudi_jobs.Workers(2, quiet=True) as shared:
        yield shared


@pytest.fixture(scope="module", autouse=True)
def earlier_processes():
    """The processes that earlier tests have left running, such as a browser."""
    return psutil.Process().children()


@pytest.fixture
def new_processes(earlier_processes, workers):
    """A function that returns what this test has started and is still running."""
    before = [*earlier_processes, *psutil.Process().children()]

    def running():
        own = [child for child in psutil.Process().children() if child not in before]
        below = [*own, *(each for child in own for each in child.children(recursive=True))]
        return [process for process in below if is_alive(process.pid)]

    return running


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(*pids):
    """Wait for processes that have been killed, which takes a moment."""
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "a process is still running"
        time.sleep(0.01)


def run(items, **options):
    """Run `tasks.follow` on two workers of its own."""
    with gudi_jobs.Workers(2, quiet=True, **options) as workers:
        return list(workers.run(tasks.follow, items))


def by_item(outcomes):
    return {outcome.item: outcome for outcome in outcomes}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_item_has_one_outcome(count):
    with gudi_jobs.Workers(count) as workers:
        outcomes = list(workers.run(tasks.square, range(50)))
    assert sorted((each.item, each.value) for each in outcomes) == [(n, n * n) for n in range(50)]
    assert {each.error for each in outcomes} == {None}


def test_no_items_give_no_outcomes(workers):
    assert list(workers.run(tasks.square, [])) == []


def test_successive_runs_use_the_same_processes():
    with gudi_jobs.Workers(2) as workers:
        first = {outcome.value for outcome in workers.run(tasks.process_id, range(20))}
        second = {outcome.value for outcome in workers.run(tasks.process_id, range(20))}
    assert first == second
    assert len(first) == 2


def test_exception_is_the_outcome_of_its_item_alone(workers):
    outcomes = by_item(workers.run(tasks.follow, ["raise", *range(20)]))
    error = outcomes.pop("raise").error
    assert isinstance(error, ValueError)
    assert str(error) == "no good"
    assert [outcome.value for _, outcome in sorted(outcomes.items())] == list(range(20))


def test_exception_that_does_not_unpickle_arrives_as_runtime_error(workers):
    outcomes = by_item(workers.run(tasks.follow, ["strange", 1, 2, 3]))
    assert isinstance(outcomes["strange"].error, RuntimeError)
    assert str(outcomes["strange"].error) == "StrangeError: one"
    assert outcomes[3].value == 3


def test_result_that_does_not_pickle_is_an_error_of_its_item(workers):
    (outcome,) = workers.run(tasks.return_lock, [1])
    assert "cannot pickle" in str(outcome.error)


def test_result_that_does_not_unpickle_is_an_error_of_its_item(workers):
    (outcome,) = workers.run(tasks.return_unreadable, [1])
    assert "the result cannot be unpickled: ValueError: invalid literal" in str(outcome.error)


def test_item_that_does_not_pickle_is_an_error_of_its_own(workers):
    lock = threading.Lock()
    outcomes = by_item(workers.run(tasks.follow, [1, lock, 2]))
    assert "cannot pickle" in str(outcomes[lock].error)
    assert [outcomes[number].value for number in (1, 2)] == [1, 2]


def test_work_that_does_not_pickle_raises(workers):
    with pytest.raises(TypeError, match="cannot pickle"):
        list(workers.run(partial(tasks.follow, threading.Lock()), [1]))


def test_large_items_and_results_arrive_whole(workers):
    items = [bytes([number]) * 5_000_000 for number in range(8)]
    assert {each.value for each in workers.run(tasks.follow, items)} == set(items)


@pytest.mark.parametrize(
    ("killer", "cause"), [("crash", "SIGSEGV"), ("killed", "SIGKILL"), ("exit", "exit code 0")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_death_costs_only_the_item_that_caused_it(killer, cause, count):
    with gudi_jobs.Workers(count, quiet=True) as workers:
        outcomes = by_item(workers.run(tasks.follow, [*range(10), killer, *range(10, 30)]))
    error = outcomes.pop(killer).error
    assert isinstance(error, gudi_jobs.WorkerDied)
    assert str(error) == f"its worker process died ({cause})"
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(30))


def test_death_among_quick_items_costs_only_the_item_that_caused_it(workers):
    items = ["killed" if number % 100 == 50 else number for number in range(500)]
    items = [(item, number) for number, item in enumerate(items)]
    outcomes = by_item(workers.run(tasks.follow, items))
    died = {item for item in items if isinstance(outcomes[item].error, gudi_jobs.WorkerDied)}
    assert died == {item for item in items if item[0] == "killed"}
    assert all(outcomes[item].value == item for item in items if item not in died)


@pytest.mark.parametrize(
    ("action", "error", "limits"),
    [
        ("crash", gudi_jobs.WorkerDied, {}),
        ("hang", gudi_jobs.TimedOut, {"timeout": 1}),
        ("grow", gudi_jobs.TooMuchMemory, {"memory": 200 * 2**20}),
    ],
)
def test_all_workers_can_fail_at_once_and_repeatedly(action, error, limits):
    bad = [(action, number) for number in range(6)]
    outcomes = by_item(run([*bad[:3], *range(10), *bad[3:], *range(10, 20)], **limits))
    assert {type(outcomes.pop(each).error) for each in bad} == {error}
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(20))


@needs_posix
def test_no_item_is_lost_when_all_workers_are_killed_repeatedly(new_processes):
    outcomes, killed, seen, under_way = [], set(), set(), 0
    with gudi_jobs.Workers(3, quiet=True) as workers:
        for outcome in workers.run(tasks.process_id, range(300)):
            outcomes.append(outcome)
            seen |= {outcome.value} - killed
            answered = {each.item for each in outcomes}
            # What was under way at the last kill has been answered: no item loses two workers.
            if len(seen) == 3 and len(killed) < 9 and answered >= set(range(under_way)):
                for child in new_processes():
                    child.kill()
                killed, seen = killed | seen, set()
                under_way = max(answered) + 3 * MAX_QUEUE_DEPTH
    assert [each.error for each in outcomes if each.error] == []
    assert {each.item for each in outcomes} == set(range(300))
    assert len(killed) == 9


@needs_posix
@pytest.mark.parametrize("timeout", [None, 1])
def test_death_in_the_middle_of_an_answer_is_noticed(timeout):
    outcomes = by_item(run([0, "half", 1, 2], timeout=timeout))
    assert isinstance(outcomes.pop("half").error, gudi_jobs.WorkerDied)
    assert [outcomes[each].value for each in range(3)] == [0, 1, 2]


@needs_posix
def test_death_is_noticed_although_another_process_holds_the_socket(workers):
    outcomes = by_item(workers.run(tasks.fork_and_die, [1, "fork", 2, 3]))
    assert isinstance(outcomes.pop("fork").error, gudi_jobs.WorkerDied)
    assert [outcomes[each].value for each in (1, 2, 3)] == [1, 2, 3]


@needs_posix
def test_death_that_is_noticed_together_with_an_answer_counts_once():
    """As above, but the caller is slow: the answer to "slow" has arrived when it looks again."""
    outcomes = []
    with gudi_jobs.Workers(1) as workers:
        for outcome in workers.run(tasks.fork_and_die, [1, "slow", "fork", 3]):
            if not outcomes:
                time.sleep(2 * END_INTERVAL)
            outcomes.append(outcome)
    assert sorted(str(each.item) for each in outcomes) == ["1", "3", "fork", "slow"]
    (died,) = [each for each in outcomes if each.error]
    assert died.item == "fork"


def test_item_is_retried_after_one_death(workers, tmp_path):
    (outcome,) = workers.run(tasks.follow, [tmp_path / "marker"])
    assert outcome.error is None
    assert outcome.value == tmp_path / "marker"


def test_hanging_item_is_stopped_and_the_others_finish():
    outcomes = by_item(run([*range(5), "hang", *range(5, 20)], timeout=1))
    error = outcomes.pop("hang").error
    assert isinstance(error, gudi_jobs.TimedOut)
    assert str(error) == "stopped after 1 s"
    assert sorted(outcome.value for outcome in outcomes.values()) == list(range(20))


def test_timeout_also_ends_what_the_worker_has_started(tmp_path):
    pid = tmp_path / "pid"
    with gudi_jobs.Workers(
        1, timeout=1, initializer=tasks.start_sleeper, initargs=(pid,), quiet=True
    ) as workers:
        (outcome,) = workers.run(tasks.follow, ["hang"])
    assert isinstance(outcome.error, gudi_jobs.TimedOut)
    wait_for_end(int(pid.read_text()))


def test_time_of_a_slow_caller_does_not_count_as_the_items():
    with gudi_jobs.Workers(1, timeout=1) as workers:
        outcomes = workers.run(tasks.square, range(3))
        errors = []
        for _ in range(3):
            errors.append(next(outcomes).error)
            time.sleep(1.1)
    assert errors == [None] * 3


@needs_posix
@pytest.mark.parametrize("parent_too", [False, True])
def test_time_in_which_nothing_can_run_does_not_count_as_the_items(parent_too):
    """As after Ctrl-Z: the processes stand still for longer than an item may run."""
    script = [sys.executable, "-c", textwrap.dedent(STOPPABLE.format(root=str(ROOT / "jobs")))]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        stopped = [worker, *([psutil.Process(parent.pid)] if parent_too else [])]
        for process in stopped:
            process.suspend()
        time.sleep(4)
        for process in stopped:
            process.resume()
        assert parent.stdout.read() == "None\n"


STOPPABLE = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    import gudi_jobs

    def work(item):
        os.write(1, b"%d\\n" % os.getpid())
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass

    if __name__ == "__main__":
        with gudi_jobs.Workers(1, timeout=3) as workers:
            for outcome in workers.run(work, [0]):
                print(outcome.error)
"""


def test_item_that_takes_too_much_memory_is_ended():
    outcomes = by_item(run(["grow", 1, 2, 3, 4], memory=400 * 2**20))
    assert isinstance(outcomes["grow"].error, gudi_jobs.TooMuchMemory)
    assert str(outcomes["grow"].error) == "stopped because it took more than 400 MB of memory"
    assert [outcomes[each].value for each in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_worker_that_keeps_much_memory_is_replaced():
    with gudi_jobs.Workers(1) as workers:
        items = [(1, 1.1), (320, 1.1), (1, 0), (1, 0)]
        outcomes = list(workers.run(tasks.keep_memory, items))
    assert [each.error for each in outcomes] == [None] * 4
    first, second, third, fourth = (each.value for each in outcomes)
    assert first == second == third != fourth  # the third one was under way


@pytest.mark.parametrize(
    ("work", "count", "per_worker"),
    [(tasks.slowly, 20, QUEUE_DEPTH), (tasks.square, 300, MAX_QUEUE_DEPTH)],
)
def test_only_a_few_items_per_worker_are_under_way(work, count, per_worker):
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with gudi_jobs.Workers(2) as workers:
        outcomes = workers.run(work, items())
        for done in range(1, count):
            next(outcomes)
            assert len(taken) <= done + 2 * per_worker
        outcomes.close()


def test_initializer_runs_in_each_process(tmp_path):
    with gudi_jobs.Workers(2, initializer=os.chdir, initargs=(tmp_path,)) as workers:
        folders = {outcome.value for outcome in workers.run(tasks.folder, range(10))}
    assert folders == {str(tmp_path)}


@pytest.mark.parametrize(
    ("initializer", "arguments", "reason"),
    [(os._exit, (3,), "exit code 3"), (int, ("x",), "ValueError: invalid literal for int")],
)
def test_workers_that_do_not_start_are_an_error(initializer, arguments, reason):
    with (
        pytest.raises(gudi_jobs.WorkersUnavailable, match=reason),
        gudi_jobs.Workers(2, initializer=initializer, initargs=arguments, quiet=True) as workers,
    ):
        list(workers.run(tasks.square, range(10)))


def test_work_that_workers_cannot_import_is_an_error(workers, tmp_path, monkeypatch):
    (tmp_path / "gone.py").write_text("def work(item): return item")
    monkeypatch.syspath_prepend(tmp_path)
    gone = importlib.import_module("gone")
    (tmp_path / "gone.py").unlink()
    with pytest.raises(gudi_jobs.WorkersUnavailable, match="No module named 'gone'"):
        list(workers.run(gone.work, [1]))


def test_interpreter_that_cannot_be_started_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with (
        pytest.raises(gudi_jobs.WorkersUnavailable, match="No such file"),
        gudi_jobs.Workers(2) as workers,
    ):
        list(workers.run(tasks.square, [1]))


def test_worker_imports_only_what_its_work_needs():
    with gudi_jobs.Workers(1) as workers:
        (outcome,) = workers.run(tasks.describe_process, [1])
    assert not outcome.value["modules"] & {"gudi_jobs", "joblib", "numpy", "psutil", "cloudpickle"}
    assert outcome.value["stdin"] == ""
    assert outcome.value["threads"] == "1"


def test_quiet_workers_print_nothing(workers, capfd):
    list(workers.run(tasks.follow, ["print", "crash"]))
    assert capfd.readouterr() == ("", "")


def test_other_workers_print_where_their_parent_does(capfd):
    with gudi_jobs.Workers(1) as workers:
        list(workers.run(tasks.follow, ["print"]))
    assert capfd.readouterr() == ("to stdout", "to stderr")


def test_error_among_the_items_reaches_the_caller_and_ends_the_workers(new_processes):
    def items():
        yield 1
        raise KeyError("broken list")

    with gudi_jobs.Workers(2) as workers, pytest.raises(KeyError, match="broken list"):
        list(workers.run(tasks.square, items()))
    assert new_processes() == []


def test_closing_a_run_leaves_no_process(new_processes):
    with gudi_jobs.Workers(2) as workers:
        outcomes = workers.run(partial(tasks.follow), [1, "hang", "hang", "hang"])
        next(outcomes)
        outcomes.close()
        assert new_processes() == []


class Interruption(BaseException):
    """What a signal raises in the main thread, as Ctrl-C does."""


@needs_posix
@pytest.mark.parametrize("timeout", [None, 0.05])
def test_interruption_at_any_moment_leaves_nothing(new_processes, monkeypatch, timeout):
    def interrupt(*_):
        raise Interruption

    problems = []
    monkeypatch.setattr(threading, "excepthook", problems.append)
    monkeypatch.setattr(sys, "unraisablehook", problems.append)
    before = signal.signal(signal.SIGUSR1, interrupt)
    chance = random.Random(1)
    items = itertools.cycle([*range(20), "killed" if timeout is None else "hang"])
    try:
        for _ in range(20):
            main = threading.main_thread().ident
            timer = threading.Timer(
                chance.uniform(0, 0.3), signal.pthread_kill, (main, signal.SIGUSR1)
            )
            with pytest.raises(Interruption):
                timer.start()
                with gudi_jobs.Workers(2, quiet=True, timeout=timeout) as workers:
                    for _ in workers.run(tasks.follow, items):
                        pass
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    wait_for_end(*[process.pid for process in new_processes()])
    assert problems == []


SLEEPERS = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    import gudi_jobs

    def report(item):
        os.write(1, b"%d\\n" % os.getpid())  # in one piece
        time.sleep(1000)

    if __name__ == "__main__":
        with gudi_jobs.Workers(2) as workers:
            list(workers.run(report, range(4)))
"""


@needs_posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path, how):
    script = tmp_path / "sleepers.py"
    script.write_text(textwrap.dedent(SLEEPERS.format(root=str(ROOT / "jobs"))))
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
    wait_for_end(*workers)
    # The parent's own traceback, and none from a worker.
    assert stderr.count("Traceback") == (1 if how == signal.SIGINT else 0)


@needs_posix
def test_workers_start_with_ctrl_c_blocked():
    # Otherwise it could print a traceback in the middle of their imports.
    with gudi_jobs.Workers(3) as workers:
        blocked = {outcome.value for outcome in workers.run(tasks.is_interrupt_blocked, range(12))}
    assert blocked == {True}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


UNGUARDED = """
import gudi_jobs
print("runs")
FACTOR = 3
class Thing:
    def __init__(self, number): self.number = number
class Problem(Exception): pass
def triple(thing):
    if thing.number == 2: raise Problem("two")
    return Thing(thing.number * FACTOR)
with gudi_jobs.Workers(2) as workers:
    outcomes = list(workers.run(triple, [Thing(1), Thing(2)]))
outcomes.sort(key=lambda outcome: outcome.item.number)
print(type(outcomes[0].value) is Thing, outcomes[0].value.number, repr(outcomes[1].error))
"""


@pytest.mark.parametrize("how", ["script", "-c", "stdin"])
def test_script_without_main_guard_runs_once_and_its_classes_travel(tmp_path, how):
    (tmp_path / "script.py").write_text(UNGUARDED)
    arguments = {"script": [tmp_path / "script.py"], "-c": ["-c", UNGUARDED], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, *arguments],
        input=UNGUARDED if how == "stdin" else "",
        env=os.environ | {"PYTHONPATH": str(ROOT / "jobs")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "runs\nTrue 3 Problem('two')\n", done.stderr


def test_files_in_the_working_folder_are_not_imported_by_starting_workers(
    workers, tmp_path, monkeypatch
):
    for name in ("pickle", "socket", "struct", "threading"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__file__} is imported')")
    monkeypatch.chdir(tmp_path)
    with gudi_jobs.Workers(1) as workers:
        (outcome,) = workers.run(tasks.square, [3])
    assert outcome.value == 9
