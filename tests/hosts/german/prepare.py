"""Make the database of the host: one user with orders, a finished export and an unread notification."""

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402

from exports.states import State  # noqa: E402
from tests.support.notices import tell  # noqa: E402
from tests.support.shop import in_state, orders  # noqa: E402

call_command("migrate", verbosity=0, skip_checks=True)
ada = User.objects.create_user("ada", "ada@example.com", "password")
orders(ada, 1234)
for state in (State.READY, State.FAILED, State.RENDERING):
    in_state(ada, state, rows=1234)
tell(ada, link="/me/exports/")
