"""What can be shown for a table: its quarantine, and that storage still holds what was published."""
