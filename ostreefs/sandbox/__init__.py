# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands inside a tree: bubblewrap over a mounted commit, or over any other directory.

`run_in_tree` of `ostreefs.sandbox.run` runs one, as `SandboxOptions` of `.options` say. The
modules: `rooted` follows paths inside the tree; `identity` and `layout` decide who runs it, and
what stands where; `arguments` makes bwrap(1)'s command line of that, `filter` a filter for the
kernel; `guard` cleans up after whoever dies; `overlay` makes a tree writable.
"""
