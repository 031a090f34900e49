"""The policies that a new site starts with: one, two and three days."""

from typing import Any

from django.db import migrations

POLICIES = [("One day", 24, False), ("Two days", 48, False), ("Three days", 72, True)]


def make_policies(apps: Any, schema_editor: Any) -> None:
    policies = apps.get_model("sessions_app", "RetentionPolicy").objects
    for name, hours, is_default in POLICIES:
        policies.create(name=name, hours=hours, is_default=is_default)


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0001_initial")]
    # Backwards nothing: 0001 backwards removes the table.
    operations = [migrations.RunPython(make_policies, migrations.RunPython.noop)]
