"""The anchor: what this host last saw of the history. It never moves back, and only detects rollback."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from casstore import private
from casstore.errors import CasError, FormatDamaged
from casstore.format import record
from casstore.format.commit import MOST_NUMBER

_MAGIC = "casstore anchor"
_MOST_BYTES = 128  # of an anchor
_SPOILT = "Remove that file to go on without it: it only tells whether the ledger was turned back since."


class AnchorUnwritable(CasError):
    """This host cannot keep what it saw of the history, so a rollback of it would go unnoticed."""

    hint = "Make room there, or see who may write that folder."


class Anchor:
    """A file of this host: number and hash of the last commit it saw."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[int, bytes] | None:
        """Give number and hash; None if this host saw no commit yet.

        Raises:
            FormatDamaged: the file cannot be read as an anchor.
        """
        try:
            data = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CasError(f"the anchor {self.path} cannot be read: {error.strerror}") from error
        try:
            fields = record.decode_map(data, {0: str, 1: int, 2: bytes}, "anchor")
            magic, number = (record.need(fields, key, "anchor") for key in (0, 1))
            digest = record.need_bytes(fields, 2, 32, "anchor")
        except FormatDamaged:
            magic = ""
        if magic != _MAGIC or not 0 <= number <= MOST_NUMBER:
            # Never as if there were none: that would pass over a rollback in silence.
            raise FormatDamaged(f"the anchor {self.path} is spoilt", hint=_SPOILT)
        return number, digest

    def write(self, number: int, digest: bytes) -> None:
        """Replace number and hash, if they are further on; durable on return, and one or the other after a crash.

        Raises:
            AnchorUnwritable: the file cannot be written; the old one stands.
        """
        if self._is_at(number, digest):
            return
        try:
            with private.locked(self.path):  # another process of this host may have seen more meanwhile
                if not self._is_at(number, digest):
                    private.replace(self.path, record.encode({0: _MAGIC, 1: number, 2: digest}))
        except OSError as error:
            raise self._unwritable(error) from error

    def forget(self) -> None:
        """Remove it: what is there now is taken as it is."""
        self.path.unlink(missing_ok=True)

    def _is_at(self, number: int, digest: bytes) -> bool:
        with suppress(CasError):
            seen = self.read()
            return seen is not None and (seen[0] > number or seen == (number, digest))
        return False

    def check_writable(self) -> None:
        """Find out before a commit whether it can be noted after it.

        Raises:
            AnchorUnwritable: it cannot.
        """
        try:
            private.try_to_replace(self.path, _MOST_BYTES)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> AnchorUnwritable:
        return AnchorUnwritable(f"the anchor {self.path} cannot be written: {error.strerror}")
