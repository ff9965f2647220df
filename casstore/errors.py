"""Every error of the library, as one tree. Imports nothing of ours.

An error is named by the fact. Its text is one sentence for the user; `hint` says what to do next; `exit_code` is what
a script may need to tell apart. The table of codes stands in docs/exit-codes.md.
"""

from __future__ import annotations

import os


class CasError(Exception):
    """Something stopped the work; nothing acknowledged was lost."""

    hint = ""
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UsageError(CasError):
    """The request itself is wrong."""

    exit_code = 2


class ConfigInvalid(UsageError):
    """cas.toml cannot be read as one; says the line."""

    def __init__(self, file: str, line: int, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{file} line {line}: {reason}", hint=hint)
        self.line = line


class ApplicationRunning(CasError):
    """The application whose files would be replaced is running."""

    exit_code = 5
    hint = "Stop it first, or say --force if you are sure that it does not matter."


class SnapshotNotFound(CasError):
    """No snapshot answers to that moment or id, or more than one does."""

    exit_code = 7


class RepositoryNotFound(CasError):
    """There is no repository at that place."""

    exit_code = 10
    hint = "Name the place with -r if it lies elsewhere; `cas init -r PLACE` makes a new one."


class WrongSecret(CasError):
    """The passphrase, key file or words open no slot of this repository."""

    exit_code = 12
    hint = "Recovery words open it too (--recovery-words); where it opens, `cas key list` shows which secrets exist."


class RepositoryUnwritable(CasError):
    """The store refuses a write: rights, a full disk, a read-only file system."""


class RepositoryUnreadable(CasError):
    """The store refuses to be read by this user; nothing says that anything in it is damaged."""


class RepositoryExists(CasError):
    """There is something where a repository should be made."""

    exit_code = 2


class Damaged(CasError):
    """Stored bytes are not what was written."""

    exit_code = 20
    hint = "Run `cas verify` to list all damage; what is whole still restores."


class FormatDamaged(Damaged):
    """Stored bytes cannot be read as what they should be."""


class FormatTooNew(CasError):
    """Stored bytes were written by a newer version of cas."""

    hint = "Install a newer cas: this one must not guess."


class ObjectMissing(Damaged):
    """A named object is not in the store."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing from the repository")
        self.name = name


class BlobDamaged(Damaged):
    """A blob fails authentication, or what it holds does not answer to its id."""


class ChunkMissing(Damaged):
    """A chunk is in no pack that can be read."""

    def __init__(self, chunk: bytes) -> None:
        super().__init__(f"chunk {chunk.hex()[:12]} is in no readable pack")
        self.chunk = chunk


class HistoryRewritten(CasError):
    """The ledger was rolled back, forked or replaced since this host last saw it."""

    exit_code = 21
    hint = (
        "Find out who changed the repository before you trust it; `cas anchor check` shows both sides, and "
        "`cas anchor accept` goes on from what is there."
    )


class SignatureRefused(Damaged):
    """A commit is not signed by one who may sign it."""


class ObjectExists(CasError):
    """The name is taken; its bytes were left alone."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} exists already")
        self.name = name


class RestoreUnfinished(CasError):
    """A restore was interrupted while it replaced files."""

    hint = "Run `cas restore --resume` to finish it or `cas restore --undo` to go back, before anything else."


class Interrupted(CasError):
    """The user stopped the work."""

    exit_code = 130


def refusal(error: OSError) -> str:
    """Tell in a few words what the system refused, and of which file; of a descriptor it knows only the number."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{(error.strerror or str(error)).lower()}"
