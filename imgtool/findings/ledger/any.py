"""Codes of any image (IMG)."""

from __future__ import annotations

from imgtool.findings.ledger.published import Published

_GENERAL = "imgtool.inspection.checks.general"
_POLYGLOTS = "imgtool.inspection.checks.polyglots"
_REFERENCES = "imgtool.inspection.checks.references"
_ENDS = "imgtool.inspection.checks.ends"
_POLICY = "imgtool.policy.checks"

ANY: tuple[Published, ...] = (
    # IMG
    Published("IMG001", "several-formats", f"{_POLYGLOTS}:several_formats"),
    Published("IMG002", "structure-truncated", f"{_GENERAL}:structure_truncated"),
    Published("IMG003", "structure-malformed", f"{_GENERAL}:structure_malformed"),
    Published("IMG004", "broken-format", f"{_GENERAL}:broken_format"),
    Published("IMG005", "empty-file", f"{_GENERAL}:empty_file"),
    Published("IMG006", "changed-while-read", f"{_GENERAL}:changed_while_read"),
    Published("IMG007", "not-read-from-stream", f"{_GENERAL}:not_read_from_stream"),
    Published("IMG008", "not-whole-sectors", f"{_GENERAL}:not_whole_sectors"),
    Published("IMG010", "disk-format-differs", f"{_POLICY}:disk_format_differs"),
    Published("IMG011", "container-format-differs", f"{_POLICY}:container_format_differs"),
    Published("IMG012", "machine-image-formats-differ", f"{_POLICY}:machine_image_formats_differ"),
    Published("IMG013", "disk-format-not-allowed", f"{_POLICY}:disk_format_not_allowed"),
    Published("IMG014", "container-format-not-allowed", f"{_POLICY}:container_format_not_allowed"),
    Published("IMG015", "image-inside-disk", f"{_POLYGLOTS}:image_inside_disk"),
    Published("IMG020", "used-bytes-missing", f"{_ENDS}:used_bytes_missing"),
    Published("IMG021", "bytes-behind-image", f"{_ENDS}:bytes_behind_image"),
    Published("IMG101", "external-reference", f"{_REFERENCES}:external_reference"),
    Published("IMG102", "unsafe-reference", f"{_REFERENCES}:unsafe_reference"),
    Published("IMG103", "reference-does-not-hold", "imgtool.inspection.checks.followed:reference_does_not_hold"),
    Published("IMG201", "over-a-cap", f"{_GENERAL}:over_a_cap"),
    Published("IMG202", "nested-too-deep", f"{_GENERAL}:nested_too_deep"),
    Published("IMG203", "virtual-size-over-limit", f"{_POLICY}:virtual_size_over_limit"),
    Published("IMG204", "larger-than-min-disk", f"{_POLICY}:larger_than_min_disk"),
    Published("IMG205", "file-size-over-limit", f"{_POLICY}:file_size_over_limit"),
    Published("IMG206", "expansion-ratio", f"{_POLICY}:expansion_ratio"),
    Published("IMG207", "needs-more-memory", f"{_POLICY}:needs_more_memory"),
    Published("IMG301", "digest-differs", f"{_GENERAL}:digest_differs"),
    Published("IMG302", "checksum-missing", f"{_POLICY}:checksum_missing"),
    Published("IMG401", "content-encrypted", f"{_POLICY}:content_encrypted"),
    Published("IMG501", "creator-not-allowed", f"{_POLICY}:creator_not_allowed"),
    Published("IMG502", "feature-refused", f"{_POLICY}:feature_refused"),
    Published("IMG901", "reader-failed", f"{_GENERAL}:reader_failed"),
    Published("IMG902", "rule-failed", f"{_GENERAL}:rule_failed"),
)
