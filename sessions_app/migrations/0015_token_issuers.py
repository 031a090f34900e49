"""Signals record who issued the token that they were sent with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0014_sign_ins"),
    ]

    operations = [
        migrations.AddField(
            model_name="signal",
            name="issued_by",
            field=models.CharField(
                help_text="Who had the token issued that it was sent with.",
                max_length=80,
                null=True,
                verbose_name="token issued by",
            ),
        ),
    ]
