"""`report.html`: a result folder as one page that opens anywhere, without a network.

Its numbers are queries of the store. One row of JSON per input is written as it is read, so memory
does not grow with their number. The page's script shows the rows that match the filters, one page
at a time. Names chosen by others enter the page as JSON or escaped, and the script turns them into
text, never into markup.
"""

from gudi.outputs.report.page import write

__all__ = ["write"]
