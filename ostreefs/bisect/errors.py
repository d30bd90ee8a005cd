# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be wrong with a bisection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGITS = 12


class BisectError(StoreError):
    """A bisection that cannot go on; what was known of it is kept."""


class NotBisectingError(BisectError):
    """There is no such bisection."""

    def __init__(self, name: str, open_ones: Sequence[str]) -> None:
        hint = "'ostreefs bisect start BAD GOOD' begins one"
        if open_ones:
            hint = f"--name chooses one of those that are open: {', '.join(open_ones)}"
        super().__init__(f"no bisection '{name}' is open", hint=hint)
        self.name = name
        self.open_ones = open_ones


class AlreadyBisectingError(BisectError):
    """`start` of one that is open."""

    def __init__(self, name: str) -> None:
        option = "" if name == "default" else f" --name={name}"
        super().__init__(
            f"bisection '{name}' is open already",
            hint=f"end it with 'ostreefs bisect reset{option}',"
            " or begin another one with --name=NAME",
        )
        self.name = name


class BisectChangedError(BisectError):
    """Somebody else has gone on with the bisection meanwhile."""

    hint: str | None = "'ostreefs bisect log' tells how it stands"

    def __init__(self, name: str) -> None:
        super().__init__(f"bisection '{name}' was changed by another process; nothing was noted")
        self.name = name


class TermsError(BisectError):
    """Terms that cannot be used, or that this bisection does not have."""


class ReplayError(BisectError):
    """A line of a log that cannot be meant so. Nothing has been changed."""

    hint: str | None = "'ostreefs bisect log' writes what can be replayed"

    def __init__(self, source: str, number: int, reason: str) -> None:
        super().__init__(f"{source}, line {number}: {reason}; nothing was replayed")
        self.source = source
        self.number = number


class GoodIsNewerError(BisectError):
    """The bad commit is an ancestor of a good one."""

    def __init__(self, bad: bytes, goods: Sequence[bytes], terms: tuple[str, str]) -> None:
        shown = ", ".join(good.hex()[:_DIGITS] for good in goods)
        super().__init__(
            f"the {terms[0]} commit {bad.hex()[:_DIGITS]} is not newer than the {terms[1]} one"
            f" ({shown})",
            hint=f"perhaps you mistook {terms[1]} for {terms[0]};"
            " to find what mended something, 'start --term-old=broken --term-new=fixed'",
        )
        self.bad = bad
        self.goods = goods


class MergeBaseIsBadError(BisectError):
    """What good and bad have in common is bad, so that good means mended."""

    def __init__(self, base: bytes, goods: Sequence[bytes], terms: tuple[str, str]) -> None:
        shown = ", ".join(good.hex()[:_DIGITS] for good in goods)
        super().__init__(
            f"the merge base {base.hex()[:_DIGITS]} is {terms[0]}: what is {terms[0]} there has"
            f" changed between it and {shown}",
            hint="look for that with 'ostreefs bisect start --term-old=broken --term-new=fixed'",
        )
        self.base = base
        self.goods = goods


class UnrelatedError(BisectError):
    """No path leads from the good commit to the bad one."""

    def __init__(self, bad: bytes, good: bytes, terms: tuple[str, str]) -> None:
        super().__init__(
            f"no history leads from the {terms[1]} commit {good.hex()[:_DIGITS]} to the"
            f" {terms[0]} commit {bad.hex()[:_DIGITS]}",
            hint=f"name a {terms[1]} commit that 'ostreefs log {bad.hex()[:_DIGITS]}' shows",
        )
        self.bad = bad
        self.good = good


class NoDifferenceError(BisectError):
    """The paths that a bisection is limited to are the same in good and bad."""

    hint: str | None = "what makes the difference lies elsewhere: leave the paths out, or add some"

    def __init__(self, bad: bytes, good: bytes, terms: tuple[str, str]) -> None:
        super().__init__(
            f"the paths are the same in the {terms[0]} commit {bad.hex()[:_DIGITS]} and in"
            f" {good.hex()[:_DIGITS]}, which is {terms[1]}"
        )
        self.bad = bad
        self.good = good


class RunError(BisectError):
    """A command of `run` that gives no verdict."""
