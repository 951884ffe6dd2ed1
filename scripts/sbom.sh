#!/bin/sh
# Usage: sbom.sh FOLDER NAME... What is in the images konsil/NAME: FOLDER/NAME.cdx.json, its Python packages with their licences
# as CycloneDX (cyclonedx-bom, which looks from outside: it is mounted and not part of the image), and FOLDER/NAME.debian.tsv,
# its Debian packages. PYTHON is a Python 3.11, as in the images.
set -eu
folder=$1; shift
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker
mkdir -p "$folder"
tool=$(mktemp -d "$folder/tool.XXXXXX")
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-python3.11}" -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --target "$tool" cyclonedx-bom==7.5.0
chmod -R a+rX "$tool"
look='import runpy, sys; sys.path.append("/sbom"); sys.argv = ["cyclonedx-py", *sys.argv[1:]]; runpy.run_module("cyclonedx_py", run_name="__main__")'
for name in "$@"; do
    confined="--rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
    "$docker" run $confined --volume "$tool:/sbom:ro" --entrypoint python "konsil/$name" -c "$look" \
        environment --output-reproducible --of JSON /opt/konsil/bin/python > "$folder/$name.cdx.json.part"
    "$docker" run $confined --entrypoint dpkg-query "konsil/$name" --show > "$folder/$name.debian.tsv"
    mv "$folder/$name.cdx.json.part" "$folder/$name.cdx.json"
done
