"""The `hashgate` command: thin, calls the same functions the assets call."""
