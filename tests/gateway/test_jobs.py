"""One job for each thing."""

from __future__ import annotations

import threading

import pytest

from sallyport.gateway.jobs import Jobs


def test_all_who_ask_meanwhile_get_the_same_job_and_its_failure() -> None:
    jobs: Jobs[str, int] = Jobs(workers=1, queue=2, again_s=60)
    go = threading.Event()

    def work() -> int:
        go.wait(10)
        raise OSError("no")

    asked = [jobs.ask("a", work, lambda _: False) for _ in range(64)]
    assert len({id(one) for one in asked}) == 1
    assert jobs.ask("b", lambda: 1, lambda _: False) is not None
    assert jobs.ask("c", lambda: 1, lambda _: False) is None  # the queue is full
    go.set()
    job = asked[0]
    assert job is not None
    with pytest.raises(OSError, match="no"):
        job.result(10)
    jobs.close()
    assert jobs.ask("a", work, lambda _: False) is job  # not tried again at once
