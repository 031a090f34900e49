"""The alternatives, at the same work: one reader a session, and remote writers. Nothing is stored."""
