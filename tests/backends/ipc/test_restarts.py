"""Back-off and breaker, as a function of time."""

from backends.ipc.restarts import RestartPolicy


def test_back_off_doubles_to_the_longest():
    policy = RestartPolicy(first=0.1, longest=1.0, limit=100)
    assert [round(policy.died(t), 2) for t in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert not policy.is_open


def test_five_deaths_in_the_window_open_the_breaker():
    policy = RestartPolicy()
    pauses = [policy.died(now) for now in (0.0, 0.2, 0.5, 1.0)]
    assert max(pauses) < 1
    assert not policy.is_open
    assert policy.died(2.0) == 10.0
    assert policy.is_open


def test_a_trial_that_dies_keeps_the_breaker_open_however_late():
    policy = RestartPolicy(limit=2)
    policy.died(0.0)
    policy.died(1.0)
    assert policy.died(100.0) == policy.longest
    assert policy.is_open


def test_an_answer_closes_the_breaker_and_ends_the_back_off():
    policy = RestartPolicy(limit=2)
    policy.died(0.0)
    policy.died(0.0)
    policy.answered()
    assert not policy.is_open
    assert policy.died(1.0) == policy.first


def test_deaths_far_apart_do_not_add_up():
    policy = RestartPolicy()
    assert [policy.died(31.0 * i) for i in range(20)] == [policy.first] * 20
    assert not policy.is_open


def test_kills_between_answers_do_not_open_the_breaker():
    policy = RestartPolicy()
    for i in range(20):
        assert policy.died(i * 0.5) == policy.first
        policy.answered()
