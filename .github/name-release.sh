#!/usr/bin/env bash
# Say what release.yml releases, as lines for GITHUB_OUTPUT: image, version, build (the tag of this
# commit), latest (whether it becomes :latest), release (whether it gets a page of its own).
# OWNER, GITHUB_EVENT_NAME, GITHUB_REF, GITHUB_SHA and, by hand, GIVEN say what is known.
set -Eeuo pipefail
refuse() { echo "::error::$1" >&2; exit 1; }

number='[0-9]+\.[0-9]+\.[0-9]+'
build=sha-$GITHUB_SHA latest=false release=true
case $GITHUB_EVENT_NAME:$GITHUB_REF in
  push:refs/heads/main)
    version=main release=false ;;
  push:refs/tags/v*)
    version=${GITHUB_REF#refs/tags/v}
    [[ $version =~ ^$number(-[0-9A-Za-z.-]+)?$ ]] || refuse "tag v$version: use v1.2.3 or v1.2.3-rc.1"
    project=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
    [ "${version%%-*}" = "$project" ] || refuse "tag v$version, but pyproject.toml says $project; make them equal"
    [[ $version == *-* ]] || latest=true ;;
  workflow_dispatch:*)
    # The same commit with another model: it must not take the name of the commit's own image.
    version=$GIVEN build=$GIVEN-sha-$GITHUB_SHA
    [[ $version =~ ^$number-[0-9A-Za-z.-]+$ ]] || refuse "version $version: name the site's own, such as 0.1.0-site.2" ;;
  *)
    refuse "$GITHUB_EVENT_NAME of $GITHUB_REF is not released" ;;
esac

printf '%s\n' "image=ghcr.io/${OWNER,,}/dicom-autoencoder" "version=$version" "build=$build" \
  "latest=$latest" "release=$release"
