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
_QCW_EXTENSIONS = "imgtool.formats.qcow2.checks.extensions"
_QCW_METADATA = "imgtool.formats.qcow2.checks.metadata"
_QCW_REFERENCES = "imgtool.formats.qcow2.checks.references"
_QCW_ENCRYPTION = "imgtool.formats.qcow2.checks.encryption"
_VHD_STRUCTURE = "imgtool.formats.vhd.checks.structure"
_VHD_SIZES = "imgtool.formats.vhd.checks.sizes"
_VHD_INTEGRITY = "imgtool.formats.vhd.checks.integrity"
_ISO_STRUCTURE = "imgtool.formats.iso.checks.structure"
_ISO_BOOT = "imgtool.formats.iso.checks.boot"
_ISO_UDF = "imgtool.formats.iso.checks.udf"
_VHX_HEADERS = "imgtool.formats.vhdx.checks.headers"
_VHX_REGIONS = "imgtool.formats.vhdx.checks.regions"
_VHX_METADATA = "imgtool.formats.vhdx.checks.metadata"
_OTH_DMG = "imgtool.formats.dmg.checks"
_OTH_BOCHS = "imgtool.formats.bochs.checks"
_OTH_CLOOP = "imgtool.formats.cloop.checks"
_OTH_ASIF = "imgtool.formats.asif.checks"
_VMD = "imgtool.formats.vmdk.checks"
_VDI = "imgtool.formats.vdi.checks"
_QED = "imgtool.formats.qed.checks"
_QCOW1 = "imgtool.formats.qcow.checks"
_PAR = "imgtool.formats.parallels.checks"
_LUK1 = "imgtool.formats.luks.checks.luks1"
_LUK2 = "imgtool.formats.luks.checks.luks2"
_LUKS = "imgtool.formats.luks.checks.secrets"

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
    Published("QCW009", "qcow2-unknown-header-bytes", f"{_QCW_STRUCTURE}:unknown_header_bytes"),
    Published("QCW010", "qcow2-l1-table-misplaced", f"{_QCW_STRUCTURE}:l1_table"),
    Published("QCW011", "qcow2-refcount-table-misplaced", f"{_QCW_STRUCTURE}:refcount_table"),
    Published("QCW012", "qcow2-snapshot-table-misplaced", f"{_QCW_METADATA}:snapshot_table"),
    Published("QCW013", "qcow2-image-marked-dirty", f"{_QCW_STRUCTURE}:marked_dirty"),
    Published("QCW014", "qcow2-image-marked-corrupt", f"{_QCW_STRUCTURE}:marked_corrupt"),
    Published("QCW015", "qcow2-lazy-refcounts", f"{_QCW_STRUCTURE}:lazy_refcounts"),
    Published("QCW020", "qcow2-extension-crosses-its-area", f"{_QCW_EXTENSIONS}:crossing"),
    Published("QCW021", "qcow2-extension-repeated", f"{_QCW_EXTENSIONS}:repeated"),
    Published("QCW022", "qcow2-extension-bad-size", f"{_QCW_EXTENSIONS}:bad_size"),
    Published("QCW023", "qcow2-unknown-extension", f"{_QCW_EXTENSIONS}:unknown"),
    Published("QCW030", "qcow2-snapshots-present", f"{_QCW_METADATA}:snapshots_present"),
    Published("QCW031", "qcow2-snapshot-extra-data-short", f"{_QCW_METADATA}:snapshot_extra"),
    Published("QCW032", "qcow2-snapshot-l1-table-misplaced", f"{_QCW_METADATA}:snapshot_l1_table"),
    Published("QCW040", "qcow2-bitmaps-present", f"{_QCW_METADATA}:bitmaps_present"),
    Published("QCW041", "qcow2-bitmaps-stale", f"{_QCW_METADATA}:bitmaps_stale"),
    Published("QCW042", "qcow2-bitmap-directory-misplaced", f"{_QCW_METADATA}:bitmap_directory"),
    Published("QCW043", "qcow2-bitmap-malformed", f"{_QCW_METADATA}:bitmap_entry"),
    Published("QCW101", "qcow2-backing-name-misplaced", f"{_QCW_REFERENCES}:name_misplaced"),
    Published("QCW102", "qcow2-backing-offset-without-size", f"{_QCW_REFERENCES}:offset_without_size"),
    Published("QCW103", "qcow2-unsafe-backing-format", f"{_QCW_REFERENCES}:unsafe_format"),
    Published("QCW104", "qcow2-raw-external-data-mismatch", f"{_QCW_REFERENCES}:raw_external_data"),
    Published("QCW401", "qcow2-legacy-aes-encryption", f"{_QCW_ENCRYPTION}:legacy_aes"),
    Published("QCW402", "qcow2-crypto-header-mismatch", f"{_QCW_ENCRYPTION}:crypto_header"),
    Published("QCW403", "qcow2-luks-encryption", f"{_QCW_ENCRYPTION}:luks"),
    # vhd
    Published("VHD001", "vhd-footers-disagree", f"{_VHD_STRUCTURE}:footers_disagree"),
    Published("VHD002", "vhd-footer-copy-missing", f"{_VHD_STRUCTURE}:copy_missing"),
    Published("VHD003", "vhd-trailing-footer-missing", f"{_VHD_STRUCTURE}:trailing_missing"),
    Published("VHD004", "vhd-bad-version", f"{_VHD_STRUCTURE}:bad_version"),
    Published("VHD005", "vhd-unknown-disk-type", f"{_VHD_STRUCTURE}:unknown_type"),
    Published("VHD006", "vhd-fixed-size-mismatch", f"{_VHD_STRUCTURE}:fixed_size"),
    Published("VHD007", "vhd-fixed-data-offset", f"{_VHD_STRUCTURE}:fixed_data_offset"),
    Published("VHD008", "vhd-dynamic-header-misplaced", f"{_VHD_STRUCTURE}:header_misplaced"),
    Published("VHD009", "vhd-bad-block-size", f"{_VHD_STRUCTURE}:bad_block_size"),
    Published("VHD010", "vhd-block-table-misplaced", f"{_VHD_STRUCTURE}:table_misplaced"),
    Published("VHD011", "vhd-block-table-too-small", f"{_VHD_STRUCTURE}:table_too_small"),
    Published("VHD012", "vhd-block-table-larger-than-needed", f"{_VHD_STRUCTURE}:table_larger"),
    Published("VHD013", "vhd-saved-state", f"{_VHD_STRUCTURE}:saved_state"),
    Published("VHD014", "vhd-null-uuid", f"{_VHD_STRUCTURE}:null_uuid"),
    Published("VHD015", "vhd-unknown-creator", f"{_VHD_STRUCTURE}:unknown_creator"),
    Published("VHD101", "vhd-parent-of-other-type", f"{_VHD_STRUCTURE}:parent_of_other_type"),
    Published("VHD201", "vhd-too-large", f"{_VHD_SIZES}:too_large"),
    Published("VHD301", "vhd-footer-checksum-wrong", f"{_VHD_INTEGRITY}:footer_checksum"),
    Published("VHD302", "vhd-dynamic-header-checksum-wrong", f"{_VHD_INTEGRITY}:header_checksum"),
    Published("VHD501", "vhd-size-fields-differ", f"{_VHD_SIZES}:fields_differ"),
    Published("VHD502", "vhd-readers-disagree-on-size", f"{_VHD_SIZES}:readers_disagree"),
    Published("VHD503", "vhd-not-whole-mebibytes", f"{_VHD_SIZES}:whole_mebibytes"),
    # iso: ISO 9660, UDF
    Published("ISO001", "iso-unknown-data-in-system-area", f"{_ISO_STRUCTURE}:unknown_system_area"),
    Published("ISO002", "iso-system-area-in-use", f"{_ISO_STRUCTURE}:used_system_area"),
    Published("ISO003", "iso-byte-orders-disagree", f"{_ISO_STRUCTURE}:byte_orders"),
    Published("ISO004", "iso-bad-block-size", f"{_ISO_STRUCTURE}:bad_block_size"),
    Published("ISO005", "iso-truncated", f"{_ISO_STRUCTURE}:truncated"),
    Published("ISO006", "iso-data-behind-volume", f"{_ISO_STRUCTURE}:behind"),
    Published("ISO007", "iso-descriptors-without-end", f"{_ISO_STRUCTURE}:without_end"),
    Published("ISO008", "iso-root-directory-misplaced", f"{_ISO_STRUCTURE}:root_misplaced"),
    Published("ISO009", "iso-invalid-date", f"{_ISO_STRUCTURE}:invalid_date"),
    Published("ISO010", "iso-unknown-descriptor-version", f"{_ISO_STRUCTURE}:unknown_version"),
    Published("ISO011", "iso-trees-disagree", f"{_ISO_STRUCTURE}:trees_disagree"),
    Published("ISO020", "iso-boot-record-misplaced", f"{_ISO_BOOT}:record_misplaced"),
    Published("ISO021", "iso-boot-catalog-broken", f"{_ISO_BOOT}:catalog_broken"),
    Published("ISO022", "iso-boot-image-outside", f"{_ISO_BOOT}:image_outside"),
    Published("ISO023", "iso-boot-entries-missing", f"{_ISO_BOOT}:entries_missing"),
    Published("ISO301", "iso-boot-catalog-checksum", f"{_ISO_BOOT}:catalog_checksum"),
    Published("ISO040", "iso-udf-recognition-broken", f"{_ISO_UDF}:recognition_broken"),
    Published("ISO041", "iso-udf-without-anchor", f"{_ISO_UDF}:without_anchor"),
    Published("ISO042", "iso-udf-volume-missing", f"{_ISO_UDF}:volume_missing"),
    Published("ISO302", "iso-udf-bad-tag", f"{_ISO_UDF}:bad_tag"),
    # vhdx
    Published("VHX001", "vhdx-bad-file-identifier", f"{_VHX_HEADERS}:bad_identifier"),
    Published("VHX002", "vhdx-no-valid-header", f"{_VHX_HEADERS}:no_header"),
    Published("VHX003", "vhdx-one-header-invalid", f"{_VHX_HEADERS}:one_header"),
    Published("VHX004", "vhdx-headers-collide", f"{_VHX_HEADERS}:headers_collide"),
    Published("VHX005", "vhdx-bad-version", f"{_VHX_HEADERS}:bad_version"),
    Published("VHX006", "vhdx-log-misplaced", f"{_VHX_HEADERS}:log_misplaced"),
    Published("VHX007", "vhdx-log-to-replay", f"{_VHX_HEADERS}:log_to_replay"),
    Published("VHX011", "vhdx-no-valid-region-table", f"{_VHX_REGIONS}:no_table"),
    Published("VHX012", "vhdx-one-region-table-invalid", f"{_VHX_REGIONS}:one_table"),
    Published("VHX013", "vhdx-region-tables-differ", f"{_VHX_REGIONS}:tables_differ"),
    Published("VHX014", "vhdx-unknown-required-region", f"{_VHX_REGIONS}:unknown_region"),
    Published("VHX015", "vhdx-region-repeated", f"{_VHX_REGIONS}:region_repeated"),
    Published("VHX016", "vhdx-region-missing", f"{_VHX_REGIONS}:region_missing"),
    Published("VHX017", "vhdx-region-misplaced", f"{_VHX_REGIONS}:region_misplaced"),
    Published("VHX018", "vhdx-regions-overlap", f"{_VHX_REGIONS}:regions_overlap"),
    Published("VHX019", "vhdx-block-table-too-small", f"{_VHX_REGIONS}:table_too_small"),
    Published("VHX021", "vhdx-bad-metadata-table", f"{_VHX_METADATA}:bad_table"),
    Published("VHX022", "vhdx-unknown-required-item", f"{_VHX_METADATA}:unknown_item"),
    Published("VHX023", "vhdx-item-repeated", f"{_VHX_METADATA}:item_repeated"),
    Published("VHX024", "vhdx-item-missing", f"{_VHX_METADATA}:item_missing"),
    Published("VHX025", "vhdx-item-misplaced", f"{_VHX_METADATA}:item_misplaced"),
    Published("VHX026", "vhdx-bad-block-size", f"{_VHX_METADATA}:bad_block_size"),
    Published("VHX027", "vhdx-bad-sector-size", f"{_VHX_METADATA}:bad_sector_size"),
    Published("VHX028", "vhdx-size-not-whole-sectors", f"{_VHX_METADATA}:whole_sectors"),
    Published("VHX101", "vhdx-parent-mismatch", f"{_VHX_METADATA}:parent_mismatch"),
    Published("VHX102", "vhdx-unknown-parent-type", f"{_VHX_METADATA}:unknown_parent"),
    Published("VHX201", "vhdx-too-many-entries", f"{_VHX_REGIONS}:too_many"),
    Published("VHX202", "vhdx-too-large", f"{_VHX_METADATA}:too_large"),
    Published("VHX501", "vhdx-sectors-of-4096", f"{_VHX_METADATA}:large_sectors"),
    # dmg
    Published("OTH001", "dmg-bad-trailer", f"{_OTH_DMG}:bad_trailer"),
    Published("OTH002", "dmg-part-outside", f"{_OTH_DMG}:part_outside"),
    Published("OTH003", "dmg-without-block-map", f"{_OTH_DMG}:without_map"),
    Published("OTH004", "dmg-disk-too-large", f"{_OTH_DMG}:too_large"),
    Published("OTH101", "dmg-other-segments", f"{_OTH_DMG}:other_segments"),
    Published("OTH401", "dmg-encrypted", f"{_OTH_DMG}:encrypted"),
    # bochs
    Published("OTH021", "bochs-unknown-version", f"{_OTH_BOCHS}:unknown_version"),
    Published("OTH022", "bochs-bad-extent-size", f"{_OTH_BOCHS}:bad_extent"),
    Published("OTH023", "bochs-bad-catalog", f"{_OTH_BOCHS}:bad_catalog"),
    Published("OTH121", "bochs-overlay", f"{_OTH_BOCHS}:overlay"),
    # cloop
    Published("OTH041", "cloop-unknown-version", f"{_OTH_CLOOP}:unknown_version"),
    Published("OTH042", "cloop-bad-block-size", f"{_OTH_CLOOP}:bad_block_size"),
    Published("OTH043", "cloop-bad-offsets", f"{_OTH_CLOOP}:bad_offsets"),
    # asif
    Published("OTH061", "asif-unknown-version", f"{_OTH_ASIF}:unknown_version"),
    Published("OTH062", "asif-bad-geometry", f"{_OTH_ASIF}:bad_geometry"),
    Published("OTH063", "asif-directory-outside", f"{_OTH_ASIF}:directory_outside"),
    # vmdk
    Published("VMD001", "vmdk-bad-version", f"{_VMD}.structure:bad_version"),
    Published("VMD002", "vmdk-bad-grain-size", f"{_VMD}.structure:bad_grain_size"),
    Published("VMD003", "vmdk-bad-grain-table-size", f"{_VMD}.structure:bad_grain_table"),
    Published("VMD004", "vmdk-newlines-translated", f"{_VMD}.structure:newlines"),
    Published("VMD005", "vmdk-unknown-flag", f"{_VMD}.structure:unknown_flag"),
    Published("VMD006", "vmdk-compression-mismatch", f"{_VMD}.structure:compression"),
    Published("VMD007", "vmdk-grain-directory-misplaced", f"{_VMD}.structure:directory"),
    Published("VMD008", "vmdk-unclean-shutdown", f"{_VMD}.structure:unclean"),
    Published("VMD009", "vmdk-lone-extent", f"{_VMD}.structure:lone_extent"),
    Published("VMD010", "vmdk-footer-missing", f"{_VMD}.structure:footer_missing"),
    Published("VMD011", "vmdk-footer-differs", f"{_VMD}.structure:footer_differs"),
    Published("VMD012", "vmdk-capacity-differs", f"{_VMD}.structure:capacity_differs"),
    Published("VMD013", "vmdk-cowd-directory-misplaced", f"{_VMD}.esx:cowd_directory"),
    Published("VMD014", "vmdk-sesparse-tables-misplaced", f"{_VMD}.esx:sesparse_tables"),
    Published("VMD020", "vmdk-descriptor-misplaced", f"{_VMD}.descriptor:misplaced"),
    Published("VMD021", "vmdk-descriptor-not-text", f"{_VMD}.descriptor:not_text"),
    Published("VMD022", "vmdk-descriptor-key-repeated", f"{_VMD}.descriptor:repeated"),
    Published("VMD023", "vmdk-descriptor-incomplete", f"{_VMD}.descriptor:incomplete"),
    Published("VMD024", "vmdk-unknown-create-type", f"{_VMD}.descriptor:unknown_type"),
    Published("VMD025", "vmdk-descriptors-differ", f"{_VMD}.descriptor:two_descriptors"),
    Published("VMD026", "vmdk-readers-disagree", f"{_VMD}.descriptor:disagree"),
    Published("VMD027", "vmdk-bytes-after-descriptor", f"{_VMD}.descriptor:after_the_end"),
    Published("VMD028", "vmdk-empty-sparse-header", f"{_VMD}.descriptor:empty_header"),
    Published("VMD030", "vmdk-bad-extent-line", f"{_VMD}.extents:bad_line"),
    Published("VMD031", "vmdk-extent-type-mismatch", f"{_VMD}.extents:type_mismatch"),
    Published("VMD032", "vmdk-no-extents", f"{_VMD}.extents:no_extents"),
    Published("VMD033", "vmdk-loose-extent-lines", f"{_VMD}.extents:loose_lines"),
    Published("VMD101", "vmdk-has-parent", f"{_VMD}.extents:has_parent"),
    Published("VMD102", "vmdk-extent-name-not-plain", f"{_VMD}.extents:not_plain"),
    Published("VMD201", "vmdk-capacity-over-cap", f"{_VMD}.bombs:capacity_cap"),
    Published("VMD202", "vmdk-disk-database-over-cap", f"{_VMD}.bombs:database_cap"),
    Published("VMD501", "vmdk-stream-without-footer", f"{_VMD}.bombs:no_footer"),
    # vdi, qed, qcow, luks, parallels
    Published("VDI001", "vdi-bad-version", f"{_VDI}:bad_version"),
    Published("VDI002", "vdi-bad-header-size", f"{_VDI}:bad_header_size"),
    Published("VDI003", "vdi-bad-sector-size", f"{_VDI}:bad_sector_size"),
    Published("VDI004", "vdi-unknown-image-type", f"{_VDI}:unknown_type"),
    Published("VDI005", "vdi-bad-block-size", f"{_VDI}:bad_block_size"),
    Published("VDI006", "vdi-unusual-block-size", f"{_VDI}:unusual_block_size"),
    Published("VDI007", "vdi-bad-block-count", f"{_VDI}:bad_block_count"),
    Published("VDI008", "vdi-block-map-misplaced", f"{_VDI}:map_misplaced"),
    Published("VDI009", "vdi-data-area-misplaced", f"{_VDI}:data_misplaced"),
    Published("VDI010", "vdi-null-uuid", f"{_VDI}:null_uuid"),
    Published("QCW060", "qed-bad-cluster-size", f"{_QED}:bad_cluster_size"),
    Published("QCW061", "qed-bad-table-size", f"{_QED}:bad_table_size"),
    Published("QCW062", "qed-bad-header-size", f"{_QED}:bad_header_size"),
    Published("QCW063", "qed-unknown-feature", f"{_QED}:unknown_feature"),
    Published("QCW064", "qed-unknown-autoclear-feature", f"{_QED}:unknown_autoclear"),
    Published("QCW065", "qed-l1-table-misplaced", f"{_QED}:l1_table"),
    Published("QCW066", "qed-bad-image-size", f"{_QED}:bad_image_size"),
    Published("QCW067", "qed-backing-name-misplaced", f"{_QED}:backing_name"),
    Published("QCW068", "qed-needs-check", f"{_QED}:needs_check"),
    Published("QCW560", "qed-unsupported-by-clouds", f"{_QED}:unsupported"),
    Published("QCW050", "qcow-bad-cluster-size", f"{_QCOW1}:bad_cluster_size"),
    Published("QCW051", "qcow-bad-l2-size", f"{_QCOW1}:bad_l2_size"),
    Published("QCW052", "qcow-disk-too-small", f"{_QCOW1}:too_small"),
    Published("QCW053", "qcow-l1-table-misplaced", f"{_QCOW1}:l1_table"),
    Published("QCW054", "qcow-unknown-crypt-method", f"{_QCOW1}:unknown_crypt"),
    Published("QCW055", "qcow-backing-name-misplaced", f"{_QCOW1}:backing_name"),
    Published("QCW450", "qcow-legacy-aes-encryption", f"{_QCOW1}:legacy_aes"),
    Published("PAR001", "parallels-bad-version", f"{_PAR}:bad_version"),
    Published("PAR002", "parallels-bad-cluster-size", f"{_PAR}:bad_cluster_size"),
    Published("PAR003", "parallels-bat-too-small", f"{_PAR}:bat_too_small"),
    Published("PAR004", "parallels-bat-misplaced", f"{_PAR}:bat_misplaced"),
    Published("PAR005", "parallels-data-area-misplaced", f"{_PAR}:data_misplaced"),
    Published("PAR006", "parallels-readers-disagree-on-size", f"{_PAR}:size_high_bits"),
    Published("PAR007", "parallels-unknown-flag", f"{_PAR}:unknown_flag"),
    Published("PAR008", "parallels-marked-in-use", f"{_PAR}:marked_in_use"),
    Published("PAR009", "parallels-unknown-in-use-mark", f"{_PAR}:unknown_mark"),
    Published("PAR010", "parallels-extension-misplaced", f"{_PAR}:extension_misplaced"),
    Published("PAR011", "parallels-unknown-necessary-feature", f"{_PAR}:unknown_feature"),
    Published("PAR012", "parallels-bad-dirty-bitmap", f"{_PAR}:bad_bitmap"),
    Published("PAR301", "parallels-extension-checksum-differs", f"{_PAR}:checksum_differs"),
    Published("LUK001", "luks-bad-version", f"{_LUK1}:bad_version"),
    Published("LUK002", "luks-payload-missing", f"{_LUK1}:payload_missing"),
    Published("LUK003", "luks1-unknown-key-slot-state", f"{_LUK1}:slot_state"),
    Published("LUK004", "luks1-key-material-misplaced", f"{_LUK1}:key_material"),
    Published("LUK005", "luks1-bad-stripes", f"{_LUK1}:stripes"),
    Published("LUK006", "luks1-unterminated-string", f"{_LUK1}:unterminated"),
    Published("LUK007", "luks1-bad-key-size", f"{_LUK1}:key_size"),
    Published("LUK008", "luks1-no-iterations", f"{_LUK1}:no_iterations"),
    Published("LUK020", "luks2-bad-header-size", f"{_LUK2}:header_size"),
    Published("LUK021", "luks2-json-size-differs", f"{_LUK2}:json_size"),
    Published("LUK022", "luks2-key-slot-area-misplaced", f"{_LUK2}:slot_area"),
    Published("LUK023", "luks2-bad-segment", f"{_LUK2}:bad_segment"),
    Published("LUK024", "luks2-unknown-requirement", f"{_LUK2}:unknown_requirement"),
    Published("LUK025", "luks2-reencryption-in-progress", f"{_LUK2}:reencryption"),
    Published("LUK301", "luks2-no-valid-header", f"{_LUK2}:no_valid_header"),
    Published("LUK302", "luks2-one-header-invalid", f"{_LUK2}:one_header_invalid"),
    Published("LUK303", "luks2-headers-disagree", f"{_LUK2}:headers_disagree"),
    Published("LUK201", "luks-key-derivation-over-cap", f"{_LUKS}:derivation_cost"),
    Published("LUK401", "luks-content-hidden", f"{_LUKS}:content_hidden"),
    Published("LUK402", "luks-null-cipher", f"{_LUKS}:null_cipher"),
    Published("LUK403", "luks-no-key-slot", f"{_LUKS}:no_key_slot"),
)
