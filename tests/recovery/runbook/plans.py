"""Plans that runbooks are written from in tests. Run as a program it writes the golden files anew; look at the diff."""

from __future__ import annotations

from pathlib import Path

from casstore import config
from casstore.recovery import plan
from casstore.recovery.paper.phrases import LANGUAGES
from casstore.recovery.past_reports import Past, PastStep
from casstore.recovery.runbook import Described, Form, Way, write

HERE = Path(__file__).parent
SECOND = 10**9
DRILLED_NS = 1_795_000_000 * SECOND

HOSTILE = "<script>alert(1)</script> `whoami` **x** [a](javascript:b) | c\n# d\x1b[31m \u202e ~~e~~ $f$ \\ & ' \" ```"

HOSTILE_TOML = """\
name = "a`b|c <i>"
repository = "/srv/x y'`$(id)`"
paths = ["a\\n# b`|<b>.json"]
[app]
env-file = ".env`|<b>"
env-required = ["A`|<b>\\n"]
flush = {{ http = "POST http://u:hunter2@h/<b>`|", timeout = "1s" }}
run = [{0}]
stop = {{ command = [{0}] }}
health = {{ http = "http://h/<b>`|${{PORT}}'", expect-json = {{ {0} = {0} }} }}
checks = [{{ name = "<b>`|", command = [{0}] }}]
[app.env-where]
{0} = "<b>`|"
[recover]
require = {{ {0} = "<b>`|" }}
steps = [{{ name = "<b>`|", run = [{0}, "https://u:hunter2@h/x"] }}, {{ name = "data", restore = "<b>`|" }}]
[drill]
env = {{ {0} = "hunter2" }}
keep-env = [{0}]
[notify]
ping = "https://u:hunter2@h/secret"
to = ["mailto://u:hunter2@h"]
[contacts]
{0} = "1. <b>`| https://u:hunter2@h"
[[external]]
name = "<b>`|"
how = "- <b>`|"
check = {{ env-prefix = {{ {0} = "<b>`|" }} }}
"""


def hostile() -> Described:
    """A plan and reports whose every text would like to be something else."""
    import json

    toml = HOSTILE_TOML.format(json.dumps(HOSTILE))
    step = PastStep(HOSTILE, False, 1)
    past = Past(DRILLED_NS, "drill", False, None, None, (step,), (HOSTILE, f"- {HOSTILE}"))
    return described(toml, reports=(past,), unreadable=(HOSTILE,), ways=(Way("passphrase", HOSTILE),))


def bare() -> Described:
    """A cas.toml that says nothing of an application, and a repository that only this host opens."""
    return described('name = "bare"\nrepository = "/mnt/disk/cas"\n', ways=())


def massaflow() -> Described:
    """The reference application, as `cas init --template nextjs` and its owner wrote it, after two drills."""
    steps = (PastStep("restore", True, 812_000_000), PastStep("health", False, 60 * SECOND))
    failed = Past(DRILLED_NS - 86_400 * SECOND, "drill", False, 4000 * SECOND, None, steps, ("port 3999 was in use",))
    held = Past(DRILLED_NS, "drill", True, 12 * 60 * SECOND, 95 * SECOND, steps[:1])
    return described(
        (HERE / "nextjs.toml").read_text(), reports=(failed, held), variables=("PORT", "STRIPE_SECRET_KEY")
    )


def described(
    toml: str,
    *,
    reports: tuple[Past, ...] = (),
    unreadable: tuple[str, ...] = (),
    unproven: tuple[str, ...] = (),
    variables: tuple[str, ...] = (),
    ways: tuple[Way, ...] = (Way("passphrase", ""), Way("recovery", "safe")),
) -> Described:
    of = config.parse(toml)
    folder = f"/srv/{'massaflow' if of.name == 'massaflow' else 'app'}"
    repository = of.repository if of.repository.startswith("/") else f"{folder}/{of.repository or 'backups/cas'}"
    return Described(
        of.name, folder, of, plan.parse(toml), repository, "00112233445566778899aabbccddeeff", ways, variables, reports,
        unreadable, unproven, "1.2.3",
    )  # fmt: skip


if __name__ == "__main__":
    for language in LANGUAGES:
        text = write(massaflow(), language, Form.MARKDOWN, written="2026-11-25")
        (HERE / f"golden/nextjs.{language}.md").write_text(text)
