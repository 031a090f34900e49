"""Agents elsewhere: what their newest workers have declared."""

from django.db import migrations, models

POLICIES = ("queue", "steer", "interrupt", "reject")


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0027_remote_workers")]
    operations = [
        migrations.CreateModel(
            name="RemoteAgent",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                (
                    "while_busy",
                    models.CharField(
                        choices=[(policy, policy) for policy in POLICIES],
                        help_text="What becomes of a message that arrives while the agent is at work.",
                        max_length=16,
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(help_text="When the worker that has declared it began, by the site's clock."),
                ),
            ],
        ),
    ]
