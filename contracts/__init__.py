"""What is promised: bytes and values in, values and verdicts out.

This package opens no file, reads no clock and knows no Dagster. Everything above it relies on that.
"""
