"""The ledger of a result folder: what is finished, in one SQLite file.

SQLite loses no committed row when the process is killed or the power fails, sorts without holding
a table in memory, and locks out a second process. A stranger's ledger can hold only numbers and
text; nothing in it is executed or unpickled.
"""

from gudi.results.ledger.ledger import Ledger

__all__ = ["Ledger"]
