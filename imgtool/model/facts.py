"""Facts: what a reader found. Every format has a frozen subclass; opinions live in its checks."""

from dataclasses import dataclass

from imgtool.model.values import Embedded, Problem, Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every format can say of itself. Subclasses add their own; those become `Report.details`.

    `broken`: the magic is there and the rest cannot be read. `partial`: something could not be read;
    `problems` says what and why. `virtual_size` is what a guest would see, in bytes. `flat`: the start and
    length of the guest's bytes where they lie in the file one after the other (raw, iso, a fixed VHD).
    """

    format: str
    file_size: int
    virtual_size: int | None = None
    encrypted: bool = False
    broken: bool = False
    partial: bool = False
    label: str | None = None
    references: tuple[Reference, ...] = ()
    problems: tuple[Problem, ...] = ()
    flat: tuple[int, int] | None = None
    embedded: tuple[Embedded, ...] = ()
