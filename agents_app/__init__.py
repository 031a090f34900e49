"""Agents: how they are written, run and supervised."""
