"""What a person looks at: reports of partitions, computed from what is published and from nothing else."""
