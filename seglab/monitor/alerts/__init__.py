"""Alerts: what is wrong with the latest requests, told once, until it is over."""
