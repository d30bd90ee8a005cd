# SPDX-License-Identifier: LGPL-2.1-or-later
"""Run the benchmarks: ``python -m benchmarks``; ``--help`` lists the options."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import traceback
from pathlib import Path

from benchmarks.machine import describe_filesystem, describe_machine, find_ours
from benchmarks.measure import BenchmarkError, say
from benchmarks.model import Conditions, Failure, Outcome
from benchmarks.peers import describe_versions, ensure_installed
from benchmarks.report import Report, format_markdown, format_text, to_json
from benchmarks.session import Session
from benchmarks.storage import MIB, Need, open_storage
from benchmarks.trees import TreeFacts, read_tree
from benchmarks.workloads import BENCHMARKS


def main() -> int:
    """Run what the command line asks for; 1 when a benchmark could not run."""
    options = _parse()
    if options.list:
        for benchmark in BENCHMARKS.values():
            print(f"{benchmark.name:10} {benchmark.about}")
        return 0
    if not options.no_install:
        ensure_installed()
    try:
        report = _run(options)
    except BenchmarkError as error:
        say(f"benchmarks: error: {error}")
        return 1
    except KeyboardInterrupt:
        say("benchmarks: interrupted; the work directory is deleted")
        return 130
    print(format_text(report), end="")
    _write_files(report, options)
    return 1 if any(outcome.failures for outcome in report.outcomes) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--tree", type=Path, default=Path("/usr/share"), help="real tree (default: %(default)s)")
    add("--dir", type=Path, default=Path("/var/tmp"), help="work in a new directory below this")
    add(
        "--filesystem",
        choices=("dir", "loop"),
        default="dir",
        help="first writes go to DIR's own disk, or to a fresh loop-mounted ext4 each (root)",
    )
    add("--runs", type=_positive, default=3, help="repetitions (default: %(default)s)")
    add("--large", type=_positive, default=1024, metavar="MIB", help="size of the large file")
    add("--only", type=_names, default=tuple(BENCHMARKS), metavar="NAME,...", help="run these")
    add("--list", action="store_true", help="list the benchmarks and end")
    add("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    add("--markdown", type=Path, metavar="FILE", help="also write the results as markdown")
    add("--no-install", action="store_true", help="use the peers that are there")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _names(text: str) -> tuple[str, ...]:
    wanted = text.split(",")
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no benchmark {', '.join(unknown)} (there are: {', '.join(BENCHMARKS)})"
        )
    return tuple(name for name in BENCHMARKS if name in wanted)


def _run(options: argparse.Namespace) -> Report:
    tree = options.tree.resolve()
    if not tree.is_dir():
        raise BenchmarkError(f"{tree} is not a directory")
    say(f"reading {tree} once, so that it is in the page cache")
    facts = read_tree(tree)
    program = find_ours()
    need = _need(facts, options)
    with open_storage(options.filesystem, options.dir, need) as storage:
        _set_environment(storage.base)
        session = Session(tree, storage, program, options.runs, options.large * MIB)
        conditions = _conditions(options, session, facts)
        outcomes = [_run_one(name, session) for name in options.only]
    return Report(conditions, outcomes)


def _run_one(name: str, session: Session) -> Outcome:
    say(f"{name}: {BENCHMARKS[name].about}")
    try:
        return BENCHMARKS[name].run(session)
    except Exception as error:  # noqa: BLE001 -- one benchmark's bug must not lose the others
        say(traceback.format_exc())
        return Outcome(name, failures=(Failure("all", f"{type(error).__name__}: {error}"),))


def _need(facts: TreeFacts, options: argparse.Namespace) -> Need:
    chosen = [BENCHMARKS[name] for name in options.only]
    writes = sum(benchmark.first_writes for benchmark in chosen)
    # Both repositories, a copy, two images of the tree; three of the large file; small trees.
    trees = 5 + sum(benchmark.prepared_trees(options.runs) for benchmark in chosen)
    prepared = trees * facts.size + 3 * options.large * MIB + 8192 * MIB
    entries = facts.files + facts.directories + facts.others
    return Need(prepared, facts.size, entries, writes * options.runs)


def _conditions(options: argparse.Namespace, session: Session, facts: TreeFacts) -> Conditions:
    return Conditions(
        {
            "run": {
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "repetitions": options.runs,
                "first writes": "fresh loop-mounted ext4 each"
                if options.filesystem == "loop"
                else "fresh directories on the machine's disk",
                "filesystem": describe_filesystem(session.storage.base),
            },
            "tree": {
                "path": str(session.tree),
                "files": facts.files,
                "directories": facts.directories,
                "others": facts.others,
                "bytes": facts.size,
            },
            "machine": describe_machine(),
            "versions": describe_versions(session.program),
        }
    )


def _set_environment(base: Path) -> None:
    os.environ.update(
        LC_ALL="C",
        BORG_BASE_DIR=str(base / "borg-base"),
        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes",
    )
    os.environ.pop("OSTREEFS_REPO", None)


def _write_files(report: Report, options: argparse.Namespace) -> None:
    if options.json is not None:
        text = json.dumps(to_json(report), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.markdown is not None:
        options.markdown.write_text(format_markdown(report), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
