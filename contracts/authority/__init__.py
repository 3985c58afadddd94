"""The run authority's documents and decisions: values in, values and verdicts out; nothing is opened here."""
