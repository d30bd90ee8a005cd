# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the verbs do to an open bisection: judge, choose, note, show.

A step is noted in one transaction of the index, and then its candidate is shown:

- dying before the transaction ends has changed nothing;
- dying after it leaves a bisection that knows what is to be tested, and a mount that shows
  something else, or none. The next verdict that names no commit looks at the mount first: it is
  refused when another commit was shown, or the right one never was, and that is shown then.

Nothing is noted that leads to an error. Whoever changes a bisection says which state he has read;
when that is no longer the present one, he is told so.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs.bisect.algorithm import (
    Decision,
    Found,
    Next,
    OnlySkipped,
    decide,
)
from ostreefs.bisect.errors import (
    AlreadyBisectingError,
    BisectChangedError,
    BisectError,
    NotBisectingError,
)
from ostreefs.bisect.judging import find_needed, judged_of, raise_problem, with_current
from ostreefs.bisect.ranges import Graph, read_graph, read_kinds
from ostreefs.bisect.shown import Shown, remove_place
from ostreefs.bisect.state import Mark, State, Word, decode_state, encode_state
from ostreefs_store.bisections import (
    find_held,
    find_state,
    forget,
    iter_bisections,
    put_held,
    put_output,
    put_state,
)
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import Digest
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import read_tree_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ostreefs_store.index import Snapshot


class Verdict(NamedTuple):
    """What is to be noted of a commit; see `state.Mark`."""

    word: Word
    commit: Digest
    reason: str = ""
    status: int | None = None
    seconds: float | None = None
    output: bytes = b""


class Step(NamedTuple):
    """How a bisection stands."""

    state: State
    decision: Decision | None
    """None while a good or a bad commit is missing."""
    graph: Graph | None
    notes: tuple[str, ...] = ()
    """What happened on the way, such as commits that were skipped because they are damaged."""

    @property
    def commits(self) -> tuple[Digest, ...]:
        """What is to be tested, what was found, or all that it may be."""
        if self.graph is None:
            return ()
        match self.decision:
            case Next() | Found():
                return (self.graph.ids[self.decision.commit],)
            case OnlySkipped():
                return tuple(self.graph.ids[each] for each in self.decision.commits)
            case _:
                return ()


class Session:
    """One bisection of a repository, which is opened for each step anew."""

    def __init__(self, repository: Path, name: str, prepare: Callable[[], None]) -> None:
        """`prepare` is called in the process that serves the mount, see `shown`."""
        self.repository = repository
        self.name = name
        self._prepare = prepare
        self._graph: Graph | None = None
        self._kinds: list[Hashable] | None = None

    def open(self, *, writable: bool = True) -> Repository:
        """The repository, not to be kept open while a mount is made or a command runs."""
        return Repository.open(self.repository, writable=writable)

    def find_state(self) -> State | None:
        """The state, if the bisection is open."""
        with self.open(writable=False) as repository, repository.index.snapshot() as snapshot:
            encoded = find_state(snapshot, self.name)
        return None if encoded is None else decode_state(encoded, self.name)

    def read_state(self) -> State:
        """The state. Raises `NotBisectingError`."""
        found = self.find_state()
        if found is None:
            with self.open(writable=False) as repository, repository.index.snapshot() as snapshot:
                names = [name for name, _ in iter_bisections(snapshot)]
            raise NotBisectingError(self.name, names)
        return found

    def shown(self, state: State) -> Shown:
        """The mount of the bisection."""
        return shown_of(self.repository, state, self._prepare)

    # ---- steps ----

    def judge(self, state: State, verdicts: Sequence[Verdict]) -> Step:
        """Note verdicts, and show what is to be tested next.

        Raises `BisectError` when nothing follows from them; nothing is noted then.
        """
        return self.present(self.advance(state, verdicts))

    def present(self, step: Step) -> Step:
        """Show a person what is to be tested, and note that. Raises `MountError`."""
        self.show(step)
        if step.state.current is None:
            return step
        shown = msgspec.structs.replace(step.state, was_shown=True)
        return step._replace(state=self.save(step.state, shown))

    def advance(self, state: State, verdicts: Sequence[Verdict]) -> Step:
        """`judge` without the mount. A prune waits meanwhile: what is found is held then."""
        outputs: dict[int, bytes] = {}
        notes: list[str] = []
        with self.open() as repository, repository.in_use():
            pending = list(verdicts)
            new = state
            while True:
                new = _add_marks(new, pending, outputs)
                with repository.index.snapshot() as snapshot:
                    graph, decision = self._decide(snapshot, new)
                    damage = _find_damage(snapshot, graph, decision)
                if damage is None:
                    break
                notes.append(f"skipped {damage.commit.hex()[:12]}: {damage.reason}")
                pending = [damage]
            new = with_current(new, graph, decision)
            self._save(repository, state, new, graph, outputs)
        new = msgspec.structs.replace(new, serial=state.serial + 1)
        return Step(new, decision, graph, tuple(notes))

    def look(self, state: State) -> Step:
        """How it stands, with nothing changed."""
        with self.open(writable=False) as repository, repository.index.snapshot() as snapshot:
            graph, decision = self._decide(snapshot, state)
        return Step(state, decision, graph)

    def show(self, step: Step) -> None:
        """Let the mount show what is to be tested. Raises `MountError`."""
        if step.state.current is not None:
            self.shown(step.state).show(step.state.current.hex())

    def check_shown(self, state: State) -> str | None:
        """Make sure that what was tested is what should have been; what of it was damaged.

        Raises `BisectError` when the mount showed another commit, or there is none and never was
        one that showed this; it shows the right one then.
        """
        assert state.current is not None
        shown = self.shown(state)
        seen = shown.find()
        wanted = state.current.hex()
        if seen is None and state.was_shown:  # before a reboot, perhaps
            return None
        if seen is None or seen.commit != wanted:
            shown.show(wanted)
            found = "nothing" if seen is None else seen.commit[:12]
            raise BisectError(
                f"{shown.place} showed {found}, but {wanted[:12]} is to be tested",
                hint="it shows that now: test it, or name the commit that you have tested",
            )
        return seen.damage

    def save(self, old: State, new: State) -> State:
        """Note a change that is no verdict. Raises `BisectChangedError`."""
        with self.open() as repository:
            self._save(repository, old, new, None, {})
        return msgspec.structs.replace(new, serial=old.serial + 1)

    def reset(self) -> bool:
        """Take the mount down and forget everything; whether there was anything.

        Dying in between leaves an open bisection without its mount. Raises `MountError` when the
        mount is in use; nothing is forgotten then.
        """
        try:
            state = self.find_state()
        except BisectError:  # one that cannot be read: forget it
            state = None
        if state is not None and state.mount:
            shown = self.shown(state)
            shown.hide()
            if state.made_mount:
                remove_place(shown.place)
        with self.open() as repository, repository.index.transaction() as transaction:
            return forget(transaction, self.name)

    def _decide(self, snapshot: Snapshot, state: State) -> tuple[Graph | None, Decision | None]:
        bads, goods = state.having("bad"), state.having("good")
        if not bads or not goods:
            return None, None
        graph = self.read_history(snapshot, state)
        kinds = self.read_kinds(snapshot, state, graph)
        judged = judged_of(state, graph)
        asked = {m.commit for m in state.marks if m.was_asked}
        decision = decide(
            graph.parents, judged, kinds, [n for d, n in graph.numbers.items() if d in asked]
        )
        raise_problem(decision, graph, state)
        return graph, decision

    def read_history(self, snapshot: Snapshot, state: State) -> Graph:
        """The history, which is read once as long as nothing outside of it is judged."""
        tips = [Digest(commit) for commit in state.verdicts]
        if self._graph is None or any(tip not in self._graph.numbers for tip in tips):
            here = [tip for tip in tips if snapshot.find_commit(tip) is not None]
            if self._graph is None or len(here) == len(tips):
                self._graph = read_graph(snapshot, here)
                self._kinds = None
        return self._graph

    def read_kinds(self, snapshot: Snapshot, state: State, graph: Graph) -> list[Hashable] | None:
        """What the paths of the bisection are in each commit, if it has any."""
        if state.paths and self._kinds is None:
            self._kinds = read_kinds(snapshot, graph, state.paths)
        return self._kinds

    def _save(
        self,
        repository: Repository,
        old: State,
        new: State,
        graph: Graph | None,
        outputs: dict[int, bytes],
    ) -> None:
        new = msgspec.structs.replace(new, serial=old.serial + 1)
        with repository.index.transaction() as transaction:
            self._check_present(transaction, old)
            put_state(transaction, self.name, encode_state(new))
            for number, output in outputs.items():
                put_output(transaction, self.name, number, output)
            held = set(find_held(transaction, self.name))
            needed = find_needed(new, graph)
            if not needed <= held:
                put_held(transaction, self.name, sorted(held | needed))

    def _check_present(self, snapshot: Snapshot, old: State) -> None:
        """Raise unless the state that is to be replaced is the one that is there."""
        present = find_state(snapshot, self.name)
        if not old.serial and present is not None:
            raise AlreadyBisectingError(self.name)
        if old.serial and (
            present is None or decode_state(present, self.name).serial != old.serial
        ):
            raise BisectChangedError(self.name)


def shown_of(repository: Path, state: State, prepare: Callable[[], None]) -> Shown:
    """The mount of a bisection."""
    return Shown(repository, Path(os.fsdecode(state.mount)), state.mount_options, prepare)


def _add_marks(state: State, verdicts: Sequence[Verdict], outputs: dict[int, bytes]) -> State:
    marks = list(state.marks)
    for verdict in verdicts:
        number = len(marks) + 1
        was_asked = state.is_merge_base and verdict.commit == state.current
        marks.append(
            Mark(
                verdict.word,
                verdict.commit,
                int(time.time()),
                number,
                verdict.reason,
                verdict.status,
                verdict.seconds,
                was_asked,
            )
        )
        if verdict.output:
            outputs[number] = verdict.output
    return msgspec.structs.replace(state, marks=tuple(marks))


def _find_damage(
    snapshot: Snapshot, graph: Graph | None, decision: Decision | None
) -> Verdict | None:
    """The verdict on a candidate that cannot even be shown."""
    if graph is None or not isinstance(decision, Next):
        return None
    commit, root = graph.ids[decision.commit], graph.commits[decision.commit].root
    if snapshot.find_commit(commit) is None:
        return Verdict("skip", commit, "it is not in the repository any more")
    try:
        read_tree_entries(snapshot, root)
    except CorruptionError as error:
        return Verdict("skip", commit, str(error))
    return None
