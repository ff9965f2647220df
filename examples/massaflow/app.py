"""MassaFlow, an example of the applications that `cas` is for: data in memory, files rewritten whole.

    python app.py seed                        a shop of about 9 MB in the current folder, and its `.env.local`
    python app.py work --records 12 --events 60 [--rotate-vault]
    python app.py health                      what /api/health answers, without a server
    python app.py serve [--port 3000]         the stand-in for `npm start`, with the same behaviour: see serving.py

`data/dynamic/*.json` are written as `fs.writeFileSync(path, JSON.stringify(table, null, 2))` would:
truncated, then written, with no rename. `engagement_events.log` is appended to, one JSON object a line.
`data/secureVault.json` is encrypted (AES-256-CBC) under a key and an initialisation vector that stand in
`.env.local` and nowhere else.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from records import SIZES, STATES, TODAY, Record, identifier, make_shop, price, stamp

STRIPE = ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "NEXT_PUBLIC_STRIPE_PRICE_ID_*"]
SALT_BYTES = 16
EVENTS_AT_FIRST = 22_000
SECRETS_IN_VAULT = 240
BUSY = {"orders": 4, "payments": 3, "deliveries": 2, "users": 2, "subscriptions": 1, "tickets": 1, "products": 1}
KINDS = ["page_view", "product_view", "add_to_cart", "checkout", "login", "email_open", "search"]
CAMPAIGNS = [None, None, "natal-2026", "volta-as-massas"]
PAGES = ["/", "/massas", "/massas/nhoque", "/carrinho", "/assinatura", "/conta", "/receitas", "/checkout"]


class Table:
    """One file of records. Their texts are kept, so that writing the table again encodes only what changed."""

    def __init__(self, path: Path, records: list[Record]) -> None:
        self.path, self.records = path, records
        self.texts: list[str] = []
        self.changed: set[int] = set()

    def change(self, number: int, fields: Record) -> None:
        """Change one record in memory; `App.save` writes it."""
        self.records[number - 1] = self.records[number - 1] | fields  # anew: the old one may be on its way to a reader
        self.changed.add(number - 1)

    def save(self) -> None:
        """Write the file anew, whole, in place: a reader may meet it half-written."""
        if not self.texts:
            self.texts = list(map(encode, self.records))
        for index in self.changed:
            self.texts[index] = encode(self.records[index])
        text = "[\n  " + ",\n  ".join(self.texts) + "\n]" if self.texts else "[]"
        self.path.write_text(text, encoding="utf-8")
        self.changed.clear()  # not before: what could not be written is still to be written


def encode(record: Record) -> str:
    """A record as it stands, indented, in its table's file."""
    return json.dumps(record, indent=2, ensure_ascii=False).replace("\n", "\n  ")


class App:
    """The running application: its tables, its log and its vault below `folder`."""

    def __init__(self, folder: Path) -> None:
        """Read the tables that lie below `folder`; what cannot be read is a problem, and never written over."""
        self.folder, self.lock = folder, Lock()
        self.log, self.vault = folder / "engagement_events.log", folder / "data" / "secureVault.json"
        self.tables: dict[str, Table] = {}
        self.problems: list[str] = []
        for name in sorted(SIZES):
            self.read(name, f"data/dynamic/{name}.json")

    def read(self, name: str, path: str) -> None:
        """Take a table into memory."""
        try:
            records = json.loads((self.folder / path).read_bytes())
        except FileNotFoundError:
            self.problems.append(f"{path} is missing")
        except ValueError:
            self.problems.append(f"{path} is not valid JSON")
        else:
            self.tables[name] = Table(self.folder / path, records)

    def env(self) -> dict[str, str]:
        """The process's environment and, for what it does not set, `.env.local`."""
        path = self.folder / ".env.local"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return kept | dict(os.environ)

    def health(self) -> tuple[Record, int]:
        """Body and HTTP status: well only with all tables, the payment provider's keys and a vault that opens."""
        env = self.env()
        given = [name for name, value in env.items() if value]
        problems = [f"{name} is missing" for name in STRIPE if not any(fnmatchcase(one, name) for one in given)]
        problems += [*self.vault_problems(env), *self.problems]
        return ({"status": "DEGRADED", "problems": problems}, 503) if problems else ({"status": "OK"}, 200)

    def vault_problems(self, env: dict[str, str]) -> list[str]:
        """Whether its key is there and opens it."""
        names = ("MASSAFLOW_VAULT_KEY", "MASSAFLOW_VAULT_IV")
        if missing := [f"{name} is missing" for name in names if not env.get(name)]:
            return missing
        try:
            self.open_vault(env)
        except FileNotFoundError:
            return ["data/secureVault.json is missing"]
        except (ValueError, KeyError, TypeError):
            return ["data/secureVault.json does not open with MASSAFLOW_VAULT_KEY"]
        return []

    def save(self) -> list[str]:
        """Write each table that changed; their names."""
        changed = [name for name, table in self.tables.items() if table.changed]
        for name in changed:
            self.tables[name].save()
        return changed

    def append(self, events: list[Record]) -> None:
        """Add to the event log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in events)

    def seal_vault(self, secrets: Record, salt: bytes) -> None:
        """Encrypt the vault. The vector is fixed: a salt in front makes every byte differ from last time."""
        from cryptography.hazmat.primitives.padding import PKCS7

        padder, cipher = PKCS7(128).padder(), vault_cipher(self.env()).encryptor()
        plain = padder.update(salt + json.dumps(secrets).encode()) + padder.finalize()
        sealed = base64.b64encode(cipher.update(plain) + cipher.finalize()).decode()
        vault = {"version": 1, "algorithm": "aes-256-cbc", "payload": sealed}
        self.vault.write_text(json.dumps(vault, indent=2))

    def open_vault(self, env: dict[str, str]) -> Record:
        """The secrets in the vault; ValueError, KeyError or TypeError if it is none or the key is another."""
        from cryptography.hazmat.primitives.padding import PKCS7

        sealed = base64.b64decode(json.loads(self.vault.read_bytes())["payload"])
        unpadder, cipher = PKCS7(128).unpadder(), vault_cipher(env).decryptor()
        plain = unpadder.update(cipher.update(sealed) + cipher.finalize()) + unpadder.finalize()
        secrets: Record = json.loads(plain[SALT_BYTES:])
        return secrets


def vault_cipher(env: dict[str, str]) -> Any:
    """AES-256 in CBC mode, under the key and the vector in the environment."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key, vector = bytes.fromhex(env["MASSAFLOW_VAULT_KEY"]), bytes.fromhex(env["MASSAFLOW_VAULT_IV"])
    return Cipher(algorithms.AES256(key), modes.CBC(vector))


def seed_shop(folder: Path, seed: int = 1) -> App:
    """A shop with its history, written below `folder` and running."""
    random = Random(seed)
    (folder / "data" / "dynamic").mkdir(parents=True)
    write_env(folder / ".env.local", random, Random(f"{seed}, what came later"))
    for name, records in make_shop(random).items():
        Table(folder / "data" / "dynamic" / f"{name}.json", records).save()
    app = App(folder)
    app.append(make_events(random, EVENTS_AT_FIRST, TODAY - timedelta(days=4), timedelta(days=4)))
    rotate_vault(app, random)
    return app


def write_env(path: Path, random: Random, later: Random) -> None:
    """The one place where the vault's key stands. `later` draws for names added since: the shop stays the same."""
    env = {
        "MASSAFLOW_VAULT_KEY": random.randbytes(32).hex(),
        "MASSAFLOW_VAULT_IV": random.randbytes(16).hex(),
        "STRIPE_SECRET_KEY": identifier(random, "sk_test"),
        "STRIPE_WEBHOOK_SECRET": identifier(later, "whsec"),
        "NEXT_PUBLIC_STRIPE_PRICE_ID_MONTHLY": identifier(later, "price"),
        "NEXT_PUBLIC_STRIPE_PRICE_ID_YEARLY": identifier(later, "price"),
        "CAS_FLUSH_TOKEN": later.randbytes(24).hex(),
        "PORT": "3000",
    }
    path.touch(0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in env.items()))


def work(app: App, random: Random, *, records: int = 12, events: int = 60, rotate: bool = False) -> None:
    """A minute of business: some records change, their tables are written anew, events are appended."""
    now = TODAY + timedelta(seconds=app.log.stat().st_size // 200)  # the made-up clock goes on with the log
    for _ in range(records):
        name = random.choices(list(BUSY), list(BUSY.values()))[0]
        table = app.tables[name]
        age = random.random() if name in ("users", "products") else random.random() ** 3  # what is new, moves
        number = len(table.records) - int(age * len(table.records))
        table.change(number, make_change(random, table.records[number - 1], name, now))
    app.save()
    app.append(make_events(random, events, now, timedelta(minutes=1)))
    if rotate:
        rotate_vault(app, random)


def make_change(random: Random, record: Record, table: str, now: datetime) -> Record:
    """What a customer's or a courier's action does to a record."""
    fields: Record = {"version": record["version"] + 1, "updatedAt": stamp(now)}
    if table in STATES:
        return fields | {"status": random.choice(STATES[table])}
    if table == "users":
        return fields | {
            "lastLoginAt": stamp(now),
            "loyaltyPoints": record["loyaltyPoints"] + random.randrange(50),
        }
    return fields | {"stock": random.randrange(400), "price": price(random)}


def make_events(random: Random, count: int, start: datetime, duration: timedelta) -> list[Record]:
    """What visitors did, in order of time."""
    moment, events = start, []
    for _ in range(count):
        moment += duration / count * (2 * random.random())
        who = random.randrange(SIZES["users"]) + 1
        event = {
            "ts": stamp(moment),
            "event": random.choice(KINDS),
            "user": who,
            "session": f"s-{who * 7919:08x}",
        }
        event |= {"page": random.choice(PAGES), "ms": random.randrange(20, 900)}
        event |= {"device": random.choice(["mobile", "desktop"]), "campaign": random.choice(CAMPAIGNS)}
        events.append(event)
    return events


def rotate_vault(app: App, random: Random) -> None:
    """New secrets of the shop's partners, encrypted anew."""
    secrets: Record = {}
    for number in range(SECRETS_IN_VAULT):
        token, url = random.randbytes(24).hex(), f"https://api{number}.exemplo.com/v1"
        secrets[f"partner-{number:03}"] = {"token": token, "url": url}
    app.seal_vault(secrets, random.randbytes(16))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="An example application that rewrites its JSON files whole.")
    parser.add_argument("--folder", type=Path, default=Path())
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("seed").add_argument("--seed", type=int, default=1)
    worker = verbs.add_parser("work")
    worker.add_argument("--records", type=int, default=12)
    worker.add_argument("--events", type=int, default=60)
    worker.add_argument("--rotate-vault", action="store_true")
    verbs.add_parser("health")
    verbs.add_parser("serve").add_argument("--port", type=int)
    asked = parser.parse_args()
    if asked.verb == "seed":
        seed_shop(asked.folder, asked.seed)
    elif asked.verb == "work":
        app = App(asked.folder)  # the same state works on in the same way
        work(
            app,
            Random(app.log.stat().st_size),
            records=asked.records,
            events=asked.events,
            rotate=asked.rotate_vault,
        )
    elif asked.verb == "health":
        body, status = App(asked.folder).health()
        print(json.dumps(body))
        sys.exit(status != 200)
    else:
        from serving import serve

        serve(App(asked.folder), asked.port)


if __name__ == "__main__":
    main()
