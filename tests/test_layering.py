# SPDX-License-Identifier: LGPL-2.1-or-later
"""Imports run one way: the store's modules in a total order, then fuse and sysroot, then the CLI.

Imports inside functions and under TYPE_CHECKING count too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import ROOT, project_files

# ---- the tables; a new module of the store goes into one of these two ----

# The store: the modules of the base, then packages. Each imports only what stands before it.
STORE_BASE = (
    "errors",
    "model",
    "names",
    "globs",
    "codec",
    "layer",
    "acl",
    "beneath",
    "durable",
    "content",
    "metadata",
    "lock",
    "parallel",
    "leases",
    "retention",
    "packing",
    "environment",
    "index",
    "dates",
    "objects",
    "config",
    "reflog",
    "refs",
    "pins",
    "bisections",
    "repository",
    "space",
    "statcache",
    "modifiers",
    "traverse",
    "batch",
    "known",
    "verify",
)

STORE_PACKAGES: dict[str, tuple[str, ...]] = {
    "pruning": (
        "keeping",
        "placechanges",
        "shares",
        "usagerecords",
        "usage",
        "marking",
        "prune",
    ),
    "tar": (
        "tarstream",
        "tarmember",
        "tarlayer",
        "tarheader",
        "export",
        "streamed",
        "tarimport",
    ),
    "committing": (
        "sourcedir",
        "redescribe",
        "scan",
        "reader",
        "consume",
        "walk",
        "ingest",
        "merge",
        "retouch",
        "upper",
        "sharing",
        "compose",
        "bootable",
        "commit",
    ),
    "checkouts": (
        "directories",
        "filemaker",
        "checkoutplan",
        "checkout",
    ),
    "checking": (
        "locate",
        "twins",
        "fsck",
        "derive",
        "salvage",
        "repair",
        "rederive",
        "mend",
        "discard",
    ),
    "comparing": (
        "diff",
        "diffstat",
        "textdiff",
        "patch",
        "history",
        "ancestry",
        "lanes",
        "versions",
        "packages",
        "rpmheader",
        "rpmdb",
        "sides",
        "packagesets",
        "builds",
    ),
}

# package -> what nothing in it imports
FORBIDDEN: dict[str, set[str]] = {
    "ostreefs_store": {"ostreefs", "pyfuse3", "trio", "argparse", "tqdm"},
    "ostreefs.fuse": {"ostreefs.cli", "ostreefs.sandbox", "ostreefs.sysroot", "argparse"},
    "ostreefs.pages": {
        *("ostreefs.cli", "ostreefs.fuse", "ostreefs.sandbox", "ostreefs.sysroot"),
        *("argparse", "tqdm", "pyfuse3", "trio"),
    },
    "ostreefs.sysroot": {"ostreefs.cli", "ostreefs.fuse", "pyfuse3", "trio", "argparse"},
    "ostreefs.sandbox": {
        "ostreefs.cli",
        "ostreefs.bisect",
        "ostreefs.compose",
        "argparse",
        "tqdm",
    },
    "ostreefs.compose": {
        *("ostreefs.cli", "ostreefs.bisect", "ostreefs.pages", "ostreefs.sysroot"),
        *("argparse", "tqdm", "pyfuse3", "trio"),
    },
    "ostreefs.bisect": {"ostreefs.cli", "ostreefs.pages", "argparse", "tqdm"},
}

# ---- reading imports ----


def module_name(path: Path) -> str:
    """Name the module in `path`, which is relative to the project's root."""
    parts = path.with_suffix("").parts
    if parts[0] == "store":
        parts = parts[1:]
    return ".".join(parts).removesuffix(".__init__")


def iter_imports(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything that a module imports.

    `from a import b` yields `a.b`, since b may be a module.
    """
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module or "").split(".")] if node.module else above
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def store_order() -> list[str]:
    """Every module of the store, dotted names below the package, each before its users."""
    packaged = [f"{p}.{m}" for p, modules in STORE_PACKAGES.items() for m in modules]
    return [*STORE_BASE, *packaged]


def store_room(name: str) -> str | None:
    """The module of the store that a dotted name lies in, or None."""
    package, _, rest = name.partition(".")
    if package != "ostreefs_store" or not rest:
        return None
    parts = rest.split(".")
    if parts[0] in STORE_PACKAGES and len(parts) == 1:
        return None
    return ".".join(parts[:2]) if parts[0] in STORE_PACKAGES else parts[0]


# ---- the rules ----


def find_violations(path: Path, source: str) -> Iterator[str]:
    importer = module_name(path)
    for line, name in iter_imports(path, source):
        reason = why_forbidden(importer, name)
        if reason is not None:
            yield f"{path}:{line}: {importer} imports {name}: {reason}"


def why_forbidden(importer: str, name: str) -> str | None:
    for package, forbidden in FORBIDDEN.items():
        if is_under(importer, package) and any(is_under(name, f) for f in forbidden):
            return f"{package} stands below it"
    here, there = store_room(importer), store_room(name)
    if here is None or not is_under(name, "ostreefs_store") or here == there:
        return None
    order = store_order()
    if there not in order:
        return "no module in the tables; import from the one that defines it"
    if here in order and order.index(there) > order.index(here):
        return f"{here} comes before {there}"
    return None


def sources() -> list[Path]:
    paths = [path.relative_to(ROOT) for path in project_files() if path.suffix == ".py"]
    return [path for path in paths if path.parts[0] in {"store", "ostreefs"}]


def test_imports_run_one_way() -> None:
    found = [v for path in sources() for v in find_violations(path, (ROOT / path).read_text())]
    assert not found, "\n".join(found)


def test_every_store_module_has_its_place() -> None:
    names = {room for path in sources() if (room := store_room(module_name(path))) is not None}
    homeless = sorted(names - {*store_order()})
    assert not homeless, (
        f"put {', '.join(homeless)} into STORE_BASE or STORE_PACKAGES of tests/test_layering.py"
    )


def test_every_name_in_the_tables_is_a_module() -> None:
    order = store_order()
    assert len(order) == len(set(order))
    folder = ROOT / "store/ostreefs_store"
    gone = [name for name in order if not (folder / f"{name.replace('.', '/')}.py").exists()]
    assert not gone


# ---- the checker itself ----


@pytest.mark.parametrize(
    ("path", "source", "offender"),
    [
        ("store/ostreefs_store/codec.py", "import ostreefs_store.index", "ostreefs_store.index"),
        (
            "store/ostreefs_store/codec.py",
            "from .index import Index",
            "ostreefs_store.index.Index",
        ),
        ("store/ostreefs_store/codec.py", "from . import index", "ostreefs_store.index"),
        ("store/ostreefs_store/codec.py", "def f():\n  import trio", "trio"),
        (
            "store/ostreefs_store/objects.py",
            "from .checking.fsck import x",
            "ostreefs_store.checking.fsck.x",
        ),
        (
            "store/ostreefs_store/traverse.py",
            "from .checking.fsck import x",
            "ostreefs_store.checking.fsck.x",
        ),
        ("store/ostreefs_store/refs.py", "from ostreefs_store import Repo", "ostreefs_store.Repo"),
        ("store/ostreefs_store/__init__.py", "import ostreefs.cli", "ostreefs.cli"),
        ("ostreefs/fuse/serve.py", "from ..cli import main", "ostreefs.cli.main"),
        ("ostreefs/fuse/__init__.py", "from .. import sysroot", "ostreefs.sysroot"),
    ],
)
def test_violation_is_found(path: str, source: str, offender: str) -> None:
    found = list(find_violations(Path(path), source))
    assert len(found) == 1, found
    assert f" imports {offender}: " in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("store/ostreefs_store/codec.py", "from .errors import StoreError\nimport msgspec"),
        ("store/ostreefs_store/checking/fsck.py", "from .locate import x\nfrom ..index import y"),
        ("store/ostreefs_store/__init__.py", "from .checking.fsck import fsck"),
        ("ostreefs/fuse/serve.py", "import trio, pyfuse3\nfrom ostreefs_store.index import Index"),
        ("ostreefs/cli/mount.py", "from ostreefs.fuse.serve import serve\nimport argparse"),
    ],
)
def test_permitted_import_is_let_pass(path: str, source: str) -> None:
    assert list(find_violations(Path(path), source)) == []
