# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pure values: names, key files, origins, orders, kernel arguments, retention."""

import pytest

from ostreefs.sysroot.errors import KargError
from ostreefs.sysroot.kargs import Changes, change_kargs, find_last, from_running, parse_kargs
from ostreefs.sysroot.keyfile import format_keyfile, parse_keyfile
from ostreefs.sysroot.layout import Settings, format_settings, parse_settings
from ostreefs.sysroot.names import check_os_name, format_name, free_name, is_deployment_name
from ostreefs.sysroot.order import Orders, choose_order, format_orders, parse_orders
from ostreefs.sysroot.origin import Origin, format_origin, parse_origin
from ostreefs.sysroot.retention import Roles, choose_kept, find_roles
from ostreefs_store.errors import InvalidNameError
from ostreefs_store.model import Digest

COMMIT = Digest(bytes.fromhex("7e9788a2" * 8))
OTHER = Digest(bytes.fromhex("51f2cc40" * 8))

# ---- names ----


@pytest.mark.parametrize(
    ("os_name", "version", "serial", "expected"),
    [
        ("gnomeos", "3.2", 0, "gnomeos-3.2-7e9788a2"),
        ("gnomeos", "3.2", 2, "gnomeos-3.2-7e9788a2.2"),
        ("gnomeos", "", 0, "gnomeos-7e9788a2"),
        ("my-os", "a b/../c", 0, "my-os-a_b_.._c-7e9788a2"),
        ("os", "v" * 100, 0, f"os-{'v' * 64}-7e9788a2"),
    ],
)
def test_names(os_name: str, version: str, serial: int, expected: str) -> None:
    name = format_name(os_name, version, COMMIT, serial)
    assert name == expected
    assert is_deployment_name(name)


def test_a_free_name() -> None:
    taken = {"os-1-7e9788a2", "os-1-7e9788a2.1"}
    assert free_name("os", "1", COMMIT, taken) == "os-1-7e9788a2.2"


@pytest.mark.parametrize(
    "name",
    ["repo", "current", "a/b-7e9788a2", ".x-7e9788a2", "x-7e9788a2.0", "-7e9788a2", "x-7E9788A2"],
)
def test_what_is_no_deployment(name: str) -> None:
    assert not is_deployment_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 65, "a\n"])
def test_what_is_no_operating_system(name: str) -> None:
    with pytest.raises(InvalidNameError):
        check_os_name(name)


# ---- key files ----


@pytest.mark.parametrize(
    "value", ["", "plain", " leading", "a=b", "back\\slash", "two\nlines\t", "#x"]
)
def test_keyfile_values(value: str) -> None:
    groups = {"group": {"key": value}, "other": {"key": "2"}}
    assert parse_keyfile(format_keyfile(groups, "a comment")) == groups


@pytest.mark.parametrize(
    "text", ["key=value", "[g]\nkey", "[g]\nk=1\nk=2", "[g]\na b=1", "[g]\nk=\\x", "[g\nk=1"]
)
def test_what_is_no_keyfile(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        parse_keyfile(text)


def test_a_keyfile_as_glib_writes_it() -> None:
    text = "# comment\n\n[origin]\nrefspec = fedora:x\n[b]\n  \n"
    assert parse_keyfile(text) == {"origin": {"refspec": "fedora:x"}, "b": {}}


# ---- origins and settings ----

ORIGIN = Origin(
    refspec="gnomeos/stable",
    os="gnomeos",
    version="3.2",
    release=COMMIT,
    commit=OTHER,
    timestamp=1764000000,
    kargs=("root=LABEL=root", "ro", 'dyndbg="file x +p"'),
    boot="1f0e6ac2d49f5b11",
    pinned=True,
    others=(("origin", "note", "mine"), ("rpmostree", "x", "y")),
)


def test_origins() -> None:
    assert parse_origin(format_origin(ORIGIN)) == ORIGIN
    plain = ORIGIN._replace(version="", kargs=(), boot="", pinned=False, others=())
    assert parse_origin(format_origin(plain)) == plain
    assert ORIGIN.ref == "gnomeos/stable"
    assert ORIGIN._replace(refspec=COMMIT.hex()).ref is None


@pytest.mark.parametrize(
    ("line", "other", "reason"),
    [
        ("refspec=gnomeos/stable", "", "it has no refspec"),
        ("os=gnomeos", "os=../x", "invalid operating system"),
        ("os=gnomeos", "", "it has no os"),
        (f"commit={OTHER.hex()}", "commit=51f2", "'51f2' is no commit id"),
        ("timestamp=1764000000", "timestamp=x", "invalid literal"),
        ("boot=1f0e6ac2d49f5b11", "boot=../../etc", "is no folder of a kernel"),
        ("[deployment]", "", "is no group|it has no os"),
    ],
)
def test_damaged_origins(line: str, other: str, reason: str) -> None:
    text = format_origin(ORIGIN)
    assert line in text
    with pytest.raises(ValueError, match=reason):
        parse_origin(text.replace(line, other))


def test_settings() -> None:
    for settings in (Settings(), Settings("bls", "boot/efi", ("gnomeos", "debian"))):
        assert parse_settings(format_settings(settings)) == settings
    for folder in ("../boot", "/", "a//b", "a\nb"):
        with pytest.raises(ValueError, match="no folder"):
            parse_settings(f"[sysroot]\nboot={folder}\n".replace("a\nb", "a\\nb"))
    with pytest.raises(ValueError, match="operating system"):
        parse_settings("[sysroot]\nos=a b\n")


# ---- orders ----

A, B, C = (f"os-{version}-{'abcdef01'}" for version in "123")


def test_orders() -> None:
    orders = Orders((B, A), (A,))
    assert parse_orders(format_orders(orders)) == orders
    assert parse_orders(format_orders(Orders())) == Orders()
    assert parse_orders("now ../../x\ngarbage\n\nbefore\n") == Orders()
    assert parse_orders("garbage") is None


@pytest.mark.parametrize(
    ("first", "expected", "is_now"),
    [
        ((A, A), (A,), False),  # nothing was decided
        ((A, B), (B, A), True),  # the boot loader has it, `current` not yet
        ((B, B), (B, A), True),
        ((B, None), (B, A), True),  # no boot loader
        ((A, None), (A,), False),
        ((C, C), (C, B, A), False),  # by hand
        ((None, None), (C, B, A), False),
    ],
)
def test_which_order_holds(
    first: tuple[str | None, ...], expected: tuple[str, ...], is_now: bool
) -> None:
    assert choose_order(Orders((B, A), (A,)), first, [C, B, A]) == (expected, is_now)


@pytest.mark.parametrize(
    ("orders", "first", "expected", "is_now"),
    [
        (Orders(), (None, None), (), True),  # a new sysroot
        (Orders((A,), ()), (None, None), (), False),  # the first deployment was interrupted
        (Orders((A,), ()), (None, A), (A,), True),
        (Orders(), (A, None), (A, B), False),
        (None, (None, None), (B, A), False),
        (None, (A, A), (A, B), False),
    ],
)
def test_the_first_order(
    orders: Orders | None,
    first: tuple[str | None, ...],
    expected: tuple[str, ...],
    is_now: bool,
) -> None:
    assert choose_order(orders, first, [B, A]) == (expected, is_now)


def test_an_order_names_what_is_there() -> None:
    assert choose_order(Orders((B, A), (A,)), (B, B), [B]) == ((B,), True)


# ---- retention ----


@pytest.mark.parametrize(
    ("order", "booted", "roles", "kept"),
    [
        ((), None, Roles(), ()),
        ((A,), None, Roles(A), (A,)),
        ((C, B, A), None, Roles(C, None, None, B), (C, B)),
        ((C, B, A), C, Roles(C, C, None, B), (C, B)),
        ((C, B, A), B, Roles(C, B, C, B), (C, B)),
        ((C, B, A), A, Roles(C, A, C, A), (C, A)),  # B was never booted
    ],
)
def test_roles(
    order: tuple[str, ...], booted: str | None, roles: Roles, kept: tuple[str, ...]
) -> None:
    assert find_roles(order, booted) == roles
    assert choose_kept(order, booted, ()) == kept
    assert choose_kept(order, booted, {A}) == tuple(n for n in order if n in {*kept, A})


# ---- kernel arguments ----


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ()),
        ("  a  b=1\tc\n", ("a", "b=1", "c")),
        ('x="a b" y', ('x="a b"', "y")),
        ('"x=a b', ('"x=a b',)),
    ],
)
def test_command_lines(line: str, expected: tuple[str, ...]) -> None:
    assert parse_kargs(line) == expected


def test_what_the_running_kernel_has() -> None:
    line = parse_kargs("BOOT_IMAGE=/x initrd=\\y root=/dev/vda ostreefs=current ostreefs=b quiet")
    assert from_running(line) == ("root=/dev/vda", "quiet")
    assert find_last(line, "ostreefs") == "b"
    assert find_last(line, "quiet") is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (Changes(), "a=1 b a=2"),
        (Changes(start=()), ""),
        (Changes(replace=("a=3",)), "a=3 b"),
        (Changes(replace=("c",), append=("c",)), "a=1 b a=2 c c"),
        (Changes(delete=("b",)), "a=1 a=2"),
        (Changes(delete=("a=2",), append=('d="x y"',)), 'a=1 b d="x y"'),
    ],
)
def test_changes(changes: Changes, expected: str) -> None:
    assert change_kargs(("a=1", "b", "a=2"), changes) == parse_kargs(expected)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (Changes(delete=("a",)), "there are several of it, a=1, a=2"),
        (Changes(delete=("c",)), "no such argument"),
        (Changes(delete=("a=3",)), "no such argument"),
        (Changes(append=("x y",)), "not one argument"),
        (Changes(append=("",)), "not one argument"),
        (Changes(replace=("=x",)), "not one argument"),
        (Changes(replace=("a\nb",)), "not one argument"),
        (Changes(append=("ostreefs=x",)), "each deployment has its own"),
    ],
)
def test_impossible_changes(changes: Changes, reason: str) -> None:
    with pytest.raises(KargError, match=reason):
        change_kargs(("a=1", "b", "a=2"), changes)
