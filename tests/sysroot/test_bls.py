# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boot Loader Specification: whatever write is the last, what boots is the old or the new one."""

from collections.abc import Sequence
from itertools import pairwise, permutations
from pathlib import Path

import pytest

from ostreefs.sysroot.boot.bls import (
    BootEntries,
    Present,
    format_entry,
    format_file_name,
    parse_file_name,
    plan_entries,
)
from ostreefs.sysroot.boot.loader import BootEntry

NAMES = tuple(f"os-{number}-0123abcd" for number in range(4))


def entry(name: str, options: str = "ro") -> BootEntry:
    return BootEntry(name, f"title of {name}", "/k/vmlinuz", "/k/initramfs.img", options)


def as_present(files: dict[str, str]) -> list[Present]:
    found = []
    for file, text in files.items():
        parsed = parse_file_name(file)
        assert parsed is not None
        found.append(Present(*parsed, file, text))
    return found


def default_of(files: dict[str, str]) -> str | None:
    """What boots, as a loader finds it: by ``version``."""
    texts = [dict(line.split(" ", 1) for line in text.splitlines()) for text in files.values()]
    first = max(texts, key=lambda keys: int(keys["version"]), default=None)
    return None if first is None else first["title"].removeprefix("title of ")


def states(files: dict[str, str], wanted: Sequence[BootEntry]) -> list[dict[str, str]]:
    """Every state of the folder from the old to the new one."""
    plan = plan_entries(as_present(files), wanted)
    passed = [dict(files)]
    for file, text in plan.write:
        assert file not in passed[-1]
        passed.append({**passed[-1], file: text})
    for file in plan.delete:
        passed.append({name: text for name, text in passed[-1].items() if name != file})
    return passed


@pytest.mark.parametrize("before", [NAMES[:size] for size in range(4)])
def test_what_boots_changes_once(before: tuple[str, ...]) -> None:
    old = states({}, [entry(name) for name in before])[-1]
    assert default_of(old) == (before[0] if before else None)
    for size in range(1, 5):
        for after in permutations(NAMES, size):
            passed = states(old, [entry(name) for name in after])
            booting = [default_of(files) for files in passed]
            changes = [one for one, other in pairwise(booting) if one != other]
            assert len(changes) == (before[:1] != after[:1])
            assert booting[-1] == after[0]
            for name in {*before} & {*after}:  # who was there and stays is always there
                assert all(any(name in file for file in files) for files in passed)
            ordered = [p.deployment for p in sorted(as_present(passed[-1]), reverse=True)]
            assert tuple(ordered) == after
            assert len(states(passed[-1], [entry(name) for name in after])) == 1


def test_nothing_is_written_twice() -> None:
    files = states({}, [entry(name) for name in NAMES[:3]])[-1]
    plan = plan_entries(as_present(files), [entry(NAMES[3]), *map(entry, NAMES[:3])])
    assert len(plan.write) == 1
    assert not plan.delete
    plan = plan_entries(as_present(files), [entry(NAMES[1]), entry(NAMES[0]), entry(NAMES[2])])
    assert len(plan.write) == 1
    assert plan.delete == (next(file for file in files if NAMES[1] in file),)


def test_other_arguments_are_written() -> None:
    files = states({}, [entry(NAMES[0])])[-1]
    passed = states(files, [entry(NAMES[0], "ro quiet")])
    assert [len(state) for state in passed] == [1, 2, 1]
    assert "options ro quiet\n" in next(iter(passed[-1].values()))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (format_file_name(7, NAMES[0]), (7, NAMES[0])),
        (f"ostreefs-001000-{NAMES[0]}+3.conf", (1000, NAMES[0])),
        (f"ostreefs-001000-{NAMES[0]}+2-1.conf", (1000, NAMES[0])),
        ("ostree-2-fedora.conf", None),
        ("ostreefs-001000-fedora.conf", None),
        (f"ostreefs-001000-{NAMES[0]}.conf~", None),
    ],
)
def test_file_names(file: str, expected: tuple[int, str] | None) -> None:
    assert parse_file_name(file) == expected


def test_the_folder_of_somebody_else(tmp_path: Path) -> None:
    """Whatever is not ours stays as it is; what a crash left goes."""
    folder = tmp_path / "loader/entries"
    loader = BootEntries("bls", folder)
    assert loader.find_default() is None
    loader.install([])
    (folder / "debian-6.1.conf").write_text("title Debian\n")
    (folder / ".tmp-0123").write_text("")
    loader.install([entry(NAMES[1]), entry(NAMES[0])])
    assert loader.find_default() == NAMES[1]
    text = (folder / format_file_name(1001, NAMES[1])).read_text()
    assert text == format_entry(1001, entry(NAMES[1]))
    assert text == (
        f"title title of {NAMES[1]}\nversion 1001\nsort-key ostreefs\noptions ro\n"
        "linux /k/vmlinuz\ninitrd /k/initramfs.img\n"
    )
    loader.install([])
    assert [path.name for path in folder.iterdir()] == ["debian-6.1.conf"]
