# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding the commit that broke something, by testing as few commits as possible.

`algorithm` decides what to test next, on plain data; `ranges` reads that data from a repository;
`state` is what is kept of an open bisection, `session` what the verbs do to it. `shown` is the
mount that every candidate is seen through, `testing` runs commands on them. `report` is what is
known of a bisection as plain values, `reporting` fills them in.
"""
