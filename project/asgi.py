"""The site's ASGI application: Django, with Holdfast below `/`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()  # first: it loads the applications that the imports below need

from sessions_app.asgi import mount  # noqa: E402
from sessions_app.servers import garbage_collection, lifecycle  # noqa: E402

application = mount(django)


async def tune_garbage_collection() -> None:
    """Exempt what is loaded from collection: last at the start."""
    garbage_collection.tune_garbage_collection()


lifecycle.on_start(tune_garbage_collection)
