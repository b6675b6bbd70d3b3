"""Run records as one HTML page that can be read, printed and sent round; it needs no network."""

from seglab.analysis.report.model import Report, RunView
from seglab.analysis.report.page import is_report, render_page, write_page
from seglab.analysis.report.reading.collect import ReportOptions, collect_report

__all__ = [
    "Report",
    "ReportOptions",
    "RunView",
    "collect_report",
    "is_report",
    "render_page",
    "write_page",
]
