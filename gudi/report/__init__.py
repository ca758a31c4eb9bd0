"""`report.html`: a result folder as one page that opens anywhere, without a network.

The page is written while the entries arrive, one row of JSON each, so memory does not grow with
their number. Its script shows the rows that match the filters, one page at a time. Names chosen by
others enter the page as JSON or escaped, and the script turns them into text, never into markup.
"""

from gudi.report.entries import ReportEntry, ReportFace
from gudi.report.page import write

__all__ = ["ReportEntry", "ReportFace", "write"]
