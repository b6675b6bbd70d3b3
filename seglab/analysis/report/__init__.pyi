from .model import Report as Report
from .model import RunView as RunView
from .page import is_report as is_report
from .page import render_page as render_page
from .page import write_page as write_page
from .reading.collect import ReportOptions as ReportOptions
from .reading.collect import collect_report as collect_report
