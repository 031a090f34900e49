"""The operator's view of a site. What the writer of the log owns is shown and can't be edited."""

from django.contrib import admin

from sessions_app.admin import approvals, connections, messages, policies, sessions, signals, tokens, work

admin.site.site_header = admin.site.site_title = "Holdfast"
admin.site.index_title = "What there is"

__all__ = ["approvals", "connections", "messages", "policies", "sessions", "signals", "tokens", "work"]
