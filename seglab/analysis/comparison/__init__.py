"""Is one run better than another, and does it reach what it should reach?"""
