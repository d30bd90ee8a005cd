# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings: found, changed, and everything else in the file left as it is."""

import tomllib
from typing import Any

import pytest

from ostreefs_store.config import (
    Config,
    _load_simple,
    format_config,
    format_value,
    get_setting,
    list_settings,
    parse_config,
    set_setting,
    unset_setting,
)
from ostreefs_store.errors import InvalidSettingError, SettingNotFoundError
from ostreefs_store.retention import parse_policy

NEW = format_config("bare")
PERCENT = "core.min-free-space-percent"
SIZE = "core.min-free-space-size"

BY_HAND = """\
# ours
[ repository ]  # fixed
format = 1
mode = 'bare'

[retention]
# stable is for ever
"os/stable" = "all"   # really
nightly = \"\"\"14 last\"\"\"
[ core ]
min-free-space-percent=5# less is too little
extra = [1, 2,
  3]
"""


def parse(text: str) -> Config:
    return parse_config(text, "/r", writable=True)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (PERCENT, "7", "min-free-space-percent = 7"),
        (PERCENT, "0", "min-free-space-percent = 0"),
        (SIZE, "500MB", 'min-free-space-size = "500MB"'),
        ("retention.main", "7 daily", 'main = "7 daily"'),
        ("retention.os/1.0/x86", "all", '"os/1.0/x86" = "all"'),
        ("retention.nightly/*", "14 last", '"nightly/*" = "14 last"'),
    ],
)
@pytest.mark.parametrize("text", [NEW, NEW.rstrip("\n"), BY_HAND])
def test_set_get_unset(text: str, key: str, value: str, line: str) -> None:
    edited = set_setting(text, key, value)
    assert line in edited.replace("  # less is too little", "").splitlines()
    assert format_value(get_setting(edited, key)) == value
    expected = list_settings(text) | {key: get_setting(edited, key)}
    assert list_settings(edited) == expected
    parse(edited)
    cleared = unset_setting(edited, key)
    del expected[key]
    assert list_settings(cleared) == expected
    with pytest.raises(SettingNotFoundError):
        get_setting(cleared, key)
    with pytest.raises(SettingNotFoundError):
        unset_setting(cleared, key)


def test_a_change_leaves_the_rest_alone() -> None:
    edited = set_setting(BY_HAND, PERCENT, "6")
    assert edited == BY_HAND.replace(
        "min-free-space-percent=5# less", "min-free-space-percent = 6  # less"
    )
    edited = set_setting(BY_HAND, "retention.os/stable", "3 last")
    assert edited == BY_HAND.replace('"all"   # really', '"3 last"  # really')
    assert unset_setting(BY_HAND, PERCENT).startswith(BY_HAND[:150])


def test_new_settings_stand_in_their_section() -> None:
    edited = NEW
    for key, value in ((PERCENT, "1"), ("retention.a", "all"), (SIZE, "1GB")):
        edited = set_setting(edited, key, value)
    assert edited == NEW + (
        '\n[core]\nmin-free-space-percent = 1\nmin-free-space-size = "1GB"\n'
        '\n[retention]\na = "all"\n'
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (PERCENT, "100"),
        (PERCENT, "-1"),
        (PERCENT, "3%"),
        (PERCENT, ""),
        (PERCENT, "٣"),
        (SIZE, "500"),
        (SIZE, "500mb"),
        (SIZE, "0.5GB"),
        (SIZE, "99999999999TB"),
        ("retention.main", "often"),
        ("retention.", "all"),
        ("retention.a\nb", "all"),
        ('retention.a"b', "all"),
        ("retention.a\\b", "all"),
        ("core.mode", "bare"),
        ("core", "1"),
        ("", ""),
        ("repository.mode", "bare"),
        ("features.incompatible", "x"),
    ],
)
def test_what_cannot_be_set(key: str, value: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        set_setting(NEW, key, value)
    assert caught.value.key == key


def test_what_cannot_be_got_or_unset() -> None:
    with pytest.raises(InvalidSettingError, match="no such setting"):
        get_setting(NEW, "core.nonsense")
    with pytest.raises(SettingNotFoundError):
        get_setting(NEW, PERCENT)
    assert get_setting(NEW, "repository.mode") == "bare"
    with pytest.raises(InvalidSettingError, match="fixed"):
        unset_setting(NEW, "repository.mode")


@pytest.mark.parametrize(
    "text",
    [
        NEW + "core.min-free-space-percent = 5\n",
        NEW + "[features.core]\n[core]\nmin-free-space-percent = '''\n5'''\n",
        NEW + 'core = { "min-free-space-percent" = 5 }\n',
    ],
)
def test_forms_that_are_not_edited(text: str) -> None:
    """An edit that would do anything else than asked is refused, never made."""
    for value in ("6", None):
        try:
            edited = (
                unset_setting(text, PERCENT)
                if value is None
                else set_setting(text, PERCENT, value)
            )
        except (InvalidSettingError, SettingNotFoundError):
            continue
        wanted = dict(list_settings(text))
        wanted.pop(PERCENT, None)
        found = list_settings(edited)
        found.pop(PERCENT, None)
        assert found == wanted


# ---- what the settings mean ----


@pytest.mark.parametrize(
    ("lines", "percent", "size"),
    [
        ("", 3, None),
        ("min-free-space-percent = 10", 10, None),
        ('min-free-space-size = "2MB"', 3, 2 << 20),
        ('min-free-space-size = "1TB"', 3, 1 << 40),
        ('min-free-space-size = "0MB"\nmin-free-space-percent = 0', 0, None),
    ],
)
def test_free_space(lines: str, percent: int, size: int | None) -> None:
    config = parse(f"{NEW}[core]\n{lines}\n")
    assert (config.min_free_space_percent, config.min_free_space_size) == (percent, size)


@pytest.mark.parametrize("value", ["-1", "100", '"3"', "true", "3.0", "[]"])
def test_a_wrong_percentage_stops_who_needs_it_alone(value: str) -> None:
    config = parse(f"{NEW}[core]\nmin-free-space-percent = {value}\n")
    with pytest.raises(InvalidSettingError, match="min-free-space-percent"):
        _ = config.min_free_space_percent
    assert config.find_policy("main") is None


def test_policies_by_name_then_by_pattern() -> None:
    config = parse(NEW + '[retention]\n"*" = "1 last"\nmain = "2 last"\n"m*" = "3 last"\n')
    assert config.find_policy("main") == parse_policy("2 last")
    assert config.find_policy("more") == parse_policy("1 last")


# ---- our own reading of TOML ----


@pytest.mark.parametrize(
    "text",
    [
        NEW,
        BY_HAND,
        set_setting(NEW, "retention.x/*", "all"),
        "",
        "[a]\nb = 1 # c\n",
        '[a]\nb = "x" # "y"\n"c d" = []\n',
        '[a]\nb = ["x", "y"]\n[c]\n',
        "[a]\n[a]\n",
        "[a]\nb = 1\nb = 2\n",
        '[a]\nb = "\\n"\n',
        "[a]\nb = 01\n",
        "[a]\nb = 1_0\n",
        "[a]\nb = true\n",
        "b = 1\n",
        "[a]\r\nb = 1\r\n",
        "[a]\nb = 1 # \x01\n",
        '[a]\nb = "\t"\n',
        "[a]\n'b' = 1\n",
        '[a]\n"" = 1\n',
        "[a] b = 1\n",
    ],
)
def test_the_quick_way_agrees_with_tomllib(text: str) -> None:
    wanted: dict[str, Any] | None
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        wanted = None
    assert _load_simple(text) in (None, wanted)


def test_the_quick_way_reads_what_is_written_here() -> None:
    text = set_setting(set_setting(NEW, PERCENT, "5"), "retention.os/*", "7 daily, 2 weekly")
    assert _load_simple(text) == tomllib.loads(text)


def test_reflog_limit() -> None:
    assert parse(NEW).reflog_limit == 1000
    assert parse(f"{NEW}[core]\nreflog-limit = 7\n").reflog_limit == 7
    assert parse(set_setting(NEW, "core.reflog-limit", "7")).reflog_limit == 7
    for wrong in ("0", "-1", "many", ""):
        with pytest.raises(InvalidSettingError, match="no number above 0"):
            set_setting(NEW, "core.reflog-limit", wrong)
    wrong_by_hand = parse(f'{NEW}[core]\nreflog-limit = "x"\n')
    with pytest.raises(InvalidSettingError, match="reflog-limit"):
        _ = wrong_by_hand.reflog_limit
