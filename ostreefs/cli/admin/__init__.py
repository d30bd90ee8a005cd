# SPDX-License-Identifier: LGPL-2.1-or-later
"""`admin`: deployments. Its verbs and their options are those of ostree-admin(1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Parser

ADMIN_VERBS = {
    "init-fs": ("layout", "Make a sysroot"),
    "os-init": ("layout", "Let an operating system be deployed"),
    "deploy": ("deploy", "Deploy a commit, to boot it next"),
    "upgrade": ("deploy", "Deploy what the ref of the deployment names now"),
    "switch": ("deploy", "Deploy another ref, and follow that"),
    "status": ("status", "List the deployments"),
    "rollback": ("change", "Boot the previous deployment next"),
    "set-default": ("change", "Boot this deployment next"),
    "undeploy": ("change", "Delete a deployment"),
    "pin": ("change", "Keep a deployment whatever comes"),
    "unpin": ("change", "Let a pinned deployment go in its turn"),
    "kargs": ("change", "Show and change the kernel's arguments of a deployment"),
    "verify": ("verify", "Compare deployments with their commits"),
    "diff": ("verify", "Show what a deployment changes against its release"),
    "cleanup": ("change", "Delete what no deployment needs"),
}
"""Verb of `admin` -> (module of this package, what it does)."""


def add_admin_arguments(parser: Parser) -> None:
    """What stands before the verb."""
    from ostreefs.cli.admin.sysroot import add_sysroot_argument  # noqa: PLC0415 -- a table is cheap

    add_sysroot_argument(parser)
    parser.add_argument("verb", metavar="VERB", choices=ADMIN_VERBS, help="what to do")
    parser.add_argument("words", nargs="*", metavar="ARGUMENT", help="what the verb takes")


def run_admin(_: object) -> int:
    """Run nothing: the verbs of this group run themselves."""
    raise NotImplementedError
