# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits as read-only directories.

`tree` is the namespace and knows no FUSE; it is made of `nodes`, an open directory of it is a
`listing`. `operations` does what a request wants, `requests` translates for the kernel, with the
bytes of `protocol`; `session` is the loop, `serve` the process that serves a mount, `daemon` how
it gets into the background, `mounts` what is mounted where.
"""
