# SPDX-License-Identifier: LGPL-2.1-or-later
"""A commit out of a base and additions: other commits, directories, packages, commands.

`steps` (what is to be done, as values), `recipe` (the same as TOML), `conflicts`, `control` and
`capabilities` are pure; `deb` and `rpm` read packages; `tree`, `dpkg`, `accounts` and
`architecture` look into the tree that is being made; `apply` does it all over the store, `running`
and `inside` run commands in it.
"""
