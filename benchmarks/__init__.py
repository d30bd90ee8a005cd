# SPDX-License-Identifier: LGPL-2.1-or-later
"""Benchmarks: this project's commands beside what a user would pick instead.

Run with ``make bench`` or ``python -m benchmarks``; docs/benchmarks.md explains the method and
how to read the table.
"""
