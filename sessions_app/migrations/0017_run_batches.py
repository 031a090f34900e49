"""Runs of remote producers keep digests of their last batches, and halves of characters that wait for the next one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0016_site")]
    # Nullable and without a default: neither database rewrites the table for them, and older processes may write it.
    operations = [
        migrations.AddField(
            "run",
            "digests",
            models.TextField(help_text="Of the content of its last batches, newest last.", null=True),
        ),
        migrations.AddField(
            "run",
            "halves",
            models.TextField(help_text="Halves of characters that wait for the next batch: JSON.", null=True),
        ),
    ]
