"""Sessions count the bytes that they hold. What is stored already isn't counted: it expires.

A default in the database, since processes of the release before insert sessions without it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0021_parents_by_order")]
    operations = [
        migrations.AddField(
            "session",
            "stored",
            models.BigIntegerField(
                db_default=0, default=0, editable=False, help_text="Bytes of its messages and signals."
            ),
        )
    ]
