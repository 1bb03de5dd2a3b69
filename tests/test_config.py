"""The configuration file: what it says, and how it says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from sallyport.config import byte_size, duration, example, load_config, schema
from sallyport.errors import ConfigError, UsageError


def write(folder: Path, text: str) -> Path:
    path = folder / "sallyport.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("side", ["outside", "inside"])
def test_what_init_writes_is_valid_and_fits_the_published_schema(tmp_path: Path, side: str) -> None:
    text = example(side)  # type: ignore[arg-type]
    config = load_config(write(tmp_path, text))
    assert config.side == side
    published = json.loads((Path(__file__).parents[1] / "docs/reference/sallyport.schema.json").read_text())
    assert published == schema(), "write it anew: python -m sallyport.config > docs/reference/sallyport.schema.json"
    jsonschema.validate(json.loads(json.dumps(YAML(typ="safe").load(text))), published)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("side: outside\ndestination: x\npolicy:\n  fixable: -1\n", 4, "policy.fixable"),
        ("side: outside\ndestination: x\noutside:\n  mirror:\n  - from: a\n    tags: [x]\n    tgs: 1\n", 7, "'tgs'"),
        ("side: up\ndestination: x\n", 1, "side"),
        ("side: outside\nside: inside\ndestination: x\n", 2, "duplicate key"),
        ("side: outside\n", 1, "destination"),
        ("side: outside\ndestination: x\nlisten: nowhere\n", 3, "listen"),
        ("side: outside\ndestination: x\npolicy:\n  max-age: soon\n", 4, "policy.max-age"),
        ("a: b: c\n", 1, "mapping values"),
        ("", 1, "expected"),
    ],
)
def test_an_error_names_the_line_the_setting_and_the_mend(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(write(tmp_path, text))
    assert f"line {line}:" in caught.value.message
    assert caught.value.mend


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "sallyport.yaml")
    assert "sallyport init" in caught.value.mend


def test_aliases_cannot_blow_the_file_up(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="values"):
        load_config(write(tmp_path, "\n".join(lines)))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sallyport.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        load_config(path)


def test_spans_and_sizes() -> None:
    assert duration("36h").total_seconds() == 36 * 3600
    assert duration("2w").days == 14
    assert byte_size("4G") == 4 * 1024**3
    assert byte_size("700") == 700
    with pytest.raises(UsageError):
        byte_size("4X")
