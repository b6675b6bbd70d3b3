"""What `audit_bench.py` plants, and how it is scored."""
