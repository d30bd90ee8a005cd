# SPDX-License-Identifier: LGPL-2.1-or-later
"""`bisect`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.bisect.algorithm import Found, OnlySkipped
from ostreefs.bisect.errors import BisectError
from ostreefs.bisect.session import Session, Step, Verdict
from ostreefs.bisect.starting import Start, replay, resolve_all, start
from ostreefs.bisect.state import DEFAULT_NAME, VERBS, State, format_log, read_term
from ostreefs.cli import bisecttext
from ostreefs.cli.arguments import UsageError
from ostreefs.cli.logs import set_up_log
from ostreefs.cli.output import complain, print_json, print_line, print_lines, warn
from ostreefs.cli.pagefile import check_page, open_page
from ostreefs_store.errors import StoreError
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs.bisect.report import BisectionReport
    from ostreefs.cli.arguments import Arguments, Parser

_EXIT_FAILURE = 1

_OPTIONS = {
    "bad": {"start"},
    "good": {"start"},
    "mount": {"start", "replay"},
    "options": {"start", "replay"},
    "term_new": {"start", "terms"},
    "term_old": {"start", "terms"},
    "in_tree": {"run"},
    "html": {"report"},
}
"""Option -> the verbs that have it."""


def add_bisect_arguments(parser: Parser) -> None:
    """Options of `bisect`, with git's spellings."""
    parser.has_paths = True
    parser.command_after = "run"
    parser.usage = (
        "ostreefs bisect start [options] [BAD [GOOD…]] [-- PATH…]\n"
        "       ostreefs bisect (bad|good|new|old|TERM|skip) [REV…]\n"
        "       ostreefs bisect run [--in-tree] COMMAND…\n"
        "       ostreefs bisect (log|replay FILE|visualize|report|terms|reset)"
    )
    add = parser.add_argument
    add("--name", metavar="NAME", help=f"which bisection (default: {DEFAULT_NAME})")
    add("--mount", metavar="DIR", help="start, replay: where candidates are to be shown")
    add("--bad", metavar="REV", help="start: a commit that is bad")
    add(
        "--good",
        metavar="REV",
        action="append",
        default=[],
        help="start: a commit that is good",
    )
    for new, old, word in (("new", "bad", "bad"), ("old", "good", "good")):
        add(
            f"--term-{new}",
            f"--term-{old}",
            metavar="TERM",
            nargs="?",
            const="",
            help=f"start: what to say instead of '{word}'; terms: print that",
        )
    add(
        "-o",
        dest="options",
        metavar="OPTIONS",
        action="append",
        default=[],
        help="start, replay: options of the mount, as 'ostreefs mount' has them",
    )
    add("--in-tree", action="store_true", help="run: inside the candidate, not beside it")
    add("--html", metavar="FILE", help="report: write a page with the history as a picture")
    add("action", metavar="VERB", help="start, good, bad, skip, run, log, report, reset, …")
    add("words", metavar="REV", nargs="*", default=[], help="commits, or a file")


def run_bisect(arguments: Arguments) -> int:
    """Find the commit that broke something."""
    verb = arguments.action
    for option, verbs in _OPTIONS.items():
        if getattr(arguments, option) not in (None, False, []) and verb not in verbs:
            word = "-o" if option == "options" else "--" + option.replace("_", "-")
            raise UsageError(f"{word} is for 'bisect {min(verbs, key=VERBS.index)}'")
    if arguments.paths and verb != "start":
        raise UsageError("paths are for 'bisect start'")
    session = Session(
        arguments.repository_path.resolve(),
        DEFAULT_NAME if arguments.name is None else arguments.name,
        lambda: set_up_log(None, foreground=False, verbose=arguments.verbose),
    )
    handler = _VERBS.get(verb)
    if handler is not None:
        return handler(session, arguments)
    return _judge(session, arguments)


# ---- steps ----


def _start(session: Session, arguments: Arguments) -> int:
    words = list(arguments.words)
    if arguments.bad is not None:
        bad, goods = arguments.bad, words
    else:
        bad, goods = (words[0] if words else None), words[1:]
    options = _start_options(arguments)._replace(
        bad=bad,
        goods=(*arguments.good, *goods),
        term_bad=arguments.term_new,
        term_good=arguments.term_old,
        paths=tuple(os.fsencode(path) for path in arguments.paths),
    )
    return _tell(session, start(session, options), arguments)


def _start_options(arguments: Arguments) -> Start:
    if "" in {arguments.mount, arguments.term_new, arguments.term_old}:
        raise UsageError("an option of 'bisect start' has no value")
    place = None if arguments.mount is None else Path(os.path.abspath(arguments.mount))
    return Start(mount=place, mount_options=tuple(arguments.options))


def _judge(session: Session, arguments: Arguments) -> int:
    """A verdict, by whatever term."""
    state = session.read_state()
    found = read_term(state, arguments.action)
    if found is None:
        terms = f"its terms are '{state.names[0]}' and '{state.names[1]}'"
        raise UsageError(f"unknown verb '{arguments.action}' of bisect; {terms}")
    word, judged = found
    if word == "bad" and len(arguments.words) > 1:
        raise UsageError(f"'bisect {arguments.action}' takes one commit")
    if arguments.words:
        with session.open(writable=False) as repository, repository.index.snapshot() as snapshot:
            commits = resolve_all(snapshot, arguments.words)
    else:
        commits = [_find_tested(session, state, arguments.action)]
    verdicts = [Verdict(word, commit) for commit in commits]
    return _tell(session, session.judge(judged, verdicts), arguments)


def _find_tested(session: Session, state: State, term: str) -> Digest:
    """The commit that the mount shows."""
    if state.current is None:
        raise BisectError(
            "no commit is being tested at the moment", hint=f"'ostreefs bisect {term} REV'"
        )
    damage = session.check_shown(state)
    if damage is not None:
        warn(f"what was tested is damaged ({damage}); if that is why, mark it with 'skip'")
    return Digest(state.current)


def _replay(session: Session, arguments: Arguments) -> int:
    if len(arguments.words) != 1:
        raise UsageError("'bisect replay' takes one file")
    path = arguments.words[0]
    if path == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    else:
        text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    return _tell(session, replay(session, text, path, _start_options(arguments)), arguments)


def _run(session: Session, arguments: Arguments) -> int:
    from ostreefs.bisect.running import Command, run  # noqa: PLC0415 -- for this verb alone

    command = Command(tuple(arguments.command), arguments.in_tree, 2 if arguments.json else 1)

    def tell(step: Step) -> None:
        if not arguments.json:
            bisecttext.print_notes(step)
            print("\n".join(bisecttext.format_test(session, step, command.words)), flush=True)

    return _tell(session, run(session, session.read_state(), command, tell), arguments)


def _tell(session: Session, step: Step, arguments: Arguments) -> int:
    """Print how it stands."""
    bisecttext.print_notes(step)
    if arguments.json:
        print_json(bisecttext.describe_step(session, step))
    else:
        print("\n".join(bisecttext.format_step(session, step)))
    if isinstance(step.decision, Found) and not arguments.json:
        with session.open(writable=False) as repository:
            print("\n".join(bisecttext.format_culprit(repository, step.commits[0])))
    if isinstance(step.decision, OnlySkipped):
        complain(
            "only skipped commits are left to test",
            f"the first {step.state.names[0]} commit is one of {len(step.commits)}",
        )
        return _EXIT_FAILURE
    return 0


# ---- what is known ----


def _terms(session: Session, arguments: Arguments) -> int:
    state = session.read_state()
    bad, good = state.names
    if arguments.json:
        print_json({"new": bad, "old": good})
    elif arguments.term_new is not None or arguments.term_old is not None:
        print(bad if arguments.term_new is not None else good)
    else:
        print(f"Your current terms are {good} for the old state\nand {bad} for the new state.")
    return 0


def _log(session: Session, arguments: Arguments) -> int:
    state = session.read_state()
    try:
        end = _end(session.look(state))
    except StoreError as error:  # the log is there even so
        end = [f"error: {error}"]
    with session.open(writable=False) as repository, repository.index.snapshot() as snapshot:
        lines = list(format_log(state, bisecttext.subject_finder(snapshot), end))
    if arguments.json:
        marks = [bisecttext.describe_mark(mark, state.names) for mark in state.marks]
        print_json({"log": lines, "verdicts": marks})
    else:
        for line in lines:
            print_line(os.fsencode(line))
    return 0


def _end(step: Step) -> list[str]:
    if step.graph is None:
        return ["status: " + bisecttext.waiting_for(step.state)]
    subjects = {digest: step.graph.commits[step.graph.numbers[digest]] for digest in step.commits}
    told = [f"[{digest.hex()}] {commit.subject}".rstrip() for digest, commit in subjects.items()]
    term = step.state.names[0]
    if isinstance(step.decision, Found):
        return [f"first {term} commit: {told[0]}"]
    if isinstance(step.decision, OnlySkipped):
        return ["only skipped commits left to test"] + [
            f"possible first {term} commit: {each}" for each in told
        ]
    return []


def _report(session: Session, arguments: Arguments) -> int:
    if arguments.words:
        raise UsageError("'bisect report' takes no commits")
    check_page(arguments)
    report = _make_report(session)
    if arguments.html is not None:
        from ostreefs.pages.bisection import write_bisection_page  # noqa: PLC0415 -- slow to load

        with open_page(arguments) as out:
            write_bisection_page(out, report)
    if arguments.json:
        print_json(bisecttext.describe_report(report))
    elif arguments.html is None:
        print("\n".join(bisecttext.format_report(report)))
    return 0


def _make_report(session: Session) -> BisectionReport:
    from ostreefs.bisect.reporting import make_report  # noqa: PLC0415 -- for this verb alone

    return make_report(session, session.look(session.read_state()))


def _visualize(session: Session, arguments: Arguments) -> int:
    report = _make_report(session)
    if arguments.json:
        left = [each for each in report.candidates if each.is_left]
        print_json(bisecttext.describe_candidates(left))
        return 0
    from ostreefs.cli.bisectgraph import format_graph  # noqa: PLC0415 -- for this verb alone
    from ostreefs.cli.terminal import Terminal  # noqa: PLC0415 -- likewise

    print_lines(format_graph(report, Terminal()))
    return 0


def _reset(session: Session, arguments: Arguments) -> int:
    if arguments.words:
        raise UsageError("'bisect reset' takes no commit: nothing was checked out")
    was_open = session.reset()
    if arguments.json:
        print_json({"name": session.name, "was_open": was_open})
    elif not was_open:
        print("We are not bisecting.")
    return 0


_VERBS: dict[str, Callable[[Session, Arguments], int]] = {
    "start": _start,
    "replay": _replay,
    "run": _run,
    "terms": _terms,
    "log": _log,
    "report": _report,
    "visualize": _visualize,
    "view": _visualize,
    "reset": _reset,
}
