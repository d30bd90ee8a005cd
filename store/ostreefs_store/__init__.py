# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store: a content-addressed repository of operating-system trees.

A synchronous library without FUSE, trio, argparse or printing. Each module imports only those
above it in this list:

- pure: `errors`, `model` (frozen types), `names` (validation), `globs` (patterns for refs),
  `codec` (canonical bytes), `layer` (what is laid over a tree), `acl`, `retention`;
- the disk: `beneath`, `durable` (everything that publishes), `content`, `metadata`, `lock`,
  `parallel` (forked workers), `leases`;
- the repository: `environment` and `index` (LMDB), `objects` (object files), `config`, `reflog`,
  `refs` (refs and revisions), `pins`, `repository`, `space`, `statcache`, `modifiers`;
- making commits: `batch`, `known`, `redescribe`, `scan`, `reader`, `consume`, `ingest`, `merge`,
  `retouch`, `upper`, `sharing`, `compose`, `bootable`, `commit`;
- using them: `traverse`, `directories`, `filemaker`, `checkoutplan`, `checkout`, `diff`;
- checking and repairing: `derive`, `verify`, `locate`, `twins`, `fsck`, `salvage`, `repair`,
  `rederive`, `mend`, `discard`;
- space: `placechanges`, `usagerecords`, `shares`, `usage`, `keeping`, `marking`, `prune`;
- what differs: `diffstat`, `textdiff`, `patch`, `history`, `versions`, `packages`, `rpmdb`,
  `sides`, `packagesets`;
- tar archives: `tarstream`, `tarmember`, `tarlayer`, `streamed`, `tarimport`, `tarheader`,
  `export`.
"""
