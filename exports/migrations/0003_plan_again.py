from django.db import migrations
from django.db.models import F
from django.db.models.functions import Now

PLANNED = ('rendering', 'assembling')
MAY_GO_ON = ('queued', *PLANNED, 'failed', 'cancelled')


def plan_again(apps, schema_editor):
    """Exports under way begin anew: a part that was written before formats wrote bodies alone has a head of its own,
    and joined with the others it would give a file with two. Their files go with the purge."""
    exports = apps.get_model('exports', 'Export').objects
    parts = apps.get_model('exports', 'Part').objects
    parts.filter(export__state__in=MAY_GO_ON).delete()
    exports.filter(state__in=PLANNED).update(
        state='queued',
        attempt=F('attempt') + 1,
        attempt_limit=F('attempt_limit') + 1,
        next_attempt_at=Now(),
        published_at=None,
        lease_until=None,
        started_at=None,
        rows=None,
    )


class Migration(migrations.Migration):

    dependencies = [
        ('exports', '0002_engine'),
    ]

    operations = [
        migrations.RunPython(plan_again, migrations.RunPython.noop, elidable=True),
    ]
