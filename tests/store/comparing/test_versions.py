# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which version is newer."""

import shutil
import subprocess
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostreefs_store.comparing.versions import compare_deb, compare_rpm, compare_rpm_part


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


# Each line in ascending order; what stands in one tuple is equal.
DEB: list[list[tuple[str, ...]]] = [
    [("1.0~~",), ("1.0~~a",), ("1.0~",), ("1.0",), ("1.0a",), ("1.0+",), ("1.0.1",)],
    [("1.0~rc1-1",), ("1.0-1~bpo11+1",), ("1.0-1", "1.00-01", "0:1.0-1"), ("1.0-1+b1",)],
    [("1.2",), ("1.10",), ("2",), ("10",), ("1:0",), ("2:0",), ("10:0",)],
    [("1.0", "1.0-0", "0:1.0", "01.0"), ("1.0-0+deb11u1",), ("1.0-1",), ("1.0-1.1",)],
    [("5.2.15-2+b7",), ("5.2.15-2+b8",), ("5.2.15-2+b10",), ("5.2.15-3",)],
    [("2.36-9+deb12u7",), ("2.36-9+deb12u10",), ("2.36.1-1",), ("2.37-1",)],
    [("1.0-1-1",), ("1.0-2-1",), ("1.0-2-2",)],
    [("0.99999999999999999999999998",), ("0.99999999999999999999999999",)],
    [("a",), ("b",), ("+",)],
    [("1.0a~",), ("1.0a",), ("1.0aa",)],
]

RPM: list[list[tuple[str, ...]]] = [
    [("1.0~rc1",), ("1.0~rc2",), ("1.0",), ("1.0^",), ("1.0^git1",), ("1.0^git2",), ("1.0.1",)],
    [("1.0~rc1^git1",), ("1.0~rc2",)],
    [("1.0a",), ("1.0.1",)],
    [("fc4",), ("4",), ("5",)],
    [("2a",), ("2.0",)],
    [("1.0", "1_0", "1..0", "1.00", "01.0"), ("1.0aa",), ("1.0ab",), ("1.1",), ("1.10",)],
    [("10xyz",), ("10.1xyz",)],
    [("xyz.4",), ("xyz10",), ("8",)],
    [("5.5p1",), ("5.5p2",), ("5.5p10",), ("5.6p1",)],
    [("6.0",), ("6.0.rc1",)],
    [("20101121",), ("20101122",)],
    [("1b.fc17",), ("1.fc17",), ("1g.fc17",)],
    [("2.0",), ("2.0.1",), ("2.0.1a",)],
    [("xyz10",), ("xyz10.1",)],
    [("10a1",), ("10a2",), ("10b2",)],
    [("10.0001", "10.1"), ("10.0039", "10.39")],
    [("4.999.9",), ("5.0",)],
    [("a", "a+", "a_", "+a_"), ("a+b",)],
    [("1.0~rc1~git123",), ("1.0~rc1",), ("1.0~rc1^git1",)],
    [("1.0^git1~pre",), ("1.0^git1",), ("1.01",)],
    [("1.0^20160101",), ("1.0^20160101^git1",), ("1.0.1",)],
]

RPM_WHOLE: list[list[tuple[str, ...]]] = [
    [("1.0-1", "0:1.0-1"), ("1.0-2",), ("1.0-10",), ("1.1-1",), ("1:0.1-1",), ("2:0.1-1",)],
    [("1.0-1.fc39",), ("1.0-1.fc40",), ("1.0-2.fc39",)],
    [("5.14.0-70.el9",), ("5.14.0-362.8.1.el9",)],
]


def pairs(table: list[list[tuple[str, ...]]]) -> list[tuple[str, str, int]]:
    found = []
    for line in table:
        places = [(place, version) for place, same in enumerate(line) for version in same]
        for (one, left), (other, right) in combinations(places, 2):
            found.append((left, right, sign(one - other)))
    return found


@pytest.mark.parametrize(("one", "other", "expected"), pairs(DEB))
def test_deb(one: str, other: str, expected: int) -> None:
    assert sign(compare_deb(one, other)) == expected
    assert sign(compare_deb(other, one)) == -expected
    assert compare_deb(one, one) == 0


@pytest.mark.parametrize(("one", "other", "expected"), pairs(DEB))
def test_dpkg_agrees(one: str, other: str, expected: int) -> None:
    if shutil.which("dpkg") is None:
        pytest.skip("needs dpkg")
    word = {-1: "lt", 0: "eq", 1: "gt"}[expected]
    subprocess.run(
        ["dpkg", "--compare-versions", one, word, other], check=True, capture_output=True
    )


deb_versions = st.from_regex(r"\A([0-9]:)?[0-9][0-9a-b.+~]{0,6}(-[0-9ab.+~]{1,4})?\Z")


@settings(max_examples=60, deadline=None)
@given(deb_versions, deb_versions)
def test_dpkg_agrees_about_any(one: str, other: str) -> None:
    if shutil.which("dpkg") is None:
        pytest.skip("needs dpkg")
    word = {-1: "lt", 0: "eq", 1: "gt"}[sign(compare_deb(one, other))]
    done = subprocess.run(
        ["dpkg", "--compare-versions", one, word, other], check=False, capture_output=True
    )
    assert done.returncode == 0, (one, word, other)


@pytest.mark.parametrize(("one", "other", "expected"), pairs(RPM))
def test_rpm_parts(one: str, other: str, expected: int) -> None:
    assert sign(compare_rpm_part(one, other)) == expected
    assert sign(compare_rpm_part(other, one)) == -expected
    assert compare_rpm_part(one, one) == 0


@pytest.mark.parametrize(("one", "other", "expected"), pairs(RPM_WHOLE))
def test_rpm(one: str, other: str, expected: int) -> None:
    assert sign(compare_rpm(one, other)) == expected
    assert sign(compare_rpm(other, one)) == -expected


versions = st.text("0123ab.~^-:", max_size=8)


@given(versions, versions, versions)
def test_orders(one: str, two: str, three: str) -> None:
    """Whatever text there is: turned round it is reversed; and dpkg's order is transitive."""
    for compare in (compare_deb, compare_rpm_part):
        assert sign(compare(one, two)) == -sign(compare(two, one))
    if compare_deb(one, two) <= 0 and compare_deb(two, three) <= 0:
        assert compare_deb(one, three) <= 0
