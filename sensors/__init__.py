"""When things happen: new files, reconciliation, automation."""
