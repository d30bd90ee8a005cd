# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store: a content-addressed repository of operating-system trees.

A synchronous library without FUSE, trio, argparse or printing. Each module imports only those
above it in this list, and each package only those before it (`tests/test_layering.py` has all):

- pure: `errors`, `model` (frozen types), `names` (validation), `codec` (canonical bytes), `globs`,
  `acl`, `layer` (what is laid over a tree), `modifiers`, `retention`;
- the disk: `beneath`, `durable` (everything that publishes), `content`, `metadata`, `lock`,
  `leases`, `parallel` (forked workers);
- the repository: `environment` and `index` (LMDB), `packing`, `dates`, `objects` (object files),
  `config`, `reflog`, `refs` (refs and revisions), `pins`, `bisections`, `repository`,
  `space`, `statcache`;
- what all below share: `traverse`, `batch`, `known`, `verify`;
- `pruning`: what is kept, what goes, how much space that is;
- `tar`: archives, in and out;
- `committing`: from what a source holds to a commit;
- `checkouts`: commits as ordinary files;
- `checking`: whether everything is what its digest says, and making it so again;
- `comparing`: what differs between commits, how they came about, and in which lanes that is drawn.
"""
