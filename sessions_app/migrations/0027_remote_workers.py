"""Remote workers: the names of their agents, and the permission to issue tokens for any."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0026_external_ids_unique")]
    operations = [
        migrations.AddField(
            "worker",
            "agents",
            models.TextField(help_text="For a remote worker: JSON, the names of the agents that it runs.", null=True),
        ),
        migrations.AddField(
            "worker",
            "link",
            models.CharField(
                editable=False,
                help_text="For a remote worker: its newest connection, which claims.",
                max_length=22,
                null=True,
            ),
        ),
        migrations.AlterModelOptions(
            "revokedtoken",
            {
                "ordering": ["-expires_at"],
                "permissions": [
                    ("issue_token", "Can issue tokens"),
                    ("issue_token_for_others", "Can issue tokens for others"),
                    ("issue_token_for_all_agents", "Can issue tokens that work as any agent"),
                ],
            },
        ),
    ]
