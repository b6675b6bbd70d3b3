"""Contenders and load of `scripts/bench_serve.py`."""
