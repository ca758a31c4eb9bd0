"""`gudi_jobs.Cluster`, with a real scheduler and workers that are killed."""

from __future__ import annotations

import threading
import time

import pytest
import tasks

import gudi_jobs


def test_worker_that_dies_costs_nothing_but_time(cluster):
    with gudi_jobs.Cluster(cluster.address) as crew:
        outcomes = []
        for outcome in crew.run(tasks.slowly, range(60)):
            outcomes.append(outcome)
            if len(outcomes) == 10:
                cluster.kill(cluster.workers[0])
    assert [each.error for each in outcomes] == [None] * 60
    assert sorted((each.item, each.value[1]) for each in outcomes) == [
        (number, number * number) for number in range(60)
    ]
    assert len({each.value[0] for each in outcomes}) == 2


def test_errors_are_outcomes_of_their_items(cluster):
    lock = threading.Lock()
    with gudi_jobs.Cluster(cluster.address) as crew:
        outcomes = {each.item: each for each in crew.run(tasks.follow, ["raise", lock, 1, 2])}
        (locked,) = crew.run(tasks.return_lock, [1])
    assert str(outcomes["raise"].error) == "no good"
    assert "cannot pickle" in str(outcomes[lock].error)
    assert [outcomes[number].value for number in (1, 2)] == [1, 2]
    assert "cannot pickle" in str(locked.error)


def test_quick_items_share_tasks_and_each_has_its_outcome(cluster):
    with gudi_jobs.Cluster(cluster.address) as crew:
        outcomes = list(crew.run(tasks.count_in_task, range(500)))
    assert sorted(each.item for each in outcomes) == list(range(500))
    assert max(each.value for each in outcomes) > 1


def test_only_the_item_that_kills_its_workers_fails(cluster):
    cluster.allow_deaths(0)  # so that Dask gives up everything that a dead worker had
    items = [(number, number) for number in range(200)]
    items[150] = ("killed", 150)
    with gudi_jobs.Cluster(cluster.address) as crew:
        outcomes = {}
        for outcome in crew.run(tasks.follow, items):
            outcomes[outcome.item] = outcome
            cluster.fill()
    assert [item for item in items if outcomes[item].error is not None] == [items[150]]
    assert isinstance(outcomes[items[150]].error, gudi_jobs.WorkerDied)


def test_cluster_on_this_machine_has_as_many_workers_as_asked_for():
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with gudi_jobs.Cluster(None, 2) as crew:
        assert len(crew.everywhere(tasks.folder, 1)) == 2
        assert {each.value for each in crew.run(tasks.square, range(9))} == {
            number * number for number in range(9)
        }


@pytest.mark.parametrize("finished", [False, True])
def test_cluster_without_workers_ends_the_run(cluster, monkeypatch, finished):
    monkeypatch.setattr("gudi_jobs.cluster.WORKERS_TIMEOUT", 0.5)
    monkeypatch.setattr("gudi_jobs.cluster.COUNT_INTERVAL", 0.1)
    with gudi_jobs.Cluster(cluster.address) as crew:
        outcomes = crew.run(tasks.slowly, range(100))
        next(outcomes)
        if finished:  # and not yet fetched from the workers
            time.sleep(1)
        for worker in cluster.workers:
            cluster.kill(worker)
        with pytest.raises(gudi_jobs.WorkersUnavailable, match="has no workers, and none came for"):
            list(outcomes)


def test_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    monkeypatch.setattr("gudi_jobs.cluster.CONNECT_TIMEOUT", 0.5)
    with pytest.raises(
        gudi_jobs.WorkersUnavailable, match="no Dask scheduler answers at tcp://127.0.0.1:9"
    ):
        gudi_jobs.Cluster("tcp://127.0.0.1:9")
