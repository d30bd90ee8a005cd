# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report of a bisection, made up, with all that is hard to show."""

from ostreefs.bisect.report import (
    BisectionReport,
    Candidate,
    Changes,
    Counted,
    PackageChanged,
    Verdict,
)

INJECTION = "<script>alert(1)</script> & \"quoted\" 'too' <b>"

UNTESTED: tuple[Verdict, None] = ("untested", None)


def make_report() -> BisectionReport:
    """Of a history with a merge: 0 is bad, 6 is good, 3 is the first bad one.

    ::

        6 - 5 - 4 - 3 - - 1 - 0
             \\           /
              - - - - 2
    """
    parents = {0: (1,), 1: (3, 2), 2: (5,), 3: (4,), 4: (5,), 5: (6,), 6: ()}
    ids = [f"{number}" * 64 for number in parents]
    verdicts: dict[int, tuple[Verdict, int]] = {
        0: ("bad", 1),
        6: ("good", 2),
        3: ("bad", 3),
        5: ("skipped", 4),
        4: ("good", 5),
    }
    candidates = []
    for number, its in parents.items():
        verdict, step = verdicts.get(number, UNTESTED)
        is_tested = step is not None and step > 2
        candidates.append(
            Candidate(
                commit=ids[number],
                subject=INJECTION if number == 3 else f"Build {number}",
                timestamp=1_767_225_600 - number * 86400,
                parents=tuple(ids[parent] for parent in its),
                verdict="equal" if number == 2 else verdict,
                equal_to=ids[6] if number == 2 else None,
                shared_verdict="good" if number == 2 else None,
                is_left=number == 3,
                step=step,
                status={"bad": 1, "good": 0, "skipped": 125}[verdict] if is_tested else None,
                seconds=0.25 if is_tested else None,
                reason="object is damaged" if verdict == "skipped" else "",
                output=f"\x1b[1;31mtest {number}\x1b[m\r\n10%\r20%\r<i>\t\x07\n\n"
                if is_tested
                else "",
            )
        )
    counted = Counted(directories=1, files=2, size=3000)
    nothing = Counted(directories=0, files=0, size=0)
    package = PackageChanged(kind="upgraded", name="<u>", arch="all", old="1", new="2")
    return BisectionReport(
        name="<name>",
        repository="/somewhere",
        term_bad="slow",
        term_good="fast",
        started=1_767_300_000,
        outcome="found",
        candidates=tuple(candidates),
        tested=3,
        paths=("usr/<lib>",),
        command="test <file>",
        culprit=ids[3],
        changes=Changes(
            parent=ids[4],
            added=counted,
            deleted=nothing,
            modified=counted,
            metadata_only=1,
            growth=-5000,
            packages=(package,),
            problems=("no <db>",),
        ),
    )
