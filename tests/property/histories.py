# SPDX-License-Identifier: LGPL-2.1-or-later
"""Histories with forks and merges, made up."""

from hypothesis import strategies as st


@st.composite
def histories(draw: st.DrawFn, most: int = 14) -> list[tuple[int, tuple[int, ...]]]:
    """Commits with their parents, which come later; some have parents that never come."""
    count = draw(st.integers(1, most))
    commits = []
    for number in range(count):
        older = st.integers(number + 1, count + draw(st.sampled_from([-1, 0])))
        can_have = number + 1 < count
        parents = draw(st.lists(older, max_size=4, unique=True)) if can_have else []
        commits.append((number, tuple(parents)))
    return commits
