# SPDX-License-Identifier: LGPL-2.1-or-later
"""The benchmarks by name, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workloads import (
    bisecting,
    changes,
    comparing,
    composing,
    deploying,
    memory,
    mounting,
    reading,
    running,
    space,
    startup,
    storing,
    switching,
    walking,
)

if TYPE_CHECKING:
    from benchmarks.workloads.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        *startup.BENCHMARKS,
        *storing.BENCHMARKS,
        *mounting.BENCHMARKS,
        *walking.BENCHMARKS,
        *reading.BENCHMARKS,
        *switching.BENCHMARKS,
        *memory.BENCHMARKS,
        *changes.BENCHMARKS,
        *space.BENCHMARKS,
        *comparing.BENCHMARKS,
        *composing.BENCHMARKS,
        *bisecting.BENCHMARKS,
        *running.BENCHMARKS,
        *deploying.BENCHMARKS,
    )
}
