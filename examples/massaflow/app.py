"""MassaFlow, an example of the applications that `cas` is for: data in memory, files rewritten whole.

    python app.py seed                        a shop of about 9 MB in the current folder
    python app.py work --records 12 --events 60 [--rotate-vault]
    python app.py health                      what /api/health answers, without a server
    python app.py serve --port 3000           GET /api/health, GET /api/TABLE, PATCH /api/TABLE/NUMBER,
                                              POST /api/events

`data/dynamic/*.json` are written as `fs.writeFileSync(path, JSON.stringify(table, null, 2))` would:
truncated, then written, with no rename. `engagement_events.log` is appended to, one JSON object a line.
`data/secureVault.json` is encrypted (AES-256-CBC) under a key and an initialisation vector that stand in
`.env.local` and nowhere else.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Lock

from records import SIZES, STATES, TODAY, Record, identifier, make_shop, price, stamp

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
        self.records[number - 1] |= fields
        self.changed.add(number - 1)

    def save(self) -> None:
        """Write the file anew, whole, in place: a reader may meet it half-written."""
        if not self.texts:
            self.texts = list(map(encode, self.records))
        for index in self.changed:
            self.texts[index] = encode(self.records[index])
        self.changed.clear()
        self.path.write_text("[\n  " + ",\n  ".join(self.texts) + "\n]", encoding="utf-8")


def encode(record: Record) -> str:
    """A record as it stands, indented, in its table's file."""
    return json.dumps(record, indent=2, ensure_ascii=False).replace("\n", "\n  ")


class App:
    """The running application: its tables, its log and its vault below `folder`."""

    def __init__(self, folder: Path) -> None:
        """Read the tables that lie below `folder`."""
        self.folder, self.lock = folder, Lock()
        self.log = folder / "engagement_events.log"
        paths = sorted((folder / "data" / "dynamic").glob("*.json"))
        self.tables = {path.stem: Table(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths}

    def env(self) -> dict[str, str]:
        """What `.env.local` sets."""
        lines = (self.folder / ".env.local").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def health(self) -> tuple[int, Record]:
        """HTTP status and body: well only with its tables and the payment provider's key."""
        well = bool(self.env().get("STRIPE_SECRET_KEY")) and len(self.tables) == len(SIZES)
        return (200, {"status": "OK"}) if well else (503, {"status": "DEGRADED"})

    def save(self) -> None:
        """Write each table that changed."""
        for table in self.tables.values():
            if table.changed:
                table.save()

    def append(self, events: list[Record]) -> None:
        """Add to the event log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in events)

    def seal_vault(self, secrets: Record, salt: bytes) -> None:
        """Encrypt the vault. The vector is fixed: a salt in front makes every byte differ from last time."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7

        env = self.env()
        key, vector = bytes.fromhex(env["MASSAFLOW_VAULT_KEY"]), bytes.fromhex(env["MASSAFLOW_VAULT_IV"])
        padder, cipher = PKCS7(128).padder(), Cipher(algorithms.AES256(key), modes.CBC(vector)).encryptor()
        plain = padder.update(salt + json.dumps(secrets).encode()) + padder.finalize()
        sealed = base64.b64encode(cipher.update(plain) + cipher.finalize()).decode()
        vault = {"version": 1, "algorithm": "aes-256-cbc", "payload": sealed}
        (self.folder / "data" / "secureVault.json").write_text(json.dumps(vault, indent=2))


def seed_shop(folder: Path, seed: int = 1) -> App:
    """A shop with its history, written below `folder` and running."""
    random = Random(seed)
    (folder / "data" / "dynamic").mkdir(parents=True)
    env = {
        "MASSAFLOW_VAULT_KEY": random.randbytes(32).hex(),
        "MASSAFLOW_VAULT_IV": random.randbytes(16).hex(),
    }
    env |= {"STRIPE_SECRET_KEY": identifier(random, "sk_test"), "PORT": "3000"}
    (folder / ".env.local").write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    for name, records in make_shop(random).items():
        Table(folder / "data" / "dynamic" / f"{name}.json", records).save()
    app = App(folder)
    app.append(make_events(random, EVENTS_AT_FIRST, TODAY - timedelta(days=4), timedelta(days=4)))
    rotate_vault(app, random)
    return app


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


def make_handler(app: App) -> type[BaseHTTPRequestHandler]:
    """The HTTP side of it."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: object) -> None:
            text = json.dumps(body, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def body(self) -> Record:
            sent: Record = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            return sent

        def do_GET(self) -> None:
            table = app.tables.get(self.path.removeprefix("/api/"))
            if self.path == "/api/health":
                self.answer(*app.health())
            elif table is None:
                self.answer(404, {})
            else:
                with app.lock:
                    self.answer(200, table.records)

        def do_PATCH(self) -> None:
            name, _, number = self.path.removeprefix("/api/").partition("/")
            table = app.tables.get(name)
            if table is None or not number.isdigit() or not 0 < int(number) <= len(table.records):
                return self.answer(404, {})
            with app.lock:
                table.change(int(number), self.body() | {"updatedAt": stamp(datetime.now(UTC))})
                app.save()
            return self.answer(200, {"saved": True})

        def do_POST(self) -> None:
            if self.path != "/api/events":
                return self.answer(404, {})
            with app.lock:
                app.append([{"ts": stamp(datetime.now(UTC))} | self.body()])
            return self.answer(200, {"saved": True})

    return Handler


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
    verbs.add_parser("serve").add_argument("--port", type=int, default=3000)
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
        status, body = App(asked.folder).health()
        print(json.dumps(body))
        sys.exit(status != 200)
    else:
        app = App(asked.folder)
        server = ThreadingHTTPServer(("127.0.0.1", asked.port), make_handler(app))
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
