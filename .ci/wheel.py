"""Holds built wheels to what a user needs: `python .ci/wheel.py WHEEL...`, for the release and for .ci/run.

Any Python may have it, and the index takes it; it is small and holds the package, its licence and nothing else; the
extension tells nothing about the machine that built it and needs no library but the system's. What it needs of glibc
is printed: symbols newer than `GLIBC` are faults, unless that glibc has them under an older version.
"""

import email
import io
import pathlib
import re
import sys
import zipfile

MEGABYTES = 3
GLIBC = (2, 28)  # of the image in which releases are built: [tool.cibuildwheel] in pyproject.toml
# linked by a newer glibc they ask for it; linked by an older one for itself
MOVED = {"pthread_create", "pthread_detach", "pthread_mutex_trylock"}  # from libpthread to libc, in 2.34
MOVED |= {"exp", "log", "pow"}  # without a wrapper for errno, since 2.29
LIBRARIES = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
NAME = re.compile(r"skbackprop-(?P<version>[^-]+)-cp311-abi3-(manylinux\w+(\.manylinux\w+)*|macosx_\w+|win_\w+)\.whl")
EXTENSION = re.compile(r"skbackprop/_engines/_cpu(\.abi3\.so|\.pyd)")
MEMBER = re.compile(r"skbackprop/([a-z0-9_]+/)*([a-z0-9_]+\.pyi?|py\.typed)")
INFO = "METADATA", "WHEEL", "RECORD", "licenses/LICENSE"
SOURCE = re.compile(rb"[/\\](?:[\w.+-]{2,}[/\\])+[\w.+-]{2,}\.(?:c|h|o|obj|pyx|pdb)\b")  # a path there


def elf(data):
    """Faults of an extension for Linux, after printing which glibc it needs."""
    from elftools.elf.elffile import ELFFile

    file, faults, newer = ELFFile(io.BytesIO(data)), [], {}
    for tag in file.get_section_by_name(".dynamic").iter_tags():
        if tag.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"}:
            faults.append("looks for libraries in a folder of its own")
        elif tag.entry.d_tag == "DT_NEEDED" and tag.needed not in LIBRARIES:
            faults.append(f"needs {tag.needed}")
    faults += [f"has {part.name}" for part in file.iter_sections() if part.name.startswith(".debug")]
    versions = {
        version.entry.vna_other: version.name
        for _, needed in file.get_section_by_name(".gnu.version_r").iter_versions()
        for version in needed
    }
    numbers = file.get_section_by_name(".gnu.version").iter_symbols()
    for symbol, number in zip(file.get_section_by_name(".dynsym").iter_symbols(), numbers, strict=True):
        found = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", versions.get(number.entry.ndx, ""))
        if found and (version := (int(found[1]), int(found[2]))) > GLIBC:
            newer.setdefault(version, set()).add(symbol.name)
    for (major, minor), symbols in sorted(newer.items()):
        print(f"  glibc {major}.{minor}, because it was linked there: {', '.join(sorted(symbols))}")
        faults += [f"needs {name} of glibc {major}.{minor}" for name in sorted(symbols - MOVED)]
    return faults


def faults_of(path):
    """What is wrong with a wheel."""
    named = NAME.fullmatch(path.name)
    if named is None:
        return ["its name promises less than CPython 3.11 and newer, or a platform that no index takes"]
    faults = []
    if path.stat().st_size > MEGABYTES * 1e6:
        faults.append(f"{path.stat().st_size / 1e6:.1f} MB")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    info = {f"skbackprop-{named['version']}.dist-info/{name}" for name in INFO}
    expected = {*info, "skbackprop/__init__.py", "skbackprop/py.typed", "skbackprop/_engines/_cpu.pyi"}
    faults += [f"lacks {name}" for name in sorted(expected - set(files))]
    extensions = [name for name in files if EXTENSION.fullmatch(name)]
    faults += [f"holds {name}" for name in set(files) - info - set(extensions) if not MEMBER.fullmatch(name)]
    if len(extensions) != 1:
        faults.append(f"has {len(extensions)} extension modules")
    for name in extensions:
        faults += [f"{name} tells {found.decode()}" for found in SOURCE.findall(files[name])]
        faults += [f"{name} {fault}" for fault in (elf(files[name]) if files[name][:4] == b"\x7fELF" else [])]
    metadata = email.message_from_bytes(files.get(f"skbackprop-{named['version']}.dist-info/METADATA", b""))
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^\s()]+)", re.sub(r"(?s)```.*?```", "", metadata.get_payload()))
    faults += [f"the index's page has a link to {link}" for link in links]
    if metadata["License-Expression"] != "BSD-3-Clause":
        faults.append(f"its licence is {metadata['License-Expression']}")
    return faults


def main():
    """Print what is wrong, and give the exit status."""
    failed = not sys.argv[1:]
    for path in map(pathlib.Path, sys.argv[1:]):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
        for fault in dict.fromkeys(faults_of(path)):
            failed = True
            print(f"  FAULT: {fault}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
