# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of a ref's builds."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

from ostreefs.pages import lines
from ostreefs.pages.chart import Bar, Curve, Tick, column, draw_changes, draw_sizes
from ostreefs.pages.rendering import write_page
from ostreefs.text import format_growth, format_size, format_time
from ostreefs_store.comparing.builds import weigh
from ostreefs_store.comparing.diffstat import content_size
from ostreefs_store.model import BASE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ostreefs_store.comparing.builds import Build, History
    from ostreefs_store.comparing.diff import Change
    from ostreefs_store.comparing.packages import PackageChange

SHORT = 12
_DATES = 6
"""How many dates stand below a chart."""

_WORDS = {"A": "added", "D": "deleted", "M": "modified"}
_PACKAGES = 200
"""More changes of packages are counted, not listed."""


class ShownChange(NamedTuple):
    """A path that changed, as it is written."""

    word: str
    path: bytes
    aspects: str
    size: str
    share: int
    """How large it is beside the largest change of its build, in percent."""


class ShownBuild(NamedTuple):
    """A build as it is written."""

    id: str
    subject: str
    body: list[str]
    timestamp: int
    date: str
    version: str
    names: Sequence[str]
    metadata: list[tuple[str, list[str]]]
    parents: list[tuple[str, bool]]
    """Each with whether it is on the page, too."""
    base: str | None
    """What it was composed of, and compared with for want of a parent."""
    size: int
    growth: int
    is_first: bool
    files: tuple[int, int, int]
    came: int
    went: int
    changes: list[ShownChange]
    more: int
    packages: list[PackageChange]
    more_packages: int
    package_counts: tuple[int, int, int]
    problems: list[str]
    picture: lines.Picture


class Point(NamedTuple):
    """A column of the charts: the build that it leads to, and what it says when pointed at."""

    id: str
    x: float
    width: float
    title: str


class Charts(NamedTuple):
    """What the charts are drawn from; the oldest build is on the left."""

    sizes: Curve
    bars: list[Bar]
    points: list[Point]
    dates: list[Tick]


def write_history_page(out: IO[bytes], history: History) -> None:
    """Write a page that needs nothing else. Its size is that of what it shows."""
    builds = history.builds
    width, pictures = lines.draw_lines(
        [(build.ancestor.digest, build.ancestor.parents) for build in builds]
    )
    here = {build.ancestor.digest.hex() for build in builds}
    shown = [
        _show(build, history, picture, here)
        for build, picture in zip(builds, pictures, strict=True)
    ]
    write_page(
        out,
        "history.html",
        {
            "title": ", ".join(history.revisions),
            "builds": shown,
            "oldest": min(reversed(shown), key=lambda build: build.timestamp, default=None),
            "charts": _draw_charts(shown),
            "graph_width": width,
            "height": lines.HEIGHT,
            "middle": lines.MIDDLE,
            "short": SHORT,
        },
    )


def _show(build: Build, history: History, picture: lines.Picture, here: set[str]) -> ShownBuild:
    digest, commit, parents = build.ancestor
    stats = build.stats
    packages = [change for each in build.packages for change in each.changes]
    files = stats.added.files, stats.deleted.files, stats.modified.files
    return ShownBuild(
        id=digest.hex(),
        subject=commit.subject or "(no subject)",
        body=_split(commit.body),
        timestamp=commit.timestamp,
        date=format_time(commit.timestamp)[:16],
        version=str(commit.metadata.get("version", "")),
        names=history.names.get(digest, ()),
        metadata=[
            (key, _split(str(value)))
            for key, value in sorted(commit.metadata.items())
            if build.base is None or key != BASE_KEY  # which has a line of its own
        ],
        parents=[(parent.hex(), parent.hex() in here) for parent in parents],
        base=None if build.base is None else build.base.hex(),
        size=history.uses[digest].total.bytes,
        growth=stats.growth,
        is_first=not parents and build.base is None,
        files=files,
        came=stats.added.size + stats.new_size,
        went=stats.deleted.size + stats.old_size,
        changes=list(_show_changes(build.changes)),
        more=max(sum(files) - len(build.changes), 0),
        packages=packages[:_PACKAGES],
        more_packages=max(len(packages) - _PACKAGES, 0),
        package_counts=build.count_packages(),
        problems=[each.problem for each in build.packages if each.problem is not None],
        picture=picture,
    )


def _split(text: str) -> list[str]:
    return text.strip("\n").expandtabs().splitlines()


def _show_changes(changes: Sequence[Change]) -> Iterator[ShownChange]:
    most = max(map(weigh, changes), default=0) or 1
    for change in changes:
        yield ShownChange(
            _WORDS[change.kind],
            change.path,
            ", ".join(_find_remarkable(change)),
            _format_sizes(change),
            round(weigh(change) / most * 100),
        )


def _find_remarkable(change: Change) -> Sequence[str]:
    """In which respects a path changed, unless it is just its content."""
    return [] if set(change.aspects) <= {"content", "size"} else change.aspects


def _format_sizes(change: Change) -> str:
    sizes = [content_size(state) for state in (change.old, change.new) if state is not None]
    if change.kind != "M":
        return format_size(sizes[0])
    if sizes[0] == sizes[1]:
        return format_size(sizes[0]) if sizes[0] else ""
    return f"{format_size(sizes[0])} → {format_size(sizes[1])}"


def _draw_charts(shown: list[ShownBuild]) -> Charts:
    """The builds by their time; the line goes along first parents from the first build shown."""
    oldest_first = shown[::-1]
    oldest_first.sort(key=lambda build: build.timestamp)
    count = len(oldest_first)
    main = _find_main_line(shown)
    return Charts(
        draw_sizes([b.size for b in oldest_first], [b.id in main for b in oldest_first]),
        draw_changes([None if b.is_first else (b.came, b.went) for b in oldest_first]),
        [
            Point(build.id, *column(index, count), _describe(build))
            for index, build in enumerate(oldest_first)
        ],
        _find_dates(oldest_first),
    )


def _find_main_line(shown: Sequence[ShownBuild]) -> set[str]:
    """The first build, and what one comes to from there by first parents."""
    first_parents = {build.id: build.parents[0][0] for build in shown if build.parents}
    found: set[str] = set()
    following = shown[0].id if shown else None
    while following is not None:
        found.add(following)
        following = first_parents.get(following)
    return found


def _describe(build: ShownBuild) -> str:
    growth = "the first build" if build.is_first else format_growth(build.growth)
    return f"{build.subject} · {build.date} · {format_size(build.size)} ({growth})"


def _find_dates(oldest_first: Sequence[ShownBuild]) -> list[Tick]:
    """Dates at even distances, each in the middle of its column; of a single day the times."""
    count = len(oldest_first)
    wanted = min(_DATES, count)
    places = sorted({(2 * n + 1) * count // (2 * wanted) for n in range(wanted)})
    days = {build.date[:10] for build in oldest_first}
    shown = slice(10) if len(days) > 1 else slice(11, None)
    return [
        Tick(oldest_first[place].date[shown], round((place + 0.5) / count * 100, 2))
        for place in places
    ]
