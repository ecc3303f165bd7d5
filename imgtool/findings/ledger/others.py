"""Codes of optical disks, partitions, encryption and further formats (ISO, PRT, LUK, PAR, OTH)."""

from __future__ import annotations

from imgtool.findings.ledger.published import Published

_ISO_STRUCTURE = "imgtool.formats.iso.checks.structure"
_ISO_BOOT = "imgtool.formats.iso.checks.boot"
_ISO_UDF = "imgtool.formats.iso.checks.udf"
_OTH_DMG = "imgtool.formats.dmg.checks"
_OTH_DMG_TABLES = "imgtool.formats.dmg.table_checks"
_OTH_BOCHS = "imgtool.formats.bochs.checks"
_OTH_BOCHS_TABLES = "imgtool.formats.bochs.table_checks"
_OTH_CLOOP = "imgtool.formats.cloop.checks"
_OTH_CLOOP_TABLES = "imgtool.formats.cloop.table_checks"
_OTH_ASIF = "imgtool.formats.asif.checks"
_PAR = "imgtool.formats.parallels.checks"
_LUK1 = "imgtool.formats.luks.checks.luks1"
_LUK2 = "imgtool.formats.luks.checks.luks2"
_LUKS = "imgtool.formats.luks.checks.secrets"
_PRT_GPT = "imgtool.volumes.partitions.checks.gpt"
_PRT_MBR = "imgtool.volumes.partitions.checks.mbr"
_PRT_RANGES = "imgtool.volumes.partitions.checks.ranges"
_PRT_SYSTEMS = "imgtool.volumes.filesystems.checks"

OTHERS: tuple[Published, ...] = (
    # ISO
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
    Published("ISO040", "iso-udf-recognition-broken", f"{_ISO_UDF}:recognition_broken"),
    Published("ISO041", "iso-udf-without-anchor", f"{_ISO_UDF}:without_anchor"),
    Published("ISO042", "iso-udf-volume-missing", f"{_ISO_UDF}:volume_missing"),
    Published("ISO301", "iso-boot-catalog-checksum", f"{_ISO_BOOT}:catalog_checksum"),
    Published("ISO302", "iso-udf-bad-tag", f"{_ISO_UDF}:bad_tag"),
    # PRT
    Published("PRT001", "gpt-primary-missing", f"{_PRT_GPT}:primary_missing"),
    Published("PRT002", "gpt-bad-header-size", f"{_PRT_GPT}:bad_header_size"),
    Published("PRT003", "gpt-bad-entry-size", f"{_PRT_GPT}:bad_entry_size"),
    Published("PRT004", "gpt-misplaced-header", f"{_PRT_GPT}:misplaced_header"),
    Published("PRT005", "gpt-backup-missing", f"{_PRT_GPT}:backup_missing"),
    Published("PRT006", "gpt-backup-different", f"{_PRT_GPT}:backup_different"),
    Published("PRT007", "gpt-backup-not-at-end", f"{_PRT_GPT}:backup_not_at_end"),
    Published("PRT008", "gpt-odd-protective-mbr", f"{_PRT_GPT}:odd_protective_mbr"),
    Published("PRT009", "gpt-without-protective-mbr", f"{_PRT_GPT}:without_protective_mbr"),
    Published("PRT010", "gpt-hybrid-mbr", f"{_PRT_GPT}:hybrid_mbr"),
    Published("PRT011", "gpt-duplicate-guid", f"{_PRT_GPT}:duplicate_guid"),
    Published("PRT012", "gpt-unknown-revision", f"{_PRT_GPT}:unknown_revision"),
    Published("PRT020", "partitions-overlap", f"{_PRT_RANGES}:partitions_overlap"),
    Published("PRT021", "partition-out-of-range", f"{_PRT_RANGES}:partition_out_of_range"),
    Published("PRT022", "partition-beyond-file", f"{_PRT_RANGES}:partition_beyond_file"),
    Published("PRT040", "mbr-chain-broken", f"{_PRT_MBR}:chain_broken"),
    Published("PRT041", "mbr-several-active", f"{_PRT_MBR}:several_active"),
    Published("PRT042", "mbr-protects-no-gpt", f"{_PRT_MBR}:protects_no_gpt"),
    Published("PRT060", "filesystem-larger-than-its-place", f"{_PRT_SYSTEMS}:larger_than_its_place"),
    Published("PRT061", "several-filesystems", f"{_PRT_SYSTEMS}:several_filesystems"),
    Published("PRT062", "filesystem-beside-table", f"{_PRT_SYSTEMS}:beside_table"),
    Published("PRT201", "gpt-entry-count", f"{_PRT_GPT}:entry_count"),
    Published("PRT301", "gpt-header-checksum", f"{_PRT_GPT}:header_checksum"),
    Published("PRT302", "gpt-entries-checksum", f"{_PRT_GPT}:entries_checksum"),
    Published("PRT360", "filesystem-checksum", f"{_PRT_SYSTEMS}:checksum"),
    # LUK
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
    Published("LUK026", "luks2-segments-overlap", f"{_LUK2}:segments_overlap"),
    Published("LUK027", "luks2-dangling-name", f"{_LUK2}:dangling"),
    Published("LUK028", "luks2-bad-key-slots-size", f"{_LUK2}:key_slots_size"),
    Published("LUK201", "luks-key-derivation-over-cap", f"{_LUKS}:derivation_cost"),
    Published("LUK301", "luks2-no-valid-header", f"{_LUK2}:no_valid_header"),
    Published("LUK302", "luks2-one-header-invalid", f"{_LUK2}:one_header_invalid"),
    Published("LUK303", "luks2-headers-disagree", f"{_LUK2}:headers_disagree"),
    Published("LUK401", "luks-content-hidden", f"{_LUKS}:content_hidden"),
    Published("LUK402", "luks-null-cipher", f"{_LUKS}:null_cipher"),
    Published("LUK403", "luks-no-key-slot", f"{_LUKS}:no_key_slot"),
    # PAR
    Published("PAR001", "parallels-bad-version", f"{_PAR}.header:bad_version"),
    Published("PAR002", "parallels-bad-cluster-size", f"{_PAR}.header:bad_cluster_size"),
    Published("PAR003", "parallels-bat-too-small", f"{_PAR}.header:bat_too_small"),
    Published("PAR004", "parallels-bat-misplaced", f"{_PAR}.header:bat_misplaced"),
    Published("PAR005", "parallels-data-area-misplaced", f"{_PAR}.header:data_misplaced"),
    Published("PAR006", "parallels-readers-disagree-on-size", f"{_PAR}.header:size_high_bits"),
    Published("PAR007", "parallels-unknown-flag", f"{_PAR}.header:unknown_flag"),
    Published("PAR008", "parallels-marked-in-use", f"{_PAR}.header:marked_in_use"),
    Published("PAR009", "parallels-unknown-in-use-mark", f"{_PAR}.header:unknown_mark"),
    Published("PAR010", "parallels-extension-misplaced", f"{_PAR}.header:extension_misplaced"),
    Published("PAR011", "parallels-unknown-necessary-feature", f"{_PAR}.header:unknown_feature"),
    Published("PAR012", "parallels-bad-dirty-bitmap", f"{_PAR}.header:bad_bitmap"),
    Published("PAR020", "parallels-cluster-outside-file", f"{_PAR}.tables:outside"),
    Published("PAR021", "parallels-cluster-misplaced", f"{_PAR}.tables:misplaced"),
    Published("PAR022", "parallels-clusters-overlap", f"{_PAR}.tables:overlap"),
    Published("PAR023", "parallels-leaked-clusters", f"{_PAR}.tables:leaked"),
    Published("PAR024", "parallels-table-not-read", f"{_PAR}.tables:not_read"),
    Published("PAR301", "parallels-extension-checksum-differs", f"{_PAR}.header:checksum_differs"),
    # OTH
    Published("OTH001", "dmg-bad-trailer", f"{_OTH_DMG}:bad_trailer"),
    Published("OTH002", "dmg-part-outside", f"{_OTH_DMG}:part_outside"),
    Published("OTH003", "dmg-without-block-map", f"{_OTH_DMG}:without_map"),
    Published("OTH004", "dmg-disk-too-large", f"{_OTH_DMG}:too_large"),
    Published("OTH005", "dmg-block-map-broken", f"{_OTH_DMG_TABLES}:map_broken"),
    Published("OTH006", "dmg-chunk-outside", f"{_OTH_DMG_TABLES}:chunk_outside"),
    Published("OTH007", "dmg-chunk-misplaced", f"{_OTH_DMG_TABLES}:chunk_misplaced"),
    Published("OTH008", "dmg-unknown-chunk-type", f"{_OTH_DMG_TABLES}:unknown_type"),
    Published("OTH021", "bochs-unknown-version", f"{_OTH_BOCHS}:unknown_version"),
    Published("OTH022", "bochs-bad-extent-size", f"{_OTH_BOCHS}:bad_extent"),
    Published("OTH023", "bochs-bad-catalog", f"{_OTH_BOCHS}:bad_catalog"),
    Published("OTH024", "bochs-extent-outside", f"{_OTH_BOCHS_TABLES}:extent_outside"),
    Published("OTH025", "bochs-extent-used-twice", f"{_OTH_BOCHS_TABLES}:used_twice"),
    Published("OTH041", "cloop-unknown-version", f"{_OTH_CLOOP}:unknown_version"),
    Published("OTH042", "cloop-bad-block-size", f"{_OTH_CLOOP}:bad_block_size"),
    Published("OTH043", "cloop-bad-offsets", f"{_OTH_CLOOP}:bad_offsets"),
    Published("OTH044", "cloop-offsets-not-rising", f"{_OTH_CLOOP_TABLES}:not_rising"),
    Published("OTH045", "cloop-block-outside", f"{_OTH_CLOOP_TABLES}:block_outside"),
    Published("OTH046", "cloop-block-oversized", f"{_OTH_CLOOP_TABLES}:oversized"),
    Published("OTH061", "asif-unknown-version", f"{_OTH_ASIF}:unknown_version"),
    Published("OTH062", "asif-bad-geometry", f"{_OTH_ASIF}:bad_geometry"),
    Published("OTH063", "asif-directory-outside", f"{_OTH_ASIF}:directory_outside"),
    Published("OTH101", "dmg-other-segments", f"{_OTH_DMG}:other_segments"),
    Published("OTH121", "bochs-overlay", f"{_OTH_BOCHS}:overlay"),
    Published("OTH201", "dmg-chunk-over-cap", f"{_OTH_DMG_TABLES}:over_cap"),
    Published("OTH401", "dmg-encrypted", f"{_OTH_DMG}:encrypted"),
)
