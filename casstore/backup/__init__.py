"""Backup: a tree into a snapshot.

`taking` is the verb: it asks for the manifest, puts it on the road and commits. `folders` makes the manifest, a block a
folder, and passes over what did not change. `contents` reads one file and gives its entry. Order of writes: packs, the
commit, then anchor and cache; a crash between any two leaves what `cas gc` collects, never a broken snapshot.
"""

from casstore.backup.taking import PROGRAM, backup

__all__ = ["PROGRAM", "backup"]
