"""Marks the moment at which the site got cookies with the prefix `__Host-` (`sessions_app/auth/cookies.py`)."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0012_session_removed_index")]
    operations = []
