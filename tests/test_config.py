"""cas.toml, read or refused with its line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.config import Config, Tuning, parse
from casstore.errors import ConfigInvalid

FULL = """\
# what it is
name = "shop"
repository = "../backups"
paths = ["./data/*.json", "logs/", "state/**"]
append-only = ["*.log"]
whole-lines = true
isolate = ["vault/**"]
exclude = ["*.tmp", "/cache"]
exclude-caches = true
one-file-system = true

[tuning]
prove-logs = "12h"
reread = "14d"
recent-chunks = "64MiB"
"""


def test_every_key_is_read() -> None:
    assert parse(FULL) == Config(
        name="shop",
        repository="../backups",
        paths=("data/*.json", "logs", "state/**"),
        append_only=("*.log",),
        whole_lines=True,
        isolate=("vault/**",),
        exclude=("*.tmp", "/cache"),
        exclude_caches=True,
        one_file_system=True,
        tuning=Tuning(12 * 3600 * 10**9, 14 * 86_400 * 10**9, 64 << 20),
    )


def test_an_empty_file_means_the_whole_folder() -> None:
    assert parse("") == Config() == Config(paths=(".",))


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ('name = "a"\n\nexcludes = []', 3, "unknown key `excludes`", "Did you mean `exclude`?"),
        ('append_only = ["*.log"]', 1, "unknown key `append_only`", "Did you mean `append-only`?"),
        ("# comment\nflavour = 1", 2, "unknown key `flavour`", "Known are: name, repository"),
        ('repository = "s3:bucket"', 1, "`repository` must be a folder: s3: cannot be reached yet", ""),
        ("name = 7", 1, "`name` must be a text in quotes, not a number", ""),
        ('name = ""', 1, "`name` must not be empty", ""),
        ('name = "a\\u001b[31m"', 1, "control characters", ""),
        ('name = "a"\npaths = "data"', 2, "`paths` must be a list of texts", ""),
        ("\npaths = [\n1]", 2, '`paths` must hold only texts in quotes, such as ["data/*.json"], not a number', ""),
        ("paths = []", 1, "`paths` must name something", ""),
        ('paths = ["a", "../b"]', 1, "`../b` leads out of it", ""),
        ('paths = ["/etc"]', 1, "`/etc` leads out of it", ""),
        ('exclude = [""]', 1, "`exclude` must not hold an empty text", ""),
        ("exclude-caches = 1", 1, "must be true or false, not a number", ""),
        ("exclude-caches = 2026-01-01", 1, "must be true or false, not a date", ""),
        ('name = "x"\n[tuning]\nreread = "soon"', 3, '`reread` must be a duration such as "24h"', ""),
        ('[tuning]\n"recent-chunks" = 5', 2, "`recent-chunks` must be a size", ""),
        (
            'name = "x"\n\n[tuning]\nre-read = "7d"',
            4,
            "unknown key `re-read` in [tuning]",
            "Did you mean `reread`?",
        ),
        ('name = "x"\n[tunning]\nreread = "7d"', 2, "unknown table `tunning`", "Did you mean `tuning`?"),
        ("tuning = 3", 1, "`tuning` must be a table, written [tuning], not a number", ""),
        ("external = 3", 1, "`external` must be a list of tables, written [[external]]", ""),
        ('exclude = "a"', 1, '`exclude` must be a list of texts such as ["*.tmp"]', ""),
        ('name = "x"\npaths = ["a"\n', 3, "not valid TOML", ""),
        ('name = "x"\nname = "y"', 2, "not valid TOML: cannot overwrite a value", ""),
    ],
)
def test_a_complaint_names_line_key_and_nearest_key(text: str, line: int, message: str, hint: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse(text, file="app/cas.toml")
    assert str(caught.value).startswith(f"app/cas.toml line {line}: ")
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_tower_of_brackets_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        parse("paths = " + "[" * 100_000)


@given(st.text())
def test_any_text_is_a_config_or_config_invalid(text: str) -> None:
    with suppress(ConfigInvalid):
        assert isinstance(parse(text), Config)
