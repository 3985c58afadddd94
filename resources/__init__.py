"""How it is kept: every touch of disk, database, process and clock."""
