from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exports', '0008_plan_again'),
    ]

    operations = [
        migrations.AddField(
            model_name='export',
            name='params',
            field=models.JSONField(blank=True, db_default={}, default=dict, help_text="The chosen values of the datasets' parameters."),
        ),
    ]
