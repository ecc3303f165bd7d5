"""Every code ever published: name, and the place of its check as text. Codes are never reused."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A line of the ledger. `place` is "module:name" of the rule; empty where the code is retired."""

    code: str
    name: str
    place: str


_GENERAL = "imgtool.inspection.checks.general"
_QCW_STRUCTURE = "imgtool.formats.qcow2.checks.structure"
_QCW_ENCRYPTION = "imgtool.formats.qcow2.checks.encryption"

LEDGER: tuple[Published, ...] = (
    # any image
    Published("IMG001", "several-formats", f"{_GENERAL}:several_formats"),
    Published("IMG002", "structure-truncated", f"{_GENERAL}:structure_truncated"),
    Published("IMG003", "structure-malformed", f"{_GENERAL}:structure_malformed"),
    Published("IMG004", "broken-format", f"{_GENERAL}:broken_format"),
    Published("IMG005", "empty-file", f"{_GENERAL}:empty_file"),
    Published("IMG006", "changed-while-read", f"{_GENERAL}:changed_while_read"),
    Published("IMG007", "not-read-from-stream", f"{_GENERAL}:not_read_from_stream"),
    Published("IMG008", "not-whole-sectors", f"{_GENERAL}:not_whole_sectors"),
    Published("IMG101", "external-reference", f"{_GENERAL}:external_reference"),
    Published("IMG102", "unsafe-reference", f"{_GENERAL}:unsafe_reference"),
    Published("IMG201", "over-a-cap", f"{_GENERAL}:over_a_cap"),
    Published("IMG202", "nested-too-deep", f"{_GENERAL}:nested_too_deep"),
    Published("IMG301", "digest-differs", f"{_GENERAL}:digest_differs"),
    Published("IMG901", "reader-failed", f"{_GENERAL}:reader_failed"),
    Published("IMG902", "rule-failed", f"{_GENERAL}:rule_failed"),
    # qcow2, qcow, qed
    Published("QCW001", "qcow2-bad-version", f"{_QCW_STRUCTURE}:bad_version"),
    Published("QCW002", "qcow2-bad-cluster-size", f"{_QCW_STRUCTURE}:bad_cluster_size"),
    Published("QCW003", "qcow2-bad-refcount-order", f"{_QCW_STRUCTURE}:bad_refcount_order"),
    Published("QCW004", "qcow2-bad-header-length", f"{_QCW_STRUCTURE}:bad_header_length"),
    Published("QCW005", "qcow2-unknown-incompatible-feature", f"{_QCW_STRUCTURE}:unknown_incompatible"),
    Published("QCW006", "qcow2-unknown-autoclear-feature", f"{_QCW_STRUCTURE}:unknown_autoclear"),
    Published("QCW007", "qcow2-compression-type-mismatch", f"{_QCW_STRUCTURE}:compression_mismatch"),
    Published("QCW008", "qcow2-unknown-crypt-method", f"{_QCW_STRUCTURE}:unknown_crypt"),
    Published("QCW010", "qcow2-l1-table-misplaced", f"{_QCW_STRUCTURE}:l1_table"),
    Published("QCW011", "qcow2-refcount-table-misplaced", f"{_QCW_STRUCTURE}:refcount_table"),
    Published("QCW012", "qcow2-snapshot-table-misplaced", f"{_QCW_STRUCTURE}:snapshot_table"),
    Published("QCW013", "qcow2-image-marked-dirty", f"{_QCW_STRUCTURE}:marked_dirty"),
    Published("QCW014", "qcow2-image-marked-corrupt", f"{_QCW_STRUCTURE}:marked_corrupt"),
    Published("QCW401", "qcow2-legacy-aes-encryption", f"{_QCW_ENCRYPTION}:legacy_aes"),
    Published("QCW402", "qcow2-crypto-header-mismatch", f"{_QCW_ENCRYPTION}:crypto_header"),
)
