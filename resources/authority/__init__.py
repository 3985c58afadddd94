"""How the run authority keeps and reaches things: run roots, truth documents, leases, engine processes, the bus."""
