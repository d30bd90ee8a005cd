# SPDX-License-Identifier: LGPL-2.1-or-later
"""A commit out of a base and additions: other commits, directories, packages, commands.

`steps` (what is to be done, as values), `recipe` (the same as TOML) and `conflicts` are pure;
`control`, `deb`, `rpmheader` and `rpm` read packages, `dpkg` and `architecture` look into the base,
`apply` does it all over the store.
"""
