"""Corruptions of fixed severity: noise, blur, weather and compression, for evaluations."""
