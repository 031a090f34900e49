"""Parents of messages, and what sessions' next messages follow."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0019_approval_attempt")]
    operations = [
        migrations.AddField(
            "message",
            "parent",
            models.CharField(help_text="The id of the message that it follows.", max_length=64, null=True),
        ),
        migrations.AddField(
            "message",
            "continues",
            models.CharField(help_text="The id of the answer that it goes on with.", max_length=64, null=True),
        ),
        migrations.AddField(
            "message",
            "replaced_by",
            models.CharField(
                help_text="The id of the message that took its place; none while it is on show.",
                max_length=64,
                null=True,
            ),
        ),
        migrations.AddField(
            "run",
            "parent",
            models.CharField(
                help_text="The message that was last when the run was caused; see `place`.", max_length=64, null=True
            ),
        ),
        migrations.AddField(
            "session",
            "leaf",
            models.CharField(
                editable=False,
                help_text="What the next message follows: a message, or a response that is still to come.",
                max_length=64,
                null=True,
            ),
        ),
    ]
