# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of bwrap(1), and the environment inside; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sandbox.commands import PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ostreefs.sandbox.identity import Identity
    from ostreefs.sandbox.layout import Step
    from ostreefs.sandbox.options import SandboxOptions

_KEPT = {
    *("TERM", "COLORTERM", "NO_COLOR", "LANG", "LANGUAGE", "TZ"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"),
}
_KEPT_WITH_NETWORK = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}

_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "MKNOD", "SETFCAP"),
    *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "NET_BIND_SERVICE", "NET_RAW", "AUDIT_WRITE"),
)
"""What root may do inside: with files and users, not with the machine."""


class Descriptors(NamedTuple):
    """What bwrap(1) talks to us through."""

    info: int
    block: int
    status: int
    filter: int | None = None


def make_arguments(
    steps: Sequence[Step],
    options: SandboxOptions,
    identity: Identity,
    descriptors: Descriptors,
    *,
    is_root: bool,
    directory: str,
) -> list[str]:
    """The options of bwrap(1), without the command.

    `is_root`: it runs as root and shows root, without a user namespace. Anybody else gets one.
    """
    words = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if is_root:
        words += ["--cap-drop", "ALL"]
        words += [word for name in _CAPABILITIES for word in ("--cap-add", f"CAP_{name}")]
    else:
        words += ["--unshare-user", "--uid", str(identity.uid), "--gid", str(identity.gid)]
    if not options.network:
        words.append("--unshare-net")
    words += [word for step in steps for word in step]
    words += ["--chdir", directory]
    words += ["--info-fd", str(descriptors.info), "--block-fd", str(descriptors.block)]
    words += ["--json-status-fd", str(descriptors.status)]
    if descriptors.filter is None:
        words.append("--new-session")
    else:
        words += ["--seccomp", str(descriptors.filter)]
    return words


def make_environment(
    ours: Mapping[str, str], options: SandboxOptions, identity: Identity, home: str
) -> dict[str, str]:
    """The variables inside: what describes the terminal and the language, and who it is."""
    found = {
        name: value
        for name, value in ours.items()
        if name in _KEPT
        or name.startswith("LC_")
        or (options.network and name.lower() in _KEPT_WITH_NETWORK)
    }
    found |= {
        "PATH": PATH,
        "HOME": home,
        "USER": identity.name,
        "LOGNAME": identity.name,
        "XDG_RUNTIME_DIR": f"/run/user/{identity.uid}",
        "container": "ostreefs",
    }
    if identity.shell:
        found["SHELL"] = identity.shell
    return found | dict(options.environment)
