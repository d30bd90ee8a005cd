# SPDX-License-Identifier: LGPL-2.1-or-later
"""The benchmarks by name, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workloads import changes, comparing, mounting, reading, space, startup, storing

if TYPE_CHECKING:
    from benchmarks.workloads.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        *startup.BENCHMARKS,
        *storing.BENCHMARKS,
        *mounting.BENCHMARKS,
        *reading.BENCHMARKS,
        *changes.BENCHMARKS,
        *space.BENCHMARKS,
        *comparing.BENCHMARKS,
    )
}
