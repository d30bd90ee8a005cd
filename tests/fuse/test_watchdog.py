# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signs of life: when they are due. That they come is tested with a mount."""

import pytest

from ostreefs.fuse.watchdog import watchdog_interval


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"WATCHDOG_PID": "7"}, None),
    ],
)
def test_interval(environment: dict[str, str], interval: float | None) -> None:
    assert watchdog_interval(environment, 7) == interval
