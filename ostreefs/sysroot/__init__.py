# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deployments: commits as directories that a machine boots, and which of them comes first.

Values, pure: `names`, `keyfile`, `kargs`, `origin`, `order`, `retention`. What is on the disk:
`layout` (where everything lies, drawn there), `booted`, `deployments`. What changes it: `session`
begins, `mountpoints`, `kernels` and `variable` prepare, `deploy` is the sequence, `publish` the
step that counts, `tidy` deletes, `change` is all that is no deploy. `boot` writes for boot
loaders. `room` and `verify` look before and after.
"""
