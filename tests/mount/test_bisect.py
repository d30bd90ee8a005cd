# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bisections with real mounts: by hand, by a command, interrupted, over damage."""

import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from ostreefs.bisect.session import Session, Verdict
from ostreefs.fuse.control import ask
from ostreefs_store import durable
from ostreefs_store.model import Digest
from ostreefs_store.objects import object_name
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.refs import read_commit
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node
from tests.support.bisected import BUILDS, FAULT, JUDGE, TEST, Builds
from tests.support.commands import (
    OURSELVES,
    Account,
    command,
    complaint,
    run,
)
from tests.support.commits import put_commit
from tests.support.damage import flip
from tests.support.locks import wait_for_lock
from tests.support.mounts import is_mounted, wait_until

pytestmark = pytest.mark.mount


def test_by_hand(builds: Builds) -> None:
    assert builds.start() == "status: waiting for both good and bad commits\n"
    waiting = builds.ok("bad", "main")
    assert waiting == "status: waiting for good commit(s), bad commit known\n"
    told = builds.ok("good", builds.ids[0]).splitlines()
    pid = ask(builds.mount, {"verb": "status"})["pid"]
    for _ in range(BUILDS):
        if "is the first bad commit" in told[0]:
            break
        assert told[0].startswith("Bisecting: ")
        assert told[2] == f"shown at {builds.mount}"
        number = builds.shown()
        assert told[1] == f"[{builds.ids[number]}]"
        told = builds.ok("bad" if number >= FAULT else "good").splitlines()
    assert told[0] == f"{builds.ids[FAULT]} is the first bad commit"
    assert "Modified:  1 file (3 B -> 3 B)" in told
    assert ask(builds.mount, {"verb": "status"})["pid"] == pid, "the same mount all the time"
    log = builds.ok("log")
    assert log.endswith(f"# first bad commit: [{builds.ids[FAULT]}]\n")
    builds.ok("reset")
    assert not builds.mount.exists()
    assert builds.ok("reset") == "We are not bisecting.\n"
    replayed = builds.ok("replay", "-", f"--mount={builds.mount}", input=log.encode())
    assert replayed.startswith(f"{builds.ids[FAULT]} is the first bad commit\n")
    assert builds.ok("log") == log


def test_a_command_judges(builds: Builds) -> None:
    builds.start("main", builds.ids[0])
    told = builds.ok("run", "sh", "-c", JUDGE)
    assert told.startswith(f"running sh -c '{JUDGE}'\nbuild "), "nothing that was said before"
    assert f"{builds.ids[FAULT]} is the first bad commit" in told
    assert f"build {FAULT}\n" in told
    report = builds.json("report")
    assert (report["outcome"], report["culprit"]) == ("found", builds.ids[FAULT])
    tested = {each["commit"]: each for each in report["candidates"] if each["status"] is not None}
    assert 1 < len(tested) == report["tested"] <= 5
    for number, commit in enumerate(builds.ids):
        if commit in tested:
            assert tested[commit]["output"] == f"build {number}\n"
            assert tested[commit]["verdict"] == ("bad" if number >= FAULT else "good")
    assert report["changes"]["modified"] == {"directories": 0, "files": 1, "size": 3}
    told = builds.ok("report")
    assert f"first bad   {builds.ids[FAULT][:12]}" in told
    assert f"    build {FAULT}\n" in told
    assert is_mounted(builds.mount)
    builds.ok("reset")
    assert not is_mounted(builds.mount)


def test_an_interrupted_run_goes_on_later(builds: Builds) -> None:
    builds.start("main", builds.ids[0])
    marker = builds.mount.with_name("marker")
    script = f"[ -e {marker} ] && {{ echo tested >> {marker}.2; exec sleep 1000; }}; : > {marker}"
    words = command(
        "--repo", builds.repository, "bisect", "run", "sh", "-c", f"{script}; {JUDGE}",
        account=builds.account,
    )  # fmt: skip
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **builds.account.popen_arguments(),
    )
    wait_until(Path(f"{marker}.2").exists, "the second test")
    process.send_signal(signal.SIGINT if builds.account is OURSELVES else signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")
    assert not is_mounted(builds.mount)
    assert len(builds.json("log")["verdicts"]) == 3
    told = builds.ok("run", "sh", "-c", JUDGE)
    assert f"{builds.ids[FAULT]} is the first bad commit" in told


def test_an_interrupted_command_leaves_no_process(ours: Builds, tmp_path: Path) -> None:
    """Neither one of another session, nor one that does not listen."""
    ours.start("main", ours.ids[0])
    pids = tmp_path / "pids"
    script = (
        "setsid sleep 1000 & echo $! >> {0}.new;"
        " ( trap '' TERM; sleep 1000 & echo $! >> {0}.new; mv {0}.new {0}; wait ) | cat"
    )
    words = command(*("--repo", ours.repository, "bisect", "run", "sh", "-c", script.format(pids)))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, **OURSELVES.popen_arguments())
    wait_until(pids.exists, "the processes")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    left = [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}").exists()]
    assert left == []
    assert not is_mounted(ours.mount)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 128", "'sh -c 'exit 128'' ended with status 128, which is no verdict"),
        (
            "kill -SEGV $$",
            "'sh -c 'kill -SEGV $$'' ended with status 139 (SIGSEGV), which is no verdict",
        ),
        ("nonesuch", "'sh -c nonesuch' ends with 127 for the good commit {good}, too"),
        (
            'umount -l "$OSTREEFS_MOUNT" || fusermount3 -uz "$OSTREEFS_MOUNT"',
            "{mount} was taken down during the test of {shown}; nothing was noted of it",
        ),
    ],
)
def test_what_is_no_verdict(ours: Builds, script: str, error: str) -> None:
    ours.start("main", ours.ids[0])
    facts = {
        "good": ours.ids[0][:12],
        "mount": ours.mount,
        "shown": ours.ids[ours.shown()][:12],
    }
    log = ours.ok("log")
    done = ours.bisect("run", "sh", "-c", script)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert f"ostreefs: error: {error.format(**facts)}" in lines, done
    assert ours.ok("log") == log
    assert f"{ours.ids[FAULT]} is the first bad commit" in ours.ok("run", "sh", "-c", JUDGE)


def test_wrong_use(ours: Builds, tmp_path: Path) -> None:
    old, new = ours.ids[3], ours.ids[20]
    assert ours.fails("good") == "no bisection 'default' is open"
    place = f"--mount={ours.mount}"
    assert ours.fails("start", place, old, new) == (
        f"the bad commit {old[:12]} is not newer than the good one ({new[:12]})"
    )
    assert ours.fails("start", place, "nothing") == (
        "revision 'nothing' not found: no such ref or commit"
    )
    assert ours.fails("start", place, "main", new, "main") == (
        f"{ours.ids[-1][:12]} was named as bad and as good"
    )
    assert ours.fails("start", "--name=", place, new, old).startswith(
        "invalid name of a bisection"
    )
    assert ours.fails("start", place, new, old, "--", "no/path") == (
        "no/path: no commit of this history holds it"
    )
    assert not ours.mount.exists(), "nothing is left of what has not begun"
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert ours.fails("start", f"--mount={tmp_path}/full", new, old) == (
        f"mount point {tmp_path}/full is not empty"
    )
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x7fELF\0\n")
    assert "is no line of a log; nothing was replayed" in ours.fails("replay", place, garbage)
    garbage.write_text(f"git bisect start {new} {old}\ngit bisect good nothing")
    assert "line 2: revision 'nothing'" in ours.fails("replay", place, garbage)
    ours.start(new, old)
    log = ours.ok("log")
    assert ours.fails("run", "/no/such/program") == "/no/such/program: command not found"
    assert ours.fails("old") == "this bisection has other terms than 'old'"
    done = ours.bisect("fixed")
    assert done.returncode == 2
    assert "unknown verb 'fixed' of bisect; its terms are 'bad' and 'good'" in complaint(done)
    assert ours.bisect("run").returncode == 1
    assert ours.bisect("log", "--mount=x").returncode == 2
    assert ours.ok("log") == log


def test_a_damaged_candidate_is_skipped(ours: Builds) -> None:
    """One of which the command reads a damaged file: no verdict, though the command fails."""
    started = ours.json("start", "--mount", ours.mount, "main", ours.ids[0])
    first = ours.ids.index(started["commits"][0])
    with Repository.open(ours.repository) as repository, repository.index.snapshot() as snapshot:
        root = read_commit(snapshot, Digest(bytes.fromhex(ours.ids[first]))).root
        node = find_node(snapshot, root, b"usr/number")
    flip(ours.repository / "objects" / object_name(node.digest))
    told = ours.ok("run", "sh", "-c", JUDGE)
    assert f"{ours.ids[FAULT]} is the first bad commit" in told
    found = [each for each in ours.json("report")["candidates"] if each["reason"]]
    assert [each["commit"] for each in found] == [ours.ids[first]]
    assert found[0]["verdict"] == "skipped"
    assert found[0]["reason"].endswith("is corrupt: content differs")


def test_a_candidate_without_its_tree_is_skipped(ours: Builds) -> None:
    middle = ours.json("start", "--mount", ours.mount, "main", ours.ids[0])["commits"][0]
    ours.ok("reset")
    with (
        Repository.open(ours.repository, writable=True) as repository,
        repository.index.transaction() as transaction,
    ):
        root = read_commit(transaction, Digest(bytes.fromhex(middle))).root
        transaction.delete_all("trees", [root])
    done = ours.bisect("start", f"--mount={ours.mount}", "main", ours.ids[0])
    assert done.returncode == 0
    assert done.stderr.startswith(f"ostreefs: skipped {middle[:12]}: tree object ".encode())
    assert f"{ours.ids[FAULT]} is the first bad commit" in ours.ok("run", "sh", "-c", JUDGE)


def test_only_skipped_ones_are_left(ours: Builds) -> None:
    ours.start("main", ours.ids[0])
    done = ours.bisect("run", "sh", "-c", TEST + "[ $number -lt 12 ] || exit 125")
    assert done.returncode == 1
    assert b"ostreefs: error: only skipped commits are left to test" in done.stderr
    for commit in ours.ids[12:]:
        assert f"[{commit}]".encode() in done.stdout
    assert ours.json("report")["possible"] == ours.ids[12:]
    assert ours.bisect("good", ours.ids[14]).returncode == 1
    assert ours.json("report")["possible"] == ours.ids[15:]
    assert "is the first bad commit" in ours.ok("bad", ours.ids[15])


def test_ranges_are_skipped(ours: Builds) -> None:
    ours.start("main", ours.ids[0])
    ours.ok("skip", f"{ours.ids[9]}..{ours.ids[20]}")
    assert ours.shown() not in range(10, 21)
    report = ours.json("report")
    skipped = [each["commit"] for each in report["candidates"] if each["verdict"] == "skipped"]
    assert skipped == ours.ids[20:9:-1]


def test_paths_limit_what_is_tested(ours: Builds) -> None:
    """Every second build differs in etc."""
    ours.start("main", ours.ids[0], "--", "etc")
    log = ours.mount.with_name("tested")
    told = ours.ok("run", "sh", "-c", f"{TEST} echo $number >> {log}; test $number -lt 16")
    tested = [int(line) // 2 for line in log.read_text().splitlines()]
    assert f"{ours.ids[16]} is the first bad commit" in told
    assert len(set(tested)) == len(tested) <= 4
    equal = [each for each in ours.json("report")["candidates"] if each["verdict"] == "equal"]
    assert {each["equal_to"] for each in equal} <= set(ours.ids)
    assert {each["shared_verdict"] for each in equal} == {"good", "bad"}


def test_other_words_and_other_terms(ours: Builds) -> None:
    ours.start("--term-new=fixed", "--term-old=broken", "--bad=main", f"--good={ours.ids[0]}")
    assert ours.ok("terms", "--term-old") == "broken\n"
    assert ours.ok("terms", "--term-bad") == "fixed\n"
    ours.ok("fixed")
    assert ours.fails("bad") == "this bisection has other terms than 'bad'"
    told = ours.ok("run", "sh", "-c", JUDGE)
    assert f"{ours.ids[FAULT]} is the first fixed commit" not in told, "it is in what was settled"
    assert "is the first fixed commit" in told
    log = ours.ok("log")
    assert log.startswith("ostreefs bisect start --term-new=fixed --term-old=broken\n# fixed: ")
    ours.ok("reset")
    ours.start()
    ours.ok("new", "main")
    ours.ok("old", ours.ids[0])
    assert ours.json("terms") == {"new": "new", "old": "old"}


def test_merges_and_other_branches(tmp_path: Path) -> None:
    """The fault comes from a branch that was merged; good is on one that forked off before."""
    builds = Builds(tmp_path, OURSELVES)
    with (
        Repository.open(builds.repository, writable=True) as repository,
        repository.index.transaction() as transaction,
    ):
        tip = Digest(bytes.fromhex(builds.ids[-1]))
        fork = Digest(bytes.fromhex(builds.ids[10]))
        side, ids = fork, []
        for number in range(8):
            side = put_commit(transaction, {}, parents=[side], subject=f"side {number}")
            ids.append(side.hex())
        merge = put_commit(transaction, {}, parents=[tip, side], subject="m", branch="merged")
        stray = put_commit(transaction, {}, parents=[fork], subject="stray")
        lonely = put_commit(transaction, {}, subject="lonely")
    try:
        guilty = {merge.hex(), *ids[3:]}
        script = " ".join(["case $OSTREEFS_COMMIT in", "|".join(guilty), ") exit 1;; esac"])
        error = builds.fails("start", f"--mount={builds.mount}", merge.hex(), lonely.hex())
        assert error.startswith("no history leads from the good commit")
        told = builds.start(merge.hex(), stray.hex())
        assert told.startswith("Bisecting: a merge base must be tested\n")
        told = builds.ok("run", "sh", "-c", script)
        assert f"{ids[3]} is the first bad commit" in told
        assert "    side 3" in told
        builds.ok("reset")
        builds.start(merge.hex(), stray.hex())
        assert builds.fails("bad").startswith(f"the merge base {builds.ids[10][:12]} is bad")
    finally:
        builds.ok("reset")


def test_a_prune_leaves_what_is_needed(ours: Builds) -> None:
    ours.start("main", ours.ids[5])
    words = command("--repo", ours.repository, "refs", "--delete", "main")
    assert run(*words).returncode == 0
    words = command("--repo", ours.repository, "prune", "--refs-only")
    assert run(*words).returncode == 0
    assert count_commits(ours.repository) == BUILDS - 5
    assert f"{ours.ids[FAULT]} is the first bad commit" in ours.ok("run", "sh", "-c", JUDGE)
    ours.ok("reset")
    assert run(*words).returncode == 0
    assert count_commits(ours.repository) == 0


def count_commits(path: Path) -> int:
    with Repository.open(path) as repository, repository.index.snapshot() as snapshot:
        return snapshot.count("commits")


def test_a_step_waits_for_a_prune(ours: Builds) -> None:
    """One that begins while its commit is being deleted says that it is gone."""
    started: list[subprocess.Popen[bytes]] = []

    def hook(point: str) -> None:
        if point == "prune:claimed":
            words = ("bisect", "start", f"--mount={ours.mount}", "main", ours.ids[3])
            started.append(
                subprocess.Popen(
                    command("--repo", ours.repository, *words),
                    stderr=subprocess.PIPE,
                    **OURSELVES.popen_arguments(),
                )
            )
            wait_for_lock(started[0].pid)

    durable.set_trace_hook(hook)
    try:
        with Repository.open(ours.repository, writable=True) as repository:
            prune(repository, Rules(delete=[Digest(bytes.fromhex(ours.ids[3]))]))
    finally:
        durable.set_trace_hook(None)
    [process] = started
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith(b"ostreefs: error: no good commit is in the repository any more\n")
    assert not ours.mount.exists()
    assert ours.ok("reset") == "We are not bisecting.\n"


def test_a_history_with_gaps(ours: Builds) -> None:
    """Only every third build is kept; the answer is the first of those."""
    gone = [commit for number, commit in enumerate(ours.ids) if number % 3 and number < 29]
    with Repository.open(ours.repository, writable=True) as repository:
        prune(repository, Rules(delete=[Digest(bytes.fromhex(each)) for each in gone]))
    ours.start("main", ours.ids[0])
    assert f"{ours.ids[18]} is the first bad commit" in ours.ok("run", "sh", "-c", JUDGE)


def test_commits_that_are_gone_all_the_same(ours: Builds) -> None:
    """Only who goes round us can delete them; then it is told, and the log is there."""
    ours.start("main", ours.ids[0])
    log = ours.ok("log")
    state = Session(ours.repository, "default", lambda: None).read_state()
    assert state.current is not None
    with Repository.open(ours.repository, writable=True) as repository:
        with repository.index.transaction() as transaction:
            transaction.delete_all("commits", [state.current])
        assert ours.fails("good").startswith("no history leads from the good commit")
        assert ours.ok("log").startswith(log)
        with repository.index.transaction() as transaction:
            transaction.delete_all("commits", [bytes.fromhex(ours.ids[-1])])
    assert ours.fails("good", ours.ids[3]) == "no bad commit is in the repository any more"
    assert ours.ok("log").endswith("# error: no bad commit is in the repository any more\n")
    ours.ok("reset")


def test_two_processes_at_one_bisection(ours: Builds) -> None:
    ours.start("main", ours.ids[0])
    session = Session(ours.repository, "default", lambda: None)
    stale = session.read_state()
    ours.ok("good")
    assert stale.current is not None
    with pytest.raises(Exception, match="was changed by another process"):
        session.judge(stale, [Verdict("bad", Digest(stale.current))])
    assert len(session.read_state().marks) == 3


@pytest.mark.root
def test_what_somebody_else_may_not_write(user: Account) -> None:
    with tempfile.TemporaryDirectory(dir=user.home) as place:
        Path(place).chmod(0o755)
        builds = Builds(Path(place), OURSELVES)
        done = builds.bisect("start", f"--mount={place}/mnt", "main", "main~3", account=user)
        assert (done.returncode, complaint(done)) == (
            1,
            f"the repository {builds.repository} cannot be written: its objects are read-only for"
            " you",
        )
