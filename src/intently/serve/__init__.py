"""A service whose scores move as events arrive."""
