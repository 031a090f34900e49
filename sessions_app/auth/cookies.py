"""Names of cookies: with the prefix `__Host-`, which browsers accept only from the site itself, over https.

Without it, another port, scheme or subdomain of the site's host can set a cookie of the same name. After a site has got
the prefix, its old names are read for as long as a guest's sessions live, and browsers get the new ones meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder

PREFIX = "__Host-"
OLD_NAMES_S = 72 * 3600
# The migration that came with the prefix, by the end of its name: the site was upgraded when it was applied.
MIGRATION = "_host_cookies"

_old_names_until: float | None = None  # seconds since 1970; None until it was read


def name_of(name: str) -> str:
    """Return the name of one of Holdfast's own cookies: with the prefix where the site is at the root over https."""
    at_root = settings.SESSION_COOKIE_PATH == "/" and not settings.SESSION_COOKIE_DOMAIN
    return PREFIX + name if settings.SESSION_COOKIE_SECURE and at_root else name


def old_name(name: str) -> str:
    return name.removeprefix(PREFIX)


def has_old_name(cookies: Mapping[str, str], name: str) -> bool:
    """Return True if a cookie came by its old name alone, and `value` may still read it, from the database."""
    if not name.startswith(PREFIX) or name in cookies or old_name(name) not in cookies:
        return False
    return _old_names_until is None or time.time() < _old_names_until


def reads_database(cookies: Mapping[str, str], name: str) -> bool:
    """Return True if `value` reads the database for this cookie."""
    return has_old_name(cookies, name) and _old_names_until is None


def value(cookies: Mapping[str, str], name: str) -> str | None:
    """Return a cookie's value, by its old name too in the time after the upgrade.

    Reads the database at most once in a process, and only if `reads_database`; call it in a thread then.
    """
    if has_old_name(cookies, name) and time.time() < _read_old_names_until():
        return cookies[old_name(name)]
    return cookies.get(name)


def _read_old_names_until() -> float:
    global _old_names_until
    if _old_names_until is None:
        applied = MigrationRecorder.Migration.objects.filter(app="sessions_app", name__endswith=MIGRATION)
        upgraded_at = applied.values_list("applied", flat=True).first()
        _old_names_until = upgraded_at.timestamp() + OLD_NAMES_S if upgraded_at else 0.0
    return _old_names_until
