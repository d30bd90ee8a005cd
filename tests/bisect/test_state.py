# SPDX-License-Identifier: LGPL-2.1-or-later
"""The state of a bisection as a record and as a log."""

import pytest

from ostreefs.bisect.errors import BisectError, ReplayError, TermsError
from ostreefs.bisect.state import (
    Mark,
    State,
    check_terms,
    decode_state,
    encode_state,
    format_log,
    parse_log,
    read_term,
)

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32
STATE = State(
    started=1,
    terms=("slow", "fast"),
    paths=(b"usr/lib", b"a b"),
    marks=(Mark("bad", ONE, 2, 1), Mark("good", TWO, 3, 2, "", 0, 0.5)),
    current=TWO,
)


def test_the_state_comes_back() -> None:
    assert decode_state(encode_state(STATE), "x") == STATE


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"\x90", encode_state(STATE)[:-1]])
def test_garbage_is_no_state(garbage: bytes) -> None:
    with pytest.raises(BisectError, match="cannot be read"):
        decode_state(garbage, "x")


def test_a_state_of_the_future() -> None:
    future = encode_state(State(started=1, version=2))
    with pytest.raises(BisectError, match="newer"):
        decode_state(future, "x")


def test_the_last_word_counts() -> None:
    marks = (Mark("bad", ONE, 1, 1), Mark("skip", ONE, 2, 2), Mark("skip", TWO, 3, 3))
    state = State(started=1, marks=(*marks, Mark("good", TWO, 4, 4)))
    assert (state.having("bad"), state.having("good"), state.having("skip")) == ([ONE], [TWO], [])


def test_the_log_can_be_parsed() -> None:
    text = "\n".join(format_log(STATE, lambda _: "sub\nject\udc80", ["the end"]))
    assert f"# slow: [{ONE.hex()}] sub\\nject\\udc80" in text
    start, bad, good = parse_log(text, "log")
    assert (start.verb, start.words) == (
        "start",
        ("--term-new=slow", "--term-old=fast", "--", "usr/lib", "a b"),
    )
    assert (bad.verb, bad.words) == ("slow", (ONE.hex(),))
    assert (good.verb, good.words) == ("fast", (TWO.hex(),))


def test_a_log_of_git() -> None:
    text = (
        "git bisect start 'v2' 'v1'\n# good: [1234] x\ngit bisect good 1234\ngit-bisect skip 5678"
    )
    assert [line.verb for line in parse_log(text, "log")] == ["start", "good", "skip"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: it has no 'bisect start'"),
        ("\0\1", "line 1: '\\x00\\x01' is no line of a log"),
        ("git bisect good x", "line 1: a log begins with 'bisect start'"),
        ("git bisect start\n\ngit bisect start", "line 3: a second 'bisect start'"),
        ("git bisect start\nrm -rf /", "line 2: 'rm -rf /' is no line of a log"),
        ("git bisect start 'x", "line 1: a quotation mark has no other one"),
        ("git bisect", "line 1: there is no verb"),
    ],
)
def test_what_is_no_log(text: str, reason: str) -> None:
    with pytest.raises(ReplayError) as caught:
        parse_log(text, "file")
    assert str(caught.value) == f"file, {reason}; nothing was replayed"


def test_terms_settle_with_the_first_verdict() -> None:
    state = State(started=1)
    found = read_term(state, "new")
    assert found is not None
    assert (found[0], found[1].terms) == ("bad", ("new", "old"))
    assert read_term(found[1], "old") == ("good", found[1])
    with pytest.raises(TermsError, match="other terms than 'bad'"):
        read_term(found[1], "bad")
    assert read_term(state, "fixed") is None
    assert read_term(STATE, "skip") == ("skip", STATE)


@pytest.mark.parametrize(
    "terms",
    [("x", "x"), ("skip", "x"), ("x", "run"), ("good", "x"), ("x", "new"), ("a b", "x"), ("", "y"),
     ("-x", "y"), ("x", "..")],
)  # fmt: skip
def test_words_that_are_no_terms(terms: tuple[str, str]) -> None:
    with pytest.raises(TermsError):
        check_terms(*terms)


def test_words_that_are_terms() -> None:
    for terms in (("bad", "good"), ("new", "old"), ("broken", "fixed"), ("fixed-in", "x1")):
        check_terms(*terms)
