#!/usr/bin/env bash
# fetch-model.sh FOLDER: put the model that release.yml builds with into FOLDER, with the model card
# and the audit where there are any. MODEL says where it is: nothing (the released one), an https
# address of a .bentomodel, or the number of a run of this repository whose artifact "model" holds
# spine_autoencoder.bentomodel. Others than the released one must have SHA256.
set -Eeuo pipefail
refuse() { echo "::error::$1" >&2; exit 1; }

folder=$1
name=spine_autoencoder.bentomodel
mkdir -p "$folder"
if [ -z "${MODEL:-}" ]; then
  cp pretrained/MODEL_CARD.md pretrained/audit.csv "pretrained/$name" "$folder"
  exit 0
fi

[[ ${SHA256:-} =~ ^[0-9a-f]{64}$ ]] || refuse "sha256: give the 64 lower-case digits that sha256sum prints"
if [[ $MODEL =~ ^[0-9]+$ ]]; then
  gh run download "$MODEL" --repo "$GITHUB_REPOSITORY" --name model --dir "$folder"
elif [[ $MODEL == https://* ]]; then
  curl --fail --silent --show-error --location --proto =https --max-filesize 100000000 \
    --output "$folder/$name" "$MODEL"
else
  refuse "model: give an https address or the number of a run"
fi
[ -f "$folder/$name" ] || refuse "the artifact of run $MODEL holds no $name"
echo "$SHA256  $folder/$name" | sha256sum --check --quiet - || refuse "the model has another sha256 than was given"
