#!/usr/bin/env python
"""Django's command line for Holdfast."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from sessions_app.database.connection_failures import describe

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if describe(error) != str(error):
            error.add_note(describe(error))  # the traceback's last line
        raise
