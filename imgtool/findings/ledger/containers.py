"""Codes of containers, kernels and ramdisks (OVA, OVF, DKR, AMI, ZIP)."""

from __future__ import annotations

from imgtool.findings.ledger.published import Published

_OVA = "imgtool.containers.ova.checks"
_OVA_CONTENT = "imgtool.containers.ova.content"
_OVA_TABLES = "imgtool.containers.ova.tables"
_OVF = "imgtool.containers.envelope.checks"
_DOCKER = "imgtool.containers.docker.checks"
_DOCKER_TABLES = "imgtool.containers.docker.tables"
_BUNDLE = "imgtool.containers.ami.checks"
_BUNDLE_TABLES = "imgtool.containers.ami.tables"
_OVF_TABLES = "imgtool.containers.ovf.tables"
_ZIP = "imgtool.containers.compressed.checks"
_KERNELS = "imgtool.volumes.kernels.checks"
_RAMDISKS = "imgtool.volumes.ramdisks.checks"

CONTAINERS: tuple[Published, ...] = (
    # OVA
    Published("OVA001", "ova-descriptor-not-first", f"{_OVA}:descriptor_not_first"),
    Published("OVA002", "ova-several-descriptors", f"{_OVA}:several_descriptors"),
    Published("OVA003", "ova-descriptor-too-large", f"{_OVA}:descriptor_too_large"),
    Published("OVA004", "ova-unusual-order", f"{_OVA}:unusual_order"),
    Published("OVA005", "ova-end-missing", f"{_OVA}:end_missing"),
    Published("OVA006", "ova-data-after-end", f"{_OVA}:data_after_end"),
    Published("OVA010", "ova-unsafe-member-name", f"{_OVA}:unsafe_name"),
    Published("OVA011", "ova-special-member", f"{_OVA}:special_member"),
    Published("OVA012", "ova-duplicate-member", f"{_OVA}:duplicate_member"),
    Published("OVA013", "ova-link-member", f"{_OVA}:link_member"),
    Published("OVA014", "ova-sparse-member", f"{_OVA}:sparse_member"),
    Published("OVA101", "ova-file-missing", f"{_OVA}:file_missing"),
    Published("OVA102", "ova-chunks-incomplete", f"{_OVA_CONTENT}:chunks_incomplete"),
    Published("OVA301", "ova-file-size-differs", f"{_OVA}:file_size"),
    Published("OVA302", "ova-manifest-names-missing-file", f"{_OVA}:manifest_missing"),
    Published("OVA303", "ova-manifest-line-strange", f"{_OVA}:manifest_line"),
    Published("OVA304", "ova-manifest-weak-digest", f"{_OVA}:weak_digest"),
    Published("OVA305", "ova-certificate-not-checked", f"{_OVA}:certificate"),
    Published("OVA306", "ova-manifest-digest-differs", f"{_OVA_TABLES}:digest_differs"),
    Published("OVA307", "ova-manifest-lacks-file", f"{_OVA_CONTENT}:manifest_lacks"),
    Published("OVA308", "ova-capacity-differs", f"{_OVA_CONTENT}:capacity_differs"),
    Published("OVA309", "ova-disk-format-differs", f"{_OVA_CONTENT}:format_differs"),
    Published("OVA310", "ova-compression-differs", f"{_OVA_CONTENT}:compression_differs"),
    Published("OVA311", "ova-manifest-not-verified", f"{_OVA_TABLES}:not_verified"),
    # OVF
    Published("OVF001", "ovf-document-type", f"{_OVF}:document_type"),
    Published("OVF002", "ovf-not-an-envelope", f"{_OVF}:not_an_envelope"),
    Published("OVF003", "ovf-capacity-unknown", f"{_OVF}:capacity_unknown"),
    Published("OVF004", "ovf-duplicate-id", f"{_OVF}:duplicate_id"),
    Published("OVF101", "ovf-href-not-plain", f"{_OVF}:href_not_plain"),
    Published("OVF102", "ovf-file-reference-dangling", f"{_OVF}:file_reference"),
    Published("OVF103", "ovf-parent-reference-dangling", f"{_OVF}:parent_reference"),
    Published("OVF104", "ovf-drive-dangling", f"{_OVF}:drive_dangling"),
    Published("OVF301", "ovf-file-size-differs", f"{_OVF_TABLES}:size_differs"),
    Published("OVF302", "ovf-file-not-beside", f"{_OVF_TABLES}:not_beside"),
    Published("OVF303", "ovf-manifest-digest-differs", f"{_OVF_TABLES}:digest_differs"),
    Published("OVF304", "ovf-manifest-weak-digest", f"{_OVF_TABLES}:weak_digest"),
    Published("OVF305", "ovf-files-not-verified", f"{_OVF_TABLES}:not_verified"),
    # DKR
    Published("DKR001", "docker-document-unreadable", f"{_DOCKER}:document_unreadable"),
    Published("DKR002", "docker-manifest-missing", f"{_DOCKER}:manifest_missing"),
    Published("DKR003", "docker-config-missing", f"{_DOCKER}:config_missing"),
    Published("DKR004", "docker-layer-missing", f"{_DOCKER}:layer_missing"),
    Published("DKR005", "docker-layer-count-differs", f"{_DOCKER}:layer_count"),
    Published("DKR006", "docker-layout-version-unknown", f"{_DOCKER}:layout_version"),
    Published("DKR007", "docker-no-end-mark", f"{_DOCKER}:end_missing"),
    Published("DKR008", "docker-data-after-end", f"{_DOCKER}:data_after_end"),
    Published("DKR010", "docker-unsafe-member-name", f"{_DOCKER}:unsafe_name"),
    Published("DKR011", "docker-special-member", f"{_DOCKER}:special_member"),
    Published("DKR012", "docker-duplicate-member", f"{_DOCKER}:duplicate_member"),
    Published("DKR013", "docker-link-outside", f"{_DOCKER}:link_outside"),
    Published("DKR014", "docker-sparse-member", f"{_DOCKER}:sparse_member"),
    Published("DKR015", "docker-layer-unsafe-name", f"{_DOCKER_TABLES}:layer_unsafe_name"),
    Published("DKR201", "docker-layer-expansion", f"{_DOCKER_TABLES}:layer_expansion"),
    Published("DKR202", "docker-layer-over-cap", f"{_DOCKER_TABLES}:layer_over_cap"),
    Published("DKR301", "docker-blob-size-differs", f"{_DOCKER}:blob_size"),
    Published("DKR302", "docker-digest-differs", f"{_DOCKER_TABLES}:digest_differs"),
    Published("DKR303", "docker-diff-id-differs", f"{_DOCKER_TABLES}:diff_id_differs"),
    Published("DKR304", "docker-layer-unreadable", f"{_DOCKER_TABLES}:layer_unreadable"),
    Published("DKR305", "docker-digests-not-verified", f"{_DOCKER_TABLES}:not_verified"),
    # AMI
    Published("AMI051", "kernel-truncated", f"{_KERNELS}:truncated"),
    Published("AMI052", "kernel-boot-header-impossible", f"{_KERNELS}:impossible"),
    Published("AMI053", "kernel-version-misplaced", f"{_KERNELS}:version_misplaced"),
    Published("AMI054", "kernel-payload-misplaced", f"{_KERNELS}:payload_misplaced"),
    Published("AMI071", "ramdisk-truncated", f"{_RAMDISKS}:truncated"),
    Published("AMI072", "ramdisk-unknown-data", f"{_RAMDISKS}:unknown_data"),
    Published("AMI073", "ramdisk-part-not-cpio", f"{_RAMDISKS}:part_not_cpio"),
    Published("AMI101", "ami-manifest-unreadable", f"{_BUNDLE}:unreadable"),
    Published("AMI102", "ami-manifest-version-unknown", f"{_BUNDLE}:version_unknown"),
    Published("AMI103", "ami-parts-do-not-add-up", f"{_BUNDLE}:parts"),
    Published("AMI104", "ami-sizes-missing", f"{_BUNDLE}:sizes"),
    Published("AMI171", "ramdisk-name-leaves-root", f"{_RAMDISKS}:name_leaves_root"),
    Published("AMI301", "ami-digest-missing", f"{_BUNDLE}:digest_missing"),
    Published("AMI302", "ami-part-digest-differs", f"{_BUNDLE_TABLES}:digest_differs"),
    Published("AMI303", "ami-part-not-beside", f"{_BUNDLE_TABLES}:not_beside"),
    Published("AMI304", "ami-bundled-size-differs", f"{_BUNDLE_TABLES}:size_differs"),
    Published("AMI305", "ami-parts-not-verified", f"{_BUNDLE_TABLES}:not_verified"),
    Published("AMI351", "kernel-uimage-header-checksum", f"{_KERNELS}:header_checksum"),
    Published("AMI371", "ramdisk-uimage-header-checksum", f"{_RAMDISKS}:header_checksum"),
    # ZIP
    Published("ZIP001", "wrapper-reserved-bits", f"{_ZIP}:reserved_bits"),
    Published("ZIP002", "wrapper-unknown-method", f"{_ZIP}:unknown_method"),
    Published("ZIP003", "wrapper-headers-disagree", f"{_ZIP}:headers_disagree"),
    Published("ZIP004", "archive-not-one-file", f"{_ZIP}:not_one_file"),
    Published("ZIP005", "data-after-wrapper", f"{_ZIP}:data_after"),
    Published("ZIP006", "data-before-archive", f"{_ZIP}:data_before"),
    Published("ZIP007", "wrapper-not-decoded-whole", f"{_ZIP}:not_decoded_whole"),
    Published("ZIP101", "stored-name-is-a-path", f"{_ZIP}:stored_path"),
    Published("ZIP201", "wrapper-expansion-ratio", f"{_ZIP}:expansion_ratio"),
    Published("ZIP202", "wrapper-window-over-cap", f"{_ZIP}:window_over_cap"),
    Published("ZIP301", "wrapper-header-checksum", f"{_ZIP}:header_checksum"),
    Published("ZIP302", "wrapper-content-checksum", f"{_ZIP}:content_checksum"),
    Published("ZIP401", "archive-encrypted", f"{_ZIP}:archive_encrypted"),
    Published("ZIP501", "wrapper-needs-dictionary", f"{_ZIP}:needs_dictionary"),
)
