"""Agents: the interface to write them, their runner, adapters, and a client to publish from elsewhere."""
