#!/bin/sh
# Usage: enrol_trial.sh FOLDER SLOT=SITE... In a running trial (profile all-in-one), set up the centre, hand each site its
# pass and accept it. FOLDER is that of konsil init. Between hospitals people do this, and compare fingerprints by phone.
set -eu
folder=$1; shift
compose="docker-compose --env-file $folder/stack.env --project-directory $(cd "$(dirname "$0")/.." && pwd)"
compose="$compose --file $(cd "$(dirname "$0")/.." && pwd)/docker-compose.yaml --profile centre --profile site"
case " $*" in *" c="*) compose="$compose --profile all-in-one" ;; *" b="*) compose="$compose --profile site-b" ;; esac
. "$folder/stack.env"
$compose exec -T centre-scheduler konsil central init --endpoint "https://$KONSIL_STORE_NAME:9443" \
    --access-key centre --secret-file /run/secrets/store-centre --ca-file /run/secrets/ca
for pair in "$@"; do
    slot=${pair%%=*} site=${pair#*=}
    key=site-$(echo "$site" | tr 'A-Z' 'a-z')
    $compose exec -T centre-scheduler sh -c 'umask 077; cat > /tmp/key' < "$folder/store/$key.key"
    $compose exec -T centre-scheduler konsil central invite "$site" --out /tmp/pass --access-key "$key" --secret-file /tmp/key
    $compose exec -T centre-scheduler sh -c 'cat /tmp/pass; rm /tmp/pass /tmp/key' |
        $compose exec -T "$slot-scheduler" sh -c 'umask 077; cat > /tmp/pass; konsil site join /tmp/pass; end=$?; rm /tmp/pass; exit $end'
done
$compose exec -T centre-scheduler konsil central sites
