"""The rules of LUKS as a table."""

from __future__ import annotations

from imgtool.formats.luks.checks.luks1 import LUKS1
from imgtool.formats.luks.checks.luks2 import LUKS2
from imgtool.formats.luks.checks.secrets import SECRETS

RULES = (*LUKS1, *LUKS2, *SECRETS)
