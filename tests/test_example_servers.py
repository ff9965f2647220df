"""One contract for the example's two servers, by real processes and real HTTP; with it the two files to drop in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import COMMANDS, EXAMPLE, KINDS, LOG, NODE, Server, env_of, events, seed, table, until

IN_MEMORY = {"FLUSH_EVERY": "3600"}
ORDERS, VAULT = "data/dynamic/orders.json", "data/secureVault.json"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed(tmp_path_factory.mktemp("seeded"))


@pytest.fixture
def shop(seeded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(seeded, tmp_path / "shop")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str, shop: Path) -> Iterator[Server]:
    with Server(kind, shop) as server:
        yield server


@pytest.fixture
def in_memory(kind: str, shop: Path) -> Iterator[Server]:
    with Server(kind, shop, **IN_MEMORY) as server:
        yield server


def test_what_it_acknowledges_is_in_the_files(shop: Path, server: Server) -> None:
    assert server.send("PATCH", "/api/orders/7", {"notes": "sem cebola"}) == (200, {"saved": True})
    assert table(shop, "orders")[6]["notes"] == "sem cebola"
    assert server.send("POST", "/api/events", {"event": "test"}) == (200, {"saved": True})
    assert events(shop)[-1]["event"] == "test"
    assert server.send("GET", "/api/orders") == (200, table(shop, "orders"))


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_both_servers_write_the_same_bytes(seeded: Path, tmp_path: Path) -> None:
    written = []
    for kind in COMMANDS:
        shop = shutil.copytree(seeded, tmp_path / kind)
        with Server(kind, shop) as server:
            for name in ("orders", "users", "settings", "plans", "tickets"):
                server.send("PATCH", f"/api/{name}/1", {"notes": "açaí \u2028 €", "none": None, "empty": [{}, []]})
            server.send("POST", "/api/events", {"event": "açaí"})
        files = {path.relative_to(shop): path.read_bytes() for path in shop.rglob("*") if path.is_file()}
        log = re.sub(
            rb'": |, "', lambda found: found[0].replace(b" ", b""), files.pop(Path(LOG))
        )  # its spaces are free
        times = re.compile(rb'("(updatedAt|ts)": ?)"[-0-9T:.]+Z"')
        written.append(
            {path: times.sub(rb"\1", content) for path, content in files.items()} | {Path(LOG): times.sub(b"", log)}
        )
    assert written[0] == written[1]


def test_requests_that_mean_nothing_change_nothing(shop: Path, server: Server) -> None:
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    for method, target in [
        ("GET", "/"), ("GET", "/api/orders/7"), ("GET", "/api/__proto__"), ("PUT", "/api/orders/7"),
        ("PATCH", "/api/orders"), ("PATCH", "/api/orders/0"), ("PATCH", "/api/orders/2001"),
        ("PATCH", "/api/orders/+7"),
        ("PATCH", "/api/orders/7/notes"), ("PATCH", "/api/toString/1"), ("POST", "/api/orders"),
    ]:  # fmt: skip
        assert server.send(method, target, {"notes": "x"} if method != "GET" else None) == (404, {}), target
    for body in (b"", b"{", b"[]", b"null", b"7", b'{"a": NaN}'):
        for method, target in [("PATCH", "/api/orders/7"), ("POST", "/api/events")]:
            assert server.send(method, target, body) == (400, {"error": "not a JSON object"}), body
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before


def test_changes_stay_in_memory_until_a_flush(shop: Path, in_memory: Server) -> None:
    before = table(shop, "orders")
    assert in_memory.send("PATCH", "/api/orders/7", {"notes": "x"}) == (200, {"saved": False})
    assert table(shop, "orders") == before
    flushed = {"tables": ["orders"], "events": 0}
    assert in_memory.post("/internal/flush") == (200, {"flushed": flushed, "held": False})
    assert table(shop, "orders")[6]["notes"] == "x"
    assert in_memory.post("/internal/flush")[1]["flushed"] == {"tables": [], "events": 0}


def test_changes_in_memory_are_written_from_time_to_time(kind: str, shop: Path) -> None:
    with Server(kind, shop, FLUSH_EVERY="0.05") as server:
        server.send("PATCH", "/api/settings/1", {"maintenance": True})
        until(lambda: b'"maintenance": true' in (shop / "data/dynamic/settings.json").read_bytes())


def test_a_stop_writes_what_is_in_memory_and_a_kill_does_not(kind: str, shop: Path) -> None:
    for number, end in enumerate((Server.stop, lambda server: server.process.kill())):
        with Server(kind, shop, **IN_MEMORY) as server:
            server.send("PATCH", f"/api/orders/{number + 1}", {"notes": "acknowledged"})
            assert end(server) in (0, None)
    assert [order["notes"] for order in table(shop, "orders")[:2]] == ["acknowledged", ""]


def test_a_stop_ends_a_hold_and_writes(kind: str, shop: Path) -> None:
    with Server(kind, shop) as server:
        server.post("/internal/flush?hold=60")
        server.send("PATCH", "/api/orders/7", {"notes": "held"})
        server.send("POST", "/api/events", {"event": "held"})
        assert server.stop() == 0
    assert table(shop, "orders")[6]["notes"] == "held"
    assert events(shop)[-1]["event"] == "held"


def test_only_the_token_flushes(shop: Path, in_memory: Server) -> None:
    in_memory.send("PATCH", "/api/orders/7", {"notes": "x"})
    for target in ("/internal/flush", "/internal/flush?hold=5", "/internal/release"):
        for token in (None, "", "wrong", f"{in_memory.token}x", "é"):
            assert in_memory.send("POST", target, token=token) == (401, {"error": "unauthorized"})
        assert in_memory.send("GET", target, token=in_memory.token) == (405, {"error": "only POST"})
    assert table(shop, "orders")[6]["notes"] == ""


@pytest.mark.parametrize("value", ["CAS_FLUSH_TOKEN=", ""])
def test_without_a_token_of_its_own_nobody_flushes(kind: str, shop: Path, value: str) -> None:
    env = shop / ".env.local"
    env.write_text(re.sub("CAS_FLUSH_TOKEN=.*", value, env.read_text()))
    with Server(kind, shop) as server:
        for token in ("", "undefined", "None"):
            assert server.send("POST", "/internal/flush", token=token)[0] == 401


def test_nothing_is_written_during_a_hold_and_all_after_it(shop: Path, server: Server) -> None:
    assert server.post("/internal/flush?hold=60")[1]["held"]
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    assert server.send("PATCH", "/api/orders/7", {"notes": "x"}) == (200, {"saved": False})
    assert server.send("POST", "/api/events", {"event": "x"}) == (200, {"saved": False})
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before
    assert server.post("/internal/release") == (200, {"released": True})
    assert table(shop, "orders")[6]["notes"] == "x"
    assert events(shop)[-1]["event"] == "x"
    assert server.post("/internal/release") == (200, {"released": False})


def test_a_hold_that_nobody_ends_ends_by_itself(shop: Path, server: Server) -> None:
    assert server.post("/internal/flush?hold=0.3")[1]["held"]
    server.send("PATCH", "/api/orders/7", {"notes": "x"})
    assert table(shop, "orders")[6]["notes"] == ""
    until(lambda: b'"notes": "x"' in (shop / ORDERS).read_bytes())
    assert server.post("/internal/release") == (200, {"released": False})


def test_the_newest_hold_counts(shop: Path, server: Server) -> None:
    server.post("/internal/flush?hold=60")
    server.send("PATCH", "/api/orders/7", {"notes": "x"})
    server.send("POST", "/api/events", {"event": "x"})
    assert server.post("/internal/flush?hold=0.3")[1]["held"]
    assert table(shop, "orders")[6]["notes"] == "x"
    server.send("PATCH", "/api/orders/8", {"notes": "y"})
    until(lambda: b'"notes": "y"' in (shop / ORDERS).read_bytes())


@pytest.mark.parametrize("hold", ["", "-1", "nan", "inf", "1e3", "0x10", "1_0", "%D9%A1", "9" * 400])
def test_a_hold_is_a_number_of_seconds(server: Server, hold: str) -> None:
    assert server.post(f"/internal/flush?hold={hold}") == (400, {"error": "hold is not in seconds"})
    assert server.send("PATCH", "/api/plans/1", {}) == (200, {"saved": True})


def test_what_cannot_be_written_is_no_acknowledgement_and_is_written_later(shop: Path, server: Server) -> None:
    (shop / ORDERS).rename(shop / "aside")
    (shop / ORDERS).mkdir()
    assert server.send("PATCH", "/api/orders/7", {"notes": "x"}) == (500, {"error": "could not write"})
    assert server.post("/internal/flush?hold=60") == (500, {"error": "could not write"})
    (shop / ORDERS).rmdir()
    assert server.send("PATCH", "/api/plans/1", {}) == (200, {"saved": True})  # so nothing is held
    assert table(shop, "orders")[6]["notes"] == "x"


def test_it_is_well_and_says_so(server: Server) -> None:
    assert server.send("GET", "/api/health") == (200, {"status": "OK"})


def without(name: str) -> Callable[[Path], None]:
    def change(shop: Path) -> None:
        env = shop / ".env.local"
        env.write_text(re.sub(f"^{name}=.*$", "#", env.read_text(), flags=re.MULTILINE))

    return change


def another_vault_key(shop: Path) -> None:
    without("MASSAFLOW_VAULT_KEY")(shop)
    with (shop / ".env.local").open("a") as env:
        env.write(f"MASSAFLOW_VAULT_KEY={'0' * 64}\n")


def cut(path: str) -> Callable[[Path], None]:
    return lambda shop: (shop / path).write_bytes((shop / path).read_bytes()[:-100])


PROBLEMS = [
    (without("STRIPE_SECRET_KEY"), "STRIPE_SECRET_KEY is missing"),
    (without("STRIPE_WEBHOOK_SECRET"), "STRIPE_WEBHOOK_SECRET is missing"),
    (without("NEXT_PUBLIC_STRIPE_PRICE_ID_.*"), "NEXT_PUBLIC_STRIPE_PRICE_ID_* is missing"),
    (without("MASSAFLOW_VAULT_KEY"), "MASSAFLOW_VAULT_KEY is missing"),
    (without("MASSAFLOW_VAULT_IV"), "MASSAFLOW_VAULT_IV is missing"),
    (another_vault_key, f"{VAULT} does not open with MASSAFLOW_VAULT_KEY"),
    (cut(VAULT), f"{VAULT} does not open with MASSAFLOW_VAULT_KEY"),
    (lambda shop: (shop / VAULT).unlink(), f"{VAULT} is missing"),
    (cut(ORDERS), f"{ORDERS} is not valid JSON"),
    (lambda shop: (shop / ORDERS).unlink(), f"{ORDERS} is missing"),
]


@pytest.mark.parametrize(("spoil", "problem"), PROBLEMS, ids=[problem for _, problem in PROBLEMS])
def test_it_is_degraded_and_says_why(kind: str, shop: Path, spoil: Callable[[Path], object], problem: str) -> None:
    spoil(shop)
    with Server(kind, shop) as server:
        assert server.send("GET", "/api/health") == (503, {"status": "DEGRADED", "problems": [problem]})


def test_with_an_empty_folder_it_starts_and_is_degraded(kind: str, tmp_path: Path) -> None:
    (tmp_path / ".env.local").touch()
    with Server(kind, tmp_path) as server:
        status, body = server.send("GET", "/api/health")
        assert (status, len(body["problems"])) == (503, 3 + 2 + 11)
        assert server.stop() == 0


def test_a_table_that_cannot_be_read_is_not_written_over(kind: str, shop: Path) -> None:
    cut(ORDERS)(shop)
    before = (shop / ORDERS).read_bytes()
    with Server(kind, shop) as server:
        assert server.send("PATCH", "/api/orders/7", {"notes": "x"}) == (404, {})
        assert server.post("/internal/flush")[0] == 200
        assert server.stop() == 0
    assert (shop / ORDERS).read_bytes() == before


def test_the_environment_wins_over_the_file(kind: str, shop: Path) -> None:
    with Server(kind, shop, STRIPE_SECRET_KEY="", CAS_FLUSH_TOKEN="other") as server:
        problems = ["STRIPE_SECRET_KEY is missing"]
        assert server.send("GET", "/api/health") == (503, {"status": "DEGRADED", "problems": problems})
        assert server.send("POST", "/internal/flush", token="other")[0] == 200


def test_a_port_in_use_is_said(kind: str, shop: Path, server: Server) -> None:
    port = server.url.rpartition(":")[2]
    (shop / ".env.local").write_text(f"PORT={port}\n")
    ran = subprocess.run(COMMANDS[kind], cwd=shop, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, f"massaflow: port {port} is in use\n")


CHECKS = {"node": [NODE or "node", EXAMPLE / "check.mjs"], "python": [sys.executable, EXAMPLE / "check.py"]}


def drop(name: str, number: int) -> Callable[[Path], object]:
    def change(shop: Path) -> None:
        records = table(shop, name)
        del records[number]
        (shop / f"data/dynamic/{name}.json").write_text(json.dumps(records))

    return change


def twice(shop: Path) -> None:
    records = table(shop, "users")
    records[1]["id"] = records[0]["id"]
    (shop / "data/dynamic/users.json").write_text(json.dumps(records))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda shop: None, r""),
        (drop("users", 5), r"users: 1999 records, not 2000\norders: \d+ without their user\n(.*\n)*"),
        (twice, r"users: an id stands twice\n"),
        (cut("data/dynamic/plans.json"), r"plans: cannot be read\nsubscriptions: 1500 without their plan\n"),
        (another_vault_key, r"vault: does not open\n"),
    ],
)
def test_the_check_finds_what_does_not_hang_together(
    kind: str, shop: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(shop)
    ran = subprocess.run(CHECKS[kind], cwd=shop, capture_output=True, text=True)
    assert re.fullmatch(said, ran.stdout), ran.stdout
    assert (ran.returncode, ran.stderr) == (int(bool(said)), "")


OTHER_FRAMEWORKS = """
import { casFlush } from "CAS_FLUSH";
let flushed = 0;
const cas = casFlush({ token: "secret", flush: async () => { flushed++; } });
const bearer = "Bearer secret";
const response = Response.json(...(await cas.answer("POST", "http://host/internal/flush?hold=5", bearer)));
console.log(response.status, await response.text(), cas.held, flushed); // Next
await cas.handle({ method: "GET", url: "/other", headers: {} }, {}, () => console.log("next")); // Express
console.log(await cas.handle({ method: "GET", url: "/other", headers: {} }, {})); // node:http
const sent = { writeHead: (status) => ((sent.status = status), sent), end: (text) => console.log(sent.status, text) };
const release = { method: "POST", originalUrl: "/a/internal/release", url: "/", headers: { authorization: bearer } };
await cas.handle(release, sent);
"""


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_the_node_module_fits_next_and_express(tmp_path: Path) -> None:
    module = (EXAMPLE.parent / "flush" / "cas-flush.mjs").as_uri()
    (tmp_path / "try.mjs").write_text(OTHER_FRAMEWORKS.replace("CAS_FLUSH", module))
    ran = subprocess.run([NODE or "", tmp_path / "try.mjs"], capture_output=True, text=True, timeout=20)
    said = ['200 {"flushed":null,"held":true} true 1', "next", "false", '200 {"released":true}']
    assert ran.stdout.splitlines() == said, ran.stderr


def test_env_local_is_for_its_owner_alone_and_names_all_that_is_needed(seeded: Path) -> None:
    assert (seeded / ".env.local").stat().st_mode & 0o777 == 0o600
    needed = {"MASSAFLOW_VAULT_KEY", "MASSAFLOW_VAULT_IV", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"}
    assert needed | {"CAS_FLUSH_TOKEN", "PORT"} <= env_of(seeded).keys()
