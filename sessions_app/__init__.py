"""The durable session layer: store, delivery, API and admin."""
