"""The site's ASGI application: Django, with Holdfast below `/`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()  # first: loads the applications that the imports below need

from sessions_app.asgi import mount  # noqa: E402
from sessions_app.servers import garbage_collection, lifecycle  # noqa: E402

application = mount(django)


async def tune_garbage_collection() -> None:
    """Tune the garbage collector after everything else has started."""
    garbage_collection.tune_garbage_collection()


lifecycle.on_start(tune_garbage_collection)
