"""The tables of cas.toml that tell of the running application, read or refused with their line."""

from __future__ import annotations

import pytest

from casstore import config
from casstore.errors import ConfigInvalid
from casstore.recovery.plan import Ask, Check, Command, Evidence, External, Health, Plan, Step, parse

SECOND = 10**9

FULL = """\
name = "massaflow"
paths = ["data"]
[app]
env-file = ".env.local"
env-required = ["STRIPE_SECRET_KEY", "NEXT_PUBLIC_STRIPE_PRICE_ID_*"]
env-capture = false
env-where = { "STRIPE_*" = "the safe" }
flush  = { http = "POST http://127.0.0.1:${PORT}/internal/flush", token-env = "CAS_FLUSH_TOKEN", required = true }
release = { http = "POST http://127.0.0.1:${PORT}/internal/release", timeout = "500ms" }
run    = ["npm", "start"]
stop   = { command = ["systemctl", "stop", "massaflow"], timeout = "30s" }
start  = { command = ["systemctl", "start", "massaflow"] }
health = { http = "http://127.0.0.1:${PORT}/api/health", expect-json = { status = "OK" }, within = "20s" }
checks = [
  { name = "users", command = ["node", "scripts/check.js"] },
]
[recover]
require = { node = ">=18" }
steps = [
  { name = "code", run = ["git", "clone", "x", "{folder}"] },
  { name = "data", restore = "latest" },
  { name = "start" },
]
[drill]
env = { PORT = "3999", EMPTY = "" }
keep-env = ["MASSAFLOW_VAULT_*"]
[promises]
rpo = "1h"
drill-every = "90d"
[notify]
ping = "https://example.org/ping"
to = ["mailto://a@example.org"]
[contacts]
"on call" = "Ana, 555"
[[external]]
name = "DNS"
how = "the registrar"
[[external]]
name = "Stripe webhook"
how = "Dashboard"
check = { env-prefix = { STRIPE_WEBHOOK_SECRET = "whsec_" } }
"""


def test_every_key_of_the_plan_is_read() -> None:
    plan = parse(FULL)
    app = plan.app
    assert app.flush == Ask(
        http="POST http://127.0.0.1:${PORT}/internal/flush", token_env="CAS_FLUSH_TOKEN", required=True
    )
    assert app.release is not None
    assert app.release.timeout_ns == SECOND // 2
    assert app.run == ("npm", "start")
    assert app.stop == Command(("systemctl", "stop", "massaflow"), 30 * SECOND)
    assert app.start == Command(("systemctl", "start", "massaflow"))
    assert app.health == Health("http://127.0.0.1:${PORT}/api/health", (200,), {"status": "OK"}, 20 * SECOND)
    assert app.checks == (Check("users", ("node", "scripts/check.js")),)
    assert (app.env_file, app.env_capture, app.env_where) == (".env.local", False, {"STRIPE_*": "the safe"})
    assert plan.recover.require == {"node": ">=18"}
    assert plan.recover.steps == (
        Step("code", run=("git", "clone", "x", "{folder}")),
        Step("data", restore="latest"),
        Step("start"),
    )
    assert plan.drill.env == {"PORT": "3999", "EMPTY": ""}
    assert plan.promises.rpo_ns == 3600 * SECOND
    assert plan.promises.rto_ns is None
    assert plan.notify.to == ("mailto://a@example.org",)
    assert plan.contacts == {"on call": "Ana, 555"}
    assert plan.external == (
        External("DNS", "the registrar"),
        External("Stripe webhook", "Dashboard", Evidence({"STRIPE_WEBHOOK_SECRET": "whsec_"})),
    )


def test_the_store_reads_past_the_plan() -> None:
    assert config.parse(FULL) == config.Config(name="massaflow", paths=("data",), recovery=config.RECOVERY)


def test_without_a_plan_there_are_defaults() -> None:
    assert parse('paths = ["data"]') == Plan()


@pytest.mark.parametrize(
    ("wrong", "line", "said", "hint"),
    [
        ("\n[app]\nhealht = { http = 'http://x' }", 3, "unknown table `healht` in [app]", "health"),
        ("[app]\nhealth = {\n  # expect-json\n  http = 3 }", 2, "not valid TOML", ""),
        ("[app]\nhealth = { http = 3 }", 2, "`http` must be a text", ""),
        ("[app.health]\nwithin = '5s'\nhttp = 'ftp://x'", 3, "`http` must be an address", ""),
        ("[app]\nhealth = { within = '5s' }", 2, "`health` needs `http`", ""),
        ("[app]\nflush = { timeout = '5s' }", 2, "`flush` must say one of", ""),
        ("[app]\nflush = { signal = 'SIGKILL' }", 2, "`signal` must be a signal that can be caught", ""),
        ("[app]\nrun = 'npm start'", 2, '`run` must be a list of texts such as ["npm", "start"]', ""),
        ("[app]\nrun = []", 2, "`run` must name a program", ""),
        (
            "[app]\nchecks = [\n {name = 'a', command = ['a']},\n {name = 'b', comand = ['b']},\n]",
            4,
            "unknown key `comand` in [app.checks], number 2",
            "Did you mean `command`?",
        ),
        (
            "[app]\nchecks = [ {name = 'a', command = ['a']}, {name = 'b'} ]",
            2,
            "`checks` number 2 needs `command`",
            "users",
        ),
        ("[app]\nchecks = ['a']", 2, "`checks` must be a list of tables, such as [{ name", ""),
        ("[app]\nchecks = ['a']", 2, "and number 1 is a single text", ""),
        ("[app]\nstart = ['a']", 2, '`start` must be a table, such as { command = ["systemctl", "start"', ""),
        ("[app]\nflush = 'a'", 2, '`flush` must be a table, such as { http = "POST http://', ""),
        ("[app]\nrelease = 'a'", 2, "/internal/release", ""),
        ("[app]\nhealth = 'a'", 2, '`health` must be a table, such as { http = "http://', ""),
        ("[notify]\nping = 'hc-ping.com/x'", 2, '`ping` must be an address such as "https://hc-ping.com/…"', ""),
        ("[notify]\nto = 'mailto://x'", 2, '`to` must be a list of texts such as ["mailto://ops@example.org"]', ""),
        ("[contacts]\n'on call' = 3", 1, "`contacts` has `on call`, which must be a text in quotes", ""),
        ("[recover]\nsteps = [ {name = 'x'} ]", 2, "a step 'x' that does nothing", ""),
        ("[recover]\nsteps = [ {name = 'x', run = ['x']}, {name = 'x', run = ['x']} ]", 2, "two steps 'x'", ""),
        ("[app]\nhealth = {http = 'http://a', within = '8d'}", 2, "no longer than 7d", ""),
        ("[app]\nstop = {command = ['a'], timeout = '0s'}", 2, "longer than nothing", ""),
        ("[promises]\nrpo = '1 hour'", 2, "`rpo` must be a duration", ""),
        ("[promises]\nrpo = '1h'\nrto-minutes = 3", 3, "unknown key `rto-minutes` in [promises]", "rto"),
        (
            "[[external]]\nname = 'a'\nhow = 'b'\ncheck = { command = ['a'] }\n"
            "[[external]]\nname = 'c'\nhow = 'd'\ncheck = { comand = ['a'] }",
            8,
            "`comand`",
            "command",
        ),
        (
            "[[external]]\nname = 'a'\nhow = 'b'\n[[external]]\nname = 'c'\nhwo = 'd'",
            6,
            "`hwo` in [external], number 2",
            "how",
        ),
        ("[[external]]\nname = 'a'", 1, "`external` number 1 needs `how`", "[[external]]"),
        ("[drill]\nenv = { PORT = 3 }", 2, "`env` must give a text for each name, and `PORT` is none", ""),
        ("external = 3", 1, "`external` must be a list of tables", ""),
        ("app = 3", 1, "`app` must be a table", ""),
    ],
)
def test_a_complaint_names_line_and_key(wrong: str, line: int, said: str, hint: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse(wrong)
    assert said in str(caught.value)
    assert caught.value.line == line, str(caught.value)
    assert hint in caught.value.hint
