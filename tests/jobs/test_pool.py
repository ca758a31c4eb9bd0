"""`gudi_jobs.WorkerPool`, with real processes that really die, and what all pools share."""

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
from gudi_jobs.pool import MAX_QUEUE_DEPTH, QUEUE_DEPTH
from gudi_jobs.workers import EXIT_INTERVAL

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture(scope="module")
def pool():
    """Two workers for all tests that need nothing special; those that die are replaced."""
    with gudi_jobs.WorkerPool(2, quiet=True) as shared:
        yield shared


@pytest.fixture(params=["processes", "dask"])
def any_pool(request):
    """Each kind of pool, with two workers."""
    if request.param == "processes":
        yield request.getfixturevalue("pool")
    else:
        address = request.getfixturevalue("cluster").address
        with gudi_jobs.ClusterPool(address) as cluster_pool:
            yield cluster_pool


@pytest.fixture(scope="module", autouse=True)
def earlier_processes():
    """The processes that earlier tests have left running, such as a browser."""
    return psutil.Process().children()


@pytest.fixture
def new_processes(earlier_processes, pool):
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
    with gudi_jobs.WorkerPool(2, quiet=True, **options) as pool:
        return list(pool.map_unordered(tasks.follow, items))


def by_item(results):
    return {result.item: result for result in results}


@pytest.mark.parametrize("count", [1, 5])
def test_every_item_has_one_result(count):
    with gudi_jobs.WorkerPool(count) as pool:
        results = list(pool.map_unordered(tasks.square, range(50)))
        assert list(pool.map_unordered(tasks.square, [])) == []
    assert sorted((each.item, each.value) for each in results) == [(n, n * n) for n in range(50)]
    assert {each.error for each in results} == {None}


def test_no_more_processes_than_work_or_cpus(new_processes):
    cpus = os.cpu_count()
    with gudi_jobs.WorkerPool(cpus + 50) as pool:
        assert len(new_processes()) == cpus
        results = list(pool.map_unordered(tasks.square, range(cpus + 2)))
        assert len(new_processes()) <= len(results) == cpus + 2


def test_successive_runs_use_the_same_processes():
    with gudi_jobs.WorkerPool(2) as pool:
        first = {result.value for result in pool.map_unordered(tasks.process_id, range(20))}
        second = {result.value for result in pool.map_unordered(tasks.process_id, range(20))}
    assert first == second
    assert len(first) == 2


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        ("raise", ValueError, "no good"),
        ("strange", RuntimeError, "StrangeError: one"),
        (threading.Lock(), TypeError, "cannot pickle"),
        ("return lock", TypeError, "cannot pickle"),
        ("return unreadable", RuntimeError, "the result cannot be unpickled: ValueError: invalid"),
    ],
)
def test_error_is_the_result_of_its_item_alone(any_pool, item, kind, message):
    results = by_item(any_pool.map_unordered(tasks.follow, [1, item, *range(2, 20)]))
    error = results.pop(item).error
    assert type(error) is kind
    assert str(error).startswith(message)
    assert [results[number].value for number in range(1, 20)] == list(range(1, 20))


def test_values_of_an_iterator_are_results_of_their_own(any_pool):
    items = [(1, 2, 3), (), (4, "raise", 5)]
    results = list(any_pool.map_unordered(tasks.follow_each, items))
    for item, values in zip(items, ([1, 2, 3], [], [4])):
        *first, last = (each for each in results if each.item == item)
        assert [(each.value, each.error, each.is_last) for each in first] == [
            (value, None, False) for value in values
        ]
        assert (last.value, last.is_last) == (None, True)
        assert isinstance(last.error, ValueError) == ("raise" in item)


@pytest.mark.parametrize("end", ["killed", "hang"])
def test_values_before_a_death_or_a_timeout_are_kept(end):
    with gudi_jobs.WorkerPool(1, timeout=2) as pool:
        *first, last, next_item = pool.map_unordered(tasks.follow_each, [(1, end, 2), ()])
    assert {(each.value, each.is_last) for each in first} == {(1, False)}
    assert isinstance(last.error, gudi_jobs.JobError)
    assert (next_item.item, next_item.error) == ((), None)


def test_items_added_while_others_run_are_run_as_well(any_pool):
    queue, values = gudi_jobs.WorkQueue([2, 3]), []
    for result in any_pool.map_unordered(tasks.square, queue):
        values.append(result.value)
        if result.value < 10_000:
            queue.add([result.value])
    assert sorted(values) == [4, 9, 16, 81, 256, 6561, 65536, 43046721]


def test_function_that_does_not_pickle_raises(pool):
    with pytest.raises(TypeError, match="cannot pickle"):
        list(pool.map_unordered(partial(tasks.follow, threading.Lock()), [1]))


def test_large_items_and_results_arrive_whole(pool):
    items = [bytes([number]) * 5_000_000 for number in range(8)]
    assert {each.value for each in pool.map_unordered(tasks.follow, items)} == set(items)


@pytest.mark.parametrize(
    ("killer", "cause"), [("crash", "SIGSEGV"), ("killed", "SIGKILL"), ("exit", "exit code 0")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_death_costs_only_the_item_that_caused_it(killer, cause, count):
    with gudi_jobs.WorkerPool(count, quiet=True) as pool:
        results = by_item(pool.map_unordered(tasks.follow, [*range(10), killer, *range(10, 30)]))
    error = results.pop(killer).error
    assert isinstance(error, gudi_jobs.WorkerDied)
    assert str(error) == f"its worker process died ({cause})"
    assert sorted(result.value for result in results.values()) == list(range(30))


def test_death_among_quick_items_costs_only_the_item_that_caused_it(pool):
    items = ["killed" if number % 100 == 50 else number for number in range(500)]
    items = [(item, number) for number, item in enumerate(items)]
    results = by_item(pool.map_unordered(tasks.follow, items))
    died = {item for item in items if isinstance(results[item].error, gudi_jobs.WorkerDied)}
    assert died == {item for item in items if item[0] == "killed"}
    assert all(results[item].value == item for item in items if item not in died)


@pytest.mark.parametrize(
    ("action", "error", "limits"),
    [
        ("crash", gudi_jobs.WorkerDied("its worker process died (SIGSEGV)"), {}),
        ("hang", gudi_jobs.TimedOut("stopped after 1 s"), {"timeout": 1}),
        (
            "grow",
            gudi_jobs.TooMuchMemory("stopped because it took more than 200 MB of memory"),
            {"memory_limit": 200 * 2**20},
        ),
    ],
)
def test_all_workers_can_fail_at_once_and_repeatedly(action, error, limits):
    bad = [(action, number) for number in range(6)]
    results = by_item(run([*bad[:3], *range(10), *bad[3:], *range(10, 20)], **limits))
    assert {repr(results.pop(each).error) for each in bad} == {repr(error)}
    assert sorted(result.value for result in results.values()) == list(range(20))


@needs_posix
def test_no_item_is_lost_when_all_workers_are_killed_repeatedly(new_processes):
    results, killed, seen, under_way = [], set(), set(), 0
    with gudi_jobs.WorkerPool(3, quiet=True) as pool:
        for result in pool.map_unordered(tasks.process_id, range(300)):
            results.append(result)
            seen |= {result.value} - killed
            finished = {each.item for each in results}
            # What was under way at the last kill has finished: no item loses two workers.
            if len(seen) == 3 and len(killed) < 9 and finished >= set(range(under_way)):
                for child in new_processes():
                    child.kill()
                killed, seen = killed | seen, set()
                under_way = max(finished) + 4 * MAX_QUEUE_DEPTH
    assert [each.error for each in results if each.error] == []
    assert {each.item for each in results} == set(range(300))
    assert len(killed) == 9


@needs_posix
@pytest.mark.parametrize("timeout", [None, 1])
def test_death_in_the_middle_of_a_result_is_noticed(timeout):
    results = by_item(run([0, "half", 1, 2], timeout=timeout))
    assert isinstance(results.pop("half").error, gudi_jobs.WorkerDied)
    assert [results[each].value for each in range(3)] == [0, 1, 2]


@needs_posix
def test_death_is_noticed_although_another_process_holds_the_socket(pool):
    results = by_item(pool.map_unordered(tasks.fork_and_die, [1, "fork", 2, 3]))
    assert isinstance(results.pop("fork").error, gudi_jobs.WorkerDied)
    assert [results[each].value for each in (1, 2, 3)] == [1, 2, 3]


@needs_posix
def test_death_that_is_noticed_together_with_a_result_counts_once():
    """As above, but the caller is slow: the result of "slow" has arrived when it looks again."""
    results = []
    with gudi_jobs.WorkerPool(1) as pool:
        for result in pool.map_unordered(tasks.fork_and_die, [1, "slow", "fork", 3]):
            if not results:
                time.sleep(2 * EXIT_INTERVAL)
            results.append(result)
    assert sorted(str(each.item) for each in results) == ["1", "3", "fork", "slow"]
    (died,) = [each for each in results if each.error]
    assert died.item == "fork"


def test_item_is_retried_after_one_death(pool, tmp_path):
    (result,) = pool.map_unordered(tasks.follow, [tmp_path / "marker"])
    assert result.error is None
    assert result.value == tmp_path / "marker"


def test_timeout_also_ends_what_the_worker_has_started(tmp_path):
    pid = tmp_path / "pid"
    with gudi_jobs.WorkerPool(
        1, timeout=1, initializer=tasks.start_sleeper, initargs=(pid,), quiet=True
    ) as pool:
        (result,) = pool.map_unordered(tasks.follow, ["hang"])
    assert isinstance(result.error, gudi_jobs.TimedOut)
    wait_for_end(int(pid.read_text()))


def test_time_of_a_slow_caller_does_not_count_as_the_items():
    with gudi_jobs.WorkerPool(1, timeout=1) as pool:
        results = pool.map_unordered(tasks.square, range(3))
        errors = []
        for _ in range(3):
            errors.append(next(results).error)
            time.sleep(1.1)
    assert errors == [None] * 3


@needs_posix
@pytest.mark.parametrize("parent_too", [False, True])
def test_time_in_which_nothing_can_run_does_not_count_as_the_items(tmp_path, parent_too):
    """As after Ctrl-Z: the processes stand still for longer than an item may run."""
    code = textwrap.dedent(STOPPABLE.format(root=str(ROOT / "jobs"), file=str(tmp_path / "go")))
    script = [sys.executable, "-c", code]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        stopped = [worker, *([psutil.Process(parent.pid)] if parent_too else [])]
        for process in stopped:
            process.suspend()
        time.sleep(4)
        (tmp_path / "go").touch()
        for process in stopped:
            process.resume()
        assert parent.stdout.read() == "None\n"


STOPPABLE = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    import gudi_jobs

    def wait_for_file(item):
        os.write(1, b"%d\\n" % os.getpid())
        while not os.path.exists({file!r}):
            time.sleep(0.01)

    if __name__ == "__main__":
        with gudi_jobs.WorkerPool(1, timeout=3) as pool:
            for result in pool.map_unordered(wait_for_file, [0]):
                print(result.error)
"""


def test_worker_that_keeps_much_memory_is_replaced():
    with gudi_jobs.WorkerPool(1) as pool:
        items = [(1, 1.1), (320, 1.1), (1, 0), (1, 0)]
        results = list(pool.map_unordered(tasks.keep_memory, items))
    assert [each.error for each in results] == [None] * 4
    first, second, third, fourth = (each.value for each in results)
    assert first == second == third != fourth  # the third one was under way


@pytest.mark.parametrize(
    ("function", "count", "per_worker"),
    [(tasks.slowly, 20, QUEUE_DEPTH), (tasks.square, 300, MAX_QUEUE_DEPTH)],
)
def test_only_a_few_items_per_worker_are_under_way(function, count, per_worker):
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with gudi_jobs.WorkerPool(2) as pool:
        results = pool.map_unordered(function, items())
        for done in range(1, count):
            next(results)
            # And the results of one worker wait for the caller.
            assert len(taken) <= done + 3 * per_worker
        results.close()


def test_initializer_runs_in_each_process(tmp_path):
    with gudi_jobs.WorkerPool(2, initializer=os.chdir, initargs=(tmp_path,)) as pool:
        folders = {result.value for result in pool.map_unordered(tasks.folder, range(10))}
    assert folders == {str(tmp_path)}


@pytest.mark.parametrize(
    ("initializer", "arguments", "reason"),
    [(os._exit, (3,), "exit code 3"), (int, ("x",), "ValueError: invalid literal for int")],
)
def test_workers_that_do_not_start_are_an_error(initializer, arguments, reason):
    with (
        pytest.raises(gudi_jobs.WorkersUnavailable, match=reason),
        gudi_jobs.WorkerPool(2, initializer=initializer, initargs=arguments, quiet=True) as pool,
    ):
        list(pool.map_unordered(tasks.square, range(10)))


def test_function_that_workers_cannot_import_is_an_error(pool, tmp_path, monkeypatch):
    (tmp_path / "gone.py").write_text("def function(item): return item")
    monkeypatch.syspath_prepend(tmp_path)
    gone = importlib.import_module("gone")
    (tmp_path / "gone.py").unlink()
    with pytest.raises(gudi_jobs.WorkersUnavailable, match="No module named 'gone'"):
        list(pool.map_unordered(gone.function, [1]))


def test_interpreter_that_cannot_be_started_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with (
        pytest.raises(gudi_jobs.WorkersUnavailable, match="No such file"),
        gudi_jobs.WorkerPool(2) as pool,
    ):
        list(pool.map_unordered(tasks.square, [1]))


def test_worker_imports_only_what_its_function_needs():
    with gudi_jobs.WorkerPool(1) as pool:
        (result,) = pool.map_unordered(tasks.describe_process, [1])
    assert not result.value["modules"] & {"gudi_jobs", "joblib", "numpy", "psutil", "cloudpickle"}
    assert result.value["stdin"] == ""
    assert result.value["threads"] == "1"


@pytest.mark.parametrize(
    ("quiet", "printed"), [(True, ("", "")), (False, ("to stdout", "to stderr"))]
)
def test_workers_print_where_their_parent_does_unless_quiet(capfd, quiet, printed):
    with gudi_jobs.WorkerPool(1, quiet=quiet) as pool:
        list(pool.map_unordered(tasks.follow, ["print", *["crash"] * quiet]))
    assert capfd.readouterr() == printed


def test_call_that_ends_early_leaves_no_process(new_processes):
    def broken_list():
        yield 1
        raise KeyError("broken list")

    with gudi_jobs.WorkerPool(2) as pool:
        results = pool.map_unordered(tasks.follow, [1, "hang", "hang", "hang"])
        assert next(results).value == 1
        results.close()
        assert new_processes() == []
        with pytest.raises(KeyError, match="broken list"):
            list(pool.map_unordered(tasks.square, broken_list()))
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
                with gudi_jobs.WorkerPool(2, quiet=True, timeout=timeout) as pool:
                    for _ in pool.map_unordered(tasks.follow, items):
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
        with gudi_jobs.WorkerPool(2) as pool:
            list(pool.map_unordered(report, range(4)))
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
    with gudi_jobs.WorkerPool(3) as pool:
        blocked = {
            result.value for result in pool.map_unordered(tasks.is_interrupt_blocked, range(12))
        }
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
with gudi_jobs.WorkerPool(2) as pool:
    results = list(pool.map_unordered(triple, [Thing(1), Thing(2)]))
results.sort(key=lambda result: result.item.number)
print(type(results[0].value) is Thing, results[0].value.number, repr(results[1].error))
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
    pool, tmp_path, monkeypatch
):
    for name in ("pickle", "socket", "struct", "threading"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__file__} is imported')")
    monkeypatch.chdir(tmp_path)
    with gudi_jobs.WorkerPool(1) as pool:
        (result,) = pool.map_unordered(tasks.square, [3])
    assert result.value == 9
