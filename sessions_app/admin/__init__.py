"""Django admin for operators. Tables owned by the log writer are read-only."""

from django.contrib import admin

from sessions_app.admin import approvals, connections, messages, policies, runs, sessions, signals, tokens, workers

admin.site.site_header = admin.site.site_title = "Holdfast"
admin.site.index_title = "Site administration"

__all__ = ["approvals", "connections", "messages", "policies", "runs", "sessions", "signals", "tokens", "workers"]
