# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTML pages: files that a browser shows without fetching anything, and without scripts.

Text comes into a page through Jinja's autoescape alone, and with control characters written out
(`rendering`). Pictures are SVG inside the page: `chart` and `lines` compute where things are.
"""
