"""Which files differ between two images: python scripts/compare_images.py IMAGE IMAGE

One line for each file that only one of them has, or whose content, link, mode or owner is another; dates do not count.
Exit code 1 if something differs. `--docker` names the client.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile


def files(docker: str, image: str) -> dict[str, tuple[str, ...]]:
    """What an image holds, by path: kind, mode, owner, link, and the SHA-256 of the content."""
    made = subprocess.run([docker, "create", image], capture_output=True, text=True, check=True).stdout.strip()
    try:
        export = subprocess.Popen([docker, "export", made], stdout=subprocess.PIPE)
        with export, tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            return {member.name: facts(tar, member) for member in tar}
    finally:
        subprocess.run([docker, "rm", "--volumes", made], capture_output=True, check=True)


def facts(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, ...]:
    """What of a file counts."""
    content = tar.extractfile(member) if member.isreg() else None
    held = hashlib.file_digest(content, "sha256").hexdigest() if content else ""
    return member.type.decode(), f"{member.mode:o}", f"{member.uid}:{member.gid}", member.linkname, held


def main() -> int:
    """Compare, and say it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs=2)
    parser.add_argument("--docker", default="docker")
    chosen = parser.parse_args()
    one, other = (files(chosen.docker, image) for image in chosen.images)
    different = sorted(path for path in {*one, *other} if one.get(path) != other.get(path))
    sys.stdout.writelines(f"{path}\n" for path in different)
    sys.stderr.write(f"{len(different)} of {len({*one, *other})} files differ\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
