"""People's own assets, on top of the tables."""
