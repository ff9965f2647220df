"""Verify: read back all that the snapshots reach; yield each damage, stop at none.

Nothing is taken from this host's cache: a fresh one is filled from what the store holds. The ledger: every commit,
chain and signatures, from the header on; and the slots. The packs: each one whole, its name, every blob opened, every
id computed anew; differences when all bases are known. The snapshots: every manifest walked, every root compared with
what lies in sound packs; what is damaged is counted against the snapshots and files that need it.

What is found is remembered in this host's cache, so that from then on nothing new builds on it.
"""

from casstore.verify.damage import Damage
from casstore.verify.packs import Subset
from casstore.verify.verifying import verify

__all__ = ["Damage", "Subset", "verify"]
