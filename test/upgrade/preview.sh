#!/usr/bin/env bash
# Previews what the current program would do with a release's dev state, in a separate backend; changes nothing.
# Usage: test/upgrade/preview.sh [VERSION], by default 0.1.0; needs a running lab.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

kept=test/upgrade/v${1:-0.1.0}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
exports="$(make -s env)"
eval "$exports"
config=$PULUMI_OPTION_CONFIG_FILE

cp Pulumi.yaml "$folder"
export PULUMI_BACKEND_URL=file://$folder PULUMI_CONFIG_PASSPHRASE=throw-away PULUMI_CONFIG_PASSPHRASE_FILE= PULUMI_STACK= PULUMI_OPTION_CONFIG_FILE=
pulumi stack init dev --cwd "$folder"
grep -v encryptionsalt "$config" >> "$folder/Pulumi.dev.yaml"
# A stack is tied to its cluster. The recorded one is gone: this lab's takes its place.
was=$(node -p "require('./$kept/about.json').cluster")
is=$(kubectl get namespace kube-system -o jsonpath='{.metadata.uid}')
gunzip -c "$kept/state.json.gz" | sed "s/$was/$is/g" | pulumi stack import --cwd "$folder" --stack dev

PULUMI_OPTION_CONFIG_FILE=$folder/Pulumi.dev.yaml pulumi preview --stack dev
