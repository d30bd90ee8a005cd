# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store: a content-addressed repository of operating-system trees.

A synchronous library without FUSE, trio, argparse or printing. Each module imports only those
above it in this list:

`errors`, `model` (frozen types), `names` (validation), `codec` (model <-> canonical bytes),
`durable` (everything that publishes on disk), `lock`, `parallel` (forked workers), `index` (LMDB),
`objects` (object files), `refs` (refs and revisions), `repository`, `statcache`; then the
operations on a repository: `traverse`, `ingest`, `checkout`, `diff`, `fsck`.
"""
