"""`gudi_jobs.ClusterPool`, with a real scheduler and workers that are killed."""

from __future__ import annotations

import errno
import time

import pytest
import tasks

import gudi_jobs


def test_worker_that_dies_costs_nothing_but_time(cluster):
    with gudi_jobs.ClusterPool(cluster.address) as pool:
        results = []
        for result in pool.map_unordered(tasks.slowly, range(60)):
            results.append(result)
            if len(results) == 10:
                cluster.kill(cluster.workers[0])
    assert [each.error for each in results] == [None] * 60
    assert sorted((each.item, each.value[1]) for each in results) == [
        (number, number * number) for number in range(60)
    ]
    assert len({each.value[0] for each in results}) == 2


def test_quick_items_share_tasks_and_each_has_its_result(cluster):
    with gudi_jobs.ClusterPool(cluster.address) as pool:
        results = list(pool.map_unordered(tasks.count_in_task, range(500)))
    assert sorted(each.item for each in results) == list(range(500))
    assert max(each.value for each in results) > 1


def test_only_the_item_that_kills_its_workers_fails(cluster):
    cluster.allow_deaths(0)  # so that Dask gives up everything that a dead worker had
    items = [(number, number) for number in range(200)]
    items[150] = ("killed", 150)
    with gudi_jobs.ClusterPool(cluster.address) as pool:
        results = {}
        for result in pool.map_unordered(tasks.follow, items):
            results[result.item] = result
            cluster.fill()
    assert [item for item in items if results[item].error is not None] == [items[150]]
    assert isinstance(results[items[150]].error, gudi_jobs.WorkerDied)


def test_error_with_a_cause_that_cannot_be_pickled_keeps_its_type(cluster):
    with gudi_jobs.ClusterPool(cluster.address) as pool:
        (result,) = pool.map_unordered(tasks.follow, ["full disk"])
    assert isinstance(result.error, OSError)
    assert result.error.errno == errno.ENOSPC


def test_cluster_on_this_machine_has_as_many_workers_as_asked_for():
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with gudi_jobs.ClusterPool(None, 2) as pool:
        assert len(pool.run_on_workers(tasks.folder, 1)) == 2
        assert {each.value for each in pool.map_unordered(tasks.square, range(9))} == {
            number * number for number in range(9)
        }


@pytest.mark.parametrize("finished", [False, True])
def test_cluster_without_workers_ends_the_run(cluster, monkeypatch, finished):
    monkeypatch.setattr("gudi_jobs.cluster.WORKERS_TIMEOUT", 0.5)
    monkeypatch.setattr("gudi_jobs.cluster.COUNT_INTERVAL", 0.1)
    with gudi_jobs.ClusterPool(cluster.address) as pool:
        results = pool.map_unordered(tasks.slowly, range(100))
        next(results)
        if finished:  # and not yet fetched from the workers
            time.sleep(1)
        for worker in cluster.workers:
            cluster.kill(worker)
        with pytest.raises(gudi_jobs.WorkersUnavailable, match="has no workers, and none came for"):
            list(results)


def test_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    monkeypatch.setattr("gudi_jobs.cluster.CONNECT_TIMEOUT", 0.5)
    with pytest.raises(
        gudi_jobs.WorkersUnavailable, match="no Dask scheduler answers at tcp://127.0.0.1:9"
    ):
        gudi_jobs.ClusterPool("tcp://127.0.0.1:9")
