"""Parts of `scripts/bench_sweep.py`."""
