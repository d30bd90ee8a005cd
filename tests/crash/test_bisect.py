# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at every trace point of a step: it is noted wholly or not at all."""

from pathlib import Path

import pytest

from ostreefs.bisect.algorithm import Found
from ostreefs.bisect.session import Session, Verdict
from ostreefs.bisect.state import State
from ostreefs_store.bisections import find_held, find_output
from ostreefs_store.model import Digest
from ostreefs_store.repository import Repository
from tests.support.commits import init_repository, put_commit
from tests.support.crash import every_death

pytestmark = pytest.mark.crash

COMMITS = 9


def read(repository: Path) -> tuple[State | None, int, list[bytes]]:
    """The state, how many commits are held for it, and what the tests printed."""
    state = Session(repository, "x", lambda: None).find_state()
    marks = 0 if state is None else len(state.marks)
    with Repository.open(repository) as opened, opened.index.snapshot() as snapshot:
        held = len(find_held(snapshot, "x"))
        outputs = [find_output(snapshot, "x", number + 1) for number in range(marks)]
    return state, held, outputs


def test_a_step_is_noted_wholly_or_not_at_all(tmp_path: Path) -> None:
    repository = init_repository(tmp_path / "repo")
    with (
        Repository.open(repository, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        commits: list[Digest] = []
        for number in range(COMMITS):
            parents = commits[-1:]
            commits.append(put_commit(transaction, {}, parents=parents, subject=f"{number}"))
    guilty = commits[3:]
    ends = [Verdict("bad", commits[-1]), Verdict("good", commits[0])]

    def step() -> None:
        """Whatever comes next."""
        session = Session(repository, "x", lambda: None)
        state = session.find_state()
        if state is None:
            session.advance(State(started=1), ends)
        elif state.current is not None:
            commit = Digest(state.current)
            output = b"printed %d" % len(state.marks)
            verdict = Verdict("bad" if commit in guilty else "good", commit, output=output)
            session.advance(state, [verdict])

    before = read(repository)
    for steps in range(10):
        for _ in every_death(step):
            if read(repository) != before:
                break
        state, held, outputs = read(repository)
        assert state is not None
        assert (len(state.marks), state.serial) == (steps + 2, steps + 1)
        assert held == COMMITS
        assert outputs[2:] == [b"printed %d" % (number + 2) for number in range(steps)]
        if state.current is None:
            break
        before = state, held, outputs
    final = Session(repository, "x", lambda: None)
    end = final.look(final.read_state())
    assert isinstance(end.decision, Found)
    assert end.commits == (commits[3],)
