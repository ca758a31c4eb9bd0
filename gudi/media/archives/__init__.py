"""Read files in ZIP and tar archives without unpacking these to disk.

A file in an archive is a member. It may be an archive itself.

Archives are untrusted. Nothing is written, and memory per member and total unpacked size are
limited.
"""

from gudi.media.archives.access import is_archive, open_archive
from gudi.media.archives.archive import DAMAGE, Archive, Member

__all__ = ["DAMAGE", "Archive", "Member", "is_archive", "open_archive"]
