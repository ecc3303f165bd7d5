"""The rules of a conversion (CNV): what would be lost, before it; what must not be, after it."""

from imgtool.conversion.checks.losses import LOSSES as LOSSES
from imgtool.conversion.checks.outcome import OUTCOMES as OUTCOMES

RULES = (*LOSSES, *OUTCOMES)
