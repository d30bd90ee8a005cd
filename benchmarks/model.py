# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was measured and what it is compared with: frozen types, no I/O."""

from __future__ import annotations

import enum
import statistics
from dataclasses import dataclass, field


class BarKind(enum.Enum):
    """How a bar is worded; every kind is an upper limit on something."""

    FASTER = "faster"
    """Peer's time divided by ours is at least the factor."""
    AT_MOST = "at most"
    """Our value divided by the peer's is at most the factor."""
    BELOW = "below"
    """Our value itself is below the factor; there need not be a peer."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row has to reach."""

    kind: BarKind
    factor: float

    @classmethod
    def faster(cls, factor: float) -> Bar:
        """Ours takes at most ``1 / factor`` of the peer's time."""
        return cls(BarKind.FASTER, factor)

    @classmethod
    def at_most(cls, factor: float) -> Bar:
        """Ours takes at most ``factor`` times what the peer takes."""
        return cls(BarKind.AT_MOST, factor)

    @classmethod
    def below(cls, value: float) -> Bar:
        """Our value, in the unit of its series, is below ``value``."""
        return cls(BarKind.BELOW, value)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: a value in its series' unit, and processor seconds where known."""

    value: float
    user: float = 0.0
    system: float = 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one subject, in the order in which they were taken."""

    subject: str
    samples: tuple[Sample, ...]
    unit: str = "s"

    @property
    def values(self) -> tuple[float, ...]:
        """The measured values alone."""
        return tuple(sample.value for sample in self.samples)

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row of the table before it is measured: which subject, beside which, and the bar."""

    work: str
    ours: str
    peer: str | None = None
    bar: Bar | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A subject that could not be measured, and why."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark gave."""

    benchmark: str
    series: tuple[Series, ...] = ()
    failures: tuple[Failure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, smallest and largest of some numbers."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: tuple[float, ...]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One judged row of the table.

    ``ratio`` is ours over peer, taken per repetition; ``met`` is None where there is no bar or
    where ``problem`` says why the row could not be measured.
    """

    comparison: Comparison
    ours: Series | None
    peer: Series | None
    ratio: Spread | None
    met: bool | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which conditions a run was made: titled groups of facts, in order."""

    groups: dict[str, dict[str, str | int]] = field(default_factory=dict)


def judge(comparison: Comparison, outcome: Outcome) -> Row:
    """Compare two series of an outcome and hold the result against the bar."""
    by_name = {series.subject: series for series in outcome.series}
    ours = by_name.get(comparison.ours)
    peer = by_name.get(comparison.peer) if comparison.peer is not None else None
    problem = _problem(comparison, outcome)
    if ours is None or (peer is None and comparison.peer is not None):
        problem = problem or "not measured"
    if ours is None or problem is not None:
        return Row(comparison, ours, peer, None, None, problem)
    ratio = _ratio(ours, peer) if peer is not None else None
    return Row(comparison, ours, peer, ratio, _met(comparison.bar, ours, ratio))


def judge_all(outcomes: list[Outcome]) -> list[Row]:
    """The rows of every outcome, in order."""
    return [judge(one, outcome) for outcome in outcomes for one in outcome.comparisons]


def _problem(comparison: Comparison, outcome: Outcome) -> str | None:
    wanted = (comparison.ours, comparison.peer)
    found = [failure for failure in outcome.failures if failure.subject in wanted]
    return "; ".join(f"{failure.subject}: {failure.reason}" for failure in found) or None


def _ratio(ours: Series, peer: Series) -> Spread:
    pairs = zip(ours.values, peer.values, strict=True)
    return Spread.of(tuple(mine / theirs for mine, theirs in pairs))


def _met(bar: Bar | None, ours: Series, ratio: Spread | None) -> bool | None:
    if bar is None:
        return None
    if bar.kind is BarKind.BELOW:
        return ours.median < bar.factor
    if ratio is None:
        return None
    if bar.kind is BarKind.FASTER:
        return ratio.median <= 1 / bar.factor
    return ratio.median <= bar.factor
