"""Proof that the chat clients which people already have keep every answer: `make compat`."""
