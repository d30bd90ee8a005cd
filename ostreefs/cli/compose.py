# SPDX-License-Identifier: LGPL-2.1-or-later
"""`compose`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostreefs.cli.arguments import UsageError, parse_id
from ostreefs.cli.commit import find_parent_option
from ostreefs.cli.message import add_message_arguments, read_message
from ostreefs.cli.output import ProgressBar, inform, print_json, print_line, warn
from ostreefs.compose.apply import Composer, Outcome
from ostreefs.compose.errors import ComposeError, ConflictError
from ostreefs.compose.recipe import Recipe, format_recipe, parse_recipe
from ostreefs.compose.steps import (
    ON_CONFLICT,
    Order,
    Run,
    parse_command,
    parse_directory,
    parse_overlay,
    parse_package,
)
from ostreefs.text import format_size
from ostreefs_store.batch import BatchSource
from ostreefs_store.committing.commit import Message, Target, read_tip, write_commit
from ostreefs_store.comparing.diff import diff_trees
from ostreefs_store.model import BASE_KEY
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.compose.apply import Runner
    from ostreefs.compose.steps import Step
    from ostreefs_store.repository import Repository

_RECIPE_KEY = "compose.recipe"
_SUBJECT_STEPS = 3
_SUBJECT_STEP = 60
"""Characters of one step that a subject shows."""

_ID = re.compile(r"^([0-9a-f]{12})[0-9a-f]{52}(?![^:^])", re.ASCII)
"""A commit's whole id, as recipes have it; what may follow is a subpath or an ancestor."""

_STEPS: dict[str, tuple[str, Callable[[str], Step], str]] = {
    "--overlay": (
        "REV[:SUBPATH][=>DEST]",
        parse_overlay,
        "lay this commit, or what it has at SUBPATH, over what there is",
    ),
    "--dir": ("DIR[=>DEST]", parse_directory, "lay a directory on the disk over what there is"),
    "--deb": ("FILE", partial(parse_package, "deb"), "unpack a Debian package"),
    "--rpm": ("FILE", partial(parse_package, "rpm"), "unpack an rpm package"),
    "--run": ("CMD", parse_command, "run a shell command inside, and keep what it changes"),
}


class _AddStep(argparse.Action):
    """Adds to the one list that keeps the order of options."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            assert isinstance(values, str)
            values.encode()
            step = _STEPS[str(option_string)][1](values)
        except UnicodeEncodeError:
            raise argparse.ArgumentError(self, "it is not UTF-8") from None
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        namespace.steps = [*(namespace.steps or []), step]


def add_compose_arguments(parser: Parser) -> None:
    """Options of `compose`."""
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-b", "--branch", metavar="BRANCH", help="the ref to move")
    where.add_argument("--orphan", action="store_true", help="move no ref")
    for option, (metavar, _, text) in _STEPS.items():
        add(option, dest="steps", metavar=metavar, action=_AddStep, help=text)
    add(
        "--on-conflict",
        choices=ON_CONFLICT,
        help="what becomes of a path that two additions have: fail (default), or which one wins",
    )
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--recipe", metavar="FILE", help="begin with what this file says")
    begin.add_argument(
        "--recipe-of",
        metavar="REV",
        help="begin with the base and the steps of this commit, which was composed",
    )
    add(
        "--write-recipe",
        metavar="FILE",
        help="write what the command line says as a recipe ('-' for standard output), do no more",
    )
    add("-n", "--dry-run", action="store_true", help="list conflicts and what would be replaced")
    add("--owner-uid", type=parse_id, metavar="UID", help="the owner of all that --dir brings")
    add("--owner-gid", type=parse_id, metavar="GID", help="the group of all that --dir brings")
    add_message_arguments(parser)
    add("--parent", metavar="REV", help="the parent (default: the branch; 'none' for no parent)")
    add(
        "--skip-if-unchanged",
        action="store_true",
        help="make no commit when the tree is the parent's; print the parent's id",
    )
    add("base", nargs="?", metavar="BASE", help="the commit to begin with")


def run_compose(arguments: Arguments) -> int:
    """Compose, and print the id alone; or say what would happen; or write a recipe."""
    recipe = _read_recipe(arguments)
    if arguments.write_recipe is not None:
        _write_recipe(arguments.write_recipe, recipe)
        return 0
    arguments.branch = recipe.branch
    arguments.subject, arguments.body = recipe.subject, recipe.body
    if not (recipe.branch or arguments.orphan or arguments.dry_run):
        raise UsageError("say which branch is to be made: -b BRANCH, or --orphan for none")
    message = read_message(arguments)
    if not message.subject:
        message = message._replace(subject=_describe(recipe.order))
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
    ):
        if arguments.dry_run:
            return _rehearse(arguments, repository, recipe.order)
        return _compose(arguments, repository, recipe.order, message)


# ---- what to do


def _read_recipe(arguments: Arguments) -> Recipe:
    """What the recipe says, and the command line beside it or instead of it."""
    recipe = Recipe(Order(""))
    if arguments.recipe is not None:
        recipe = parse_recipe(_read_text(arguments.recipe), arguments.recipe)
    elif arguments.recipe_of is not None:
        recipe = _recorded_recipe(arguments, arguments.recipe_of)
    order = recipe.order
    uid, gid = arguments.owner_uid, arguments.owner_gid
    order = Order(
        arguments.base or order.base,
        (*order.steps, *(arguments.steps or ())),
        arguments.on_conflict or order.on_conflict,
        order.owner_uid if uid is None else uid,
        order.owner_gid if gid is None else gid,
    )
    if not order.base:
        raise UsageError("say what to begin with: BASE, or 'base' in the recipe")
    if not order.steps:
        raise UsageError("there is nothing to add: name steps such as --overlay, --dir or --deb")
    branch = None if arguments.orphan else arguments.branch or recipe.branch
    subject, body = arguments.subject or recipe.subject, arguments.body or recipe.body
    if arguments.body_file is not None or arguments.editor:
        body = arguments.body
    return Recipe(order, branch, subject, body)


def _recorded_recipe(arguments: Arguments, revision: str) -> Recipe:
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        commit = read_commit(snapshot, resolve(snapshot, revision))
    text = commit.metadata.get(_RECIPE_KEY)
    if not isinstance(text, str):
        raise ComposeError(
            f"commit '{revision}' has no recipe: it was not composed",
            hint="'ostreefs show REV' tells what the metadata of a commit are",
        )
    return parse_recipe(text, f"recipe of {revision}")


def _read_text(path: str) -> str:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the recipe {path} is not UTF-8") from None


def _write_recipe(path: str, recipe: Recipe) -> None:
    folder = os.path.abspath("." if path == "-" else os.path.dirname(path) or ".")
    text = format_recipe(recipe, folder)
    if path == "-":
        sys.stdout.write(text)
        return
    from ostreefs_store.tar.export import replaced_file  # noqa: PLC0415 -- slow to load

    with replaced_file(Path(path)) as file:
        file.write(text.encode())


def _describe(order: Order) -> str:
    """A subject for those who give none."""
    labels = [step.label.partition(" ")[2] for step in order.steps[:_SUBJECT_STEPS]]
    shown = [_shorten(label) for label in labels]
    more = [f"{len(order.steps) - _SUBJECT_STEPS} more"] * (len(order.steps) > _SUBJECT_STEPS)
    return " + ".join([_shorten(order.base), *shown, *more]).replace("\n", " ")


def _shorten(label: str) -> str:
    """A label in which an id at its beginning is short, and which itself is not too long."""
    label = _ID.sub(r"\1", label)
    return label if len(label) <= _SUBJECT_STEP else f"{label[: _SUBJECT_STEP - 1]}…"


# ---- doing it


def _compose(arguments: Arguments, repository: Repository, order: Order, message: Message) -> int:
    tip = None if arguments.orphan else read_tip(repository, arguments.branch)
    parent = find_parent_option(repository, arguments.parent)
    composer, outcome = _apply(repository, order, _runner(arguments, order))
    if order.on_conflict == "fail" and outcome.conflicts:
        raise ConflictError(outcome.conflicts)
    message.metadata.update(_metadata(outcome))
    branch = None if arguments.orphan else arguments.branch
    target = Target(branch, parent, arguments.skip_if_unchanged, tip)
    digest, is_new = write_commit(repository, composer.batch, outcome.root, message, target)
    for note in outcome.notes:
        warn(note)
    if arguments.verbose:
        inform(f"read {outcome.read_files} files ({format_size(outcome.read_bytes)})")
    if arguments.json:
        print_json({"commit": digest.hex(), "new": is_new, **_as_document(outcome)})
    else:
        print(digest.hex())
    return 0


def _apply(
    repository: Repository, order: Order, runner: Runner | None
) -> tuple[Composer, Outcome]:
    with ProgressBar("compose", " files") as bar:

        def progress(files: int, volume: int) -> None:
            bar.update(files, note=format_size(volume))

        composer = Composer(repository, order, runner, progress if bar.callback else None)
        return composer, composer.apply()


def _runner(arguments: Arguments, order: Order) -> Runner | None:
    if not any(isinstance(step, Run) for step in order.steps):
        return None
    from ostreefs.compose.running import SandboxRunner  # noqa: PLC0415 -- for commands alone

    return SandboxRunner(arguments.repository_path.absolute())


def _metadata(outcome: Outcome) -> dict[str, str | int | bool]:
    found: dict[str, str | int | bool] = {
        BASE_KEY: outcome.base.hex(),
        _RECIPE_KEY: format_recipe(Recipe(outcome.recorded)),
    }
    if outcome.packages:
        found["compose.packages"] = "\n".join(package.label for package in outcome.packages)
    return found


def _as_document(outcome: Outcome) -> dict[str, object]:
    return {
        "root": outcome.root.hex(),
        "base": outcome.base.hex(),
        "recipe": format_recipe(Recipe(outcome.recorded)),
        "packages": [package._asdict() for package in outcome.packages],
        "conflicts": [
            {
                "path": conflict.path,
                "kind": conflict.kind,
                "first": conflict.first,
                "second": conflict.second,
            }
            for conflict in outcome.conflicts
        ],
        "replaced": [{"path": path, "by": by} for path, by in sorted(outcome.replaced.items())],
        "notes": outcome.notes,
        "files_read": outcome.read_files,
        "bytes_read": outcome.read_bytes,
    }


# ---- saying what would be done


def _rehearse(arguments: Arguments, repository: Repository, order: Order) -> int:
    composer, outcome = _apply(repository, order, None)
    stats = _stats(repository, composer, outcome)
    if arguments.json:
        print_json({**_as_document(outcome), "stats": stats})
    else:
        for conflict in sorted(outcome.conflicts):
            print_line(b"conflict  " + conflict.path + f"  {conflict.reason}".encode())
        for path, by in sorted(outcome.replaced.items()):
            print_line(b"replaced  " + path + f"  by {by}".encode())
        print(", ".join(f"{count} {word}" for word, count in stats.items()))
        for note in outcome.notes:
            warn(note)
    return 1 if order.on_conflict == "fail" and outcome.conflicts else 0


def _stats(repository: Repository, composer: Composer, outcome: Outcome) -> dict[str, int]:
    """How many paths would be added, modified and deleted."""
    counts = {"added": 0, "modified": 0, "deleted": 0}
    words = {"A": "added", "M": "modified", "D": "deleted"}
    with repository.index.snapshot() as snapshot:
        objects = BatchSource(snapshot, composer.batch)
        for change in diff_trees(objects, outcome.base_root, outcome.root):
            counts[words[change.kind]] += 1
    return counts
