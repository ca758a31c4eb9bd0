"""Read files in ZIP and tar archives without unpacking these to disk.

A file in an archive, a member, has a path like a file in a folder: that of the archive, a NUL
character, which no real path contains, and the name of the member. It may be an archive itself.

Archives come from strangers. Nothing is written, what one member may take of the memory is limited,
and so is what a compressed archive may unpack to.
"""

from gudi.media.archives.access import (
    absolute_path,
    file_path,
    find_member,
    is_archive,
    is_member,
    list_members,
    member_path,
    open_member,
    open_stream,
    shown_path,
)
from gudi.media.archives.archive import DAMAGE, SEPARATOR, Member

__all__ = [
    "DAMAGE",
    "SEPARATOR",
    "Member",
    "absolute_path",
    "file_path",
    "find_member",
    "is_archive",
    "is_member",
    "list_members",
    "member_path",
    "open_member",
    "open_stream",
    "shown_path",
]
