# SPDX-License-Identifier: LGPL-2.1-or-later
"""The texts of a sysroot: what is written is read again, and nothing but text is an error."""

import string
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from ostreefs.sysroot.errors import KargError
from ostreefs.sysroot.kargs import Changes, change_kargs, format_kargs, parse_kargs
from ostreefs.sysroot.keyfile import format_keyfile, parse_keyfile
from ostreefs.sysroot.names import format_name, is_deployment_name
from ostreefs.sysroot.order import Orders, choose_order, format_orders, parse_orders
from ostreefs.sysroot.origin import Origin, format_origin, parse_origin
from ostreefs.sysroot.rebase.declarations import LineDeclaration, apply_line, parse_declarations
from ostreefs.sysroot.retention import choose_kept, find_roles
from ostreefs_store.model import Digest

DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
OS_NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,30}", fullmatch=True).filter(str.isascii)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NAMES = st.builds(format_name, OS_NAMES, TEXT, DIGESTS, st.integers(0, 99))
ARGUMENTS = st.lists(
    st.from_regex(r"[a-z.]{1,8}(=([a-z0-9/]{0,5}|\"[a-z ]{0,6}\"))?", fullmatch=True), max_size=6
)
KEYS = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=8)


@given(OS_NAMES, TEXT, DIGESTS, st.integers(0, 999))
def test_every_name_is_one(os_name: str, version: str, commit: Digest, serial: int) -> None:
    name = format_name(os_name, version, commit, serial)
    assert is_deployment_name(name)
    assert len(name) <= 255 - len(".origin")


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, TEXT, min_size=1, max_size=3), max_size=3))
def test_keyfiles(groups: dict[str, dict[str, str]]) -> None:
    assert parse_keyfile(format_keyfile(groups)) == groups


@given(OS_NAMES, TEXT, TEXT, DIGESTS, ARGUMENTS)
def test_origins(
    os_name: str, refspec: str, version: str, commit: Digest, kargs: list[str]
) -> None:
    origin = Origin(refspec or "x", os_name, version, commit, commit, 7, tuple(kargs))
    assert parse_origin(format_origin(origin)) == origin


@given(TEXT)
def test_any_text(text: str) -> None:
    """What is no such file is told, and never more than that."""
    for parse in (parse_keyfile, parse_origin, parse_declarations):
        with suppress(ValueError):
            parse(text)
    parse_orders(text)


@given(st.text(max_size=80))
def test_command_lines(line: str) -> None:
    arguments = parse_kargs(line)
    assert parse_kargs(format_kargs(arguments)) == arguments


@given(ARGUMENTS, ARGUMENTS, ARGUMENTS, ARGUMENTS)
def test_changes(there: list[str], delete: list[str], replace: list[str], add: list[str]) -> None:
    with suppress(KargError):
        changes = Changes(None, tuple(delete), tuple(replace), tuple(add))
        changed = change_kargs(there, changes)
        assert parse_kargs(format_kargs(changed)) == changed
        assert changed[len(changed) - len(add) :] == tuple(add)


@given(st.lists(NAMES, max_size=5, unique=True), st.data())
def test_orders(names: list[str], data: st.DataObject) -> None:
    """Whatever was interrupted, what boots is first, and one of the two orders holds or none."""
    now = tuple(data.draw(st.permutations(names)))
    before = now[data.draw(st.integers(0, len(now))) :]
    orders = Orders(now, before)
    assert parse_orders(format_orders(orders)) == orders
    current = data.draw(st.sampled_from([None, *names]))
    default = data.draw(st.sampled_from([None, *names]))
    order, is_now = choose_order(orders, (current, default), names)
    assert set(order) <= set(names)
    if order:
        assert is_now == (order == now and order[0] in {current, default}) or order in {
            now,
            before,
        }
    if current is not None or default is not None:
        assert order
        assert order[0] in {current, default}


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True), st.data())
def test_what_is_kept(names: list[str], data: st.DataObject) -> None:
    booted = data.draw(st.sampled_from([None, *names]))
    pinned = data.draw(st.sets(st.sampled_from(names)))
    kept = choose_kept(names, booted, pinned)
    assert {names[0], *pinned} <= set(kept)
    assert booted is None or booted in kept
    assert len(kept) >= min(2, len(names))
    assert list(kept) == [name for name in names if name in kept]
    roles = find_roles(names, booted)
    assert roles.current != roles.rollback
    assert len(set(kept) - pinned) <= 2


@given(TEXT, st.from_regex(r"[a-z]{1,5}=[0-9]", fullmatch=True))
def test_lines(text: str, line: str) -> None:
    """A second time changes nothing."""
    declaration = LineDeclaration(b"/x", line, f"^#?{line[:2]}")
    once = apply_line(text, declaration)
    assert apply_line(once, declaration) == once
    assert once.splitlines().count(line) == 1
