"""What exists: the asset graph, and the functions its assets and the command line call."""
