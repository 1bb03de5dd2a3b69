"""Redirects from outside to inside."""

from __future__ import annotations

import pytest

from sallyport.engine.redirects import leads_inside

OUTSIDE = "https://8.8.8.8/v2/"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.7:5000/x",
        "http://192.168.1.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1]/",
    ],
)
def test_nobody_outside_sends_us_inside(target: str) -> None:
    assert leads_inside(OUTSIDE, target)
    assert not leads_inside("http://127.0.0.1:5000/", target)  # an upstream that is inside itself may


def test_outside_to_outside_is_followed() -> None:
    assert not leads_inside(OUTSIDE, "https://1.1.1.1/blob")
    assert not leads_inside(OUTSIDE, "https://no-such-host.invalid/blob")
