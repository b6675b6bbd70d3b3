"""The watch: the latest requests judged again and again, and people told."""
