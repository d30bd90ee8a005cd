# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits as read-only directories: `tree` (the namespace, no FUSE), `operations` (the adapter to
pyfuse3), `serve` (the process that serves a mount), `mounts` (what is mounted where).
"""
