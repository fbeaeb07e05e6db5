from executor.stats import ROWS, SECONDS_NS, NodeStats, PipelineStats, busy_seconds, sum_nodes


def node(instance: int = 0, name: str = "p.n") -> NodeStats:
    return NodeStats("p", name, "s", instance=instance)


def test_bounds_ascend_and_are_round():
    assert list(SECONDS_NS) == sorted(set(SECONDS_NS))
    assert [SECONDS_NS[0], SECONDS_NS[1], SECONDS_NS[-1]] == [10_000, 25_000, 50_000_000_000]
    assert ROWS == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def test_an_observation_on_a_bound_belongs_to_it():
    stats = node()
    stats.ran(1, 8, 10_000)
    stats.ran(1, 9, 10_001)
    [seen] = sum_nodes([stats])
    assert seen.compute.counts[:2] == (1, 1)
    assert seen.sizes.counts[3:5] == (1, 1)


def test_beyond_the_last_bound():
    stats = node()
    stats.waited(1, 10**12)
    stats.ran(1, 5000, 10**12)
    [seen] = sum_nodes([stats])
    assert seen.compute.counts[-1] == seen.queue.counts[-1] == seen.sizes.counts[-1] == 1
    assert seen.compute.quantile(0.5) == 50.0


def test_record_is_waited_and_ran():
    one, two = node(), node()
    one.record(3, 7, 20_000, 30_000)
    two.waited(3, 20_000)
    two.ran(3, 7, 30_000)
    assert sum_nodes([one]) == sum_nodes([two])


def test_a_call_site_that_rode_along_did_not_keep_the_instance_busy():
    stats = node()
    stats.rode(3, 7, 2_000_000)
    [seen] = sum_nodes([stats])
    assert (seen.succeeded, seen.rows, seen.executions, seen.compute.total) == (3, 7, 1, 0.0)
    assert seen.request_compute == 0.006


def test_instances_are_summed_and_nodes_are_not():
    first, second, other = node(), node(1), node(name="p.m")
    first.waited(2, 1_000_000)
    first.ran(2, 4, 2_000_000)
    second.waited(1, 3_000_000)
    second.ran(1, 2, 4_000_000)
    first.failed("BACKEND")
    second.failed("BACKEND", 2)
    second.failed("CANCELED")
    first.copied(100, "pad")
    second.copied(20, "pad")
    second.dropped(5)
    other.ran(1, 1, 10)
    n, m = sum_nodes([first, second, other])
    assert (n.node, n.succeeded, n.rows, n.executions, n.dead_rows) == ("p.n", 3, 6, 2, 5)
    assert n.failures == {"BACKEND": 3, "CANCELED": 1}
    assert n.copied_bytes == {"pad": 120}
    assert n.queue.count == 3
    assert n.queue.total == 0.005
    assert n.compute.total == 0.006
    assert n.request_compute == 0.008
    assert n.sizes.mean == 3.0
    assert (m.node, m.executions) == ("p.m", 1)
    assert busy_seconds([first, second, other], "s", 2) == (0.00200001, 0.004)


def test_quantile_interpolates_inside_a_bucket():
    stats = node()
    for _ in range(10):
        stats.waited(1, 2_000_000)
    [seen] = sum_nodes([stats])
    assert seen.queue.quantile(0.5) == 0.00175  # half way from 1 ms to 2.5 ms
    assert seen.compute.quantile(0.5) == 0.0
    assert seen.compute.mean == 0.0


def test_pipeline():
    stats = PipelineStats("p")
    stats.finished(1_500_000, rows=3)
    stats.failed("REJECTED")
    seen = stats.snapshot(inflight=2, waiting=1)
    assert (seen.succeeded, seen.rows, seen.inflight, seen.waiting) == (1, 3, 2, 1)
    assert seen.failures == {"REJECTED": 1}
    assert seen.duration.total == 0.0015
    stats.failed("REJECTED")
    assert seen.failures == {"REJECTED": 1}, "a snapshot does not change"
