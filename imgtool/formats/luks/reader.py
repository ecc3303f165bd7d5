"""LUKS: which version it is, and the LUKS1 header as facts.

Reference: LUKS1 On-Disk Format Specification 1.2.3, section "PHDR".
"""

from __future__ import annotations

from imgtool.formats.luks import layout as lay
from imgtool.formats.luks.facts import KeySlot1, Luks1Facts, LuksFacts
from imgtool.formats.luks.luks2 import read_luks2, recovered
from imgtool.limits import Limits
from imgtool.model.values import c_text
from imgtool.structs.view import View
from imgtool.units import SECTOR, ceil_div


def read(view: View, limits: Limits) -> LuksFacts | None:
    """The facts of a LUKS header, alone or before its payload. Raises Unreadable when it is not there.

    None where only the mark of a second LUKS2 header is found and what lies at 0 is not a damaged first one:
    a device that was given another use keeps such leftovers.
    """
    if view.peek(0, len(lay.MAGIC)) != lay.MAGIC:
        return recovered(view, limits)
    version = int.from_bytes(view.peek(6, 2), "big")
    if version == 1:
        return _read_luks1(view)
    if version == 2:
        return read_luks2(view, limits)
    start = view.parse(lay.START, 0)
    return LuksFacts(format="luks", file_size=view.size, encrypted=True, broken=True, version=start.version)


def _read_luks1(view: View) -> Luks1Facts:
    head = view.parse(lay.PHDR, 0)
    slots: list[lay.Slot] = []
    for index in range(lay.KEY_SLOTS):
        name = f"LUKS1 key slot {index}"
        slot = view.optional(lay.SLOT, lay.PHDR.size + index * lay.SLOT.size, name)
        if slot is None:
            break
        slots.append(slot)
    listed = tuple(_key_slot(index, slot, head) for index, slot in enumerate(slots))
    _materials_are_there(view, listed)
    payload = head.payload_offset * SECTOR
    name, mode = c_text(head.cipher_name), c_text(head.cipher_mode)
    return Luks1Facts(
        format="luks",
        file_size=view.size,
        virtual_size=view.size - payload if 0 < payload <= view.size else None,
        encrypted=True,
        broken=len(slots) < lay.KEY_SLOTS,
        partial=bool(view.problems),
        version=head.version,
        uuid=c_text(head.uuid) or None,
        cipher=f"{name}-{mode}",
        payload_offset=payload,
        detached=payload == 0,
        header_only=payload == 0 or view.size <= payload,
        cipher_name=name,
        cipher_mode=mode,
        hash=c_text(head.hash_spec),
        key_size=head.key_bytes,
        digest_iterations=head.mk_digest_iter,
        key_slots=listed,
        header=head,
        slots=tuple(slots),
        problems=view.problems,
    )


def _key_slot(index: int, slot: lay.Slot, head: lay.Phdr) -> KeySlot1:
    """A slot's key material takes key_bytes × stripes, in whole sectors."""
    length = ceil_div(head.key_bytes * slot.stripes, SECTOR) * SECTOR
    state = lay.KEY_STATES.get(slot.active, f"unknown-0x{slot.active:08x}")
    return KeySlot1(index, state, slot.iterations, slot.key_material_offset * SECTOR, length, slot.stripes)


def _materials_are_there(view: View, slots: tuple[KeySlot1, ...]) -> None:
    """Note key material that is cut off. A slot that is not in use need have none."""
    for slot in slots:
        end = slot.offset + slot.length
        if slot.state == "enabled" and end > view.size:
            what = f"key material of slot {slot.id}"
            message = f"{what}: needs bytes {slot.offset}..{end}, the file has {view.size}"
            view.problem(what, message, kind="truncated", offset=slot.offset, length=slot.length)
