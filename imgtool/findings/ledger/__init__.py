"""Every code ever published: name, and the place of its check as text. Codes are never reused."""

from __future__ import annotations

from imgtool.findings.ledger.any import ANY
from imgtool.findings.ledger.containers import CONTAINERS
from imgtool.findings.ledger.disks import DISKS
from imgtool.findings.ledger.others import OTHERS
from imgtool.findings.ledger.published import Published

LEDGER: tuple[Published, ...] = (*ANY, *DISKS, *OTHERS, *CONTAINERS)
