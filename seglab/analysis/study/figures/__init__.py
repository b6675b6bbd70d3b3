"""Figures of a study, for print and for pages."""
