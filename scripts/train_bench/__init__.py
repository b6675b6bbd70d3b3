"""Parts of `scripts/bench_train.py`."""
