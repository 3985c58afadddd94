"""What people decide: which held candidate is let through or discarded, which version comes back, what damage stays."""
