"""The durable session layer: store, delivery, API and admin."""

__version__ = "0.1.0"
