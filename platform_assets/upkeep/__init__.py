"""Keeping an installation: what goes, and when; what is forgotten; backup and restore."""
