"""What qemu-img writes: its targets, their creation options by qemu's own names, and which of them go together.

Not offered: options that name another file (backing_file, data_file), subformats that are several files, the ciphers
that QEMU itself advises against (encryption=on, aes), and hints for the host's file system, which come too late for
a file that is there already.

Reference: qemu-img(1) and `qemu-img create -f FORMAT -o help` of QEMU 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from imgtool.errors import UnsupportedError, UsageError
from imgtool.targets.options import Option, Value
from imgtool.units import GIB, KIB, MIB, ceil_div, is_power_of_two

#: What is written, and what QEMU calls it.
TARGETS: Mapping[str, str] = {
    "raw": "raw",
    "qcow2": "qcow2",
    "qcow": "qcow",
    "qed": "qed",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "vdi": "vdi",
    "vmdk": "vmdk",
    "parallels": "parallels",
    "luks": "luks",
}

#: What is read: one file each, without a secret.
SOURCES: Mapping[str, str] = {name: driver for name, driver in TARGETS.items() if name != "luks"}

#: Drivers that know backing files, which are switched off.
BACKED = frozenset({"qcow2", "qcow", "qed", "vmdk"})

#: Targets that may be written to a block device: what they leave out reads as zeros whatever was there.
ON_DEVICES = frozenset({"raw", "qcow2", "luks"})

#: Targets that are written from their beginning to their end: of a qed written out of order QEMU 7.2 trips over its
#: own assertion (qed_aio_write_alloc).
IN_ORDER = frozenset({"qed"})

#: The id under which a passphrase is handed over.
SECRET = "secret0"

#: Options of which 0 means that QEMU chooses.
_CHOSEN_BY_QEMU = frozenset({"hwversion", "toolsversion"})

_PREALLOCATION = "off leaves out what is not written, falloc takes the space, full writes zeros, too"

_CIPHERS = (
    *("aes-128", "aes-192", "aes-256"),
    *("serpent-128", "serpent-192", "serpent-256"),
    *("twofish-128", "twofish-192", "twofish-256", "cast5-128"),
)
_HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160", "md5")


def _luks(prefix: str = "") -> tuple[Option, ...]:
    return (
        Option(f"{prefix}cipher-alg", "choice", "aes-256", "the cipher", _CIPHERS),
        Option(f"{prefix}cipher-mode", "choice", "xts", "how the cipher's blocks are chained", ("xts", "cbc", "ctr")),
        Option(f"{prefix}ivgen-alg", "choice", "plain64", "where IVs come from", ("plain64", "plain", "essiv")),
        Option(f"{prefix}ivgen-hash-alg", "choice", "none", "the hash of essiv", ("none", *_HASHES)),
        Option(f"{prefix}hash-alg", "choice", "sha256", "the hash that keys are derived with", _HASHES),
        Option(f"{prefix}iter-time", "number", "2000", "ms that deriving a key takes", least=1, most=600_000),
    )


_RAW = (Option("preallocation", "choice", "off", _PREALLOCATION, ("off", "falloc", "full")),)
_QCOW2 = (
    Option("compat", "choice", "1.1", "the version: 1.1 is v3, 0.10 is v2", ("1.1", "0.10", "v3", "v2")),
    Option("cluster_size", "size", "64K", "bytes of a cluster", least=512, most=2 * MIB, power=True),
    Option("compression_type", "choice", "zlib", "how clusters are compressed, if they are", ("zlib", "zstd")),
    Option("extended_l2", "flag", "off", "subclusters: 32 in a cluster"),
    Option("lazy_refcounts", "flag", "off", "reference counts may be written late"),
    Option("refcount_bits", "number", "16", "bits of a reference count", least=1, most=64),
    Option(
        "preallocation",
        "choice",
        "off",
        f"{_PREALLOCATION}; metadata maps all clusters",
        ("off", "metadata", "falloc", "full"),
    ),
    Option("encrypt.format", "choice", "none", "luks encrypts the guest's data", ("none", "luks")),
    *_luks("encrypt."),
)
_QED = (
    Option("cluster_size", "size", "64K", "bytes of a cluster", least=4 * KIB, most=64 * MIB, power=True),
    # 1 is a table that the format has, and that QEMU 7.2 makes and then does not open
    Option("table_size", "number", "4", "clusters of a table", least=2, most=16, power=True),
)
_VHD = (
    Option("subformat", "choice", "dynamic", "fixed has no table and all of the bytes", ("dynamic", "fixed")),
    Option("force_size", "flag", "on", "the exact size; off rounds it up to cylinders, heads and sectors"),
)
_VHDX = (
    Option("subformat", "choice", "dynamic", "fixed has all of the bytes", ("dynamic", "fixed")),
    Option("block_size", "size", "0", "bytes of a block, from 1M to 256M; 0 goes by the disk's size", most=256 * MIB),
    Option("log_size", "size", "1M", "bytes of the log", least=MIB, most=4 * GIB - MIB),
    Option("block_state_zero", "flag", "on", "blocks of zeros of a dynamic one are marked as such"),
)
_VMDK = (
    Option(
        "subformat",
        "choice",
        "monolithicSparse",
        "streamOptimized is compressed; subformats of several files are not written",
        ("monolithicSparse", "streamOptimized"),
    ),
    Option(
        "adapter_type",
        "choice",
        "ide",
        "the disk's adapter in the virtual machine",
        ("ide", "lsilogic", "buslogic", "legacyESX"),
    ),
    Option("compat6", "flag", "off", "hardware version 6"),
    Option("hwversion", "number", "0", "the virtual hardware's version; 0: QEMU's", most=1000),
    Option("toolsversion", "number", "0", "VMware Tools' version; 0: QEMU's", most=(1 << 31) - 1),
    Option("zeroed_grain", "flag", "off", "grains of zeros are marked as such"),
)
_OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "raw": _RAW,
    "qcow2": _QCOW2,
    "qcow": (),
    "qed": _QED,
    "vhd": _VHD,
    "vhdx": _VHDX,
    "vdi": (Option("static", "flag", "off", "static has all of the bytes"),),
    "vmdk": _VMDK,
    "parallels": (Option("cluster_size", "size", "1M", "bytes of a cluster", least=512, most=GIB),),
    "luks": (*_luks(), *_RAW),
}


def options_of(target: str) -> tuple[Option, ...]:
    """The creation options of a target by our name for it or QEMU's; () where qemu-img does not write it."""
    return _OPTIONS.get(named(target), ())


def named(form: str) -> str:
    """Our name for a format, also where QEMU's is given."""
    return next((name for name, driver in TARGETS.items() if form == driver), form)


def luks_header(options: Mapping[str, Value]) -> int:
    """Bytes before the payload of a luks: the header and eight key slots of 4000 stripes of a key, in steps of 4 KiB.

    XTS has two keys. Reference: LUKS On-Disk Format Specification 1.2.3, sections 2.3 and 6.
    """
    key = int(str(options["cipher-alg"]).rpartition("-")[2]) // 8
    if options["cipher-mode"] == "xts":
        key *= 2
    return 4 * KIB + 8 * ceil_div(key * 4000, 4 * KIB) * 4 * KIB


def encrypts(target: str, options: Mapping[str, Value]) -> bool:
    """True where the target needs a passphrase."""
    return target == "luks" or options.get("encrypt.format", "none") != "none"


def check(target: str, options: Mapping[str, Value], *, compress: bool = False, secret: bool = False) -> None:
    """Whether checked options of a target go together. Raises UsageError or UnsupportedError that says what does not.

    `secret`: a passphrase is at hand.
    """
    target = named(target)
    if target not in TARGETS:
        raise UnsupportedError(f"qemu-img does not write {target} (it writes {', '.join(TARGETS)})")
    needs = encrypts(target, options)
    if needs and not secret:
        raise UsageError(f"an encrypted {target} needs a passphrase, which a file holds: --secret-file FILE")
    if secret and not needs:
        raise UsageError(f"{target} is not encrypted with these options, and takes no passphrase")
    if compress and target != "qcow2":
        raise UsageError(f"qemu-img does not compress {target}; qcow2, and vmdk with subformat=streamOptimized")
    for fault in _faults(target, options, compress):
        raise UsageError(f"{target}: {fault}")


def check_device(target: str) -> None:
    """Raises UnsupportedError for a target that is not written to a device."""
    if named(target) not in ON_DEVICES:
        raise UnsupportedError(f"qemu-img cannot write {target} to a device that is not blank; convert to a file")


def _faults(target: str, options: Mapping[str, Value], compress: bool) -> list[str]:
    """What does not go together, as QEMU would find after it had begun."""
    faults: list[str] = []
    if target == "qcow2":
        faults += _qcow2_faults(options, compress)
    if encrypts(target, options):
        faults += _luks_faults(options, "" if target == "luks" else "encrypt.")
    if target == "vmdk" and options.get("compat6") and options.get("hwversion"):
        faults.append("compat6 is a hwversion; take one of them")
    if target == "qed" and _qed_most(options) >= 1 << 64:
        faults.append("cluster_size and table_size together are too large for QEMU's arithmetic")
    block = options.get("block_size", 0)
    if target == "vhdx" and block and not (is_power_of_two(int(block)) and int(block) >= MIB):
        faults.append(f"block_size is 0 or a power of two from 1M to 256M, not {block}")
    for option in ("cluster_size", "log_size"):
        unit = {"cluster_size": 512, "log_size": MIB}[option]
        value = int(options.get(option, 0))
        if value % unit:
            faults.append(f"{option} is a multiple of {unit}, not {value}")
    return faults


def _luks_faults(options: Mapping[str, Value], prefix: str) -> list[str]:
    """What QEMU 7.2 does not encrypt with; of the keys of 192 bits without XTS it dies."""
    names = ("cipher-alg", "cipher-mode", "ivgen-alg", "ivgen-hash-alg")
    cipher, mode, made, digest = (str(options.get(prefix + name, "")) for name in names)
    faults: list[str] = []
    if cipher == "cast5-128" and mode == "xts":
        faults.append(f"{prefix}cipher-mode=xts needs a cipher of 128-bit blocks; cast5-128 takes cbc or ctr")
    if cipher.endswith("-192") and mode != "xts":
        faults.append(f"{prefix}cipher-alg={cipher} needs {prefix}cipher-mode=xts")
    fitting = ("md5",) if cipher == "cast5-128" else ("none", "sha256", "md5")  # none is sha256
    if made == "essiv" and digest not in fitting:
        told = " or ".join(one for one in fitting if one != "none")
        faults.append(f"{prefix}ivgen-alg=essiv needs {prefix}ivgen-hash-alg={told} with {cipher}")
    return faults


def _qed_most(options: Mapping[str, Value]) -> int:
    """Bytes that two levels of tables reach."""
    cluster = int(options.get("cluster_size", 64 * KIB))
    entries = cluster * int(options.get("table_size", 4)) // 8
    return entries * entries * cluster


def _qcow2_faults(options: Mapping[str, Value], compress: bool) -> list[str]:
    faults: list[str] = []
    bits = int(options.get("refcount_bits", 16))
    if not is_power_of_two(bits):
        faults.append(f"refcount_bits is 1, 2, 4, 8, 16, 32 or 64, not {bits}")
    if options.get("compat", "1.1") in ("0.10", "v2"):
        wanted = {
            "extended_l2": bool(options.get("extended_l2")),
            "lazy_refcounts": bool(options.get("lazy_refcounts")),
            "compression_type=zstd": options.get("compression_type") == "zstd",
            "refcount_bits": bits != 16,
        }
        faults += [f"{name} needs compat=1.1" for name, is_wanted in wanted.items() if is_wanted]
    if options.get("extended_l2") and int(options.get("cluster_size", 65536)) < 16 * KIB:
        faults.append("extended_l2 needs a cluster_size of 16K or more")
    if compress and options.get("preallocation", "off") != "off":
        faults.append("what is compressed cannot be preallocated")
    if not encrypts("qcow2", options):
        given = [one.name for one in _luks("encrypt.") if str(options.get(one.name, one.default)) != one.default]
        faults += [f"{name} needs encrypt.format=luks" for name in given]
    elif compress:
        faults.append("what is encrypted cannot be compressed")
    return faults


def spelled(target: str, options: Mapping[str, Value]) -> str:
    """`options` as the argument of -o: all of them, since defaults change with QEMU's version; "" where there are
    none.

    The blocks of a fixed vhdx are never marked as zeros: QEMU 7.2 leaves them there then, and writes each of them
    again behind them, so that the file is twice as large.
    """
    if target == "vhdx" and options.get("subformat") == "fixed":
        options = {**options, "block_state_zero": False}
    encrypted = encrypts(target, options)
    words: list[str] = []
    for name, value in options.items():
        unsaid = (name in _CHOSEN_BY_QEMU and not value) or value == "none"
        if unsaid or (name.startswith("encrypt.") and not encrypted):
            continue
        text = ("on" if value else "off") if isinstance(value, bool) else str(value)
        words.append(f"{name}={text}".replace(",", ",,"))
    if encrypted:
        words.append(f"{'' if target == 'luks' else 'encrypt.'}key-secret={SECRET}")
    return ",".join(words)
