# SPDX-License-Identifier: LGPL-2.1-or-later
"""Capabilities as text become what setcap(8) would set."""

import pytest

from ostreefs.compose.capabilities import parse_capabilities


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cap_net_raw=ep", (0x02000001, 1 << 13, 0, 0, 0)),
        ("= cap_net_raw+ep", (0x02000001, 1 << 13, 0, 0, 0)),
        ("cap_chown,cap_setuid=p", (0x02000000, 1 | 1 << 7, 0, 0, 0)),
        ("cap_checkpoint_restore=eip", (0x02000001, 0, 0, 1 << 8, 1 << 8)),
        ("=p cap_chown-p", (0x02000000, 0xFFFFFFFE, 0, 0x1FF, 0)),
        ("cap_kill=i cap_kill+p", (0x02000000, 1 << 5, 1 << 5, 0, 0)),
        ("", (0x02000000, 0, 0, 0, 0)),
    ],
)
def test_texts(text: str, words: tuple[int, ...]) -> None:
    expected = b"".join(word.to_bytes(4, "little") for word in words)
    assert parse_capabilities(text) == expected


@pytest.mark.parametrize("text", ["cap_net_raw", "cap_nothing=ep", "net raw", "=x", "CAP_KILL=ep"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="capabilit"):
        parse_capabilities(text)
