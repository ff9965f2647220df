"""Old backups: the folders of a script that copied files, each into a snapshot at its own time.

`found` knows the folders by their names and looks into them; `places` says where in the application each file belongs;
`gathered` reads one folder as if it were the application of that time; `proof` compares snapshot and folder byte by
byte; `taking` is the verb. Nothing is ever deleted or changed in an old backup, and no symlink in it is followed.
"""

from casstore.recovery.importing.found import OldBackup, Refused
from casstore.recovery.importing.proof import Finding, What
from casstore.recovery.importing.taking import Imported, Imports, Owner, import_backups

__all__ = ["Finding", "Imported", "Imports", "OldBackup", "Owner", "Refused", "What", "import_backups"]
