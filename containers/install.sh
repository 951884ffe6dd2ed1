#!/bin/sh
# Usage: install.sh EXTRAS. Install the checkout in this folder with these extras into /opt/konsil, as constraints.txt pins it.
# A second call with other extras adds them. Two build secrets may say how this machine reaches the package index:
# `ca`, authorities in PEM, and `index`, lines such as `export UV_INDEX_URL=…`. Neither is left in the image.
set -eu
[ ! -s /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca REQUESTS_CA_BUNDLE=/run/secrets/ca PIP_CERT=/run/secrets/ca
[ ! -s /run/secrets/index ] || . /run/secrets/index
# Compiled code names the hash of its source, not its date: two builds of one checkout are the same bytes.
export UV_LINK_MODE=copy UV_CACHE_DIR=/root/.cache/uv PYC_INVALIDATION_MODE=CHECKED_HASH
[ -x /opt/uv/bin/uv ] || { python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet uv==0.13.8; }
[ -x /opt/konsil/bin/python ] || /opt/uv/bin/uv venv --quiet --python /usr/bin/python3 /opt/konsil
if [ "$1" = --code ]; then # the extras are there: only our own code is laid over
    /opt/uv/bin/uv pip install --quiet --no-deps --reinstall --compile-bytecode --python /opt/konsil/bin/python .
    found=$(echo /opt/konsil/lib/python3.11/site-packages/konsil-*.dist-info) # uv notes there when it looked: a date
    rm "$found/uv_cache.json" && sed -i /uv_cache.json/d "$found/RECORD"
    [ ! -d dags ] || cp -r dags /opt/konsil/lib/python3.11/site-packages/
else
    /opt/uv/bin/uv pip install --quiet --compile-bytecode --python /opt/konsil/bin/python -c constraints.txt ".[$1]"
fi
