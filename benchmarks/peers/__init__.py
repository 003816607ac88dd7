"""Peers on the same rows: one module each, written as the peer's documentation recommends, run in a fresh process.

Each peer reads the rows itself and writes a file, like Carryall. Importing this package sets up Django, so a peer's
imports can be at the top of its module, where they are not measured.
"""

import django

django.setup()
