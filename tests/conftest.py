# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for all tests: which ones this machine can run, and when a skip is a failure.

A developer's machine may lack a device, a privilege or a tool, and the tests that need it are
skipped there. With CI=true nothing may be lacking, so a skip from any source is a failure.
"""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest

IS_CI = os.environ.get("CI") == "true"

# A slow machine is no failure, and CI must give the same verdict twice.
hypothesis.settings.register_profile("ostreefs", deadline=None, derandomize=IS_CI)
hypothesis.settings.load_profile("ostreefs")


def _why_no_mount() -> str | None:
    if not Path("/dev/fuse").exists():
        return "needs /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "needs fusermount3"
    return None


def _why_no_root() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


# marker -> why a test that bears it cannot run here, or None
REQUIREMENTS: dict[str, Callable[[], str | None]] = {
    "mount": _why_no_mount,
    "root": _why_no_root,
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, why_not in REQUIREMENTS.items():
        if item.get_closest_marker(marker) is not None and (reason := why_not()) is not None:
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure is reported as a skip too; that one is announced, and stays.
    if IS_CI and not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IS_CI:
        _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"with CI=true a skip is a failure: {reason}"
