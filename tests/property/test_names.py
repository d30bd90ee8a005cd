# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names: what is let in can be used, and nothing else comes out than our own error."""

import os
import string

from hypothesis import given
from hypothesis import strategies as st

from ostreefs_store import names
from ostreefs_store.errors import InvalidNameError

REF_LETTERS = string.ascii_letters + string.digits + "-._+/"


def is_ref(text: str) -> bool:
    try:
        names.check_ref(text)
    except InvalidNameError:
        return False
    return True


@given(st.text() | st.text(REF_LETTERS, min_size=1, max_size=20))
def test_refs(text: str) -> None:
    if is_ref(text):
        parts = text.split("/")
        assert all(part and part[0] not in "-.+" for part in parts)
        assert set(text) <= set(REF_LETTERS)
        assert os.path.normpath(text) == text
        assert not set("^~: \n") & set(text)
        assert len(text.encode()) <= 255


@given(
    st.lists(
        st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8),
        min_size=1,
        max_size=4,
    )
)
def test_plain_words_are_refs(words: list[str]) -> None:
    assert is_ref("/".join(words))
    assert is_ref("/".join(f"{word}-1.0+x" for word in words))


@given(st.binary(max_size=300))
def test_file_names(name: bytes) -> None:
    try:
        names.check_file_name(name)
    except InvalidNameError:
        assert not name or name in {b".", b".."} or {0, ord("/")} & set(name) or len(name) > 255
    else:
        assert os.path.basename(name) == name
        assert os.path.normpath(b"a/" + name) == b"a/" + name
