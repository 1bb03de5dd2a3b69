"""``python -m sallyport.config``: the JSON schema of the configuration file."""

from __future__ import annotations

import json
import sys

from sallyport.config.load import schema

if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
