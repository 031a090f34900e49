"""Deprecated alias of `sessions_app.auth.middleware`, for one release."""

from sessions_app.auth.middleware import identity_middleware as identity_middleware
