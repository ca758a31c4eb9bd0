"""The store of a result folder, `results.sqlite`: everything that its runs found and derived.

Tables, subtitles, plots, the report and `gudi merge` are queries of it, and anybody can open it
with sqlite3, pandas, DuckDB or Datasette; docs/results.md describes its tables. SQLite loses no
committed row when the process is killed or the power fails, sorts without holding a table in
memory, and locks out a second process. The file may be untrusted: nothing in it is executed or
unpickled.
"""

from gudi.store.database import EmptyStore
from gudi.store.store import STORE, Store

__all__ = ["STORE", "EmptyStore", "Store"]
