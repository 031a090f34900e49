"""The project's settings, with static files served as in production: found at the start, and kept by browsers.

With DEBUG each of a page's hundred modules would be looked for on the disk, and asked for again by every tab and
reload: a sixth of these tests' CPU time.
"""

from project.settings import *  # noqa: F403

SERVESTATIC_AUTOREFRESH = False
SERVESTATIC_MAX_AGE = 600  # seconds
