"""Parts of scripts/bench_monitor.py."""
