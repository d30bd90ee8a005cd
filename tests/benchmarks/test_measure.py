# SPDX-License-Identifier: LGPL-2.1-or-later
from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.measure import BenchmarkError, Subject, Trial, measure, simple, time_trial

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_subjects_are_interleaved_and_warm_ups_are_not_counted() -> None:
    order: list[str] = []

    def subject(name: str, warm_up: int) -> Subject:
        @contextmanager
        def trial() -> Iterator[Trial]:
            order.append(name)
            yield Trial((("true",),))

        return Subject(name, trial, warm_up)

    series, failures = measure([subject("a", 0), subject("b", 1)], runs=2)
    assert order == ["b", "a", "b", "a", "b"]
    assert [(one.subject, len(one.samples)) for one in series] == [("a", 2), ("b", 2)]
    assert failures == ()


def test_failing_subject_is_reported_once_and_the_others_go_on() -> None:
    broken = Subject("broken", simple("sh", "-c", "echo first; echo reason >&2; exit 3"))
    missing = Subject("missing", simple("no-such-program-anywhere"))
    series, failures = measure([broken, missing, Subject("good", simple("true"))], runs=2)
    assert [one.subject for one in series] == ["good"]
    assert [failure.reason for failure in failures] == [
        "sh ended with 3: reason",
        "no-such-program-anywhere is not installed",
    ]


def test_commands_of_a_trial_are_timed_together_with_processor_time() -> None:
    busy = ("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    one = time_trial(Trial((busy,)))
    two = time_trial(Trial((busy, ("sleep", "0.2"))))
    assert one.user + one.system > 0
    assert two.value > 0.2


def test_silence_is_a_failure_where_an_answer_is_wanted() -> None:
    assert time_trial(Trial((("echo", "x"),), answers=True)).value > 0
    with pytest.raises(BenchmarkError, match="true printed nothing"):
        time_trial(Trial((("true",),), answers=True))
