from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0008_journal_by_message"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="revokedtoken",
            options={
                "ordering": ["-expires_at"],
                "permissions": [
                    ("issue_token", "Can issue tokens"),
                    ("issue_token_for_others", "Can issue tokens for others"),
                ],
            },
        ),
    ]
