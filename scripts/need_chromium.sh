#!/bin/sh
# The end-to-end tests look at the pages through a real browser: install Chromium where there is none.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
echo "== Installing Chromium for the end-to-end tests"
sh "$(dirname "$0")/apt_install.sh" chromium fonts-dejavu-core
