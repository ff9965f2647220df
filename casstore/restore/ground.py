"""The target as a restore uses it."""

from __future__ import annotations

from casstore.entry import check_name
from casstore.target import Target


class Ground(Target):
    """A `Target` that also goes into folders whose names begin with a dot.

    `Target.place` takes the first letter of a path for its first part and so refuses `.git/config`, and the staging
    folder itself. Once that is mended there, this class can go.
    """

    def place(self, path: bytes) -> tuple[int, bytes]:
        """Give the open folder of a path and the last part of it."""
        folder, slash, name = path.rpartition(b"/")
        if slash:
            check_name(folder.partition(b"/")[0])  # an absolute path
        return self.folder(folder), check_name(name)
