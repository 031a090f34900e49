"""The benchmark: the real server on one core, its readers on another, and what that costs."""
