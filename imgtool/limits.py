"""Every cap in one frozen value. No number from a file reaches a read, a loop, an array size or a
divisor before it met one of these (or a tighter bound of its format's specification).

Sizes are bytes unless the name says otherwise.
"""

from typing import NamedTuple


class Limits(NamedTuple):
    """Named caps; pass a changed copy with `limits._replace(…)`."""

    # any image
    head: int = 68 * 1024  #: bytes of the head that detection sees (btrfs' magic is at 65,600)
    tail: int = 16 * 1024  #: bytes of the tail that detection sees
    far_tail: int = 50 * 1024  #: bytes before it where a mark may lie that ends the file (zip, comment: 65,557)
    read: int = 16 * 1024 * 1024  #: the largest single read a reader may ask for
    records: int = 4096  #: annotated structures kept for `--fields`
    problems: int = 256  #: problems kept for one image
    findings: int = 512  #: findings kept for one image
    depth: int = 4  #: nesting of containers that is looked into
    members: int = 10_000  #: members listed of one container
    nested_reports: int = 256  #: members of one container that get a report of their own
    total_reports: int = 1024  #: nested reports below one input, at every depth together
    references: int = 1024  #: references listed of one image
    expansion_floor: int = 1024**4  #: virtual size up to which the ratio to the file is no matter
    string: int = 64 * 1024  #: the longest string taken from an image

    # disks
    chain_depth: int = 32  #: backing files or parents below one image
    siblings: int = 256  #: files of a folder that are looked into for a parent that is named by UUID …
    sibling_names: int = 16_384  #: … and names of the folder that are read

    # programs that are run
    tool_memory: int = 4 * 1024**3  #: address space of an external program
    tool_slack: int = 8 * 1024**3  #: bytes that it may write beyond a disk and an eighth: headers, tables, rounding
    secret: int = 64 * 1024  #: bytes of a passphrase

    # tables, all of them (the deep check)
    claims: int = 4 * 1024 * 1024  #: separate runs of a file that are compared for overlaps: 64 MiB
    claims_batch: int = 1024 * 1024  #: ranges that are compared at once
    table_batch: int = 1024 * 1024  #: entries of one table that are looked at together
    table_broken: int = 4 * 1024 * 1024  #: faults of one table after which the rest of it is not read
    table_faults: int = 16  #: faults of one kind that are told with their place; all are counted
    table_bytes: int = 1 << 30  #: bytes of all tables of an image that are read whole (L1 tables, those of bitmaps)
    table_count: int = 8 << 20  #: tables of the second level that are read, each once
    table_dense: int = 1 << 30  #: bytes of tables above which those in holes of the file are left out …
    table_runs: int = 1 << 18  #: … in a file of at most so many runs
    table_inflated: int = 1 << 32  #: guest bytes of compressed clusters that a deep check inflates (qcow, qcow2)
    behind: int = 64 * 1024 * 1024  #: bytes behind the end of an image that are looked at

    # streams
    stream_head: int = 16 * 1024 * 1024  #: head of a stream that is kept
    stream_tail: int = 2 * 1024 * 1024  #: tail of a stream that is kept
    stream_windows: int = 16 * 1024 * 1024  #: further windows of a stream, together
    stream_replans: int = 64  #: how often the windows of a stream are planned anew

    # compressed wrappers
    wrapper_output: int = 64 * 1024**4  #: the most that a compressed wrapper may inflate to
    wrapper_ratio: int = 200_000  #: output / input above which inflating stops …
    wrapper_ratio_floor: int = 1024**3  #: … once the output passed this floor
    wrapper_probe: int = 4 * 1024 * 1024  #: output inflated when only headers are asked for
    wrapper_memory: int = 128 * 1024 * 1024  #: dictionary or window a wrapper may ask for
    wrapper_steps: int = 4096  #: frames, blocks or members with next to nothing in them that are decoded
    wrapper_ratio_warning: int = 1000  #: output / input above which a wrapper is a likely bomb, from that floor on
    wrapper_index: int = 1024 * 1024  #: bytes of an xz index or a zip directory that are read
    wrapper_records: int = 16_384  #: records of an xz index and entries of a zip directory that are walked
    wrapper_blocks: int = 4096  #: blocks of zstd frames that are walked for their sizes
    wrapper_mark: int = 4 * 1024 * 1024  #: decoded bytes between places where decoding can begin again …
    wrapper_marks: int = 512  #: … and how many of them are remembered; deflate takes 40 KiB for each
    wrapper_kept: int = 32 * 1024 * 1024  #: decoded bytes that are kept of what was read last
    wrapper_runs: int = 2  #: decoders under way at different places of one wrapper
    wrapper_frames: int = 64  #: streams of an xz file, skippable frames before the first frame that are walked

    # qcow2 (QEMU docs/interop/qcow2)
    qcow2_extensions: int = 256  #: header extensions read
    qcow2_snapshots: int = 65_536  #: QCOW_MAX_SNAPSHOTS
    qcow2_snapshot_table: int = 64 * 1024 * 1024  #: QCOW_MAX_SNAPSHOTS_SIZE
    qcow2_snapshot_extra: int = 1024  #: extra data of one snapshot
    qcow2_snapshots_listed: int = 1024  #: snapshots listed in a report
    qcow2_bitmaps: int = 65_535  #: QCOW2_MAX_BITMAPS
    qcow2_bitmap_directory: int = 65_535 * 1024  #: QCOW2_MAX_BITMAP_DIRECTORY_SIZE
    qcow2_bitmaps_listed: int = 1024  #: bitmaps listed in a report
    qcow2_l1_table: int = 32 * 1024 * 1024  #: QCOW_MAX_L1_SIZE
    qcow2_refcount_table: int = 8 * 1024 * 1024
    qcow2_name: int = 4096  #: bytes taken of one snapshot's or bitmap's name
    qcow2_feature_names: int = 512  #: rows of the feature name table
    qcow2_check_window: int = 1 << 24  #: clusters whose references are counted at once; a file of more …
    qcow2_check_scattered: int = 1 << 22  #: … and more than so many of them in use takes a pass for each window …
    qcow2_check_windows: int = 32  #: … of at most so many

    # tar archives (ova, docker)
    tar_headers: int = 16_384  #: headers of one archive that are read, extended ones included
    tar_search: int = 512  #: members among which there must be one that tells an OVA or a docker archive
    tar_extended: int = 1024 * 1024  #: bytes of one extended header (pax, GNU long name)
    tar_extended_total: int = 16 * 1024 * 1024  #: bytes of all extended headers of one archive
    tar_name: int = 4096  #: bytes of one name or link
    tar_pax_records: int = 1024  #: records of one pax header
    tar_sparse_blocks: int = 256  #: blocks of the map of one sparse member
    tar_record: int = 1024 * 1024  #: the longest record that a tar is padded to (`tar -b 2048`)

    # XML (OVF descriptors, EC2 bundle manifests)
    xml_size: int = 4 * 1024 * 1024  #: bytes of one document (DSP0243 readers stop there too)
    xml_depth: int = 64  #: nesting of elements
    xml_elements: int = 20_000
    xml_attributes: int = 128  #: attributes of one element

    # OVF
    ovf_files: int = 1024  #: files, disks, systems, networks listed of each
    ovf_manifest: int = 1024 * 1024  #: bytes of a manifest (.mf)
    ovf_manifest_lines: int = 4096
    ovf_chunks: int = 4096  #: chunks of one file

    # docker archives, OCI layouts
    docker_json: int = 1024 * 1024  #: bytes of one JSON document
    docker_json_total: int = 2 * 1024 * 1024  #: bytes of all JSON documents of one archive
    docker_images: int = 64  #: images of one archive that are read
    docker_layers: int = 256  #: layers of one image (docker itself stops at 127), manifests of one index
    docker_index_depth: int = 4  #: nesting of OCI indexes
    docker_blobs: int = 4096  #: blobs of one archive whose digests are computed
    docker_unpacked: int = 256 * 1024**3  #: bytes that the layers of one archive may unpack to
    docker_ratio: int = 2000  #: output / input above which unpacking a layer stops, from wrapper_ratio_floor on
    docker_entries: int = 2_000_000  #: headers of the tars of all layers that are read
    docker_entry_headers: int = 4 * 1024**3  #: bytes of the extended headers in one layer
    docker_names: int = 64  #: unsafe names told of one layer

    # EC2 bundle manifests
    ami_parts: int = 4096  #: parts listed

    # vhd (Virtual Hard Disk Image Format Specification 1.0)
    vhd_size: int = 2040 * 1024**3  #: the largest disk: block numbers are sectors of 32 bits
    vhd_locator: int = 64 * 1024  #: bytes of one parent locator
    vhd_table_entries: int = 1 << 23  #: entries of a block allocation table that are checked: blocks of 256 KiB
    vhd_unwritten: int = 64 * 1024**3  #: bytes of sectors said to be never written that are looked at, holes apart
    vhd_holes: int = 1 << 20  #: runs between holes of the file that are remembered for that

    # vhdx ([MS-VHDX])
    vhdx_size: int = 64 * 1024**4  #: the largest disk
    vhdx_entries: int = 2047  #: entries of a region table, and of the metadata table
    vhdx_item: int = 1024 * 1024  #: bytes of one metadata item
    vhdx_locator_entries: int = 256  #: keys read of a parent locator
    vhdx_locator_strings: int = 64 * 1024  #: bytes of all keys and values of a parent locator
    vhdx_log: int = 256 * 1024 * 1024  #: bytes of a log that is replayed
    vhdx_log_work: int = 512 * 1024 * 1024  #: bytes of log entries whose checksums are computed, torn ones included
    vhdx_log_patches: int = 32_768  #: changes that a log holds: 128 MiB of data
    vhdx_log_glance: int = 8 * 1024 * 1024  #: bytes of a log, and of its entries, that inspecting replays
    vhdx_table_entries: int = 1 << 27  #: entries of a BAT that are checked: 1 GiB; 64 TiB of 1 MiB blocks take half
    vhdx_named: int = 16  #: faulty regions or items of one kind that get a finding each

    # iso (ECMA-119, ECMA-167, El Torito)
    iso_descriptors: int = 64  #: structures of the volume recognition area that are read
    iso_boot_records: int = 128  #: records of a boot catalog, of 32 bytes
    iso_continuations: int = 8  #: SUSP continuation areas that are followed
    iso_continuation: int = 16 * 1024  #: bytes of one SUSP continuation area
    iso_udf_descriptors: int = 64  #: descriptors of one UDF volume descriptor sequence
    iso_tail: int = 2 * 1024 * 1024  #: padding that writers leave behind a volume

    # dmg
    dmg_size: int = 1 << 60  #: the largest disk
    dmg_chunk: int = 64 * 1024 * 1024  #: bytes of a chunk, packed or not, as QEMU caps it
    dmg_plist: int = 16 * 1024 * 1024  #: bytes of the property list

    # bochs
    bochs_catalog: int = 1 << 20  #: entries of the catalog
    bochs_extent: int = 8 * 1024 * 1024  #: bytes of one extent

    # cloop
    cloop_block: int = 64 * 1024 * 1024  #: bytes of one block
    cloop_offsets: int = 512 * 1024 * 1024  #: bytes of the table of offsets

    # asif
    asif_chunk: int = 1 << 30  #: bytes of one chunk
    asif_size: int = 1 << 60  #: the largest disk

    # vmdk (VMware "Virtual Disk Format 5.0"; QEMU block/vmdk.c)
    vmdk_descriptor: int = 1024 * 1024  #: bytes of a descriptor
    vmdk_lines: int = 16_384  #: lines of a descriptor that are read; 8 TiB in pieces of 2 GiB are 4,096
    vmdk_lines_shown: int = 64  #: of those, the ones kept for `--fields`
    vmdk_extents_listed: int = 1024  #: extents listed in a report
    vmdk_ddb: int = 1024  #: entries of the disk database
    vmdk_value: int = 4096  #: characters of a value in the disk database
    vmdk_grain: int = 0x200000  #: sectors of a grain: 1 GiB
    vmdk_directory: int = 32 * 1024 * 1024  #: entries of a grain directory
    vmdk_sectors: int = 1 << 54  #: sectors of an extent: the bytes fit 63 bits
    vmdk_tables: int = 64  #: grain tables of an extent that are kept
    vmdk_inflated: int = 64 * 1024**4  #: bytes that all compressed grains together inflate to in a deep check
    vmdk_gaps: int = 16_384  #: gaps of a stream that are looked at for grains in no table
    vmdk_packed: int = 16 * 1024 * 1024  #: bytes of a compressed grain, inflated

    # vdi, qed, qcow, parallels, luks
    virtual_size: int = (1 << 63) - 1  #: bytes of a virtual disk: what a signed 64-bit offset reaches
    vdi_blocks: int = 0x3FFFFFFF  #: blocks of a VDI: a map of 4 GiB
    vdi_blocks_written: int = (0x80000000 - 512) // 4  #: those of one that is written, as QEMU 7.2 counts: 2 GiB
    vdi_block: int = 256 * 1024 * 1024  #: bytes of one VDI block
    qcow_l1_table: int = 256 * 1024 * 1024  #: L1 table of a qcow: 64 TiB with the usual clusters
    parallels_tracks: int = 0x7FFFFFFF // 513  #: sectors of a Parallels cluster, as QEMU caps it
    parallels_bat_entries: int = 0x7FFFFFFF // 4  #: entries of a Parallels table, as QEMU caps it
    parallels_features: int = 256  #: features of a Parallels format extension
    luks_key: int = 512  #: bytes of a LUKS1 volume key
    luks_json: int = 512 * 1024  #: characters of a LUKS2 JSON text
    luks_objects: int = 64  #: members of a LUKS2 JSON section (the format allows 32 key slots and tokens)
    luks_key_slots: int = 128 * 1024 * 1024  #: bytes of a LUKS2 key slots area, the format's own cap
    luks_iterations: int = 100_000_000  #: PBKDF2 iterations
    luks_time: int = 1024  #: Argon2 passes
    luks_memory: int = 1024 * 1024  #: Argon2 memory in KiB: 1 GiB
    luks_threads: int = 4  #: Argon2 threads

    # volumes
    mbr_links: int = 256  #: links of a chain of logical partitions
    gpt_entries: int = 32_768  #: entries of a GPT, used or not
    gpt_table: int = 4 * 1024 * 1024  #: bytes of a GPT's entries
    apm_entries: int = 256  #: entries of an Apple partition map
    partitions_listed: int = 1024  #: partitions listed of one table
    partitions_surveyed: int = 128  #: partitions whose file system is looked for
    directory: int = 64 * 1024  #: bytes read of a directory, for a label or the names in it
    udf_descriptors: int = 64  #: volume descriptors read of a UDF
    zfs_pairs: int = 64  #: name and value pairs read of a ZFS label

    # kernels and ramdisks
    kernel_search: int = 32 * 1024 * 1024  #: bytes that are looked through for a kernel's version text
    kernel_segments: int = 128  #: program headers of a vmlinux
    ramdisk_entries: int = 1024  #: cpio entries that are walked
    ramdisk_segments: int = 32  #: archives of one chain
    ramdisk_names: int = 16  #: names listed in a report


DEFAULT = Limits()
