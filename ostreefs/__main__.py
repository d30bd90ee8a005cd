# SPDX-License-Identifier: LGPL-2.1-or-later
"""`python -m ostreefs`."""

import sys

from ostreefs.cli import main

sys.exit(main())
