"""The cas.toml that `cas init` writes: every key, explained where it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from casstore.values import dataclass

_SAVED = """\
# What `cas` saves of this application. Patterns are relative to this folder; `*` stays within a folder, `**` does not.
# `cas backup` takes a snapshot, `cas snapshots` lists them, `cas restore "2 hours ago"` brings one back.

# What snapshots of it are called.
name = {name}

# Where the repository is: a folder, relative to this one or absolute. `-r` and CAS_REPOSITORY count before it.
repository = {repository}

# What is saved. New files that match are saved too; what matches nothing yet is only a warning.
paths = {paths}

# Files that only grow, such as event logs.
append-only = ["*.log", "*.jsonl"]

# Save them only up to their last newline.
whole-lines = false

# Files whose bytes are stored apart from all others, such as an encrypted vault.
isolate = {isolate}

# What is left out, in the language of .gitignore. A .casignore in any folder adds to it.
exclude = []  # ["*.tmp", "/cache/"]

# Leave out folders that hold a CACHEDIR.TAG.
exclude-caches = false

# Stay on the file system of this folder.
one-file-system = false

[tuning]
# reread = "7d"             # read even unchanged files again after this time
# prove-logs = "24h"        # read append-only files whole again after this time
# recent-chunks = "128MiB"  # how much of what changed last is kept at hand on this host
"""

_APPLICATION = """
# ── the running application: how it is asked, stopped, started, and known to be well ──
# Commands are lists of arguments, run in this folder without a shell. ${NAME} stands for a value of the env file, or
# else of the environment.
[app]
"""

_ENVIRONMENT = """\
# Names and fingerprints of its values are kept with each snapshot, never the values: so `cas` can say later whether the
# files were written under the same keys.
{off}env-file = {file}
{off}env-required = {required}  # names that must be there; `*` stands for any letters

# Store the env file itself with each snapshot, sealed like all else? Files that are encrypted under a key in it are
# scrap without it. It comes back only when it is asked for.
{capture}
# env-where = { "*" = "password manager, entry …" }  # for false: where each value is kept instead
"""

_ASKED = """
# Before each snapshot the running application writes what it holds in memory (examples/ has modules to drop in). By
# `signal` it answers with a file that it touches; by `command` with exit code 0. `required`: without its answer the
# snapshot is taken all the same, marked as unflushed, and the exit code is 4.
{flush}
# With a release it holds its writes from the flush until the snapshot is there.
# release = { http = "POST http://127.0.0.1:${PORT}/internal/release", token-env = "CAS_FLUSH_TOKEN" }

# The command that runs it in the foreground.
{run}
# Without these it is ended by a signal, and `run` starts it again. Where only root may: ["sudo", "-n", "systemctl", …].
# stop  = { command = ["systemctl", "stop", {service}], timeout = "30s" }
# start = { command = ["systemctl", "start", {service}] }

# What it answers when it is well.
{health}
# checks = [ { name = "users", command = {check} } ]
"""

_RECOVERY = """
# ── from a bare server to a healthy application: `cas recover` ──
[recover]
require = {require}
# steps = [
#   { name = "code", run = ["git", "clone", "https://…", "{folder}"] },
#   { name = "dependencies", run = {install} },
#   { name = "data", restore = "latest" },
#   { name = "start" },
# ]

# ── rehearsals: `cas drill` ── Each value of the env file is replaced here or named as one that may be used.
[drill]
env = {drill}
keep-env = {keep}

[promises]
rpo = "1h"            # no more than this may be lost
rto = "10m"           # and it takes no longer to be back
verify-every = "7d"
drill-every = "90d"

[notify]
# ping = "https://…"  # asked after each backup
# to = ["mailto://…"] # told when a promise is broken

[contacts]
# "on call" = "…"
{external}"""

_STRIPE = """
[[external]]
name = "Stripe webhook"
how = "Dashboard → Developers → Webhooks: endpoint https://…/api/stripe/webhook; its secret is STRIPE_WEBHOOK_SECRET"
check = { env-prefix = { STRIPE_WEBHOOK_SECRET = "whsec_" } }
"""

_PLAIN_EXTERNAL = """
# What no snapshot holds, and how to set it up again:
# [[external]]
# name = "DNS"
# how = "…"
"""


_NOTHING_APART = '[]  # ["vault/**"]'


@dataclass(frozen=True, slots=True)
class Template:
    """What kinds of applications differ in; texts are TOML."""

    paths: tuple[str, ...]
    env_file: str
    isolate: str = _NOTHING_APART
    env_required: str = "[]"
    env_is_known: bool = False  # there is one, whether it is there already or not
    flush: str = (
        '# flush = { http = "POST http://127.0.0.1:${PORT}/internal/flush", token-env = "CAS_FLUSH_TOKEN", '
        "required = true }"
    )
    run: str = '# run = ["./start"]'
    health: str = '# health = { http = "http://127.0.0.1:${PORT}/health" }'
    check: str = '["./check"]'
    service: str = '"…"'
    require: str = "{}"
    install: str = '["./install"]'
    drill: str = '{ PORT = "3999" }'
    keep: str = "[]"
    external: str = _PLAIN_EXTERNAL


_NODE = Template(
    paths=("data",),
    env_file=".env",
    run='run = ["npm", "start"]',
    check='["node", "scripts/check.js"]',
    require='{ node = ">=18", npm = "*" }',
    install='["npm", "ci"]',
)
TEMPLATES = {
    "nextjs": Template(
        paths=("data/dynamic/*.json", "data/secureVault.json", "engagement_events.log"),
        env_file=".env.local",
        env_is_known=True,
        isolate='["data/secureVault.json"]',
        env_required='["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "NEXT_PUBLIC_STRIPE_PRICE_ID_*", '
        '"MASSAFLOW_VAULT_KEY", "MASSAFLOW_VAULT_IV"]',
        flush='flush = { http = "POST http://127.0.0.1:${PORT}/internal/flush", token-env = "CAS_FLUSH_TOKEN", '
        "required = true }",
        run=_NODE.run,
        health='health = { http = "http://127.0.0.1:${PORT}/api/health", expect-json = { status = "OK" }, '
        'within = "60s" }',
        check=_NODE.check,
        service='"massaflow"',
        require=_NODE.require,
        install=_NODE.install,
        drill='{ PORT = "3999", STRIPE_SECRET_KEY = "sk_test_drill" }',
        keep='["MASSAFLOW_VAULT_*"]',
        external=_STRIPE,
    ),
    "node": _NODE,
    "python": Template(
        paths=("data",),
        env_file=".env",
        run='# run = [".venv/bin/python", "-m", "…"]',
        check='[".venv/bin/python", "scripts/check.py"]',
        require='{ python3 = ">=3.11" }',
        install='["python3", "-m", "venv", ".venv"]',
        drill='{ PORT = "3999" }',
    ),
    "generic": Template(paths=("data",), env_file=".env"),
}


def cas_toml(
    name: str,
    repository: str,
    paths: Sequence[str],
    *,
    template: Template | None = None,
    has_env: bool = False,
    capture: bool | None = None,
) -> str:
    """Write a commented cas.toml; with a template also of the running application.

    `has_env`: its env file is there. `capture`: whether that is to be stored; None: nobody was asked.
    """
    isolate = _NOTHING_APART if template is None else template.isolate
    saved = _filled(_SAVED, name=_quoted(name), repository=_quoted(repository), paths=_listed(paths), isolate=isolate)
    return saved if template is None else saved + _application(template, has_env=has_env, capture=capture)


def _application(template: Template, *, has_env: bool, capture: bool | None) -> str:
    t = template
    environment = _filled(
        _ENVIRONMENT,
        off="" if has_env or t.env_is_known else "# ",
        file=_quoted(t.env_file),
        required=t.env_required,
        capture="# env-capture = true" if capture is None else f"env-capture = {str(capture).lower()}",
    )
    asked = _filled(_ASKED, flush=t.flush, run=t.run, service=t.service, health=t.health, check=t.check)
    recovery = _filled(_RECOVERY, require=t.require, install=t.install, drill=t.drill, keep=t.keep, external=t.external)
    return _APPLICATION + environment + asked + recovery


def _filled(text: str, **values: str) -> str:
    """Put values in their places; other braces are TOML's."""
    return re.sub(rf"\{{({'|'.join(values)})\}}", lambda match: values[match[1]], text)


def _listed(paths: Sequence[str]) -> str:
    quoted = [_quoted(path) for path in paths]
    line = f"[{', '.join(quoted)}]"
    if len(line) <= 100:
        return line
    return "[\n" + "".join(f"  {path},\n" for path in quoted) + "]"


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
