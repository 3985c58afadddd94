"""From dropped files to published partitions."""
