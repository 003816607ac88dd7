"""The tests.

`tests.settings` needs the site's package first: it makes the Celery app, which reads the settings while they load, and
finds them only when its own import was the first of the two.
"""

import config  # noqa: F401
