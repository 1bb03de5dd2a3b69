"""The outside of tests/bundle, whose bundles are carried here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _load(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / name / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"{name}_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_bundle = _load("bundle")
keys, outside = _bundle.keys, _bundle.outside
