"""The rules of a conversion (CNV): what would be lost, before it; what must not be, after it."""

from imgtool.conversion.checks import contents, descriptions, fitting, surroundings
from imgtool.conversion.checks.outcome import OUTCOMES as OUTCOMES

LOSSES = (*contents.RULES, *descriptions.RULES, *surroundings.RULES, *fitting.RULES)
RULES = (*LOSSES, *OUTCOMES)
