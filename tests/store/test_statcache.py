# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is remembered of a source directory: pure parts."""

import os

import pytest

from ostreefs_store.model import Digest
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.statcache import (
    COARSE_SLACK_NS,
    FACTS,
    NO_DIGEST,
    SLACK_NS,
    UNKNOWN,
    DirectoryRecord,
    decode_record,
    directory_key,
    encode_record,
    forget_racy,
    is_racy,
    pack_facts,
    pack_names,
    split_digests,
    unpack_names,
)

NOW = 1_700_000_000_123_456_789


def make_record(
    names: tuple[str, ...] = (), facts: tuple[int, ...] = (), digests: tuple[Digest, ...] = ()
) -> DirectoryRecord:
    return DirectoryRecord(
        fingerprint=Modifiers().fingerprint(1),
        ctime=NOW,
        mode=0o755,
        uid=1,
        gid=2,
        xattrs=((b"user.a", b"b"),),
        names=pack_names(names),
        facts=pack_facts(list(facts)),
        digests=b"".join(digests),
        subdirectories=pack_names(["sub"]),
        trees=bytes([7]) * 32,
        tree=NO_DIGEST,
        skipped=(b"socket",),
    )


def test_round_trip() -> None:
    digests = (Digest(b"\1" * 32), Digest(b"\2" * 32))
    record = make_record(("a\udcff", "b\n"), (1, 2, 3, 4, 5, 6, 7, 8), digests)
    found = decode_record(encode_record(record), Modifiers().fingerprint(1))
    assert found == record
    assert found.files() == {
        "a\udcff": ((1, 2, 3, 4), digests[0]),
        "b\n": ((5, 6, 7, 8), digests[1]),
    }
    assert unpack_names(found.subdirectories) == ["sub"]
    assert split_digests(found.trees) == [bytes([7]) * 32]


def test_an_empty_directory() -> None:
    assert make_record().files() == {}
    assert unpack_names(pack_names([])) == []
    assert split_digests(b"") == []


def test_any_other_bytes_are_a_miss() -> None:
    fingerprint = Modifiers().fingerprint(1)
    encoded = encode_record(make_record())
    for other in (None, b"", b"\x01", encoded[:-1], encoded[1:], b"\x90"):
        assert decode_record(other, fingerprint) is None
    assert decode_record(encoded, Modifiers(xattrs=False).fingerprint(1)) is None


def test_fingerprints_differ() -> None:
    all_modifiers = [
        Modifiers(uid, gid, xattrs)
        for uid in (None, 0, 1, 11)
        for gid in (None, 0, 1, 11)
        for xattrs in (True, False)
    ]
    assert len({modifiers.fingerprint(1) for modifiers in all_modifiers}) == len(all_modifiers)
    assert Modifiers().fingerprint(1) != Modifiers().fingerprint(2), "another filesystem"
    assert {len(modifiers.fingerprint(1)) for modifiers in all_modifiers} == {8}


@pytest.mark.parametrize(
    ("age", "racy"),
    [(-1, True), (0, True), (SLACK_NS - 1, True), (SLACK_NS, True), (SLACK_NS + 1, False)],
)
def test_racy(age: int, *, racy: bool) -> None:
    assert is_racy(NOW - age, NOW) == racy


def test_filesystems_that_keep_whole_seconds() -> None:
    second = NOW - NOW % 1_000_000_000
    assert is_racy(second, second + COARSE_SLACK_NS)
    assert not is_racy(second, second + COARSE_SLACK_NS + 1)


def test_forget_racy() -> None:
    old = NOW - 10 * SLACK_NS
    facts = [1, 2, NOW, old, 5, 6, old, NOW]
    assert forget_racy(facts, NOW) == [1, 2, NOW, old, 5, 6, old, UNKNOWN]
    assert facts[-1] == NOW, "the argument is left alone"
    assert len(facts) == 2 * FACTS


def test_numbers_of_any_size() -> None:
    assert pack_facts([2**64 - 1, 0, 2**63, -5]) == pack_facts([2**64 - 1, 0, 2**63, -5])
    assert len(pack_facts([2**64 - 1, 0, 0, 0])) == 4 * 8
    assert directory_key(2**64 - 1, 1) == b"\xff" * 8 + b"\0" * 7 + b"\1"
    assert pack_names([os.fsdecode(b"\xff"), "é"]) == b"\xff\0" + "é".encode()
