"""The pure core of the session log: no Django, no I/O, no clock, no await."""
