"""What others do with the same rows: one module each, written as its own documentation advises, run in a fresh process.

All of them read the rows themselves and leave a file, as ours does. Importing this package sets Django up, so that a
peer's imports stand at the top of its module and cost it nothing.
"""

import django

django.setup()
