"""Engine runs: the authority that decides when a run is READY, and its assets."""
