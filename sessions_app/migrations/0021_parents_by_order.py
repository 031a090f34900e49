"""Existing messages follow the one before, in the order of their session."""

from django.db import migrations

from sessions_app.database.migration_operations import UpdateInSteps

FOLLOW_THE_ONE_BEFORE = (
    "UPDATE sessions_app_message SET parent = (SELECT earlier.uid FROM sessions_app_message AS earlier"
    " WHERE earlier.session_id = sessions_app_message.session_id"
    " AND earlier.first_serial < sessions_app_message.first_serial ORDER BY earlier.first_serial DESC LIMIT 1)"
    " WHERE id > %s AND id <= %s AND parent IS NULL"
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sessions_app", "0020_message_parents")]
    operations = [UpdateInSteps("message", FOLLOW_THE_ONE_BEFORE)]
