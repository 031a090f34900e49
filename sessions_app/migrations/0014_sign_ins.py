"""Failed sign-ins, and the addresses that people have signed in from."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0013_host_cookies"),
    ]

    operations = [
        migrations.CreateModel(
            name="SignInAddress",
            fields=[
                (
                    "key",
                    models.CharField(
                        help_text="Digest of the person and the address.",
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("person", models.CharField(db_index=True, help_text="Digest of the person.", max_length=64)),
                ("seen_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="SignInFailures",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("level", models.FloatField(default=0.0, help_text="Failures at `changed_at`; they drain since.")),
                ("changed_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
    ]
